//! A whole server and its clients on one thread: who has a turn, when time goes on, and what must
//! be so at the end.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use chatd::chat::{self, Action, CloseReason, Event, PeerId, PeerSet};
use chatd::dialect::Dialect;
use chatd::engine::stats::WorkerStats;
use chatd::engine::{self, Bounds, Carried, Door, Listener, SlowPolicy, Worker};
use chatd::hub::{Batch, Bells, Hub, Outbox};
use chatd::limits::ACCEPT_LANES;
use chatd::time::{Clock, Time};

use crate::client::{self, Client, Reading};
use crate::net::{Net, Socket, SocketId};
use crate::options::Options;
use crate::oracle::Oracle;
use crate::person::HISTORY_LINES;
use crate::rich::Rich;
use crate::ring::{self, FakeBells, FakeRing, Sabotage};
use crate::rng::Rng;
use crate::sights::Sights;

mod handover;

const MS: u64 = 1_000_000;
/// Turns of a worker in a row that neither wait nor do anything: it spins.
const IDLE_TURNS_MAX: u32 = 300;
/// Turns in one run, far above what any takes.
const TURNS_MAX: u64 = 400_000;
/// By then everybody who never reads is gone: twice the bound on age and half a second under
/// `Skip`, and what a late ring adds.
const SETTLE: u64 = 25_000 * MS;
/// For clients whose lines wait for their rate as well.
const SETTLE_UNTRUSTED: u64 = 120_000 * MS;
/// More time for a ring so slow that it has not brought all that was written: as long as more of it
/// comes in each such span. And once for the news of those who went last.
const SETTLE_MORE: u64 = 5_000 * MS;
/// Time goes slowly then, so that there are turns enough for all that is left.
const SETTLE_STEP_US: u64 = 200;
/// How long clients are given to read when the server stops.
const DRAIN: Duration = Duration::from_secs(3);
/// By when it has stopped.
const STOP: u64 = 13_000 * MS;
/// People who come while the server stops.
const TOO_LATE_MAX: usize = 5;
const STEPS_PER_JUDGEMENT: u64 = 16;

/// The clock that everyone shares.
struct FakeClock(Rc<RefCell<Net>>);

impl Clock for FakeClock {
    fn now(&self) -> Time {
        Time(self.0.borrow().now)
    }

    fn wall(&self) -> u64 {
        self.0.borrow().wall()
    }
}

/// A worker and what is seen of it from outside.
struct Seat {
    worker: Worker<FakeRing, FakeClock>,
    ring: Rc<RefCell<ring::State>>,
    stats: Arc<WorkerStats>,
    running: bool,
}

pub(crate) struct World {
    options: Options,
    rng: Rng,
    /// What the rings' are made of.
    ring_rng: Rng,
    net: Rc<RefCell<Net>>,
    hub: Arc<Hub>,
    bells: Arc<FakeBells>,
    door: Arc<Door>,
    sabotage: Option<Sabotage>,
    workers: Vec<Seat>,
    /// Times that everything was handed over, and what the workers before had counted.
    handovers: u32,
    past_stats: Vec<Arc<WorkerStats>>,
    /// The observer was told to be still, and has not said that it is.
    still_due: bool,
    clients: Vec<Client>,
    /// What clients read and the oracle has not judged: who, and what.
    unread: Vec<(usize, Vec<u8>)>,
    /// The rooms each client had visited when its socket became full.
    visits_when_full: Vec<usize>,
    oracle: Oracle,
    outbox: Outbox,
    turns: u64,
    steps: u64,
    /// How far time goes on in a step, at most.
    time_step_us: u64,
    /// Nobody reads slowly any more.
    settled: bool,
}

