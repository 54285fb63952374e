//! The control plane: starts the workers, watches them, and stops them.
//!
//! One thread, tokio-uring's runtime: signals, the admin endpoint and the transcript live on it. It
//! is the last peer of the hub, an observer where a transcript is wanted. It decides nothing about
//! the chat, and no client ever waits for it.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::future;
use std::io;
use std::mem;
use std::net;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{error, info, warn};

use crate::chat::{self, Event, PeerId, PeerSet};
use crate::config::{Config, Confinement};
use crate::engine::{self, Door, Parts, Setup};
use crate::failure::{Failure, Kind};
use crate::hub::{Batch, Bells, Hub, Outbox};
use crate::limits::{
    ACCEPT_LANES, REFUSAL_SLOTS, REPLACEMENT_PERIOD, REPLACEMENTS_MAX, SLOTS_MAX, STOP_GRACE,
};
use crate::listener::{self, Bound};
use crate::log::DroppedLines;
use crate::time::{Clock, Monotonic};
use crate::uring;

mod admin;
mod confine;
mod metrics;
mod signal;
mod supervisor;
#[cfg(test)]
mod tests;
mod transcript;
mod workers;

use admin::Admin;
use confine::Confined;
use metrics::Sources;
use signal::Signals;
use supervisor::Supervisor;
use transcript::Transcript;
use workers::{Doorbells, Ended, Run};

/// Where the process stands. It goes forward only, and may skip `Serving`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Addresses are bound and workers start. Who connects waits in a backlog.
    Starting,
    /// Every worker accepts.
    Serving,
    /// The core was told to stop: workers say goodbye and end, within the drain time. A second
    /// signal ends the process at once.
    Stopping,
}

/// Runs the server until a signal stops it. `opened` is what [`Opened::new`] made of `config`.
///
/// # Errors
/// What kept it from starting, or broke it.
pub fn run(config: Config, opened: Opened, log: DroppedLines) -> Result<(), Failure> {
    run_workers(config, opened, log, engine::run)
}

fn run_workers(config: Config, opened: Opened, log: DroppedLines, run: Run) -> Result<(), Failure> {
    let runtime = tokio_uring::Runtime::new(&tokio_uring::builder())
        .map_err(|error| system("the control plane's ring", &error))?;
    let outcome = runtime.block_on(serve(&config, opened, log, run));
    // The process ends now. Dropping the runtime would wait for a write that may never finish.
    mem::forget(runtime);
    outcome
}

async fn serve(
    config: &Config,
    mut opened: Opened,
    log: DroppedLines,
    run: Run,
) -> Result<(), Failure> {
    let mut control = Control::new(config, &mut opened, log)?;
    let workers = engine::Config {
        clients_max: opened.worker_clients,
        listener_count: count(config.listen.len()),
        pace: config.pace,
        drain: config.drain,
        bounds: config.bounds,
    };
    opened.tell(&workers, config.confinement);
    if let Some(listener) = opened.admin {
        control.start_admin(listener)?;
    }
    let door = Arc::new(Door::new(opened.clients, config.trusted.clone(), config.bounds));
    let crew = Crew { run, config: workers, door, posts: opened.by_worker };
    let workers = control.start_workers(crew)?;
    control.serve(workers).await
}

fn system(what: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::System, format_args!("{what}: {error}"))
}

/// What the operating system has to give before anything starts, and that the rest was given up.
pub struct Opened {
    by_worker: Vec<Vec<Bound>>,
    admin: Option<net::TcpListener>,
    transcript: Option<std::fs::File>,
    /// Clients each worker may hold.
    worker_clients: u32,
    /// Clients in all.
    clients: u32,
    /// As many as the operator asked for.
    clients_asked: Option<u64>,
    supervisor: Supervisor,
    confined: Confined,
}

impl Opened {
    /// Opens everything, and gives up what is not needed afterwards. No thread may have been
    /// started before: it would keep what this one gives up.
    ///
    /// # Errors
    /// What is not to be had.
    pub fn new(config: &Config) -> Result<Self, Failure> {
        let descriptors = uring::raise_descriptor_limit()
            .map_err(|error| system("the limit of open files", &error))?;
        let (worker_clients, clients) =
            client_bounds(descriptors, config.listen.len(), config.workers, config.clients_max);
        if worker_clients == 0 {
            let message =
                format!("the limit of open files, {descriptors}, leaves no client a place");
            return Err(Failure::new(Kind::System, message));
        }
        let by_worker = listener::bind(&config.listen, config.workers, config.slow)?;
        let admin = config.admin.map(listener::bind_admin).transpose()?;
        let transcript = config.transcript.as_ref().map(transcript::open).transpose()?;
        Ok(Self {
            by_worker,
            admin,
            transcript,
            worker_clients,
            clients,
            clients_asked: config.clients_max,
            supervisor: Supervisor::from_environment()?,
            confined: Confined::new(config, || {
                uring::check().map_err(|error| Failure::new(Kind::Unavailable, error))
            })?,
        })
    }

