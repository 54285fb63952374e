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
use std::process;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::chat::{self, Action, Event, PeerId, PeerSet};
use crate::config::{Config, Confinement};
use crate::engine::{self, Adopted, Door, Parts, Setup};
use crate::failure::{Failure, Kind};
use crate::hub::{Batch, Bells, Hub, Outbox};
use crate::limits::{REPLACEMENT_PERIOD, REPLACEMENTS_MAX, STOP_GRACE};
use crate::listener::{self, Bound};
use crate::log::DroppedLines;
use crate::time::{Clock, Monotonic};

mod admin;
mod confine;
mod handover;
mod metrics;
mod opened;
mod signal;
mod supervisor;
#[cfg(test)]
mod tests;
mod transcript;
mod workers;

use admin::Admin;
use handover::{Gate, Giver, Successor, Taken};
use metrics::Sources;
use signal::Signals;
use supervisor::Supervisor;
use transcript::Transcript;
use workers::{Doorbells, Ended, Run};

pub use handover::{Report, Taker};
pub use opened::Opened;

/// Where the process stands. It goes forward only, but for an upgrade that fails, and may skip
/// `Serving`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Addresses are bound and workers start. Who connects waits in a backlog.
    Starting,
    /// Every worker accepts.
    Serving,
    /// A new process is taking over. If it does not, this one serves again.
    HandingOver,
    /// The core was told to stop: workers say goodbye and end, within the drain time. A second
    /// signal ends the process at once.
    Stopping,
}

/// Runs the server until a signal stops it, or another process has taken over from it. `opened` is
/// what [`Opened::new`] made of `config`; with a `taker`, it takes over from another itself.
///
/// # Errors
/// What kept it from starting, or broke it.
pub fn run(
    config: Config,
    opened: Opened,
    taker: Option<Taker>,
    log: DroppedLines,
) -> Result<(), Failure> {
    run_workers(config, opened, taker, log, engine::run)
}

fn run_workers(
    config: Config,
    opened: Opened,
    taker: Option<Taker>,
    log: DroppedLines,
    run: Run,
) -> Result<(), Failure> {
    let runtime = tokio_uring::Runtime::new(&tokio_uring::builder())
        .map_err(|error| system("the control plane's ring", &error))?;
    let outcome = runtime.block_on(serve(&config, opened, taker, log, run));
    // The process ends now. Dropping the runtime would wait for a write that may never finish.
    mem::forget(runtime);
    outcome
}

async fn serve(
    config: &Config,
    mut opened: Opened,
    taker: Option<Taker>,
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
    let Opened { by_worker, admin, worker_clients, clients, gate, .. } = opened;
    control.admin = admin;
    let adopted = match taker {
        // Until it has, the old process answers at the admin endpoint.
        Some(taker) => control.take_over(taker, &by_worker, worker_clients)?,
        None => {
            control.start_admin()?;
            by_worker.iter().map(|_| Vec::new()).collect()
        }
    };
    let posts = Rc::new(by_worker);
    let door = Arc::new(Door::new(clients, config.trusted.clone(), config.bounds));
    let crew = Crew { run, config: workers, door, posts };
    let workers = control.start_workers(crew, adopted)?;
    control.serve(workers, gate).await
}

fn system(what: &str, error: &io::Error) -> Failure {
    Failure::new(Kind::System, format_args!("{what}: {error}"))
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
    fn new(id: PeerId, core: chat::Config) -> io::Result<Self> {
        Ok(Self {
            id,
            bells: Doorbells::new(id)?,
            hub: Arc::new(Hub::new(core, RandomState::new())),
            clock: Monotonic::starting_at(Instant::now()),
            batch: Batch::default(),
            outbox: Outbox::default(),
        })
    }

    /// Hands in what there is, wakes whom it concerns, and takes what the others did.
    fn exchange(&mut self, mut transcript: Option<&mut Transcript>) {
        let Self { id, hub, bells, clock, batch, outbox } = self;
        loop {
            batch.wall = clock.wall();
            let exchanged = hub.exchange(*id, clock.now(), batch, outbox);
            bells.ring_all(exchanged.wake);
            let mut freezes = false;
            for action in outbox.iter() {
                freezes |= action == Action::Freeze;
                if let Some(transcript) = &mut transcript {
                    transcript.apply(&action);
                }
            }
            outbox.clear();
            if !freezes {
                break;
            }
            // It has nothing under way, and tells nothing more.
            batch.push(Event::Still { peer: *id });
        }
    }
}

/// What the core is made with.
fn core(config: &Config, opened: &Opened) -> chat::Config {
    let observer = PeerSet::one(peer_id(config.workers));
    chat::Config {
        peer_count: config.workers + 1,
        observers: if opened.transcript.is_some() { observer } else { PeerSet::default() },
        rooms: config.rooms.clone(),
        clients_max: opened.clients as usize,
        motd: !config.motd.is_empty(),
        nicknames: config.nicknames,
        history_lines: config.history_lines,
    }
}

