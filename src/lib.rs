//! chatd: a chat server for Linux, driven by io_uring completions.
//!
//! ```text
//! main ─▶ control ─▶ engine ─▶ hub ─▶ chat      events in, actions out   (pure)
//!                      ├─────▶ dialect           bytes ⇄ inputs, words    (pure)
//!                      └─────▶ uring             the kernel               (the only unsafe)
//! ```
//! Arrows go to the right and down only; `limits`, `text` and `time` are leaves that all may use.
//! ARCHITECTURE.md tells the same as a story: the way of one line through these modules.
//!
//! The library exists for the server's own binaries, its simulation and its load generator; its
//! interface changes with them.
//!
//! Not here: accounts, encryption, links to other servers.

pub mod args;
pub mod chat;
pub mod config;
pub mod control;
pub mod dialect;
pub mod engine;
pub mod failure;
pub mod handover;
pub mod hub;
pub mod limits;
pub mod listener;
pub mod log;
pub mod motd;
pub mod text;
pub mod time;
pub mod upgrade;
#[allow(unsafe_code)]
pub mod uring;
