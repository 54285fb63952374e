//! The engine: a worker's turn, its connections and its feeds.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::chat::PeerId;
use crate::dialect::Dialect;
use crate::hub::{Bells, Hub};
use crate::time::Monotonic;
use crate::uring::Doorbell;

pub mod stats;

use stats::WorkerStats;

/// What becomes of a client that reads too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It is closed, and told why where that is possible.
    Close,
    /// It goes on at the live end, after one line that says how many lines it missed.
    Skip,
}

/// One listening socket of a worker, and how its clients are treated.
#[derive(Debug)]
pub struct Listener {
    /// The socket: bound, listening, blocking.
    pub socket: OwnedFd,
    /// Where it is bound.
    pub addr: SocketAddr,
    /// How its clients speak.
    pub dialect: Dialect,
    /// What becomes of slow ones.
    pub slow: SlowPolicy,
}

/// What may be chosen about a worker.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Connections it holds at most.
    pub clients_max: u32,
    /// The least time between two sweeps of a busy room; zero turns pacing off.
    pub pace: Duration,
    /// How long clients are given to read what they are owed when the server stops.
    pub drain: Duration,
}

/// What a worker is made of.
pub struct Setup {
    /// Which peer of the hub it is.
    pub peer: PeerId,
    /// The hub.
    pub hub: Arc<Hub>,
    /// What wakes the other peers.
    pub bells: Arc<dyn Bells + Send + Sync>,
    /// What wakes this one.
    pub bell: Arc<Doorbell>,
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Where it counts.
    pub stats: Arc<WorkerStats>,
    /// The clock all workers share.
    pub clock: Monotonic,
    /// The rest.
    pub config: Config,
    /// Told once: whether the worker is ready to accept.
    pub ready: Sender<io::Result<()>>,
}

/// The memory a worker sets aside, a line for each pool: what it is, how many, how many bytes in all.
#[must_use]
pub fn memory_budget(config: &Config) -> Vec<(&'static str, u64, u64)> {
    let _ = config;
    Vec::new()
}

/// Runs a worker on this thread until the core says stop and its clients are drained.
///
/// # Errors
/// When the ring breaks.
pub fn run(setup: Setup) -> io::Result<()> {
    drop(setup);
    Ok(())
}