/// The control thread.
struct Control {
    phase: Rc<Cell<Phase>>,
    peer: Peer,
    /// What the core is made with; also when it goes on elsewhere.
    core: chat::Config,
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
    /// The admin endpoint's listener, and the task that serves it.
    admin: Option<(net::SocketAddr, net::TcpListener)>,
    admin_task: Option<JoinHandle<()>>,
    /// The task that hears who wants to take over, and whom it found.
    giver: Option<JoinHandle<()>>,
    successors: UnboundedReceiver<Successor>,
    found: UnboundedSender<Successor>,
    /// What was taken over from another process, until it is this one's.
    taken: Option<Taken>,
    /// The limit of open files.
    descriptors: u64,
    motd: Arc<str>,
    confinement: Confinement,
    drain: Duration,
    /// The signal that came while everything stood still.
    told_to_stop: Option<u8>,
    /// When it stops waiting for the others; from the moment when it stops.
    deadline: Option<Instant>,
}

/// What each worker is made of, at the start and when one has to be replaced.
struct Crew {
    run: Run,
    config: engine::Config,
    door: Arc<Door>,
    posts: Posts,
}

/// The listening sockets of each worker: kept, so that who waits in a backlog outlives a worker.
type Posts = Rc<Vec<Vec<Bound>>>;

/// What the control thread waits for.
enum Happening {
    Rung,
    Ended(Ended),
    Signal(u8),
    Successor(Successor),
    Look,
    Overdue,
}

/// A worker that starts.
struct Ready {
    peer: PeerId,
    /// Where it tells that it is ready.
    receiver: Receiver<io::Result<()>>,
    /// What it waits for then, if for anything.
    go: Option<Sender<()>>,
}

impl Control {
    /// Makes everything but the workers, and says what was bound.
    fn new(config: &Config, opened: &mut Opened, log: DroppedLines) -> Result<Self, Failure> {
        // Before anybody can know that the server is there, and want it to stop.
        let signals = Signals::new().map_err(|error| system("signals", &error))?;
        let core = core(config, opened);
        let peer = Peer::new(peer_id(config.workers), core.clone())
            .map_err(|error| system("doorbells", &error))?;
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
        // One at a time.
        let (found, successors) = unbounded_channel();
        Ok(Self {
            phase: Rc::new(Cell::new(Phase::Starting)),
            peer,
            core,
            signals,
            ended,
            ended_sender,
            running: 0,
            crew: None,
            replaced: Vec::new(),
            transcript,
            sources,
            supervisor: mem::take(&mut opened.supervisor),
            admin: None,
            admin_task: None,
            giver: None,
            successors,
            found,
            taken: None,
            descriptors: opened.descriptors,
            motd: Arc::clone(&config.motd),
            confinement: config.confinement,
            drain: config.drain,
            told_to_stop: None,
            deadline: None,
        })
    }

    fn start_admin(&mut self) -> Result<(), Failure> {
        let Some((_, bound)) = &self.admin else { return Ok(()) };
        let listener =
            admin::listener(bound).map_err(|error| system("the admin endpoint", &error))?;
        let admin = Admin { phase: Rc::clone(&self.phase), sources: self.sources.clone() };
        self.admin_task = Some(tokio_uring::spawn(admin::serve(listener, admin)));
        Ok(())
    }

    /// Starts a thread for each worker, with the clients that it adopts, without waiting for them.
    fn start_workers(
        &mut self,
        crew: Crew,
        adopted: Vec<Vec<Adopted>>,
    ) -> Result<Vec<Ready>, Failure> {
        let start = |(index, adopted)| self.start_worker(&crew, peer_id(index), adopted);
        let started = adopted.into_iter().enumerate().map(start).collect();
        self.crew = Some(crew);
        started
    }