    /// Tells what was bound and what the workers will take, before the first client is let in.
    fn tell(&self, config: &engine::Config, confinement: Confinement) {
        for bound in self.by_worker.first().into_iter().flatten() {
            info!(dialect = %bound.listener.dialect, addr = %bound.addr, "listening");
        }
        if let Some(Ok(addr)) = self.admin.as_ref().map(net::TcpListener::local_addr) {
            info!(%addr, "listening admin");
        }
        let mut bytes_all = 0;
        for pool in engine::memory_budget(config) {
            let (count, bytes) = (pool.count, pool.len);
            info!(pool = pool.name, count, bytes, "memory of each worker");
            bytes_all += bytes;
        }
        if let Some(asked) = self.clients_asked.filter(|asked| *asked > u64::from(self.clients)) {
            warn!(asked, clients = self.clients, "the limit of open files allows fewer clients");
        }
        self.confined.tell(&confinement);
        let workers = self.by_worker.len();
        let bytes = bytes_all * workers as u64;
        info!(workers, bytes, clients = self.clients, "memory of all workers");
    }
}

/// How many clients a worker's ring has slots for, and how many there may be in all. The kernel
/// spreads connections by chance, so that one worker may get them all. A ring's table may be as
/// large as the limit of open files (io_sqe_files_register); what it holds does not count towards
/// that.
fn client_bounds(
    descriptors: u64,
    listeners: usize,
    workers: usize,
    asked: Option<u64>,
) -> (u32, u32) {
    let slots = u32::try_from(descriptors).unwrap_or(u32::MAX).min(SLOTS_MAX);
    let table = slots.saturating_sub(REFUSAL_SLOTS + count(listeners) * ACCEPT_LANES);
    let all = table.saturating_mul(count(workers));
    let clients = asked.and_then(|asked| u32::try_from(asked).ok()).unwrap_or(u32::MAX).min(all);
    (table.min(clients), clients)
}

fn count(few: usize) -> u32 {
    u32::try_from(few).expect("bounded far below by limits.rs")
}

/// The control thread's end of the hub.
struct Peer {
    id: PeerId,
    hub: Arc<Hub>,
    bells: Doorbells,
    clock: Monotonic,
    batch: Batch,
    outbox: Outbox,
}

impl Peer {
    fn new(config: &Config, opened: &Opened) -> io::Result<Self> {
        let id = peer_id(config.workers);
        let observers = if opened.transcript.is_some() { PeerSet::one(id) } else { PeerSet(0) };
        let config = chat::Config {
            peer_count: config.workers + 1,
            observers,
            rooms: config.rooms.clone(),
            clients_max: opened.clients as usize,
            motd: !config.motd.is_empty(),
            nicknames: config.nicknames,
            history_lines: config.history_lines,
        };
        Ok(Self {
            id,
            bells: Doorbells::new(id)?,
            hub: Arc::new(Hub::new(config, RandomState::new())),
            clock: Monotonic::starting_at(Instant::now()),
            batch: Batch::default(),
            outbox: Outbox::default(),
        })
    }

    /// Hands in what there is, wakes whom it concerns, and takes what the others did.
    fn exchange(&mut self, transcript: Option<&mut Transcript>) {
        let Self { id, hub, bells, clock, batch, outbox } = self;
        batch.wall = clock.wall();
        let exchanged = hub.exchange(*id, clock.now(), batch, outbox);
        bells.ring_all(exchanged.wake);
        if let Some(transcript) = transcript {
            outbox.iter().for_each(|action| transcript.apply(&action));
        }
        outbox.clear();
    }
}

/// The control thread.
struct Control {
    phase: Rc<Cell<Phase>>,
    peer: Peer,
    signals: Signals,
    ended: UnboundedReceiver<Ended>,
    ended_sender: UnboundedSender<Ended>,
    /// Workers that have not ended.
    running: usize,
    /// What workers are made of, until the server stops.
    crew: Option<Crew>,
    /// When workers were replaced, as far as it still matters.
    replaced: Vec<Instant>,
    transcript: Option<Transcript>,
    sources: Sources,
    supervisor: Supervisor,
    motd: Arc<str>,
    confinement: Confinement,
    drain: Duration,
    /// When it stops waiting for the others; from the moment when it stops.
    deadline: Option<Instant>,
}