/// Runs a seed to its end, with lines of so many kinds; panics where something is wrong.
/// Returns the hash of all that happened, and what was met.
pub(crate) fn run(
    seed: u64,
    words: usize,
    sabotage: Option<Sabotage>,
    verbose: bool,
) -> (u64, Sights) {
    let mut rng = Rng::new(seed);
    let options = Options::draw(words, &mut rng);
    if verbose {
        println!("{options:#?}");
    }
    let mut world = World::new(options, rng, sabotage, verbose);
    world.live();
    world.settle();
    world.check_rest();
    if world.options.leave_first {
        world.leave();
    }
    world.stop();
    let sights = world.workers.iter().flat_map(|seat| seat.ring.borrow().sights().clone());
    (world.net.borrow().trace.hash, sights.collect())
}

impl World {
    fn new(options: Options, mut rng: Rng, sabotage: Option<Sabotage>, verbose: bool) -> Self {
        let net = Net::new(options.worker_count, options.listeners.len(), verbose);
        let net = Rc::new(RefCell::new(net));
        let bells = Arc::new(FakeBells::default());
        let hub = Arc::new(Hub::new(chat_config(&options), std::hash::RandomState::new()));
        let network = "10.0.0.0/8".parse().expect("a network");
        let trusted = if options.trusted { vec![network] } else { Vec::new() };
        let mut world = Self {
            rng: rng.fork(),
            ring_rng: rng,
            net,
            hub,
            bells,
            door: Arc::new(Door::new(options.seats, trusted, Bounds::default())),
            sabotage,
            workers: Vec::new(),
            handovers: 0,
            past_stats: Vec::new(),
            still_due: false,
            clients: Vec::new(),
            unread: Vec::new(),
            visits_when_full: Vec::new(),
            oracle: Oracle::default(),
            outbox: Outbox::default(),
            turns: 0,
            steps: 0,
            time_step_us: options.time_step_us,
            settled: false,
            options,
        };
        for index in 0..world.options.worker_count {
            let seat = world.make_worker(index, &[], Vec::new());
            world.workers.push(seat);
        }
        world
    }

    /// A worker that starts with these connections.
    fn make_worker(&mut self, index: usize, sockets: &[SocketId], carried: Vec<Carried>) -> Seat {
        let listener_count = u32::try_from(self.options.listeners.len()).expect("a few");
        let config = engine::Config {
            clients_max: self.options.clients_max,
            listener_count,
            pace: self.options.pace,
            drain: DRAIN,
            bounds: Bounds::default(),
        };
        let parts = ring::Parts {
            worker: index,
            faults: self.options.ring.clone(),
            sabotage: self.sabotage,
            rng: self.ring_rng.fork(),
            bells: Arc::clone(&self.bells),
            slot_count: engine::slot_count(&config),
            lane_count: listener_count * ACCEPT_LANES,
            memory_len: engine::memory_len(&config),
            sockets,
        };
        let (ring, state) = FakeRing::new(parts, Rc::clone(&self.net));
        let stats = Arc::new(WorkerStats::default());
        let listener = |&(dialect, slow): &(Dialect, SlowPolicy)| Listener { dialect, slow };
        let parts = engine::Parts {
            peer: PeerId(u8::try_from(index).expect("a few")),
            hub: Arc::clone(&self.hub),
            bells: Arc::clone(&self.bells) as Arc<dyn Bells + Send + Sync>,
            stats: Arc::clone(&stats),
            door: Arc::clone(&self.door),
            motd: "".into(),
            config,
            listeners: self.options.listeners.iter().map(listener).collect(),
            carried,
        };
        let worker = Worker::new(parts, ring, FakeClock(Rc::clone(&self.net)));
        Seat { worker, ring: state, stats, running: true }
    }

    // The phases of a run.

    /// Clients come, talk, stop reading, and go.
    fn live(&mut self) {
        while self.steps < self.options.step_count {
            self.bustle();
            if self.options.handovers > 0 && self.rng.chance(self.options.handovers) {
                self.hand_over();
            }
            if self.rng.chance(self.options.bursts) {
                (0..self.clients.len()).for_each(|index| self.act_as(index));
            }
            let jump = self.rng.chance(100);
            self.step(jump);
        }
    }

    fn bustle(&mut self) {
        if self.clients.len() < self.options.client_count && self.rng.chance(self.options.arrivals)
        {
            self.connect();
        }
        if self.rng.chance(self.options.activity) {
            self.act();
        }
    }

