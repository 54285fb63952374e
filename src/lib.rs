//! chatd.
pub mod chat;
pub mod dialect;
pub mod engine;
pub mod hub;
pub mod limits;
pub mod time;
#[allow(unsafe_code)]
pub mod uring;
