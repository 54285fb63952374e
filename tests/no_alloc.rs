//! A line delivered allocates nothing, and what was allocated for much that waits is let go of: a
//! worker on a real ring, with an allocator that counts what its thread allocates, serves lines one
//! by one and in bursts, and readers who do not read.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chatd::chat::{self, PeerId, PeerSet};
use chatd::dialect::Dialect;
use chatd::engine::stats::WorkerStats;
use chatd::engine::{self, Bounds, Door, Listener, Parts, SlowPolicy, Worker};
use chatd::hub::{Bells, Hub};
use chatd::limits::{BEHIND_LEN_MAX, BEHIND_S_MAX};
use chatd::time::Monotonic;
use chatd::uring::{Doorbell, Options, Uring};
use socket2::{Domain, Socket, Type};

/// The system's allocator; counts calls by thread, and bytes that it has.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LIVE_LEN: Cell<i64> = const { Cell::new(0) };
}

fn count(allocated: usize, freed: usize) {
    // Gone while a thread ends; what it frees then is not of interest.
    let _ = COUNT.try_with(|count| count.set(count.get() + u64::from(allocated > 0)));
    let _ = LIVE_LEN.try_with(|len| len.set(len.get() + allocated as i64 - freed as i64));
}

// SAFETY: everything is the system allocator's; counting allocates nothing (a const thread local).
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count(len, layout.size());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CLIENTS: usize = 40;
/// By when whatever is waited for must have come.
const PATIENCE: Duration = Duration::from_secs(60);

struct NoBells;

impl Bells for NoBells {
    fn ring(&self, _peer: PeerId) {}
}

/// One worker, alone with its hub.
struct Server {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    bell: Arc<Doorbell>,
    allocations: Arc<AtomicU64>,
    live_len: Arc<AtomicI64>,
    stats: Arc<WorkerStats>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let bell = Arc::new(Doorbell::new().expect("a descriptor"));
        let stop = Arc::new(AtomicBool::new(false));
        let allocations = Arc::new(AtomicU64::new(0));
        let live_len = Arc::new(AtomicI64::new(0));
        let stats = Arc::new(WorkerStats::default());
        let thread = {
            let (bell, stop, stats) = (bell.clone(), stop.clone(), stats.clone());
            let (allocations, live_len) = (allocations.clone(), live_len.clone());
            thread::spawn(move || {
                let mut worker = make_worker(listener.into(), bell, stats);
                while !stop.load(Ordering::SeqCst) {
                    worker.turn().expect("a sound ring");
                    allocations.store(COUNT.with(Cell::get), Ordering::SeqCst);
                    live_len.store(LIVE_LEN.with(Cell::get), Ordering::SeqCst);
                }
            })
        };
        Self { addr, stop, bell, allocations, live_len, stats, thread: Some(thread) }
    }

    fn live_len(&self) -> i64 {
        self.live_len.load(Ordering::SeqCst)
    }

    fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.bell.ring();
        let joined = self.thread.take().expect("taken once").join();
        assert!(thread::panicking() || joined.is_ok(), "the worker panicked");
    }
}

fn make_worker(
    socket: OwnedFd,
    bell: Arc<Doorbell>,
    stats: Arc<WorkerStats>,
) -> Worker<Uring, Monotonic> {
    let config = engine::Config {
        clients_max: 100,
        listener_count: 1,
        pace: Duration::from_millis(1),
        drain: Duration::from_secs(1),
        // As patient as it may be: how fast this machine is does not matter.
        bounds: Bounds {
            behind_len: BEHIND_LEN_MAX,
            behind_age: Duration::from_secs(BEHIND_S_MAX),
            ..Bounds::default()
        },
    };
    let hub = chat::Config {
        peer_count: 1,
        observers: PeerSet::default(),
        rooms: Vec::new(),
        clients_max: 100,
        motd: false,
        nicknames: chat::Nicknames::Ascii,
        history_lines: 3,
    };
    let ring = Uring::new(Options {
        submissions: 256,
        completions: 1_024,
        slots: engine::slot_count(&config),
        lanes: engine::slot_count(&config),
        recv_buffers: 64,
        recv_buffer_len: 1_024,
        memory_len: engine::memory_len(&config),
        adopted: Vec::new(),
        listeners: vec![socket],
        bell,
        restricted: true,
    });
    let loopback = "127.0.0.0/8".parse().expect("a network");
    let parts = Parts {
        peer: PeerId(0),
        hub: Arc::new(Hub::new(hub, RandomState::new())),
        bells: Arc::new(NoBells),
        stats,
        door: Arc::new(Door::new(100, vec![loopback], Bounds::default())),
        motd: "".into(),
        config,
        listeners: vec![Listener { dialect: Dialect::Telnet, slow: SlowPolicy::Close }],
        carried: Vec::new(),
    };
    let clock = Monotonic::starting_at(Instant::now());
    Worker::new(parts, ring.expect("a ring"), clock)
}

