//! What each preset does: its scenario, one run of it, and which figures it gives.

use super::crowd::Crowd;
use super::table::{Figure, Sample};
use super::{Bench, BenchArguments, Preset, Side};
use crate::args::{run_id, start_chatd};
use crate::server::{Server, Watch, listen_drops};
use crate::{Failure, Group, Protocol, Report, Scenario, Session};
use std::path::Path;
use std::time::Duration;

/// Looks at the memory without change before it counts as settled, and how long to wait for that.
const SETTLED_READS: u32 = 5;
const SETTLED_INTERVAL: Duration = Duration::from_millis(200);
const SETTLED_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients on one worker, and on three: what 20,000 descriptors must not bound.
const CAPACITIES: [(u32, u32); 2] = [(1, 19_000), (3, 40_000)];

impl Preset {
    pub(super) fn describe(self, arguments: &BenchArguments) -> String {
        let groups = self.groups(arguments).into_iter().map(|group| {
            let Group { name, clients, rate, size, senders, .. } = group;
            let talk = format!(", {rate} lines/s of {size} bytes from {senders}");
            format!("{name} {clients} clients{}", if rate > 0 { talk } else { String::new() })
        });
        let name = format!("{self:?}").to_lowercase();
        format!("{name}: {}", groups.collect::<Vec<_>>().join("; "))
    }

    fn groups(self, arguments: &BenchArguments) -> Vec<Group> {
        let (clients, senders, rate) = match self {
            Self::Sparse | Self::Quiet => (10_000, 1, 10),
            Self::Busy => (1000, 10, 1000),
            Self::Rate50 => (1000, 1, 50),
            Self::Rate20 => (1000, 1, 20),
            Self::Connect | Self::Memory => (10_000, 0, 0),
            Self::Capacity => {
                let named = |(workers, clients)| Group {
                    name: format!("{workers} workers:"),
                    clients: arguments.clients.unwrap_or(clients),
                    senders: 1,
                    rate: 1,
                    ..Group::default()
                };
                return CAPACITIES.map(named).into();
            }
        };
        let clients = arguments.clients.unwrap_or(clients);
        let lobby =
            Group { name: "lobby".into(), clients, rooms: 0, senders, rate, ..Group::default() };
        // Each of the two every 20 ms on average.
        let pair = Group {
            name: "pair".into(),
            clients: 2,
            rooms: 1,
            senders: 2,
            rate: 50,
            jitter: true,
            ..Group::default()
        };
        if self == Self::Quiet { vec![lobby, pair] } else { vec![lobby] }
    }
}

