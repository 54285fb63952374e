//! A pair talks in a room of its own while a line goes to 10,000 others ten times a second: does it
//! wait for them? The flood has a process of its own, which stands back behind all others (nice
//! 19); the pair is this process, on the same core. Its threads sleep until a line is due or has
//! come, and then take the core from whoever has it, because they have real-time priority
//! (SCHED_FIFO, sched(7)). Without it a process that has just begun its turn keeps the core for
//! some milliseconds, which is more than the server needs. It takes CAP_SYS_NICE and chrt(1); where
//! either is missing, the pair has normal priority and the table says so.
//!
//! The pair is measured while the flood runs, from after its first line to before its last. Its own
//! schedule lag is in its latency; the table gives it too, and says when it is not small. Where
//! others use the machine, the flood is what they starve first: its median grows and the ratio
//! flatters the server. So a run that is marked as disturbed proves nothing, whatever its verdict.

use super::generator::{Generator, Load};
use super::table::{Figure, Sample};
use super::{Bench, Preset, Side};
use crate::options::tell;
use crate::server::Watch;
use crate::{Failure, Report, Scenario, Session};
use rustix::thread::gettid;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the flood runs longer than the pair: before it begins, and after it has ended.
const FLOOD_MARGIN: Duration = Duration::from_secs(1);
/// How far the flood stands back: all the way.
const FLOOD_NICE: i32 = 19;
/// The lowest that is above all normal ones.
const REALTIME_PRIORITY: &str = "1";
/// A schedule lag above it is a good part of the pair's latency.
const LAG_MAX_US: f64 = 1000.0;

impl Bench<'_> {
    pub(super) fn quiet(&self) -> Result<Sample, Failure> {
        let server = self.start(Side::Chatd, 1, &[])?;
        let watch = Watch::new(server.pid())?;
        let mut scenario = self.scenario(Preset::Quiet, Side::Chatd);
        let mut flood = Generator::start(server.addr(), &flood_load(&scenario))?;
        flood.await_ready()?;
        scenario.groups.remove(0);
        let (pair, notes) = measure_pair(scenario, server.addr(), &watch, &mut flood)?;
        let flood = flood.report()?;
        server.stop()?;
        let faulty = pair.audit.any_fault() || flood.audit.any_fault();
        if faulty {
            tell(&format_args!("the pair: {pair}\nthe flood: {flood}"));
        }
        Ok(Sample { figures: figures(&pair, &flood), faulty, notes })
    }
}

/// In a thread of its own: those that it starts take over its priority, the rest of the program
/// does not.
fn measure_pair(
    scenario: Scenario,
    target: SocketAddr,
    watch: &Watch,
    flood: &mut Generator,
) -> Result<(Report, Vec<String>), Failure> {
    let measure = || {
        let first = is_put_first();
        let pair = Session::connect(scenario, target)?;
        flood.begin()?;
        let report = pair.measure(Some(watch))?;
        let late = report.schedule_lag_us.p99 > LAG_MAX_US;
        let notes = [
            (!first, "the pair had normal priority: its latency is also the scheduler's"),
            (late, "the pair's schedule lag p99 was above 1 ms: its lines left late"),
        ];
        let notes = notes.iter().filter(|(holds, _)| *holds).map(|(_, note)| (*note).to_owned());
        Ok((report, notes.collect()))
    };
    let measured = std::thread::scope(|scope| scope.spawn(measure).join());
    measured.map_err(|_| Failure::Run("the pair's thread failed".into()))?
}

/// Gives this thread real-time priority, if that can be had.
fn is_put_first() -> bool {
    let mut command = Command::new("chrt");
    command.args(["--fifo", "--pid", REALTIME_PRIORITY]).arg(gettid().to_string());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The first group of the scenario, in a process that outlasts the pair's warm-up and measurement.
fn flood_load(scenario: &Scenario) -> Load {
    let flood = &scenario.groups[0];
    Load {
        clients: flood.clients,
        rooms: flood.rooms,
        senders: flood.senders,
        rate: flood.rate.clone(),
        warmup: scenario.warmup,
        duration: scenario.duration + FLOOD_MARGIN,
        seed: scenario.seed,
        source: None,
        nice: FLOOD_NICE,
    }
}

fn figures(pair: &Report, flood: &Report) -> Vec<Figure> {
    let (quiet, loud) = (&pair.latency_us, &flood.latency_us);
    vec![
        Figure::new("pair p50", "ms", quiet.p50 / 1e3),
        Figure::new("pair p99", "ms", quiet.p99 / 1e3),
        Figure::new("pair's schedule lag p50", "ms", pair.schedule_lag_us.p50 / 1e3),
        Figure::new("pair's schedule lag p99", "ms", pair.schedule_lag_us.p99 / 1e3),
        Figure::new("flood p50", "ms", loud.p50 / 1e3),
        Figure::new("flood p99", "ms", loud.p99 / 1e3),
        Figure::new("flood's deliveries", "", flood.measured as f64),
        Figure::new("pair p99 / flood p50", "", quiet.p99 / loud.p50.max(f64::MIN_POSITIVE)),
    ]
}
