//! The server between two cycles, when nobody is connected: what it says of itself, and what can be
//! seen of it from outside.

use crate::Failure;
use crate::limits::{SOAK_FIRST_LOOKS, SOAK_REST_INTERVAL};
use crate::metrics::Metrics;
use crate::server::{Watch, connections_at, tcp_sockets};
use crate::summary::count;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Where to look.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) admin: SocketAddr,
    /// None if it is on another machine.
    pub(super) watch: Option<Watch>,
    /// Where it listens.
    pub(super) ports: Vec<u16>,
}

/// What the server says at an instant, and what is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct State {
    pub(crate) connections: u64,
    pub(crate) clients: u64,
    pub(crate) accepted: u64,
    pub(crate) closed: u64,
    pub(crate) rooms: u64,
    pub(crate) feed_bytes: u64,
    pub(crate) stale_completions: u64,
    pub(crate) worker_failures: u64,
    pub(crate) seen: Option<Seen>,
    /// TCP sockets of all the machine, and the kernel's memory for their buffers.
    pub(crate) tcp_sockets: Option<u64>,
    pub(crate) tcp_memory_bytes: Option<u64>,
}

/// What /proc says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    pub(crate) rss_bytes: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Connections that the kernel has at its ports, whether it knows of them or not.
    pub(crate) sockets: u64,
}

impl Place {
    pub(super) fn look(&self) -> Result<State, Failure> {
        let metrics = Metrics::read(self.admin)?;
        let (tcp_sockets, tcp_memory_bytes) = tcp_sockets().unzip();
        Ok(State {
            connections: metrics.value("chatd_connections")?,
            clients: metrics.value("chatd_clients")?,
            accepted: metrics.value("chatd_accepted_total")?,
            closed: metrics.sum("chatd_closed_total")?,
            rooms: metrics.value("chatd_rooms")?,
            feed_bytes: metrics.value("chatd_feed_bytes")?,
            stale_completions: metrics.value("chatd_stale_completions_total")?,
            worker_failures: metrics.value("chatd_worker_failures_total")?,
            seen: self.watch.as_ref().map(|watch| self.see(watch)).transpose()?,
            tcp_sockets,
            tcp_memory_bytes,
        })
    }

    /// The server before its first client. The socket of a request that was just answered may be
    /// open for a moment yet: what is there throughout counts.
    pub(super) fn first_look(&self) -> Result<State, Failure> {
        let mut first = self.look()?;
        for _ in 1..SOAK_FIRST_LOOKS {
            std::thread::sleep(SOAK_REST_INTERVAL);
            let state = self.look()?;
            if state.descriptors() <= first.descriptors() {
                first = state;
            }
        }
        Ok(first)
    }

    fn see(&self, watch: &Watch) -> Result<Seen, Failure> {
        Ok(Seen {
            rss_bytes: watch.usage()?.rss_bytes,
            descriptors: watch.descriptors()?,
            threads: watch.threads()?,
            sockets: connections_at(&self.ports)?,
        })
    }

    /// Waits until it is as it was at the start, at most as long as it may take. Returns how long
    /// it took, and what is not at rest.
    pub(super) fn rest(
        &self,
        start: &State,
        timeout: Duration,
    ) -> Result<(Duration, State, Vec<String>), Failure> {
        let begun = Instant::now();
        loop {
            let state = self.look()?;
            let unrest = state.unrest(start);
            if unrest.is_empty() || begun.elapsed() > timeout {
                return Ok((begun.elapsed(), state, unrest));
            }
            std::thread::sleep(SOAK_REST_INTERVAL);
        }
    }
}

impl State {
    fn descriptors(&self) -> Option<u64> {
        self.seen.as_ref().map(|seen| seen.descriptors)
    }

    /// What has not come back to what it was at the start, in words.
    fn unrest(&self, start: &Self) -> Vec<String> {
        let mut rows = vec![
            ("connections", self.connections, 0),
            ("clients", self.clients, 0),
            ("rooms", self.rooms, start.rooms),
            ("bytes in feeds", self.feed_bytes, start.feed_bytes),
            ("stale completions", self.stale_completions, start.stale_completions),
            ("worker failures", self.worker_failures, start.worker_failures),
        ];
        if let Some((seen, start)) = self.seen.as_ref().zip(start.seen.as_ref()) {
            rows.extend([
                ("descriptors", seen.descriptors, start.descriptors),
                ("threads", seen.threads, start.threads),
                ("sockets", seen.sockets, 0),
            ]);
        }
        let changed = rows.into_iter().filter(|(_, value, rest)| value != rest);
        let mut unrest: Vec<_> = changed
            .map(|(name, value, rest)| format!("{name} {}, not {}", count(value), count(rest)))
            .collect();
        if self.accepted != self.closed + self.connections {
            let [accepted, closed] = [count(self.accepted), count(self.closed)];
            unrest.push(format!("accepted {accepted}, but closed {closed}"));
        }
        unrest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_does_not_come_back_is_named() {
        let seen = Seen { rss_bytes: 5, descriptors: 20, threads: 3, sockets: 0 };
        let start = State { rooms: 2, accepted: 1, closed: 1, ..State::default() };
        let start = State { seen: Some(seen.clone()), ..start };
        assert_eq!(start.unrest(&start), [""; 0]);
        let grown = Seen { rss_bytes: 9, ..seen.clone() };
        assert_eq!(State { seen: Some(grown), ..start.clone() }.unrest(&start), [""; 0]);
        let with = |change: fn(&mut State)| {
            let mut state = start.clone();
            change(&mut state);
            state.unrest(&start)
        };
        let see = |change: fn(&mut Seen)| {
            let mut seen = seen.clone();
            change(&mut seen);
            State { seen: Some(seen), ..start.clone() }.unrest(&start)
        };
        let rows = [
            (with(|state| state.clients = 1), "clients 1, not 0"),
            (with(|state| state.rooms = 3), "rooms 3, not 2"),
            (with(|state| state.feed_bytes = 4096), "bytes in feeds 4,096, not 0"),
            (with(|state| state.stale_completions = 1), "stale completions 1, not 0"),
            (with(|state| state.worker_failures = 1), "worker failures 1, not 0"),
            (with(|state| state.accepted = 2), "accepted 2, but closed 1"),
            (see(|seen| seen.descriptors = 21), "descriptors 21, not 20"),
            (see(|seen| seen.threads = 2), "threads 2, not 3"),
            (see(|seen| seen.sockets = 1), "sockets 1, not 0"),
        ];
        for (unrest, words) in rows {
            assert_eq!(unrest, [words]);
        }
        let open = with(|state| (state.accepted, state.connections) = (2, 1));
        assert_eq!(open, ["connections 1, not 0"]);
    }
}
