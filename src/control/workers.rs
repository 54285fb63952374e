//! The workers' threads: how they are started, woken, and how their end becomes known.

use std::any::Any;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::chat::PeerId;
use crate::engine::{Adopted, Setup};
use crate::failure::{Failure, Kind};
use crate::hub::Bells;
use crate::uring::Doorbell;

/// What a worker's thread runs: `engine::run`, or a test's stand-in.
pub(super) type Run = fn(Setup) -> io::Result<Vec<Adopted>>;

/// What wakes each peer.
#[derive(Clone, Debug)]
pub(super) struct Doorbells {
    /// The workers', in their order.
    workers: Vec<Arc<Doorbell>>,
    /// The control thread's, the last peer's. It waits in a runtime that is woken without a
    /// descriptor.
    control: Arc<Notify>,
}

/// A worker's thread is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which.
    pub(super) peer: PeerId,
    /// What it returned: the connections that are to be handed over. A panic is an error here.
    pub(super) result: io::Result<Vec<Adopted>>,
}

impl Doorbells {
    /// A bell for each peer up to `control`, the last.
    pub(super) fn new(control: PeerId) -> io::Result<Self> {
        let workers = (0..control.0).map(|_| Doorbell::new().map(Arc::new));
        Ok(Self { workers: workers.collect::<io::Result<_>>()?, control: Arc::default() })
    }

    /// The bell of that worker.
    pub(super) fn of(&self, worker: PeerId) -> Arc<Doorbell> {
        Arc::clone(&self.workers[usize::from(worker.0)])
    }

    /// Waits until the control thread is rung for. A ring that nobody waited for is kept.
    pub(super) async fn heard(&self) {
        self.control.notified().await;
    }
}

impl Bells for Doorbells {
    fn ring(&self, peer: PeerId) {
        match self.workers.get(usize::from(peer.0)) {
            Some(worker) => worker.ring(),
            None => self.control.notify_one(),
        }
    }
}

/// Starts a thread for the worker. Its end is told to `ended`, once, whatever it dies of. There are
/// at most `limits::WORKERS_MAX` of these, so the channel needs no bound.
pub(super) fn start(setup: Setup, run: Run, ended: UnboundedSender<Ended>) -> io::Result<()> {
    let peer = setup.parts.peer;
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
            let hint = match error.kind() {
                io::ErrorKind::OutOfMemory => {
                    "; is the limit of locked memory too low (ulimit -l)?"
                }
                _ => "",
            };
            let message = format_args!("worker {worker} cannot start: {error}{hint}");
            Err(Failure::new(kind(&error), message))
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