/// What each worker is made of, at the start and when one has to be replaced.
struct Crew {
    run: Run,
    config: engine::Config,
    door: Arc<Door>,
    /// Their listening sockets: kept, so that who waits in a backlog outlives a worker.
    posts: Vec<Vec<Bound>>,
}

/// What the control thread waits for.
enum Happening {
    Rung,
    Ended(Ended),
    Signal(u8),
    Look,
    Overdue,
}

/// A worker, and where it tells that it is ready.
type Ready = (PeerId, Receiver<io::Result<()>>);

impl Control {
    /// Makes everything but the workers, and says what was bound.
    fn new(config: &Config, opened: &mut Opened, log: DroppedLines) -> Result<Self, Failure> {
        // Before anybody can know that the server is there, and want it to stop.
        let signals = Signals::new().map_err(|error| system("signals", &error))?;
        let peer = Peer::new(config, opened).map_err(|error| system("doorbells", &error))?;
        let sources = Sources {
            workers: (0..config.workers).map(|_| Arc::default()).collect(),
            hub: Arc::clone(&peer.hub),
            control: Arc::default(),
            log,
            started: SystemTime::now(),
        };
        let dropped = Arc::clone(&sources.control.transcript_dropped);
        let transcript = opened.transcript.take().map(|file| Transcript::new(file, dropped));
        let (ended_sender, ended) = unbounded_channel();
        Ok(Self {
            phase: Rc::new(Cell::new(Phase::Starting)),
            peer,
            signals,
            ended,
            ended_sender,
            running: 0,
            crew: None,
            replaced: Vec::new(),
            transcript,
            sources,
            supervisor: mem::take(&mut opened.supervisor),
            motd: Arc::clone(&config.motd),
            confinement: config.confinement,
            drain: config.drain,
            deadline: None,
        })
    }

    fn start_admin(&self, bound: net::TcpListener) -> Result<(), Failure> {
        let listener =
            admin::listener(bound).map_err(|error| system("the admin endpoint", &error))?;
        let admin = Admin { phase: Rc::clone(&self.phase), sources: self.sources.clone() };
        tokio_uring::spawn(admin::serve(listener, admin));
        Ok(())
    }

    /// Starts a thread for each worker, without waiting for them.
    fn start_workers(&mut self, crew: Crew) -> Result<Vec<Ready>, Failure> {
        let started =
            (0..crew.posts.len()).map(|index| self.start_worker(&crew, peer_id(index))).collect();
        self.crew = Some(crew);
        started
    }

    fn start_worker(&mut self, crew: &Crew, peer: PeerId) -> Result<Ready, Failure> {
        let index = usize::from(peer.0);
        let bound = &crew.posts[index];
        let sockets = bound.iter().map(|bound| bound.socket.try_clone()).collect::<Result<_, _>>();
        let (ready, receiver) = mpsc::channel();
        let parts = Parts {
            peer,
            hub: Arc::clone(&self.peer.hub),
            bells: Arc::new(self.peer.bells.clone()),
            stats: Arc::clone(&self.sources.workers[index]),
            door: Arc::clone(&crew.door),
            config: crew.config,
            motd: Arc::clone(&self.motd),
            listeners: bound.iter().map(|bound| bound.listener).collect(),
        };
        let setup = Setup {
            parts,
            sockets: sockets.map_err(|error| system("a worker's listener", &error))?,
            bell: self.peer.bells.of(peer),
            clock: self.peer.clock,
            restricted: self.confinement.ring,
            ready,
        };
        workers::start(setup, crew.run, self.ended_sender.clone())
            .map_err(|error| system("a worker's thread", &error))?;
        self.running += 1;
        Ok((peer, receiver))
    }

    /// Puts a new worker in the place of one that is gone. Its clients are gone with it, and the
    /// others are told so. While the new one starts, nothing else goes on here.
    fn replace(&mut self, peer: PeerId) -> Result<(), Failure> {
        let bells = &self.peer.bells;
        bells.ring_all(self.peer.hub.lose(peer, self.peer.clock.now()));
        let Some(crew) = self.crew.take() else { return Ok(()) };
        let started = self.start_worker(&crew, peer);
        self.crew = Some(crew);
        let (peer, ready) = started?;
        workers::wait_ready(peer, &ready)?;
        info!(worker = peer.0, "worker replaced");
        Ok(())
    }

    /// Whether one more may be replaced.
    fn may_replace(&mut self) -> bool {
        self.replaced.retain(|replaced| replaced.elapsed() < REPLACEMENT_PERIOD);
        let may = self.phase.get() == Phase::Serving && self.replaced.len() < REPLACEMENTS_MAX;
        if may {
            self.replaced.push(Instant::now());
        }
        may
    }