impl Bench<'_> {
    pub(super) fn run(&self, preset: Preset, side: Side) -> Result<Sample, Failure> {
        match preset {
            Preset::Connect => self.connect(side),
            Preset::Memory => self.memory(),
            Preset::Capacity => self.capacity(),
            Preset::Quiet => self.deliver(preset, side, quiet_figures),
            _ => self.deliver(preset, side, delivery_figures),
        }
    }

    fn deliver(
        &self,
        preset: Preset,
        side: Side,
        figures: fn(&Report) -> Vec<Figure>,
    ) -> Result<Sample, Failure> {
        let server = self.start(side, 1)?;
        let watch = Watch::new(server.pid())?;
        let report = crate::run(self.scenario(preset, side), server.addr(), Some(&watch))?;
        server.stop()?;
        let faulty = report.audit.any_fault();
        if faulty {
            eprintln!("{report}");
        }
        Ok(Sample { figures: figures(&report), faulty })
    }

    /// From the first connect until the last client has its welcome.
    fn connect(&self, side: Side) -> Result<Sample, Failure> {
        let server = self.start(side, 1)?;
        let drops_before = listen_drops()?;
        let session = Session::connect(self.scenario(Preset::Connect, side), server.addr())?;
        let total_s = session.connect_total_s();
        drop(session);
        let drops = listen_drops()? - drops_before;
        server.stop()?;
        let figures = vec![
            Figure::new("all welcome", "s", total_s),
            Figure::new("dropped by full listeners", "", drops as f64),
        ];
        Ok(Sample { figures, faulty: drops > 0 })
    }

    fn memory(&self) -> Result<Sample, Failure> {
        let server = self.start(Side::Chatd, 1)?;
        let watch = Watch::new(server.pid())?;
        let scenario = self.scenario(Preset::Memory, Side::Chatd);
        let clients = f64::from(scenario.groups[0].clients);
        let session = Session::connect(scenario, server.addr())?;
        let rss = watch.settled_rss_bytes(SETTLED_READS, SETTLED_INTERVAL, SETTLED_TIMEOUT)?;
        drop(session);
        server.stop()?;
        let start = watch.rss_at_start_bytes() as f64;
        let figures = vec![
            Figure::new("resident before the first", "MB", start / 1e6),
            Figure::new("growth per client", "B", (rss as f64 - start) / clients),
        ];
        Ok(Sample { figures, faulty: false })
    }

    fn capacity(&self) -> Result<Sample, Failure> {
        let mut sample = Sample { figures: Vec::new(), faulty: false };
        for (workers, clients) in CAPACITIES {
            let clients = self.arguments.clients.unwrap_or(clients);
            let server = self.start(Side::Chatd, workers)?;
            let watch = Watch::new(server.pid())?;
            let crowd = Crowd::connect(server.addr(), clients, self.arguments.duration)?;
            let rss = watch.usage()?.rss_bytes;
            let reports = crowd.measure()?;
            server.stop()?;
            let connected: u32 = reports.iter().map(|report| report.clients).sum();
            let grown = rss as f64 - watch.rss_at_start_bytes() as f64;
            let p99_us = reports.iter().map(|report| report.latency_us.p99);
            let lost: u64 = reports.iter().map(|report| report.audit.lost).sum();
            let named = |name: &str| format!("{name}, {workers} workers");
            sample.figures.extend([
                Figure::new(&named("clients welcome"), "", f64::from(connected)),
                Figure::new(&named("lines lost"), "", lost as f64),
                Figure::new(&named("worst p99"), "ms", p99_us.fold(0.0, f64::max) / 1e3),
                Figure::new(&named("growth per client"), "B", grown / f64::from(connected)),
            ]);
            sample.faulty |= reports.iter().any(|report| report.audit.any_fault());
        }
        Ok(sample)
    }

    fn start(&self, side: Side, workers: u32) -> Result<Server, Failure> {
        let one = [self.arguments.pin_server];
        let cpus = if workers == 1 { &one[..] } else { &self.cpus };
        match side {
            Side::Chatd => start_chatd(program(self.chatd.as_deref()), workers, cpus),
            Side::Floor => Server::start(program(self.floor.as_deref()), &["127.0.0.1:0"], cpus),
        }
    }

    fn scenario(&self, preset: Preset, side: Side) -> Scenario {
        let plain = Scenario::default();
        Scenario {
            groups: preset.groups(self.arguments),
            duration: self.arguments.duration.unwrap_or(Duration::from_secs(10)),
            protocol: if side == Side::Floor { Protocol::Floor } else { Protocol::Chatd },
            run: run_id(plain.seed),
            ..plain
        }
    }
}

fn program(path: Option<&Path>) -> &Path {
    path.expect("the programs of all sides were found at the start")
}

fn delivery_figures(report: &Report) -> Vec<Figure> {
    let server_us = report.server.map_or(0.0, |server| server.cpu_us_per_delivery);
    vec![
        Figure::new("server CPU per delivery", "us", server_us),
        Figure::new("p50", "ms", report.latency_us.p50 / 1e3),
        Figure::new("p99", "ms", report.latency_us.p99 / 1e3),
        Figure::new("schedule lag p99", "ms", report.schedule_lag_us.p99 / 1e3),
        Figure::new("generator CPU per delivery", "us", report.generator.cpu_us_per_delivery),
    ]
}

fn quiet_figures(report: &Report) -> Vec<Figure> {
    let [flood, pair] = [0, 1].map(|group| report.groups[group].latency_us);
    vec![
        Figure::new("pair p50", "ms", pair.p50 / 1e3),
        Figure::new("pair p99", "ms", pair.p99 / 1e3),
        Figure::new("flood p50", "ms", flood.p50 / 1e3),
        Figure::new("flood p99", "ms", flood.p99 / 1e3),
        Figure::new("pair p99 / flood p50", "", pair.p99 / flood.p50.max(f64::MIN_POSITIVE)),
    ]
}