    fn start_worker(
        &mut self,
        crew: &Crew,
        peer: PeerId,
        adopted: Vec<Adopted>,
    ) -> Result<Ready, Failure> {
        let index = usize::from(peer.0);
        let bound = &crew.posts[index];
        let sockets = bound.iter().map(|bound| bound.socket.try_clone()).collect::<Result<_, _>>();
        let (ready, receiver) = mpsc::channel();
        // Clients of another process are not touched before that has let them go.
        let (go, may_go) = self.taken.as_ref().map(|_| mpsc::channel()).unzip();
        let adopted = adopted.into_iter().map(|Adopted { socket, carried }| (socket, carried));
        let (adopted, carried) = adopted.unzip();
        let parts = Parts {
            peer,
            hub: Arc::clone(&self.peer.hub),
            bells: Arc::new(self.peer.bells.clone()),
            stats: Arc::clone(&self.sources.workers[index]),
            door: Arc::clone(&crew.door),
            config: crew.config,
            motd: Arc::clone(&self.motd),
            listeners: bound.iter().map(|bound| bound.listener).collect(),
            carried,
        };
        let setup = Setup {
            parts,
            sockets: sockets.map_err(|error| system("a worker's listener", &error))?,
            bell: self.peer.bells.of(peer),
            clock: self.peer.clock,
            restricted: self.confinement.ring,
            adopted,
            go: may_go,
            ready,
        };
        workers::start(setup, crew.run, self.ended_sender.clone())
            .map_err(|error| system("a worker's thread", &error))?;
        self.running += 1;
        Ok(Ready { peer, receiver, go })
    }

    /// Puts a new worker in the place of one that is gone. Its clients are gone with it, and the
    /// others are told so. While the new one starts, nothing else goes on here.
    fn replace(&mut self, peer: PeerId) -> Result<(), Failure> {
        self.lose(peer);
        let Some(crew) = self.crew.take() else { return Ok(()) };
        let started = self.start_worker(&crew, peer, Vec::new());
        self.crew = Some(crew);
        workers::wait_ready(peer, &started?.receiver)?;
        info!(worker = peer.0, "worker replaced");
        Ok(())
    }

    /// Tells the core that the worker is gone.
    fn lose(&self, peer: PeerId) {
        self.peer.bells.ring_all(self.peer.hub.lose(peer, self.peer.clock.now()));
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

    /// Serves until all workers have ended, and the transcript is written; or until another process
    /// has taken over.
    async fn serve(mut self, workers: Vec<Ready>, gate: Gate) -> Result<(), Failure> {
        let takes_over = self.taken.is_some();
        let begun = self.begin(workers);
        if takes_over && begun.is_err() {
            // All that it has is the old process's still.
            return begun;
        }
        if begun.is_err() {
            self.stop();
        }
        let mut outcome = begun;
        if outcome.is_ok() {
            self.start_giver(gate);
        }
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
                Happening::Successor(successor) => match self.hand_over(successor).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(failure @ Failure { kind: Kind::Killed(_), .. }) => return Err(failure),
                    Err(failure) => {
                        error!("{failure}");
                        outcome = outcome.and(Err(failure));
                        self.stop();
                    }
                },
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

    /// Waits until each worker can serve, and begins. Nothing else goes on yet, so the thread may
    /// block.
    fn begin(&mut self, workers: Vec<Ready>) -> Result<(), Failure> {
        self.make_ready(&workers).inspect_err(|failure| error!("{failure}"))?;
        for go in workers.into_iter().filter_map(|worker| worker.go) {
            // The end of one that has failed meanwhile is told elsewhere.
            let _ = go.send(());
        }
        self.phase.set(Phase::Serving);
        self.supervisor.ready();
        info!("serving");
        Ok(())
    }

    /// Does all that can fail. Clients of another process are this one's when it returns, and not
    /// before.
    fn make_ready(&mut self, workers: &[Ready]) -> Result<(), Failure> {
        for worker in workers {
            workers::wait_ready(worker.peer, &worker.receiver)?;
        }
        let pid = process::id();
        let posts = self.crew.iter().flat_map(|crew| crew.posts.iter());
        listener::listen_late(posts).map_err(|error| system("the listeners", &error))?;
        confine::confine_calls(&self.confinement)?;
        if let Some(taken) = self.taken.take() {
            // Nobody is answered there before this returns.
            self.start_admin()?;
            taken.commit(pid, &self.peer.clock)?;
            self.sources.control.upgrades.add(1);
        }
        Ok(())
    }

    /// From here on others may take over.
    fn start_giver(&mut self, gate: Gate) {
        let Some(crew) = &self.crew else { return };
        let admin = self.admin.as_ref().map(|(addr, listener)| Ok((*addr, listener.try_clone()?)));
        let giver = admin.transpose().and_then(|admin| {
            let sources = self.sources.clone();
            Giver::new(gate, Rc::clone(&crew.posts), admin, sources, self.found.clone())
        });
        match giver {
            Ok(giver) => self.giver = giver.map(|giver| tokio_uring::spawn(giver.run())),
            Err(error) => warn!(%error, "nobody can take over"),
        }
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
            Some(successor) = self.successors.recv() => Happening::Successor(successor),
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
        // It has the listening sockets as well.
        if let Some(giver) = self.giver.take() {
            giver.abort();
        }
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
            Ok(_) if self.phase.get() == Phase::Stopping => return Ok(()),
            Ok(_) => "it ended unasked".to_owned(),
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
