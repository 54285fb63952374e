//! A server to which nobody is connected: what it had at its start it has again.

use std::fs;
use std::thread;
use std::time::Instant;

use crate::harness::{PATIENCE, Server, number};

/// What a server has while nobody is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    rooms: u64,
    /// Clients have none: they are in the tables of the rings.
    descriptors: usize,
}

/// Numbers that tell of a fault, wherever they are not zero.
const NEVER: [&str; 2] = ["chatd_stale_completions_total", "chatd_worker_failures_total"];

/// Numbers of what is there while somebody is connected.
const PRESENT: [&str; 4] =
    ["chatd_connections", "chatd_clients", "chatd_blocked_sockets", "chatd_feed_bytes"];

/// A server that serves and tells what it counts, with nobody there yet.
pub(crate) fn serving(options: &str) -> (Server, Rest) {
    let server = Server::start(&format!("--admin 127.0.0.1:0 {options}"));
    let _: String = server.logged("INFO serving");
    let rest = Rest::of(&server);
    (server, rest)
}

impl Rest {
    /// Of a server that nobody has connected to yet; it needs `--admin`.
    pub(crate) fn of(server: &Server) -> Self {
        let rest = Self::now(server);
        assert_eq!(imbalance(&server.metrics()), None, "nobody was there");
        rest
    }

    fn now(server: &Server) -> Self {
        let metrics = server.metrics();
        Self { rooms: number(&metrics, "chatd_rooms"), descriptors: descriptors(server) }
    }

    /// Waits until all is as it was. The caller's clients have left, or are leaving.
    #[track_caller]
    pub(crate) fn returns(&self, server: &Server) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let metrics = server.metrics();
            let imbalance = imbalance(&metrics);
            // A connection of the admin endpoint may take a moment to close.
            let now = Self::now(server);
            if imbalance.is_none() && now == *self {
                break;
            }
            let missing = imbalance.unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "no rest: {missing}\nnow {now:?}\nwas {self:?}\n{metrics}"
            );
            thread::yield_now();
        }
        let metrics = server.metrics();
        for name in NEVER {
            assert_eq!(number(&metrics, name), 0, "{name}:\n{metrics}");
        }
    }
}

/// Memory of the process, in KiB.
pub(crate) fn resident(server: &Server) -> u64 {
    let value = status(server, "VmRSS:").expect("it has some");
    value.strip_suffix(" kB").expect("the unit").parse().expect("a number")
}

/// What the kernel says of the process under that name (proc_pid_status(5)).
pub(crate) fn status(server: &Server, name: &str) -> Option<String> {
    let path = format!("/proc/{}/status", server.pid().as_raw_pid());
    let text = fs::read_to_string(path).expect("it runs");
    text.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
}

/// What is still there, or was lost.
fn imbalance(metrics: &str) -> Option<String> {
    let present = PRESENT.into_iter().find(|name| number(metrics, name) > 0);
    if let Some(name) = present {
        return Some(format!("{name} is {}", number(metrics, name)));
    }
    let [accepted, adopted, handed_over] = ["accepted", "adopted", "handed_over"]
        .map(|name| number(metrics, &format!("chatd_{name}_total")));
    let closed = closed(metrics);
    (accepted + adopted != closed + handed_over).then(|| {
        format!("{accepted} were accepted, {adopted} adopted, {closed} closed, {handed_over} given")
    })
}

/// Connections that ended, for whatever reason.
fn closed(metrics: &str) -> u64 {
    let count = |line: &str| -> Option<u64> {
        line.strip_prefix("chatd_closed_total{")?.split_once(' ')?.1.parse().ok()
    };
    metrics.lines().filter_map(count).sum()
}

fn descriptors(server: &Server) -> usize {
    let open = format!("/proc/{}/fd", server.pid().as_raw_pid());
    fs::read_dir(open).expect("it runs").count()
}
