//! One run from the first connect to the report: starts the receiving threads, waits until all
//! clients are welcome, sends, waits for what is under way, adds everything up. The caller may look
//! at the server between the steps.

use crate::audit::Totals;
use crate::clock::{self, duration_ns, now_ns, sleep_until};
use crate::found::Found;
use crate::limits::{
    CONNECTING_INTERVAL, CONNECTING_MIN, DESCRIPTORS_SPARE, SLEEP_MAX, START_DELAY,
};
use crate::machine::{Others, machine};
use crate::middle::Kept;
use crate::outcome::Findings;
use crate::progress::Progress;
use crate::reach::Reach;
use crate::receive::{Ready, Received, Receiver, WAKER};
use crate::report::{Churn, Report, ThreadReport};
use crate::scenario::{Plan, Scenario};
use crate::send::{Outlet, send_all};
use crate::server::Watch;
use crate::stats::{Deliveries, Durations};
use crate::threads::{self, Ended, Snapshot};
use crate::timeline::Timeline;
use crate::verdict::RECEIVER_NAME;
use crate::written::Written;
use crate::{Failure, failed, jitter, usage};
use mio::{Poll, Waker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

/// How a thread reads what comes to its clients.
type Reading = fn(Receiver) -> Result<Received, Failure>;

/// What a receiving thread tells when it has connected, and what it used for that.
type Connected = (Result<Ready, Failure>, Option<ThreadReport>);

/// The clients of one process: every `of`th, from `index` on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

/// What a session found, and its connections.
pub(crate) struct Measured {
    pub(crate) found: Found,
    /// RFC 3339.
    started_at: String,
    begin_ns: u64,
    others: Others,
    /// They end with it.
    _received: Vec<Received>,
}

/// All clients connected and welcome.
pub struct Session {
    part: Part,
    progress: Arc<Progress>,
    target: SocketAddr,
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<(Result<Received, Failure>, Ended)>>,
    /// With their ids.
    senders: Vec<(u32, Arc<Outlet>)>,
    connect: Durations,
    join: Durations,
    connect_lag: Durations,
    /// What the receiving threads used while they connected.
    connecting: Vec<ThreadReport>,
    connect_total_ns: u64,
}

/// What the threads of a run have in common.
pub(crate) struct Shared {
    /// Until when to wait for lines; `u64::MAX` while lines are still to be sent.
    deadline_ns: AtomicU64,
    /// When the schedule starts; 0 until that is known.
    start_ns: AtomicU64,
    /// Clients the server has not closed.
    open: AtomicU32,
    pub(crate) reach: Reach,
    /// Whether each delivery is kept.
    pub(crate) keeps: bool,
    pub(crate) written: Written,
    pub(crate) timeline: Arc<Timeline>,
    wakers: Vec<Waker>,
}

impl Shared {
    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns.load(Ordering::Acquire)
    }

    /// Whether a deadline was set and is over.
    pub(crate) fn past(&self, deadline_ns: u64) -> bool {
        deadline_ns != u64::MAX && now_ns() >= deadline_ns
    }

    /// When the schedule starts, once it is known.
    pub(crate) fn start_ns(&self) -> Option<u64> {
        Some(self.start_ns.load(Ordering::Acquire)).filter(|start_ns| *start_ns > 0)
    }

    fn start(&self, start_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Release);
        self.wake();
    }

    /// The server has closed a client.
    pub(crate) fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the server has closed all clients.
    pub(crate) fn nobody_left(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn sending_over(&self, deadline_ns: u64) {
        self.deadline_ns.store(deadline_ns, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        for waker in &self.wakers {
            // It fails only when the thread has gone, which needs no waking.
            drop(waker.wake());
        }
    }
}

impl Session {
    /// Connects all clients of the scenario and waits until each is in its room.
    pub fn connect(scenario: Scenario, target: SocketAddr) -> Result<Self, Failure> {
        Self::connect_showing(scenario, target, Progress::silent())
    }

    /// The same, telling how far it is.
    pub fn connect_showing(
        scenario: Scenario,
        target: SocketAddr,
        progress: Progress,
    ) -> Result<Self, Failure> {
        Self::connect_part(scenario, target, progress, Part { index: 0, of: 1 })
    }

    /// The same with a part of the clients, where others have the other parts.
    pub(crate) fn connect_part(
        scenario: Scenario,
        target: SocketAddr,
        progress: Progress,
        part: Part,
    ) -> Result<Self, Failure> {
        Self::connect_to_read(scenario, target, progress, part, Receiver::receive_all)
    }

    /// All clients, to throw away all that comes: only what that costs is to be known.
    pub(crate) fn connect_plain(scenario: Scenario, target: SocketAddr) -> Result<Self, Failure> {
        let (all, read) = (Part { index: 0, of: 1 }, Receiver::throw_away_all);
        Self::connect_to_read(scenario, target, Progress::silent(), all, read)
    }

    fn connect_to_read(
        mut scenario: Scenario,
        target: SocketAddr,
        progress: Progress,
        part: Part,
        read: Reading,
    ) -> Result<Self, Failure> {
        // So that a thread finds its clients by its number among those of all processes.
        scenario.threads *= part.of as usize;
        let plan = Plan::new(scenario)?;
        raise_descriptor_limit(part.clients(plan.client_count).into())?;
        let begun_ns = now_ns();
        let mut session = Self::start(plan, target, progress, part)?;
        let (ready_sender, ready) = channel();
        session.spawn(target, &ready_sender, read)?;
        drop(ready_sender);
        let mut senders = Vec::with_capacity(session.plan.senders().len());
        for _ in 0..session.threads.len() {
            let (ready, used) = session.await_ready(&ready)?;
            let Ready { connect, join, connect_lag, senders: mine } = ready?;
            session.connecting.extend(used);
            session.connect_lag.add(&connect_lag);
            session.connect.add(&connect);
            session.join.add(&join);
            senders.extend(mine);
        }
        session.connecting.sort_by(|a, b| a.name.cmp(&b.name));
        session.senders = senders;
        session.connect_total_ns = now_ns() - begun_ns;
        Ok(session)
    }

    /// From the first connect until the last client was welcome, in seconds.
    pub fn connect_total_s(&self) -> f64 {
        self.connect_total_ns as f64 / 1e9
    }

    /// Sends the schedule and measures; closes all connections at the end.
    pub fn measure(self, watch: Option<&Watch>) -> Result<Report, Failure> {
        let mut machine = machine(watch)?;
        let (plan, target) = (Arc::clone(&self.plan), self.target);
        let measured = self.find(now_ns() + duration_ns(START_DELAY), watch)?;
        let Measured { found, started_at, begin_ns, others, .. } = &measured;
        let server_ns = found.server_usage().map_or(0, |usage| usage.cpu_ns());
        machine.others_cores = Some(others.cores(server_ns)?);
        let (started_at, begin_ns) = (started_at.clone(), *begin_ns);
        let findings =
            Findings { plan: &plan, target, machine, started_at, begin_ns, watch, found };
        Ok(findings.report())
    }

    /// Sends the schedule, which starts at that instant, and measures.
    pub(crate) fn find(
        mut self,
        start_ns: u64,
        watch: Option<&Watch>,
    ) -> Result<Measured, Failure> {
        self.shared.start(start_ns);
        let begin_ns = start_ns + duration_ns(self.plan.scenario.warmup);
        self.shared.timeline.begin(begin_ns);
        let sending = {
            let (plan, shared) = (Arc::clone(&self.plan), Arc::clone(&self.shared));
            let senders = std::mem::take(&mut self.senders);
            threads::start("send".into(), move || send_all(&plan, &shared, senders, start_ns))?
        };
        self.progress.warming_up();
        while !self.shared.nobody_left() && now_ns() < begin_ns {
            sleep_until(begin_ns.min(now_ns() + duration_ns(SLEEP_MAX)));
        }
        let started_at = clock::utc();
        let (others, before) = (Others::new()?, Snapshot::now());
        let (jitter_over, over) = channel();
        // One of the machine is enough: it costs a core one to two percent.
        let jitter = (self.part.index == 0)
            .then(|| threads::start("jitter".into(), move || jitter::measure(&over)))
            .transpose()?;
        let (looking_over, over) = channel();
        let looking = {
            let (shared, progress) = (Arc::clone(&self.shared), Arc::clone(&self.progress));
            let watch = watch.cloned();
            let look = move || shared.timeline.look(watch.as_ref(), &progress, &over);
            threads::start("look".into(), look)?
        };

        let (sent, ended) = join(sending)?;
        let mut threads = vec![ended];
        let mut received = Vec::with_capacity(self.threads.len());
        for thread in std::mem::take(&mut self.threads) {
            let (result, ended) = join(thread)?;
            received.push(result?);
            threads.push(ended);
        }
        drop((jitter_over, looking_over));
        let (jitter, jitter_ended) = jitter.map(join).transpose()?.unzip();
        threads.extend(jitter_ended);
        let (looks, ended) = join(looking)?;
        threads.push(ended);
        self.progress.end();
        let threads = threads.iter().filter_map(|ended| ended.since(&before)).collect();
        let mut found = Found {
            clients: self.part.clients(self.plan.client_count),
            deliveries: vec![Deliveries::new(); self.plan.scenario.groups.len()],
            connect: self.connect.clone(),
            join: self.join.clone(),
            connect_lag: self.connect_lag.clone(),
            connecting: self.connecting.clone(),
            connect_total_ns: self.connect_total_ns,
            lag: sent.lag,
            deferred: sent.deferred,
            unsent: sent.unsent,
            jitter: jitter.unwrap_or_else(Durations::new),
            threads,
            arrived: self.shared.timeline.take_arrived(),
            looks,
            spans: self.shared.reach.spans(),
            lagging: BTreeMap::new(),
            audit: Totals::default(),
            faults: Vec::new(),
            closed: BTreeMap::new(),
            closed_clients: Vec::new(),
            churn: Churn::default(),
            kept: Kept::default(),
        };
        received.iter().for_each(|received| found.add_received(&self.plan, received));
        Ok(Measured { found, started_at, begin_ns, others, _received: received })
    }

    fn await_ready<T>(&self, ready: &mpsc::Receiver<T>) -> Result<T, Failure> {
        loop {
            match ready.recv_timeout(CONNECTING_INTERVAL) {
                Ok(ready) => return Ok(ready),
                Err(RecvTimeoutError::Timeout) => {
                    let connected = self.shared.timeline.clients.load(Ordering::Relaxed);
                    self.progress.connecting(connected.into(), self.plan.client_count.into());
                }
                Err(error) => return Err(failed("a receiving thread", &error)),
            }
        }
    }

    fn start(
        plan: Plan,
        target: SocketAddr,
        progress: Progress,
        part: Part,
    ) -> Result<Self, Failure> {
        if target.port() == 0 {
            return Err(usage("--target needs a port".into()));
        }
        let lines = usize::try_from(plan.line_count).expect("bounded by LINES_MAX");
        let shared = Shared {
            deadline_ns: AtomicU64::new(u64::MAX),
            start_ns: AtomicU64::new(0),
            open: AtomicU32::new(part.clients(plan.client_count)),
            reach: Reach::new(lines, part.of > 1),
            keeps: part.of > 1 && Kept::fits(&plan),
            written: Written::new(&plan),
            timeline: Arc::new(Timeline::new(plan.scenario.duration)),
            wakers: Vec::new(),
        };
        Ok(Self {
            part,
            progress: Arc::new(progress),
            target,
            plan: Arc::new(plan),
            shared: Arc::new(shared),
            threads: Vec::new(),
            senders: Vec::new(),
            connect: Durations::new(),
            join: Durations::new(),
            connect_lag: Durations::new(),
            connecting: Vec::new(),
            connect_total_ns: 0,
        })
    }

    fn spawn(
        &mut self,
        target: SocketAddr,
        ready: &Sender<Connected>,
        read: Reading,
    ) -> Result<(), Failure> {
        let Part { index, of } = self.part;
        let threads = self.plan.scenario.threads / of as usize;
        let mut polls = Vec::with_capacity(threads);
        let shared = Arc::get_mut(&mut self.shared).expect("no thread has it yet");
        for _ in 0..threads {
            let poll = Poll::new().map_err(|error| failed("epoll", &error))?;
            let waker = Waker::new(poll.registry(), WAKER);
            shared.wakers.push(waker.map_err(|error| failed("eventfd", &error))?);
            polls.push(poll);
        }
        for (thread, poll) in polls.into_iter().enumerate() {
            let (plan, shared) = (Arc::clone(&self.plan), Arc::clone(&self.shared));
            let ready = ready.clone();
            let name = format!("{RECEIVER_NAME}-{thread}");
            let of_thread = name.clone();
            let receiving = move || {
                let among_all = thread * of as usize + index as usize;
                let mut receiver = Receiver::new(plan, shared, target, among_all, poll);
                let connect = || receiver.connect_all();
                let outcome = threads::watched(&of_thread, CONNECTING_MIN, connect);
                let connected = outcome.0.is_ok();
                // Nobody listens any more once another thread has failed.
                drop(ready.send(outcome));
                drop(ready);
                if connected { read(receiver) } else { Err(Failure::Run(String::new())) }
            };
            self.threads.push(threads::start(name, receiving)?);
        }
        Ok(())
    }
}

impl Part {
    /// How many of so many are in it.
    fn clients(self, all: u32) -> u32 {
        all / self.of + u32::from(self.index < all % self.of)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.sending_over(0);
        for thread in self.threads.drain(..) {
            // A session that is given up has no use for what its threads found.
            drop(thread.join());
        }
    }
}

fn join<T>(thread: JoinHandle<T>) -> Result<T, Failure> {
    thread.join().map_err(|_| Failure::Run("a thread of the generator failed".into()))
}

/// Raises the soft limit to the hard one; refuses what even that does not hold.
pub(crate) fn raise_descriptor_limit(clients: u64) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| failed("raising RLIMIT_NOFILE", &error))?;
    let most = limit.maximum.unwrap_or(u64::MAX).saturating_sub(DESCRIPTORS_SPARE);
    if clients > most {
        return Err(usage(format!(
            "{clients} clients, and RLIMIT_NOFILE leaves descriptors for {most}: fewer --clients, a \
             higher limit (ulimit -n), or several processes with --target"
        )));
    }
    Ok(())
}
