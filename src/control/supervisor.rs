//! The service manager that started the process, if it wants to be told how it is (sd_notify(3)):
//! ready, stopping, and, as often as it asks, alive.
//!
//! Alive is more than the control thread: every worker must have had a turn since it was last
//! woken for this.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::engine::stats::WorkerStats;
use crate::failure::{Failure, Kind};

/// The way to the service manager. Opened while files may be; it stays connected.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often to look whether all are alive: twice as often as it wants to be told.
    interval: Option<Duration>,
    next_look: Option<Instant>,
    /// Where each worker stood when it was woken.
    turns: Vec<u64>,
}

impl Supervisor {
    /// As the environment says.
    ///
    /// # Errors
    /// When a service manager is named that cannot be reached: it would wait for us in vain.
    pub(super) fn from_environment() -> Result<Self, Failure> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let socket = connect(&name).map_err(|error| {
            let name = name.display();
            Failure::new(Kind::System, format_args!("NOTIFY_SOCKET {name}: {error}"))
        })?;
        let usec = env::var("WATCHDOG_USEC").ok().and_then(|usec| usec.parse::<u64>().ok());
        let interval = usec.filter(|usec| is_watched() && *usec > 0);
        let interval = interval.map(|usec| Duration::from_micros(usec) / 2);
        Ok(Self { socket: Some(socket), interval, ..Self::default() })
    }

    /// Tells that everybody may come.
    pub(super) fn ready(&mut self) {
        self.tell("READY=1");
        self.next_look = self.interval.map(|interval| Instant::now() + interval);
    }

    /// Tells that another process is the server from here on; nothing of this one counts any more.
    pub(super) fn hand_over(&mut self, pid: u32) {
        // The other begins to say that all are alive half a watchdog's time later.
        self.tell(&format!("MAINPID={pid}\nWATCHDOG=1"));
        self.next_look = None;
    }

    /// Tells that the end has begun; nobody has to be alive for that.
    pub(super) fn stopping(&mut self) {
        self.tell("STOPPING=1");
        self.next_look = None;
    }

    /// When to look again whether all are alive.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// Tells that all are alive, if they are. The caller wakes the workers then.
    pub(super) fn look(&mut self, workers: &[Arc<WorkerStats>]) {
        let turns: Vec<u64> = workers.iter().map(|stats| stats.ring_enters.read()).collect();
        match turns.iter().zip(&self.turns).position(|(now, before)| now == before) {
            Some(worker) => warn!(worker, "no turn since the last look: the watchdog is not told"),
            None => self.tell("WATCHDOG=1"),
        }
        self.turns = turns;
        self.next_look = self.interval.map(|interval| Instant::now() + interval);
    }

    /// A manager that is not listening just now is told the next time.
    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(what.as_bytes());
        }
    }
}

/// What the service manager put into the environment, as far as it holds for a process that takes
/// over: which process is to be watched changes then.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    let keys = ["NOTIFY_SOCKET"].into_iter().chain(is_watched().then_some("WATCHDOG_USEC"));
    keys.filter_map(|key| Some((key, env::var_os(key)?)))
}

/// Whether the watchdog's time is meant for this process.
fn is_watched() -> bool {
    let pid = env::var("WATCHDOG_PID").ok().and_then(|pid| pid.parse::<u32>().ok());
    pid.is_none_or(|pid| pid == process::id())
}

/// `@` stands for the zero byte of an abstract name.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let addr = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&addr)?;
    // A manager that does not read must not hold up the control thread.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_without_a_turn_is_not_alive() {
        let (socket, manager) = UnixDatagram::pair().expect("two descriptors");
        manager.set_nonblocking(true).expect("an option");
        let mut supervisor = Supervisor { socket: Some(socket), ..Supervisor::default() };
        let told = || {
            let mut text = [0; 16];
            manager.recv(&mut text).map(|len| String::from_utf8_lossy(&text[..len]).into_owned())
        };
        let workers: Vec<Arc<WorkerStats>> = vec![Arc::default(), Arc::default()];
        supervisor.look(&workers);
        assert_eq!(told().expect("nothing to compare with yet"), "WATCHDOG=1");
        workers[0].ring_enters.add(1);
        supervisor.look(&workers);
        assert!(told().is_err(), "worker 1 had no turn");
        workers.iter().for_each(|worker| worker.ring_enters.add(1));
        supervisor.look(&workers);
        assert_eq!(told().expect("both had one"), "WATCHDOG=1");
    }
}
