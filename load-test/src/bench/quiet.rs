//! A pair talks in a room of its own while a line goes to 10,000 others ten times a second: does it
//! wait for them? The flood has a process of its own, which stands back behind all others (nice 19);
//! the pair is this process, at normal priority, on the same core. Its threads sleep until a line is
//! due or has come, and then take the core from the flood's. So reading the flood, which is most of
//! the work, delays the pair by a switch of processes and no more; what is left is the server's.
//!
//! The pair is measured while the flood runs, from before the first line to after the last. Its own
//! schedule lag is in its latency; the table gives it too, and says when it is not small.

use super::generator::{Generator, Load};
use super::table::{Figure, Sample};
use super::{Bench, Preset, Side};
use crate::server::Watch;
use crate::{Failure, Report, Scenario, Session};
use std::time::Duration;

/// What the flood runs longer than the pair: before it begins, and after it has ended.
const FLOOD_MARGIN: Duration = Duration::from_secs(1);
/// How far the flood stands back: all the way.
const FLOOD_NICE: i32 = 19;
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
        let pair = Session::connect(scenario, server.addr())?;
        flood.begin()?;
        let pair = pair.measure(Some(&watch))?;
        let flood = flood.report()?;
        server.stop()?;
        let faulty = pair.audit.any_fault() || flood.audit.any_fault();
        if faulty {
            eprintln!("the pair: {pair}\nthe flood: {flood}");
        }
        let notes = (pair.schedule_lag_us.p99 > LAG_MAX_US)
            .then(|| "the pair's schedule lag p99 was above 1 ms: its lines left late".to_owned());
        Ok(Sample { figures: figures(&pair, &flood), faulty, notes: notes.into_iter().collect() })
    }
}

/// The first group of the scenario, in a process that outlasts the pair's warm-up and measurement.
fn flood_load(scenario: &Scenario) -> Load {
    let flood = &scenario.groups[0];
    Load {
        clients: flood.clients,
        rooms: flood.rooms,
        senders: flood.senders,
        rate: flood.rate,
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
