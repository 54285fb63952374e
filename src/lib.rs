//! chatd.
pub mod chat;
pub mod dialect;
pub mod limits;
pub mod text;
pub mod time;