    /// Nobody does anything new, until all that was owed must have been sent.
    fn settle(&mut self) {
        self.settled = true;
        self.time_step_us = self.time_step_us.min(SETTLE_STEP_US);
        for client in &mut self.clients {
            client.settle(&mut self.net.borrow_mut());
        }
        self.rest(self.settle_time());
        let mut left = self.unreceived_len();
        while left > 0 {
            self.rest(SETTLE_MORE);
            let before = std::mem::replace(&mut left, self.unreceived_len());
            if left == before {
                break;
            }
        }
        if self.workers.iter().any(|seat| seat.stats.feed_bytes.read() > 0) {
            self.rest(SETTLE_MORE);
        }
    }

    /// What clients wrote and no worker received.
    fn unreceived_len(&self) -> usize {
        self.net.borrow().sockets.iter().map(Socket::unreceived_len).sum()
    }

    fn settle_time(&self) -> u64 {
        if self.options.trusted { SETTLE } else { SETTLE_UNTRUSTED }
    }

    /// Everybody goes; the core and the workers must be empty then.
    fn leave(&mut self) {
        for client in &mut self.clients {
            client.go(&mut self.oracle, &mut self.net.borrow_mut(), &mut self.rng);
        }
        self.rest(self.settle_time());
        let (clients, rooms) = self.hub.inspect(|chat| (chat.client_count(), chat.room_count()));
        assert_eq!((clients, rooms), (0, 1), "clients and rooms the core still knows");
        for (index, seat) in self.workers.iter().enumerate() {
            let connections = seat.stats.connections.read();
            assert_eq!(connections, 0, "connections of worker {index}");
            assert_eq!(seat.ring.borrow().open_count(), 0, "slots of worker {index}");
            assert_eq!(seat.stats.feed_bytes.read(), 0, "bytes in feeds of worker {index}");
        }
    }

    /// The server stops: nothing is left of anything.
    fn stop(&mut self) {
        let mut batch = Batch::default();
        batch.push(Event::Stop);
        self.exchange(&mut batch);
        let until = self.now() + STOP;
        let in_time = self.clients.len();
        while self.workers.iter().any(|seat| seat.running) {
            assert!(self.now() < until, "a worker does not stop");
            if self.clients.len() < in_time + TOO_LATE_MAX && self.rng.chance(self.options.too_late)
            {
                self.connect();
            }
            self.step(true);
        }
        self.judge();
        for seat in &self.workers {
            seat.ring.borrow().assert_empty();
            assert_eq!(seat.stats.connections.read(), 0, "connections");
            assert_eq!(seat.stats.blocked.read(), 0, "full sockets");
            assert_eq!(seat.stats.feed_bytes.read(), 0, "bytes in feeds");
        }
        for client in &self.clients[..in_time] {
            let socket = &self.net.borrow().sockets[client.socket];
            let told = self.oracle.was_told_closing(client.person);
            assert!(told || !self.is_healthy(client, socket), "not told that the server stops");
        }
    }

    // Steps.

    fn rest(&mut self, time: u64) {
        let until = self.now() + time;
        while self.now() < until {
            self.step(true);
        }
        self.judge();
    }

    /// Time goes on a little, clients read, a worker has its turn; with `jump`, time goes on to
    /// what happens next when there is nothing to do.
    fn step(&mut self, jump: bool) {
        self.steps += 1;
        let time = self.rng.between(0, self.time_step_us * 1_000);
        self.net.borrow_mut().now += time;
        self.read();
        let due = self.due_workers();
        if due.is_empty() {
            if jump {
                self.jump();
            }
        } else {
            let worker = *self.rng.pick(&due);
            self.turn(worker);
        }
        if self.steps.is_multiple_of(STEPS_PER_JUDGEMENT) {
            self.judge();
        }
    }

    fn now(&self) -> u64 {
        self.net.borrow().now
    }

