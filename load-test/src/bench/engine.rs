//! What the generator itself costs: the same load from the same server, read once as always, with
//! the audit and the histograms, and once by a reader that throws away what it reads. Both share
//! the thread that sends and those that watch.

use super::table::{Figure, Sample};
use super::{Bench, Preset, Side};
use crate::options::tell;
use crate::scenario::Plan;
use crate::{Failure, Report, Scenario, Session};

impl Bench<'_> {
    pub(super) fn engine(&self, side: Side) -> Result<Sample, Failure> {
        let scenario = self.scenario(Preset::Engine, Side::Chatd);
        let deliveries = measured_deliveries(&scenario)? as f64;
        let server = self.start(Side::Chatd, 1, &[])?;
        let session = match side {
            Side::Plain => Session::connect_plain(scenario, server.addr())?,
            _ => Session::connect(scenario, server.addr())?,
        };
        let report = session.measure(None)?;
        server.stop()?;
        let faulty = side != Side::Plain && report.audit.any_fault();
        if faulty {
            tell(&report);
        }
        let figures = vec![
            Figure::new("generator CPU per delivery", "us", cpu_s(&report) * 1e6 / deliveries),
            Figure::new("generator busy", "% of a core", report.generator.busy * 100.0),
        ];
        Ok(Sample { figures, faulty, ..Sample::default() })
    }
}

/// How many a run must make.
fn measured_deliveries(scenario: &Scenario) -> Result<u64, Failure> {
    let plan = Plan::new(scenario.clone())?;
    let measured = plan.schedule().filter(|due| due.measured);
    let receivers = measured.filter_map(|due| Some(plan.receivers(plan.sender(due.sender)?)));
    Ok(receivers.map(u64::from).sum())
}

/// CPU time of this process from the beginning of the measured time to the end of the run.
fn cpu_s(report: &Report) -> f64 {
    report.timeline.iter().map(|second| second.generator_cpu_s).sum()
}
