//! The floor: the least that a broadcast server can do, to compare chatd with.
//!
//! It accepts, and what it receives from one connection it sends to all others at once, through the
//! same ring calls that chatd uses: no lines, rooms, names, limits or pacing. What does not fit a
//! socket waits until it does. `floor ADDR:PORT` says on standard error where it listens.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use chatd::uring::{BufferId, Completion, Doorbell, Options, Ring, Uring, Wait, errno};
use socket2::{Domain, Protocol, Socket, Type};

const SLOTS: u32 = 19_900;
const LANES: u32 = 64;
/// The longest send: what one receive brings, or a part of what waited.
const SEND_LEN_MAX: usize = 32 << 10;
/// What a newcomer is sent; it stands behind the memory of other sends.
const GREETING: &[u8; GREETING_LEN as usize] = b"hi\r\n";
const GREETING_LEN: u32 = 4;
const GREETING_START: u32 = 32 << 10;
const _: () = assert!(GREETING_START as usize == SEND_LEN_MAX);

fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let Some(addr) = addr else {
        eprintln!("usage: floor ADDR:PORT");
        std::process::exit(2);
    };
    chatd::uring::raise_descriptor_limit()?;
    let listener = listen(addr)?;
    let bound = listener.local_addr()?.as_socket().expect("an IP socket");
    let mut floor = Floor::new(listener.into())?;
    writeln!(io::stderr(), "listening addr={bound}")?;
    loop {
        floor.turn()?;
    }
}

/// The options that chatd sets on its listeners.
fn listen(addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(32 << 10)?;
    socket.bind(&addr.into())?;
    socket.listen(4_096)?;
    Ok(socket)
}

/// What a completion is of. A send's token holds the stretch it was of.
#[derive(Clone, Copy)]
enum Token {
    Accept { lane: u32, slot: u32 },
    Recv { slot: u32 },
    Send { slot: u32, start: u32, len: u32 },
    Poll { slot: u32 },
    Close { slot: u32 },
}

impl Token {
    fn encode(self) -> u64 {
        let (kind, slot, start, len) = match self {
            Self::Accept { lane, slot } => (0, slot, lane, 0),
            Self::Recv { slot } => (1, slot, 0, 0),
            Self::Send { slot, start, len } => (2, slot, start, len),
            Self::Poll { slot } => (3, slot, 0, 0),
            Self::Close { slot } => (4, slot, 0, 0),
        };
        kind << 60 | u64::from(slot) << 40 | u64::from(start) << 16 | u64::from(len)
    }

    fn decode(bits: u64) -> Self {
        let part = |shift: u32, width: u32| {
            u32::try_from(bits >> shift & ((1 << width) - 1)).expect("at most 24 bits")
        };
        let (slot, start, len) = (part(40, 20), part(16, 24), part(0, 16));
        match bits >> 60 {
            0 => Self::Accept { lane: start, slot },
            1 => Self::Recv { slot },
            2 => Self::Send { slot, start, len },
            3 => Self::Poll { slot },
            _ => Self::Close { slot },
        }
    }
}

/// One connection.
#[derive(Default)]
struct Conn {
    /// The beginning of a line whose end was not received yet.
    begun: Vec<u8>,
    /// What its socket had no room for.
    backlog: Vec<u8>,
    polling: bool,
    receiving: bool,
    closing: bool,
}

struct Floor {
    ring: Uring,
    conns: Vec<Option<Conn>>,
    /// The slots of connections, to go through them quickly, and where each slot stands there.
    open: Vec<u32>,
    places: Vec<usize>,
    free: Vec<u32>,
    /// Completions that came while sends were under way.
    arrived: VecDeque<Completion>,
    received: Vec<u8>,
}

impl Floor {
    fn new(listener: OwnedFd) -> io::Result<Self> {
        let ring = Uring::new(Options {
            submissions: 2_048,
            completions: 16_384,
            slots: SLOTS,
            lanes: LANES,
            recv_buffers: 512,
            recv_buffer_len: 1_024,
            memory_len: SEND_LEN_MAX + GREETING.len(),
            adopted: Vec::new(),
            listeners: vec![listener],
            bell: Arc::new(Doorbell::new()?),
            restricted: true,
        })?;
        let mut floor = Self {
            ring,
            conns: (0..SLOTS).map(|_| None).collect(),
            open: Vec::new(),
            places: vec![0; SLOTS as usize],
            free: (0..SLOTS).rev().collect(),
            arrived: VecDeque::new(),
            received: Vec::new(),
        };
        floor.ring.memory()[SEND_LEN_MAX..].copy_from_slice(GREETING);
        for lane in 0..LANES {
            floor.accept(lane);
        }
        Ok(floor)
    }

    fn turn(&mut self) -> io::Result<()> {
        let wait = if self.arrived.is_empty() { Wait::Forever } else { Wait::No };
        self.enter(wait)?;
        while let Some(completion) = self.arrived.pop_front() {
            match Token::decode(completion.token) {
                Token::Accept { lane, slot } => self.on_accept(lane, slot, completion.result)?,
                Token::Recv { slot } => self.on_recv(slot, completion)?,
                Token::Poll { slot } => self.on_poll(slot)?,
                Token::Close { slot } => self.free.push(slot),
                Token::Send { .. } => unreachable!("dealt with in `enter`"),
            }
        }
        Ok(())
    }

