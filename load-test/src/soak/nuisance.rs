//! Small clients that mean no good, beside a phase: those that connect and reset at once, and those
//! that send half a line and stay. What becomes of them is the server's business.

use crate::Failure;
use crate::limits::{SOAK_CONNECT_TIMEOUT, SOAK_DRIP_INTERVAL, SOAK_RESETS_RATE};
use crate::protocol::Protocol;
use crate::session::raise_descriptor_limit;
use crate::threads::{self, Ended};
use socket2::SockRef;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nuisance {
    Resets,
    Slowloris { connections: u32 },
}

/// While it goes on; its connections end with it.
pub(super) struct Going {
    over: Sender<()>,
    thread: JoinHandle<(u64, Ended)>,
}

impl Nuisance {
    pub(super) fn start(self, target: SocketAddr, dialect: Protocol) -> Result<Going, Failure> {
        if let Self::Slowloris { connections } = self {
            raise_descriptor_limit(connections.into())?;
        }
        let (over, is_over) = channel();
        let going = move || match self {
            Self::Resets => reset(target, &is_over),
            Self::Slowloris { connections } => drip(target, dialect, connections, &is_over),
        };
        let thread = threads::start("nuisance".into(), going)?;
        Ok(Going { over, thread })
    }
}

impl Going {
    /// How many connections there were.
    pub(super) fn end(self) -> Result<u64, Failure> {
        drop(self.over);
        let ended = self.thread.join();
        ended
            .map(|(made, _)| made)
            .map_err(|_| Failure::Run("a thread of the generator failed".into()))
    }
}

/// As many a second as the limit says: those that are late follow at once.
fn reset(target: SocketAddr, over: &Receiver<()>) -> u64 {
    let (begun, mut made) = (Instant::now(), 0);
    while goes_on(over, begun + Duration::from_secs(1) * made / SOAK_RESETS_RATE) {
        made += 1;
        // A server with a full backlog is left alone.
        let Ok(stream) = TcpStream::connect_timeout(&target, SOAK_CONNECT_TIMEOUT) else {
            continue;
        };
        // Without time to linger a close is a reset.
        let _refused = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
    made.into()
}

fn drip(target: SocketAddr, dialect: Protocol, connections: u32, over: &Receiver<()>) -> u64 {
    let mut streams = Vec::new();
    for _ in 0..connections {
        if !goes_on(over, Instant::now()) {
            break;
        }
        let connected = TcpStream::connect_timeout(&target, SOAK_CONNECT_TIMEOUT);
        if let Ok(mut stream) = connected
            && stream.set_nonblocking(true).is_ok()
            && stream.write_all(half(dialect)).is_ok()
        {
            streams.push(stream);
        }
    }
    let count = streams.len() as u64;
    while goes_on(over, Instant::now() + SOAK_DRIP_INTERVAL) {
        // Who was closed, or has sent more than is taken, leaves.
        streams.retain_mut(|stream| stream.write_all(b"e").is_ok());
    }
    count
}

/// What every complete line could begin with.
fn half(dialect: Protocol) -> &'static [u8] {
    match dialect {
        Protocol::Rid => b"<RID:111>half a lin",
        _ => b"half a lin",
    }
}

/// Waits until then; false if it is over before.
fn goes_on(over: &Receiver<()>, until: Instant) -> bool {
    let wait = until.saturating_duration_since(Instant::now());
    over.recv_timeout(wait) == Err(RecvTimeoutError::Timeout)
}