    /// Serves until all workers have ended, and the transcript is written.
    async fn serve(mut self, workers: Vec<Ready>) -> Result<(), Failure> {
        let mut outcome = self.wait_ready(workers);
        while self.running > 0 {
            match self.next().await {
                Happening::Rung => self.exchange(),
                Happening::Ended(ended) => outcome = outcome.and(self.on_ended(&ended)),
                Happening::Signal(signal) if self.phase.get() == Phase::Stopping => {
                    return Err(killed(signal));
                }
                Happening::Signal(signal) => {
                    info!(signal, "stopping");
                    self.stop();
                }
                Happening::Look => self.look(),
                Happening::Overdue => {
                    outcome = outcome.and(Err(self.overdue()));
                    break;
                }
            }
        }
        self.exchange();
        self.finish_transcript().await?;
        if outcome.is_ok() {
            info!("stopped");
        }
        outcome
    }

    /// Waits until each worker accepts. Nothing else goes on yet, so the thread may block.
    fn wait_ready(&mut self, workers: Vec<Ready>) -> Result<(), Failure> {
        for (peer, ready) in workers {
            if let Err(failure) = workers::wait_ready(peer, &ready) {
                error!("{failure}");
                self.stop();
                return Err(failure);
            }
        }
        if let Err(failure) = confine::confine_calls(&self.confinement) {
            error!("{failure}");
            self.stop();
            return Err(failure);
        }
        self.phase.set(Phase::Serving);
        self.supervisor.ready();
        info!("serving");
        Ok(())
    }

    async fn next(&mut self) -> Happening {
        let at = async |instant: Option<Instant>| match instant {
            Some(instant) => tokio::time::sleep_until(instant.into()).await,
            None => future::pending().await,
        };
        let (overdue, look) = (at(self.deadline), at(self.supervisor.next_look()));
        tokio::select! {
            () = self.peer.bells.heard() => Happening::Rung,
            Some(ended) = self.ended.recv() => Happening::Ended(ended),
            signal = self.signals.next() => Happening::Signal(signal),
            () = look => Happening::Look,
            () = overdue => Happening::Overdue,
        }
    }

    /// Sees to it that the service manager is told whether all are alive.
    fn look(&mut self) {
        self.supervisor.look(&self.sources.workers);
        (0..self.sources.workers.len()).for_each(|index| self.peer.bells.ring(peer_id(index)));
    }

    /// Tells the core to stop, once.
    fn stop(&mut self) {
        if self.phase.replace(Phase::Stopping) == Phase::Stopping {
            return;
        }
        self.deadline = Some(Instant::now() + self.drain + STOP_GRACE);
        self.crew = None;
        self.supervisor.stopping();
        self.peer.batch.push(Event::Stop);
        self.exchange();
    }

    /// A worker's end is as it should be only while the server stops. Else a new one takes its
    /// place, unless that has happened too often.
    fn on_ended(&mut self, ended: &Ended) -> Result<(), Failure> {
        self.running -= 1;
        let worker = ended.peer.0;
        let cause = match &ended.result {
            Ok(()) if self.phase.get() == Phase::Stopping => return Ok(()),
            Ok(()) => "it ended unasked".to_owned(),
            Err(error) => error.to_string(),
        };
        self.sources.control.worker_failures.add(1);
        error!(worker, cause, "worker failed");
        let failure = Failure::new(Kind::Broken, format_args!("worker {worker} failed: {cause}"));
        let outcome = if self.may_replace() { self.replace(ended.peer) } else { Err(failure) };
        if outcome.is_err() {
            self.stop();
        }
        outcome
    }

    fn overdue(&self) -> Failure {
        error!(workers = self.running, "workers do not end");
        Failure::new(Kind::Broken, format_args!("{} workers did not end in time", self.running))
    }

    fn exchange(&mut self) {
        self.peer.exchange(self.transcript.as_mut());
    }

    async fn finish_transcript(&mut self) -> Result<(), Failure> {
        let deadline = self.deadline.unwrap_or_else(Instant::now);
        let Some(transcript) = self.transcript.take() else { return Ok(()) };
        tokio::select! {
            () = transcript.finish(deadline) => Ok(()),
            signal = self.signals.next() => Err(killed(signal)),
        }
    }
}

fn killed(signal: u8) -> Failure {
    Failure::new(Kind::Killed(signal), format_args!("ended at once by signal {signal}"))
}

fn peer_id(index: usize) -> PeerId {
    PeerId(u8::try_from(index).expect("there are at most PEERS_MAX peers"))
}
