//! The network between the fake ring and the fake clients: sockets with a small send buffer, the
//! queues of those who wait to be accepted, the clock and the trace.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::rng::Rng;

/// Past the hour, wherever the wall clock stands.
pub(crate) const MINUTES: u64 = 37;

/// A connection, by its place in `Net::sockets`.
pub(crate) type SocketId = usize;

/// Everything that the rings and the clients share.
#[derive(Debug)]
pub(crate) struct Net {
    /// Nanoseconds since the start.
    pub(crate) now: u64,
    pub(crate) sockets: Vec<Socket>,
    /// Who waits to be accepted, by worker and listener.
    pub(crate) backlogs: Vec<Vec<VecDeque<SocketId>>>,
    /// Workers whose bell was rung.
    pub(crate) trace: Trace,
}

/// One connection, both ends.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) addr: SocketAddr,
    /// How much of what the server sent may wait for the client.
    capacity: usize,
    to_server: VecDeque<u8>,
    /// How many of these came as one segment and are received as such.
    segment_len: usize,
    to_client: VecDeque<u8>,
    /// The client sends no more.
    finished: bool,
    /// The client is gone: what it is sent is lost.
    gone: bool,
    /// What the server's next operation is told; after that the connection is only dead.
    error: Option<i32>,
    dead: bool,
    /// How the server closed it.
    pub(crate) ending: Option<Ending>,
    /// Since when the server has met a full socket, and the client has read nothing.
    pub(crate) full_since: Option<u64>,
}

/// How a connection ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// After the last byte sent.
    Close,
    /// At once.
    Reset,
}

/// What a receive finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    Nothing,
    Bytes(usize),
    End,
    Error(i32),
}

impl Net {
    pub(crate) fn new(worker_count: usize, listener_count: usize, verbose: bool) -> Self {
        let backlogs = vec![vec![VecDeque::new(); listener_count]; worker_count];
        Self { now: 0, sockets: Vec::new(), backlogs, trace: Trace { hash: 0, verbose } }
    }

    /// What the wall clock says, in seconds since 1970. It jumps by hours all the time, either way,
    /// and its minutes are always these but at the very start.
    pub(crate) fn wall(&self) -> u64 {
        let hour = (self.now >> 24).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        if self.now == 0 { 0 } else { hour * 3_600 + MINUTES * 60 }
    }

    /// A client knocks at a listener.
    pub(crate) fn connect(&mut self, worker: usize, listener: usize, socket: Socket) -> SocketId {
        self.sockets.push(socket);
        let id = self.sockets.len() - 1;
        self.backlogs[worker][listener].push_back(id);
        id
    }
}

impl Socket {
    pub(crate) fn new(addr: SocketAddr, capacity: u64) -> Self {
        Self {
            addr,
            capacity: usize::try_from(capacity).expect("a small buffer"),
            to_server: VecDeque::new(),
            segment_len: 0,
            to_client: VecDeque::new(),
            finished: false,
            gone: false,
            error: None,
            dead: false,
            ending: None,
            full_since: None,
        }
    }

    // The client's end.

    pub(crate) fn write(&mut self, bytes: impl IntoIterator<Item = u8>) {
        if !self.dead && self.ending.is_none() && !self.finished {
            self.to_server.extend(bytes);
        }
    }

    /// Writes first of all, so that one receive takes it whole.
    pub(crate) fn write_segment(&mut self, bytes: &[u8]) {
        self.write(bytes.iter().copied());
        self.segment_len = self.to_server.len();
    }

    /// Takes up to `len` bytes.
    pub(crate) fn read(&mut self, len: usize) -> impl Iterator<Item = u8> {
        let len = len.min(self.to_client.len());
        if len > 0 {
            self.full_since = None;
        }
        self.to_client.drain(..len)
    }

    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// The client closes, and whatever else it is sent is answered by a reset.
    pub(crate) fn leave(&mut self) {
        self.finished = true;
        self.gone = true;
        self.to_client.clear();
    }

    /// The connection breaks.
    pub(crate) fn break_off(&mut self, errno: i32) {
        if !self.dead {
            self.dead = true;
            self.error = Some(errno);
            self.to_server.clear();
            self.segment_len = 0;
            self.to_client.clear();
        }
    }

    /// Whether the connection broke, or the client reset it.
    pub(crate) fn is_broken(&self) -> bool {
        self.dead
    }

    // The server's end.

    pub(crate) fn readable(&self) -> Readable {
        match self.error {
            Some(errno) => Readable::Error(errno),
            None if !self.to_server.is_empty() => Readable::Bytes(self.to_server.len()),
            None if self.finished || self.dead => Readable::End,
            None => Readable::Nothing,
        }
    }

    /// What the next operation fails with; told once.
    pub(crate) fn take_error(&mut self) -> Option<i32> {
        self.error.take()
    }

    /// What a receive takes at least.
    pub(crate) fn segment_len(&self) -> usize {
        self.segment_len
    }

    /// What was written and not received.
    pub(crate) fn unreceived_len(&self) -> usize {
        self.to_server.len()
    }

    pub(crate) fn take_input(&mut self, len: usize) -> impl Iterator<Item = u8> {
        self.segment_len = 0;
        self.to_server.drain(..len)
    }

    /// Sends as much as there is room for, `len_max` at most.
    pub(crate) fn send(&mut self, bytes: &[u8], len_max: usize, now: u64) -> Result<usize, i32> {
        if let Some(errno) = self.take_error() {
            return Err(errno);
        }
        if self.dead {
            return Err(libc::EPIPE);
        }
        let room = self.capacity - self.to_client.len();
        let len = room.min(bytes.len()).min(len_max);
        if self.gone {
            self.break_off(libc::ECONNRESET);
            return Ok(bytes.len());
        }
        if room < bytes.len().min(len_max) {
            self.full_since.get_or_insert(now);
        }
        self.to_client.extend(&bytes[..len]);
        if len == 0 { Err(libc::EAGAIN) } else { Ok(len) }
    }

    /// As the kernel says it: with a third of the buffer free.
    pub(crate) fn is_writable(&self) -> bool {
        self.dead || (self.capacity - self.to_client.len()) * 3 >= self.capacity
    }

    pub(crate) fn close(&mut self, abort: bool) {
        assert_eq!(self.ending, None, "closed twice");
        self.ending = Some(if abort { Ending::Reset } else { Ending::Close });
        if abort {
            self.to_client.clear();
        }
        self.to_server.clear();
        self.segment_len = 0;
    }
}

/// Everything that happened, as one number, and as text for people who replay a seed.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) hash: u64,
    pub(crate) verbose: bool,
}

impl Trace {
    pub(crate) fn note(&mut self, now: u64, what: &str, facts: &[i64]) {
        let words = facts.iter().map(|fact| fact.cast_unsigned());
        let letters = what.bytes().map(u64::from);
        for word in letters.chain(words).chain([now]) {
            self.hash = Rng::new(self.hash ^ word).next();
        }
        if self.verbose {
            println!("{now:>14} {what} {facts:?}");
        }
    }
}
