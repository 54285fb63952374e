//! 700 people in two rooms talk, with 300 beside them who do not read, and without: in turns. Do
//! the 700 notice, when does the server get rid of the others, and what does the kernel keep for
//! them meanwhile? In one room the others read nothing at all, in the other a few bytes a second.

use super::load::delivery_figures;
use super::table::{Figure, Sample};
use super::{Bench, BenchArguments, Preset, Side};
use crate::metrics::Metrics;
use crate::options::tell;
use crate::server::{Watch, tcp_sockets};
use crate::{Failure, Group};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Of a hundred clients so many read slowly.
const SLOW_PERCENT: u32 = 30;
/// Bytes a second of those who read at all: a room gets a hundred times as much.
const TRICKLE_RATE: u32 = 100;
/// Between two looks at the server and the kernel.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const SLOW: &str = "chatd_closed_total{reason=\"slow\"}";

/// Two rooms of so many clients in all, or of those of them who read.
pub(super) fn groups(clients: u32, with_slow: bool) -> Vec<Group> {
    let room = |name: &str, slow_rate| {
        let (all, slow) = (clients / 2, clients / 2 * SLOW_PERCENT / 100);
        Group {
            name: name.into(),
            clients: if with_slow { all } else { all - slow },
            rooms: 1,
            senders: 10,
            rate: 20.into(),
            size: 500.into(),
            slow: if with_slow { slow } else { 0 },
            slow_rate: if with_slow { slow_rate } else { 0 },
            ..Group::default()
        }
    };
    vec![room("deaf", 0), room("trickle", TRICKLE_RATE)]
}

/// How many of them read slowly.
pub(super) fn count(arguments: &BenchArguments) -> f64 {
    let groups = Preset::Slow.groups(arguments);
    groups.iter().map(|group| f64::from(group.slow)).sum()
}

/// What was seen of the slow readers and of the kernel.
#[derive(Default)]
struct Seen {
    blocked_at: Option<Instant>,
    closed: u64,
    closed_at: Option<Instant>,
    tcp_bytes_before: u64,
    tcp_bytes_max: u64,
}

impl Bench<'_> {
    pub(super) fn slow(&self, side: Side) -> Result<Sample, Failure> {
        let mut scenario = self.scenario(Preset::Slow, side);
        scenario.duration = self.arguments.duration.unwrap_or(Duration::from_secs(20));
        let clients: u32 = scenario.groups.iter().map(|group| group.clients).sum();
        scenario.groups = groups(clients, side == Side::Beset);
        let server = self.start(Side::Chatd, 1, &["--admin", "127.0.0.1:0"])?;
        let admin = server.await_admin()?;
        let watch = Watch::new(server.pid())?;
        let (over, is_over) = channel::<()>();
        let (report, seen) = std::thread::scope(|scope| {
            let seen = scope.spawn(move || look(admin, &is_over));
            let report = crate::run(scenario, server.addr(), Some(&watch));
            drop(over);
            (report, seen.join())
        });
        let report = report?;
        let seen = seen.map_err(|_| Failure::Run("a thread of the generator failed".into()))??;
        server.stop()?;
        let faulty = report.audit.any_fault();
        if faulty {
            tell(&report);
        }
        let busy = report.generator.busy / self.arguments.pin.len().max(1) as f64;
        let mut figures = delivery_figures(&report, busy);
        figures.extend(seen.figures());
        Ok(Sample { figures, faulty, notes: Vec::new() })
    }
}

impl Seen {
    fn figures(&self) -> [Figure; 3] {
        let gone_s = self.blocked_at.zip(self.closed_at);
        let gone_s = gone_s.map_or(0.0, |(from, to)| to.duration_since(from).as_secs_f64());
        let grown = self.tcp_bytes_max.saturating_sub(self.tcp_bytes_before);
        [
            Figure::new("slow readers closed", "", self.closed as f64),
            Figure::new("from the first full socket to that", "s", gone_s),
            Figure::new("socket memory at most", "MB", grown as f64 / 1e6),
        ]
    }
}

/// Until it is over.
fn look(admin: SocketAddr, over: &Receiver<()>) -> Result<Seen, Failure> {
    let tcp_bytes = || tcp_sockets().map_or(0, |(_, bytes)| bytes);
    let mut seen = Seen { tcp_bytes_before: tcp_bytes(), ..Seen::default() };
    while over.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        let metrics = Metrics::read(admin)?;
        if metrics.value("chatd_blocked_sockets")? > 0 {
            seen.blocked_at.get_or_insert_with(Instant::now);
        }
        let closed = metrics.value(SLOW)?;
        if closed > seen.closed {
            (seen.closed, seen.closed_at) = (closed, Some(Instant::now()));
        }
        seen.tcp_bytes_max = seen.tcp_bytes_max.max(tcp_bytes());
    }
    Ok(seen)
}