    /// Makes the sends that were pushed, at most one for each connection, and deals with those that
    /// did not go out whole, so that the next may follow.
    fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.ring.enter(wait)?;
        while let Some(completion) = self.ring.next() {
            match Token::decode(completion.token) {
                Token::Send { slot, start, len } => {
                    self.on_send(slot, start, len, completion.result);
                }
                _ => self.arrived.push_back(completion),
            }
        }
        Ok(())
    }

    fn accept(&mut self, lane: u32) {
        if let Some(slot) = self.free.pop() {
            self.ring.accept(lane, 0, slot, Token::Accept { lane, slot }.encode());
        }
    }

    fn on_accept(&mut self, lane: u32, slot: u32, result: i32) -> io::Result<()> {
        if errno(result).is_some() {
            self.free.push(slot);
        } else {
            self.conns[slot as usize] = Some(Conn { receiving: true, ..Conn::default() });
            self.places[slot as usize] = self.open.len();
            self.open.push(slot);
            self.ring.recv(slot, Token::Recv { slot }.encode());
            self.send(slot, GREETING_START, GREETING_LEN);
        }
        self.accept(lane);
        Ok(())
    }

    fn on_recv(&mut self, slot: u32, completion: Completion) -> io::Result<()> {
        let len = completion.result.max(0).unsigned_abs() as usize;
        let mut received = std::mem::take(&mut self.received);
        received.clear();
        if let Some(buffer) = completion.buffer {
            self.take_lines(slot, buffer, len, &mut received);
            self.broadcast(slot, &received)?;
        }
        self.received = received;
        let Some(conn) = &mut self.conns[slot as usize] else { return Ok(()) };
        conn.receiving = completion.more;
        if completion.more {
            return Ok(());
        }
        if len > 0 || errno(completion.result) == Some(libc::ENOBUFS) {
            conn.receiving = true;
            self.ring.recv(slot, Token::Recv { slot }.encode());
        } else {
            self.close(slot);
        }
        Ok(())
    }

    /// What a receive brought, up to its last line end: lines of two authors must not mix.
    fn take_lines(&mut self, slot: u32, buffer: BufferId, len: usize, lines: &mut Vec<u8>) {
        if let Some(conn) = &mut self.conns[slot as usize] {
            lines.append(&mut conn.begun);
            lines.extend_from_slice(self.ring.buffer(buffer, len));
            let end = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
            conn.begun.extend_from_slice(&lines[end..]);
            lines.truncate(end);
        }
        self.ring.recycle(buffer);
    }

    fn broadcast(&mut self, from: u32, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let len = self.keep(bytes);
        for place in 0..self.open.len() {
            let slot = self.open[place];
            if slot != from {
                self.send(slot, 0, len);
            }
        }
        self.enter(Wait::No)
    }

    /// Copies bytes to where sends are taken from; those before have left.
    fn keep(&mut self, bytes: &[u8]) -> u32 {
        self.ring.memory()[..bytes.len()].copy_from_slice(bytes);
        u32::try_from(bytes.len()).expect("at most SEND_LEN_MAX")
    }

    fn send(&mut self, slot: u32, start: u32, len: u32) {
        let Some(conn) = &mut self.conns[slot as usize] else { return };
        if conn.closing {
            return;
        }
        if conn.polling {
            let range = start as usize..(start + len) as usize;
            conn.backlog.extend_from_slice(&self.ring.memory()[range]);
            return;
        }
        self.ring.send(slot, start, len, Token::Send { slot, start, len }.encode());
    }

    /// A send did not go out whole: the rest waits.
    fn on_send(&mut self, slot: u32, start: u32, len: u32, result: i32) {
        let Some(conn) = &mut self.conns[slot as usize] else { return };
        let sent = match errno(result) {
            None => result.unsigned_abs(),
            Some(libc::EAGAIN) => 0,
            Some(_) => return self.close(slot),
        };
        let rest = (start + sent) as usize..(start + len) as usize;
        conn.backlog.extend_from_slice(&self.ring.memory()[rest]);
        if !conn.polling {
            conn.polling = true;
            self.ring.poll_out(slot, Token::Poll { slot }.encode());
        }
    }

    fn on_poll(&mut self, slot: u32) -> io::Result<()> {
        let Some(conn) = &mut self.conns[slot as usize] else { return Ok(()) };
        conn.polling = false;
        if conn.closing {
            self.close_if_idle(slot);
            return Ok(());
        }
        let rest = conn.backlog.split_off(conn.backlog.len().min(SEND_LEN_MAX));
        let first = std::mem::take(&mut conn.backlog);
        let len = self.keep(&first);
        self.send(slot, 0, len);
        self.enter(Wait::No)?;
        let Some(conn) = &mut self.conns[slot as usize] else { return Ok(()) };
        conn.backlog.extend_from_slice(&rest);
        if !conn.polling && !conn.backlog.is_empty() {
            conn.polling = true;
            self.ring.poll_out(slot, Token::Poll { slot }.encode());
        }
        Ok(())
    }

    fn close(&mut self, slot: u32) {
        let Some(conn) = &mut self.conns[slot as usize] else { return };
        if !std::mem::replace(&mut conn.closing, true) {
            let place = self.places[slot as usize];
            self.open.swap_remove(place);
            if let Some(moved) = self.open.get(place) {
                self.places[*moved as usize] = place;
            }
            for token in [Token::Recv { slot }, Token::Poll { slot }] {
                self.ring.cancel(token.encode(), Token::Send { slot, start: 0, len: 0 }.encode());
            }
        }
        self.close_if_idle(slot);
    }

    fn close_if_idle(&mut self, slot: u32) {
        let idle = |conn: &Conn| !conn.receiving && !conn.polling;
        if self.conns[slot as usize].as_ref().is_some_and(idle) {
            self.conns[slot as usize] = None;
            self.ring.close(slot, Token::Close { slot }.encode());
        }
    }
}
