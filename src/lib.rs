//! chatd.
pub mod chat;
pub mod dialect;
pub mod limits;
pub mod time;
