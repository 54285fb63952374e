//! Capacity: more clients than one process has descriptors for. Several generator processes, each
//! with source addresses and a room of its own; all connect, then all send at once. Two clients of
//! each talk, so that everybody has a line to get.

use super::generator::{Generator, Load};
use super::table::{Figure, Sample};
use super::{Bench, Side};
use crate::options::run_id;
use crate::receive::loopback_address;
use crate::server::Watch;
use crate::{Failure, Report};
use std::net::SocketAddr;
use std::time::Duration;

/// Workers and clients: what 20,000 descriptors must not bound.
pub(super) const CAPACITIES: [(u32, u32); 2] = [(1, 19_000), (3, 40_000)];
/// Clients of one process: within 20,000 descriptors.
const CLIENTS_PER_PROCESS: u32 = 19_000;
/// How long the processes send, one line a second from each of two.
const DURATION: Duration = Duration::from_secs(3);
const SENDERS: u32 = 2;

/// What the figures of so many workers are called.
pub(super) fn figure_name(what: &str, workers: u32) -> String {
    let plural = if workers == 1 { "" } else { "s" };
    format!("{what}, {workers} worker{plural}")
}

/// Generator processes whose clients are all welcome.
struct Crowd(Vec<Generator>);

impl Crowd {
    fn connect(target: SocketAddr, clients: u32, duration: Duration) -> Result<Self, Failure> {
        let processes = clients.div_ceil(CLIENTS_PER_PROCESS);
        let start = |index: u32| {
            let load = Load {
                clients: clients / processes + u32::from(index < clients % processes),
                rooms: 1,
                senders: SENDERS,
                rate: SENDERS.into(),
                duration,
                seed: u64::from(index),
                source: Some(loopback_address(run_id(u64::from(index)))),
                ..Load::default()
            };
            Generator::start(target, &load)
        };
        let mut crowd = Self((0..processes).map(start).collect::<Result<_, _>>()?);
        crowd.0.iter_mut().try_for_each(Generator::await_ready)?;
        Ok(crowd)
    }

    /// One report of each process.
    fn measure(mut self) -> Result<Vec<Report>, Failure> {
        self.0.iter_mut().try_for_each(Generator::begin)?;
        self.0.iter_mut().map(Generator::report).collect()
    }
}

impl Bench<'_> {
    pub(super) fn capacity(&self) -> Result<Sample, Failure> {
        let mut sample = Sample::default();
        for (workers, clients) in CAPACITIES {
            self.add_capacity(workers, self.arguments.clients.unwrap_or(clients), &mut sample)?;
        }
        Ok(sample)
    }

    fn add_capacity(&self, workers: u32, clients: u32, out: &mut Sample) -> Result<(), Failure> {
        let server = self.start(Side::Chatd, workers, &[])?;
        let watch = Watch::new(server.pid())?;
        let duration = self.arguments.duration.unwrap_or(DURATION);
        let crowd = Crowd::connect(server.addr(), clients, duration)?;
        let rss = watch.usage()?.rss_bytes;
        let reports = crowd.measure()?;
        server.stop()?;
        let connected: u32 = reports.iter().map(|report| report.clients).sum();
        let grown = rss as f64 - watch.rss_at_start_bytes() as f64;
        let p99_us = reports.iter().map(|report| report.latency_us.p99);
        let total = |number: fn(&Report) -> u64| reports.iter().map(number).sum::<u64>() as f64;
        let connect_s = reports.iter().map(|report| report.connect_total_s);
        let named = |what, unit, value| Figure::new(&figure_name(what, workers), unit, value);
        out.figures.extend([
            named("welcome", "", f64::from(connected)),
            named("all welcome", "s", connect_s.fold(0.0, f64::max)),
            named("lines lost", "", total(|report| report.audit.lost)),
            named("lines got", "", total(|report| report.audit.delivered)),
            named("worst p99", "ms", p99_us.fold(0.0, f64::max) / 1e3),
            named("growth per client", "B", grown / f64::from(connected)),
        ]);
        out.faulty |= reports.iter().any(|report| report.audit.any_fault());
        Ok(())
    }
}