    fn due_workers(&mut self) -> Vec<usize> {
        let now = self.now();
        let mut due: Vec<usize> = (0..self.workers.len())
            .filter(|worker| self.wakes_at(*worker).is_some_and(|at| at <= now))
            .collect();
        if self.rng.chance(10) {
            // A wait may end for no reason.
            let worker = self.rng.below(self.workers.len());
            if self.workers[worker].running && !due.contains(&worker) {
                due.push(worker);
            }
        }
        if let Some(starved) = self.options.starved
            && !self.settled
            && !self.rng.chance(20)
        {
            due.retain(|worker| *worker != starved);
        }
        due
    }

    fn wakes_at(&self, worker: usize) -> Option<u64> {
        let seat = &self.workers[worker];
        seat.running.then(|| seat.ring.borrow().wakes_at(&self.net.borrow())).flatten()
    }

    fn jump(&mut self) {
        let next = (0..self.workers.len()).filter_map(|worker| self.wakes_at(worker)).min();
        let mut net = self.net.borrow_mut();
        // Those who read slowly must not be passed over; later everybody has read what there is.
        let far = net.now + if self.settled { 1_000 * MS } else { 20 * MS };
        net.now = next.unwrap_or(far).clamp(net.now, far);
    }

    fn turn(&mut self, index: usize) {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "the run does not end");
        let seat = &mut self.workers[index];
        seat.running = seat.worker.turn().expect("the ring is whole");
        let idle = seat.ring.borrow().idle_enters();
        assert!(idle < IDLE_TURNS_MAX, "worker {index} spins");
        let stats = &seat.stats;
        let closed: u64 = stats.closed.iter().map(|count| count.read()).sum();
        let came = stats.accepted.read() + stats.adopted.read();
        let went = closed + stats.handed_over.read();
        assert_eq!(came, stats.connections.read() + went, "worker {index}");
        assert_eq!(stats.stale_completions.read(), seat.ring.borrow().stale_count());
        assert_eq!(stats.closed[CloseReason::Internal as usize].read(), 0);
        assert_eq!(stats.closed[CloseReason::Flood as usize].read(), 0);
    }

    fn connect(&mut self) {
        let number = self.clients.len();
        let addr = client::address(number);
        let worker = self.rng.below(self.options.worker_count);
        let listener = self.rng.below(self.options.listeners.len());
        let ring = &self.options.ring;
        let capacity = self.rng.between(ring.send_capacity_min, ring.send_capacity_max);
        let (dialect, policy) = self.options.listeners[listener];
        let person = self.oracle.add(dialect, addr);
        let socket = Socket::new(addr, capacity);
        let socket = self.net.borrow_mut().connect(worker, listener, socket);
        let mut client = Client::new(person, socket, dialect, policy);
        let may_be_rich = dialect == Dialect::Telnet && self.options.rich > 0;
        if may_be_rich && self.rng.chance(self.options.rich) {
            client.ask_for_rich_mode();
        }
        self.clients.push(client);
        self.visits_when_full.push(0);
    }

    fn act(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let index = self.rng.below(self.clients.len());
        self.act_as(index);
    }

    fn act_as(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let net = &mut self.net.borrow_mut();
        client.act(&self.options, &mut self.oracle, net, &mut self.rng);
    }

    fn read(&mut self) {
        let net = &mut self.net.borrow_mut();
        for client in &mut self.clients {
            let bytes = client.read(net);
            if !bytes.is_empty() {
                self.unread.push((client.person, bytes));
            }
            if net.sockets[client.socket].full_since.is_none() {
                self.visits_when_full[client.person] = self.oracle.visit_count(client.person);
            }
        }
    }

    /// Takes what the observer is told, then what clients read.
    fn judge(&mut self) {
        let mut batch = Batch::default();
        if std::mem::take(&mut self.still_due) {
            let peer = PeerId(u8::try_from(self.workers.len()).expect("a few"));
            batch.push(Event::Still { peer });
        }
        self.exchange(&mut batch);
        for (person, bytes) in std::mem::take(&mut self.unread) {
            self.oracle.received(person, &bytes);
        }
    }

    fn exchange(&mut self, batch: &mut Batch) {
        let observer = PeerId(u8::try_from(self.workers.len()).expect("a few"));
        let now = Time(self.now());
        batch.wall = self.net.borrow().wall();
        let exchanged = self.hub.exchange(observer, now, batch, &mut self.outbox);
        self.bells.ring_all(exchanged.wake);
        for action in self.outbox.iter() {
            match action {
                Action::Stop | Action::HandOver => {}
                Action::Freeze => self.still_due = true,
                action => self.oracle.observe(&action),
            }
        }
        self.outbox.clear();
    }

    // What must be so.

    /// The server has nothing left to do: who could read has read.
    fn check_rest(&self) {
        let net = self.net.borrow();
        for client in &self.clients {
            let socket = &net.sockets[client.socket];
            if self.is_healthy(client, socket) {
                self.oracle.assert_complete(client.person);
                let drawn = client.rich.as_ref().is_none_or(Rich::is_drawn);
                assert!(drawn, "client {}: its line is not drawn", client.person);
            } else {
                self.check_ended(client, socket);
            }
        }
        let is_healthy = |person: usize| {
            let client = &self.clients[person];
            self.is_healthy(client, &net.sockets[client.socket])
        };
        self.oracle.assert_directs(is_healthy);
        let kind = self.options.is_kind_to_readers();
        if kind && self.clients.iter().all(|client| client.always_prompt) {
            let now = self.workers.iter().map(|seat| &seat.stats);
            for stats in self.past_stats.iter().chain(now) {
                assert_eq!(stats.closed[CloseReason::Slow as usize].read(), 0, "slow");
            }
        }
    }

    /// Whether the client must have everything and be connected still.
    fn is_healthy(&self, client: &Client, socket: &Socket) -> bool {
        let may_be_slow = !client.always_prompt || !self.options.is_kind_to_readers();
        let is_refused = !self.oracle.was_let_in(client.person) && self.may_refuse();
        !(client.left
            || client.finished
            || client.is_foul
            || client.reading == Reading::Never
            || socket.is_broken()
            || is_refused
            || self.oracle.was_turned_away(client.person)
            || self.oracle.has_quit(client.person)
            || (socket.ending.is_some() && may_be_slow))
    }

    fn may_refuse(&self) -> bool {
        self.options.clients_max < 64 || self.options.seats < 1_000 || !self.options.trusted
    }

    fn check_ended(&self, client: &Client, socket: &Socket) {
        if socket.is_broken() || client.left {
            return;
        }
        let is_in = self.oracle.was_let_in(client.person);
        // Under `skip` one who is owed no reply is left to the kernel, which ends it
        // (USER_TIMEOUT).
        let is_kept = client.policy == SlowPolicy::Close && socket.ending.is_none();
        if client.reading == Reading::Never && is_in && is_kept {
            let visits = self.oracle.visit_count(client.person);
            let same_room = self.visits_when_full[client.person] == visits;
            let full_for = socket.full_since.map_or(0, |since| self.now() - since);
            assert!(!same_room || full_for < SETTLE - 1_000 * MS, "{client:?} is never closed");
        }
        let certain = client.always_prompt && self.options.is_kind_to_readers();
        if self.oracle.was_turned_away(client.person) && certain {
            assert!(socket.ending.is_some(), "{client:?} was turned away and is not closed");
        }
        if client.finished && is_in && certain && !client.is_foul {
            assert!(socket.ending.is_some(), "{client:?} has finished and is not closed");
            if !self.oracle.has_quit(client.person) {
                self.oracle.assert_answered(client.person);
            }
        }
    }
}

fn chat_config(options: &Options) -> chat::Config {
    let observer = PeerId(u8::try_from(options.worker_count).expect("a few"));
    chat::Config {
        peer_count: options.worker_count + 1,
        observers: PeerSet::one(observer),
        rooms: Vec::new(),
        clients_max: 16,
        motd: false,
        nicknames: chat::Nicknames::Ascii,
        history_lines: HISTORY_LINES,
    }
}
