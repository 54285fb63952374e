//! chatd.
pub mod args;
pub mod chat;
pub mod config;
pub mod control;
pub mod dialect;
pub mod engine;
pub mod failure;
pub mod hub;
pub mod limits;
pub mod listener;
pub mod log;
pub mod text;
pub mod time;
#[allow(unsafe_code)]
pub mod uring;
