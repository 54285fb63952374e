//! A line delivered allocates nothing: a worker on a real ring, with an allocator that counts what
//! its thread allocates, serves lines one by one and in bursts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chatd::chat::{self, PeerId, PeerSet};
use chatd::dialect::Dialect;
use chatd::engine::stats::WorkerStats;
use chatd::engine::{self, Bounds, Door, Listener, Parts, SlowPolicy, Worker};
use chatd::hub::{Bells, Hub};
use chatd::time::Monotonic;
use chatd::uring::{Doorbell, Options, Uring};

/// The system's allocator; counts calls by thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // Gone while a thread ends; what it frees then is not of interest.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is the system allocator's; counting allocates nothing (a const thread local).
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CLIENTS: usize = 40;

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
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let bell = Arc::new(Doorbell::new().expect("a descriptor"));
        let stop = Arc::new(AtomicBool::new(false));
        let allocations = Arc::new(AtomicU64::new(0));
        let thread = {
            let (bell, stop, allocations) = (bell.clone(), stop.clone(), allocations.clone());
            thread::spawn(move || serve(listener.into(), bell, &stop, &allocations))
        };
        Self { addr, stop, bell, allocations, thread: Some(thread) }
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

fn serve(socket: OwnedFd, bell: Arc<Doorbell>, stop: &AtomicBool, allocations: &AtomicU64) {
    let config = engine::Config {
        clients_max: 100,
        listener_count: 1,
        pace: Duration::from_millis(1),
        drain: Duration::from_secs(1),
        bounds: Bounds::default(),
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
        stats: Arc::new(WorkerStats::default()),
        door: Arc::new(Door::new(100, vec![loopback], Bounds::default())),
        motd: "".into(),
        config,
        listeners: vec![Listener { dialect: Dialect::Telnet, slow: SlowPolicy::Close }],
        carried: Vec::new(),
    };
    let clock = Monotonic::starting_at(Instant::now());
    let mut worker = Worker::new(parts, ring.expect("a ring"), clock);
    while !stop.load(Ordering::SeqCst) {
        worker.turn().expect("a sound ring");
        allocations.store(COUNT.with(Cell::get), Ordering::SeqCst);
    }
}

struct Client {
    reader: BufReader<TcpStream>,
    line: String,
}

impl Client {
    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("a listener");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time");
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

#[test]
fn the_counter_counts() {
    let before = COUNT.with(Cell::get);
    drop(std::hint::black_box(vec![0_u8; 100]));
    assert_eq!(COUNT.with(Cell::get), before + 1);
}