struct Client {
    reader: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        Self::new(TcpStream::connect(addr).expect("a listener"))
    }

    /// One for whom the system keeps little.
    fn connect_narrow(addr: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4 << 10).expect("a size");
        socket.connect(&addr.into()).expect("a listener");
        Self::new(socket.into())
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut client = Self { reader: BufReader::new(stream), line: String::new() };
        client.read_until("You're connected");
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("an open connection");
    }

    /// Reads up to and with the line that contains `words`.
    fn read_until(&mut self, words: &str) {
        loop {
            self.line.clear();
            let len = self.reader.read_line(&mut self.line).expect("a line in time");
            assert!(len > 0, "closed before {words:?}");
            if self.line.contains(words) {
                return;
            }
        }
    }
}

/// Every client speaks in turn, `lines` lines in one write, and everyone reads all of them.
fn round(clients: &mut [Client], lines: usize) {
    for author in 0..clients.len() {
        let text: String =
            (0..lines).map(|line| format!("from {author} number {line}\r\n")).collect();
        clients[author].send(text.as_bytes());
        let last = format!("from {author} number {}\r\n", lines - 1);
        for (reader, client) in clients.iter_mut().enumerate() {
            if reader != author {
                client.read_until(&last);
            }
        }
    }
}

#[test]
fn a_line_delivered_allocates_nothing() {
    let server = Server::start();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server.addr)).collect();
    for lines in [1, 10] {
        // Buffers find their size; a kernel may cut what arrives differently each time.
        for _ in 0..3 {
            round(&mut clients, lines);
        }
        let before = server.allocations();
        round(&mut clients, lines);
        let allocated = server.allocations() - before;
        let delivered = CLIENTS * (CLIENTS - 1) * lines;
        assert_eq!(allocated, 0, "allocations for {delivered} deliveries");
    }
}

/// Readers who do not read thousands of short lines, and leave: the tables of their feeds are not
/// kept for others.
#[test]
fn what_long_feeds_needed_is_let_go_of() {
    const DEAF: usize = 10;
    let server = Server::start();
    let mut author = Client::connect(server.addr);
    let before = server.live_len();
    let mut deaf: Vec<_> = (0..DEAF).map(|_| Client::connect_narrow(server.addr)).collect();
    for (number, client) in deaf.iter_mut().enumerate() {
        client.send(format!("/nick deaf{number}\r\n").as_bytes());
        client.read_until(&format!("You are deaf{number}"));
    }
    let mut tell = |text: &str, times: usize| {
        for number in 0..DEAF {
            author.send(format!("/msg deaf{number} {text}\r\n").repeat(times).as_bytes());
            author.send(b"/who -\r\n");
            author.read_until("There is no room -");
        }
    };
    for told in 0.. {
        let blocked = server.stats.blocked.read();
        if blocked == DEAF as u64 {
            break;
        }
        assert!(told < 2_000, "{blocked} sockets are full");
        tell(&"x".repeat(1_000), 2);
    }
    (0..8).for_each(|_| tell("x", 200));
    let most = server.live_len() - before;
    drop(deaf);
    let deadline = Instant::now() + PATIENCE;
    while server.stats.connections.read() > 1 || server.live_len() - before > most / 8 {
        let now = server.live_len() - before;
        assert!(Instant::now() < deadline, "{now} bytes of {most} are kept");
        author.send(b"/who -\r\n");
        author.read_until("There is no room -");
    }
}

#[test]
fn the_counter_counts() {
    let before = (COUNT.with(Cell::get), LIVE_LEN.with(Cell::get));
    let bytes = std::hint::black_box(vec![0_u8; 100]);
    let meanwhile = (COUNT.with(Cell::get), LIVE_LEN.with(Cell::get));
    drop(bytes);
    assert_eq!(meanwhile, (before.0 + 1, before.1 + 100));
    assert_eq!((COUNT.with(Cell::get), LIVE_LEN.with(Cell::get)), (before.0 + 1, before.1));
}
