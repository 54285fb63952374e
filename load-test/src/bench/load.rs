//! What each preset does: its scenario, one run of it, and which figures it gives.

use super::crowd::{CAPACITIES, figure_name};
use super::table::{Figure, Sample};
use super::{Bench, BenchArguments, Preset, Side, slow};
use crate::machine::Others;
use crate::options::{run_id, tell};
use crate::server::{Server, Watch, listen_drops};
use crate::{Failure, Group, Protocol, Report, Scenario, Session};
use std::path::Path;
use std::time::Duration;

/// Looks at the memory without change before it counts as settled, and how long to wait for that.
const SETTLED_READS: u32 = 5;
const SETTLED_INTERVAL: Duration = Duration::from_millis(200);
const SETTLED_TIMEOUT: Duration = Duration::from_secs(10);
/// The share of its cores above which the generator itself may be what the latency shows.
const BUSY_MAX: f64 = 0.9;

impl Preset {
    pub(super) fn describe(self, arguments: &BenchArguments) -> String {
        let groups = self.groups(arguments).into_iter().map(|group| {
            let Group { name, clients, rate, size, senders, .. } = group;
            let talk = format!(", {rate} lines/s of {size} bytes from {senders}");
            format!("{name} {clients} clients{}", if senders > 0 { talk } else { String::new() })
        });
        format!("{}: {}", self.name(), groups.collect::<Vec<_>>().join("; "))
    }

    pub(super) fn groups(self, arguments: &BenchArguments) -> Vec<Group> {
        let (clients, senders, rate) = match self {
            Self::Sparse | Self::Quiet => (10_000, 1, 10),
            Self::Busy | Self::Engine => (1000, 10, 1000),
            Self::Rate50 => (1000, 1, 50),
            Self::Rate20 => (1000, 1, 20),
            Self::Slow => {
                return slow::groups(arguments.clients.unwrap_or(1000), true);
            }
            Self::Connect | Self::Memory | Self::Joins => (10_000, 0, 10),
            Self::Capacity => {
                let named = |(workers, clients)| Group {
                    name: figure_name("lobby", workers),
                    clients: arguments.clients.unwrap_or(clients),
                    senders: 0,
                    ..Group::default()
                };
                return CAPACITIES.map(named).into();
            }
        };
        let clients = arguments.clients.unwrap_or(clients);
        let rooms = u32::from(self == Self::Joins);
        let name = if rooms > 0 { "room" } else { "lobby" };
        let (name, rate) = (name.into(), rate.into());
        let all = Group { name, clients, rooms, senders, rate, ..Group::default() };
        // By turns, one line in every 20 ms.
        let pair = Group {
            name: "pair".into(),
            clients: 2,
            rooms: 1,
            senders: 2,
            rate: 50.into(),
            jitter: true,
            ..Group::default()
        };
        if self == Self::Quiet { vec![all, pair] } else { vec![all] }
    }
}

impl Bench<'_> {
    pub(super) fn run(&self, preset: Preset, side: Side) -> Result<Sample, Failure> {
        let others = Others::new()?;
        let mut sample = match preset {
            Preset::Connect => self.connect(side),
            Preset::Memory => self.memory(),
            Preset::Capacity => self.capacity(),
            Preset::Quiet => self.quiet(),
            Preset::Slow => self.slow(side),
            Preset::Joins => self.joins(),
            Preset::Engine => self.engine(side),
            _ => self.deliver(preset, side),
        }?;
        sample.notes.extend(others.note()?);
        Ok(sample)
    }

    fn deliver(&self, preset: Preset, side: Side) -> Result<Sample, Failure> {
        let server = self.start(side, 1, &[])?;
        let watch = Watch::new(server.pid())?;
        let report = crate::run(self.scenario(preset, side), server.addr(), Some(&watch))?;
        server.stop()?;
        let faulty = report.audit.any_fault();
        if faulty {
            tell(&report);
        }
        let busy = report.generator.busy / self.arguments.pin.len().max(1) as f64;
        let notes = (busy > BUSY_MAX)
            .then(|| format!("the generator was busy {:.0} % of its cores", busy * 100.0));
        let notes = notes.into_iter().collect();
        Ok(Sample { figures: delivery_figures(&report, busy), faulty, notes })
    }

    /// From the first connect until the last client has its welcome.
    fn connect(&self, side: Side) -> Result<Sample, Failure> {
        let server = self.start(side, 1, &[])?;
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
        Ok(Sample { figures, ..Sample::default() })
    }

    fn memory(&self) -> Result<Sample, Failure> {
        let server = self.start(Side::Chatd, 1, &[])?;
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
        Ok(Sample { figures, ..Sample::default() })
    }

    pub(super) fn start(
        &self,
        side: Side,
        workers: u32,
        options: &[&str],
    ) -> Result<Server, Failure> {
        let one = [self.arguments.pin_server];
        let cpus = if workers == 1 { &one[..] } else { &self.cpus };
        match side {
            Side::Chatd | Side::Beset | Side::Engine | Side::Plain => {
                let chatd = program(self.chatd.as_deref());
                Server::start_chatd(chatd, Protocol::Telnet, workers, options, cpus)
            }
            Side::Floor => Server::start(program(self.floor.as_deref()), &["127.0.0.1:0"], cpus),
        }
    }

    pub(super) fn scenario(&self, preset: Preset, side: Side) -> Scenario {
        let plain = Scenario::default();
        Scenario {
            groups: preset.groups(self.arguments),
            duration: self.arguments.duration.unwrap_or(Duration::from_secs(10)),
            protocol: if side == Side::Floor { Protocol::Floor } else { Protocol::Telnet },
            run: run_id(plain.seed),
            ..plain
        }
    }
}

fn program(path: Option<&Path>) -> &Path {
    path.expect("the programs of all sides were found at the start")
}

pub(super) fn delivery_figures(report: &Report, busy: f64) -> Vec<Figure> {
    let server_us = report.server.and_then(|server| server.cpu_us_per_delivery);
    let own_us = report.generator.cpu_us_per_delivery;
    vec![
        Figure::new("server CPU per delivery", "us", server_us.unwrap_or(0.0)),
        Figure::new("p50", "ms", report.latency_us.p50 / 1e3),
        Figure::new("p99", "ms", report.latency_us.p99 / 1e3),
        Figure::new("schedule lag p99", "ms", report.schedule_lag_us.p99 / 1e3),
        Figure::new("lines lost", "", report.audit.lost as f64),
        Figure::new("generator CPU per delivery", "us", own_us.unwrap_or(0.0)),
        Figure::new("generator busy", "% of cores", busy * 100.0),
    ]
}
