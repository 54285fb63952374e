//! The workers' threads: how they are started, woken, and how their end becomes known.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use tokio::sync::mpsc::UnboundedSender;

use crate::chat::PeerId;
use crate::engine::Setup;
use crate::failure::{Failure, Kind};
use crate::hub::Bells;
use crate::uring::Doorbell;

/// What a worker's thread runs: `engine::run`, or a test's stand-in.
pub(super) type Run = fn(Setup) -> io::Result<()>;

/// The doorbells of all peers, in their order.
#[derive(Clone, Debug)]
pub(super) struct Doorbells(Vec<Arc<Doorbell>>);

/// A worker's thread is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which.
    pub(super) peer: PeerId,
    /// What it returned; a panic is an error here.
    pub(super) result: io::Result<()>,
}

impl Doorbells {
    /// A bell for each of so many peers.
    pub(super) fn new(peer_count: usize) -> io::Result<Self> {
        (0..peer_count).map(|_| Doorbell::new().map(Arc::new)).collect::<io::Result<_>>().map(Self)
    }

    /// The bell of `peer`.
    pub(super) fn of(&self, peer: PeerId) -> Arc<Doorbell> {
        Arc::clone(&self.0[usize::from(peer.0)])
    }
}

impl Bells for Doorbells {
    fn ring(&self, peer: PeerId) {
        self.0[usize::from(peer.0)].ring();
    }
}

/// Starts a thread for the worker. Its end is told to `ended`, once, whatever it dies of. There are
/// at most `limits::WORKERS_MAX` of these, so the channel needs no bound.
pub(super) fn start(setup: Setup, run: Run, ended: UnboundedSender<Ended>) -> io::Result<()> {
    let peer = setup.peer;
    thread::Builder::new()
        .name(format!("worker-{}", peer.0))
        .spawn(move || {
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| run(setup)));
            let result = outcome.unwrap_or_else(|panic| Err(io::Error::other(words(&*panic))));
            // Nobody listens any more when the process ends without waiting for its workers.
            let _ = ended.send(Ended { peer, result });
        })
        .map(|_| ())
}

/// Waits until the worker is ready to accept.
pub(super) fn wait_ready(peer: PeerId, ready: &Receiver<io::Result<()>>) -> Result<(), Failure> {
    let worker = peer.0;
    match ready.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            Err(Failure::new(kind(&error), format_args!("worker {worker} cannot start: {error}")))
        }
        Err(_) => {
            Err(Failure::new(Kind::Broken, format_args!("worker {worker} ended while it started")))
        }
    }
}

/// A ring that may not be made is io_uring's absence; one that cannot be made so large, a limit.
fn kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Kind::Unavailable,
        _ => Kind::System,
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", words.unwrap_or("without a word"))
}
