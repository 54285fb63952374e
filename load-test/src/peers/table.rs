//! What the runs found: one line for each server, with the medians of its runs and, round by round,
//! its ratio to chatd.

use super::peer::Peer;
use crate::report::{Report, Verdict};
use crate::summary::{count, time};
use crate::{Failure, outcome};
use serde::{Serialize, Serializer};
use std::fmt::{Display, Formatter, Result};
use std::path::PathBuf;

/// The schema of the JSON.
const SCHEMA: &str = "load-test-peers/1";

/// All of them.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    schema: &'static str,
    command: String,
    scenario: String,
    rounds: u32,
    peers: Vec<Line>,
    /// Those that are not installed.
    absent: Vec<Absent>,
}

/// A server whose runs are being made.
pub(super) struct Row {
    pub(super) peer: Peer,
    pub(super) program: Option<PathBuf>,
    runs: Vec<std::result::Result<Report, String>>,
}

/// A server whose runs are over.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    protocol: &'static str,
    version: Option<String>,
    /// The worst of its runs.
    verdict: Verdict,
    /// Medians of the runs.
    median: Figures,
    /// Medians of the ratios to chatd in the same round.
    ratio: Figures,
    /// Why a run has no report.
    failures: Vec<String>,
    runs: Vec<Report>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct Figures {
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    last_p99_us: Option<f64>,
    cpu_us_per_delivery: Option<f64>,
    rss_bytes_per_connection: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Absent {
    #[serde(serialize_with = "name")]
    peer: Peer,
    package: &'static str,
}

fn name<S: Serializer>(peer: &Peer, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.serialize_str(peer.name())
}

impl Row {
    pub(super) fn new(peer: Peer, program: Option<PathBuf>) -> Self {
        Self { peer, program, runs: Vec::new() }
    }

    /// A server that cannot be run must not keep the others from it.
    pub(super) fn take(&mut self, outcome: std::result::Result<Report, Failure>) {
        self.runs.push(outcome.map_err(|failure| failure.to_string()));
    }

    /// Of each round.
    fn figures(&self) -> Vec<Figures> {
        self.runs.iter().map(|run| run.as_ref().map_or_else(|_| none(), Figures::of)).collect()
    }
}

fn none() -> Figures {
    Figures::default()
}

impl Figures {
    fn of(report: &Report) -> Self {
        let delivered = report.measured > 0;
        Self {
            p50_us: delivered.then_some(report.latency_us.p50),
            p99_us: delivered.then_some(report.latency_us.p99),
            last_p99_us: (report.broadcast_us.last.count > 0)
                .then_some(report.broadcast_us.last.p99),
            cpu_us_per_delivery: report.server.and_then(|server| server.cpu_us_per_delivery),
            rss_bytes_per_connection: report.server.map(|server| server.rss_bytes_per_connection),
        }
    }

    fn each(self) -> [Option<f64>; 5] {
        [
            self.p50_us,
            self.p99_us,
            self.last_p99_us,
            self.cpu_us_per_delivery,
            self.rss_bytes_per_connection,
        ]
    }

    fn from_each(values: [Option<f64>; 5]) -> Self {
        let [p50_us, p99_us, last_p99_us, cpu_us_per_delivery, rss_bytes_per_connection] = values;
        Self { p50_us, p99_us, last_p99_us, cpu_us_per_delivery, rss_bytes_per_connection }
    }

    fn medians(rounds: &[Self]) -> Self {
        Self::from_each(std::array::from_fn(|index| {
            median(rounds.iter().filter_map(|figures| figures.each()[index]).collect())
        }))
    }

    /// To another's of the same round.
    fn ratio(self, other: Self) -> Self {
        let (mine, others) = (self.each(), other.each());
        Self::from_each(std::array::from_fn(|index| {
            let (mine, other) = (mine[index]?, others[index]?);
            (other > 0.0).then(|| mine / other)
        }))
    }
}

/// Of an even number, the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

impl Comparison {
    /// `rows`: chatd's is the first.
    pub(super) fn new(scenario: String, rounds: u32, rows: Vec<Row>, absent: Vec<Peer>) -> Self {
        let of_chatd = rows.first().map(Row::figures).unwrap_or_default();
        let absent = absent
            .into_iter()
            .filter_map(|peer| Some(Absent { peer, package: peer.package()? }))
            .collect();
        Self {
            schema: SCHEMA,
            command: outcome::command(),
            scenario,
            rounds,
            peers: rows.into_iter().map(|row| Line::new(row, &of_chatd)).collect(),
            absent,
        }
    }

    /// The worst of all.
    pub(super) fn verdict(&self) -> Verdict {
        worst(self.peers.iter().map(|line| line.verdict))
    }
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.fold(Verdict::Pass, |worst, verdict| match (worst, verdict) {
        (Verdict::Fail, _) | (_, Verdict::Fail) => Verdict::Fail,
        (Verdict::Void, _) | (_, Verdict::Void) => Verdict::Void,
        (Verdict::Slo, _) | (_, Verdict::Slo) => Verdict::Slo,
        (Verdict::Pass, Verdict::Pass) => Verdict::Pass,
    })
}

impl Line {
    fn new(row: Row, of_chatd: &[Figures]) -> Self {
        let rounds = row.figures();
        let ratios = rounds.iter().zip(of_chatd).map(|(mine, chatd)| mine.ratio(*chatd));
        let ratio = Figures::medians(&ratios.collect::<Vec<_>>());
        let (mut runs, mut failures) = (Vec::new(), Vec::new());
        for run in row.runs {
            match run {
                Ok(report) => runs.push(report),
                Err(failure) => failures.push(failure),
            }
        }
        let worst = worst(runs.iter().map(|run| run.verdict));
        Self {
            name: row.peer.name(),
            protocol: row.peer.protocol().name(),
            version: runs.first().and_then(|run| run.machine.server.clone()),
            verdict: if failures.is_empty() { worst } else { Verdict::Fail },
            median: Figures::medians(&rounds),
            ratio,
            failures,
            runs,
        }
    }

    /// What the audits found, all runs together.
    fn audit(&self) -> String {
        let mut sum = crate::Totals::default();
        self.runs.iter().for_each(|run| sum.add(&run.audit));
        let kinds = [
            (sum.lost, "lost"),
            (sum.duplicated, "duplicated"),
            (sum.reordered, "reordered"),
            (sum.corrupted, "corrupted"),
            (sum.foreign, "foreign"),
            (sum.closed, "closed"),
        ];
        let found = kinds.iter().filter(|(number, _)| *number > 0);
        let found: Vec<_> =
            found.map(|(number, kind)| format!("{} {kind}", count(*number))).collect();
        let void = self.runs.iter().filter(|run| run.verdict == Verdict::Void).count();
        match (&found[..], void) {
            _ if self.runs.is_empty() => "not measured".into(),
            ([], 0) => format!("{} of {}", count(sum.delivered), count(sum.expected)),
            ([], void) => format!("void in {void} of {}", self.runs.len()),
            (found, _) => found.join(", "),
        }
    }
}

impl Display for Comparison {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        writeln!(out, "load-test {}", self.scenario)?;
        writeln!(
            out,
            "Medians of the runs of each ({}), and how many times chatd's they are.\n",
            self.rounds
        )?;
        let heads = ["p50", "p99", "p99 of the last", "CPU a delivery", "memory a client"];
        write!(out, "{:<12}", "")?;
        heads.iter().try_for_each(|head| write!(out, "{head:>17}"))?;
        writeln!(out, "   audit")?;
        for line in &self.peers {
            write!(out, "{:<12}", line.name)?;
            for (index, (value, ratio)) in
                line.median.each().into_iter().zip(line.ratio.each()).enumerate()
            {
                write!(out, "{:>17}", cell(index, value, ratio))?;
            }
            writeln!(out, "   {}", line.audit())?;
        }
        for line in &self.peers {
            let reasons = line.runs.iter().flat_map(|run| &run.void_reasons);
            let closed = line.runs.iter().flat_map(|run| &run.closed_reasons);
            let closed = closed.map(|closed| format!("{} closed: {}", closed.count, closed.reason));
            for note in line.failures.iter().chain(reasons).cloned().chain(closed) {
                write!(out, "\n{}: {note}", line.name)?;
            }
        }
        for Absent { peer, package } in &self.absent {
            write!(out, "\n{} is not installed: Debian's package {package}", peer.name())?;
        }
        Ok(())
    }
}

fn cell(index: usize, value: Option<f64>, ratio: Option<f64>) -> String {
    let Some(value) = value else { return "-".into() };
    let value = match index {
        0..=2 => time(value),
        3 => format!("{value:.2} us"),
        _ => format!("{} B", count(value)),
    };
    format!("{value} {:>6}", ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Broadcast, Percentiles, ServerReport, Spread};

    fn report(p50: f64, cpu_us: f64, lost: u64) -> Report {
        let verdict = if lost > 0 { Verdict::Fail } else { Verdict::Pass };
        let last = Spread { p50, p99: p50 * 4.0, max: p50 * 5.0, count: 1 };
        Report {
            verdict,
            measured: 1,
            audit: crate::Totals { expected: 9, delivered: 9 - lost, lost, ..Default::default() },
            latency_us: Percentiles { p50, p99: p50 * 3.0, count: 9, ..Percentiles::default() },
            broadcast_us: Broadcast { last, ..Broadcast::default() },
            server: Some(ServerReport {
                cpu_us_per_delivery: Some(cpu_us),
                rss_bytes_per_connection: 1000.0,
                ..ServerReport::default()
            }),
            ..Report::default()
        }
    }

    fn row(peer: Peer, runs: Vec<std::result::Result<Report, Failure>>) -> Row {
        let mut row = Row::new(peer, None);
        runs.into_iter().for_each(|run| row.take(run));
        row
    }

    #[test]
    fn ratios_are_those_of_the_rounds() {
        let chatd = [100.0, 1000.0, 200.0].map(|p50| Ok(report(p50, 2.0, 0)));
        let nats = [300.0, 2000.0, 200.0].map(|p50| Ok(report(p50, 3.0, 0)));
        let rows = vec![row(Peer::Chatd, chatd.into()), row(Peer::Nats, nats.into())];
        let comparison = Comparison::new("--clients 9".into(), 3, rows, vec![Peer::Redis]);
        let [chatd, nats] = &comparison.peers[..] else { panic!("two") };
        assert_eq!(chatd.median.p50_us, Some(200.0));
        assert_eq!(chatd.ratio, Figures::from_each([Some(1.0); 5]));
        assert_eq!(nats.median.p50_us, Some(300.0));
        assert_eq!(nats.ratio.p50_us, Some(2.0), "of 3, 2 and 1");
        assert_eq!(nats.ratio.cpu_us_per_delivery, Some(1.5));
        assert_eq!(comparison.verdict(), Verdict::Pass);
        let text = comparison.to_string();
        assert!(text.contains("300 us  2.00x"), "{text}");
        assert!(text.contains("27 of 27"), "{text}");
        assert!(text.contains("Redis is not installed: Debian's package redis-server"), "{text}");
    }

    #[test]
    fn faults_and_failures_are_told_and_fail() {
        let failure = || Err(Failure::Run("no such port".into()));
        let rows = vec![
            row(Peer::Chatd, vec![Ok(report(1.0, 1.0, 0)), Ok(report(1.0, 1.0, 0))]),
            row(Peer::Redis, vec![Ok(report(1.0, 1.0, 4)), failure()]),
            row(Peer::Nats, vec![failure(), failure()]),
        ];
        let comparison = Comparison::new(String::new(), 2, rows, Vec::new());
        assert_eq!(comparison.verdict(), Verdict::Fail);
        let text = comparison.to_string();
        assert!(text.contains("4 lost") && text.contains("not measured"), "{text}");
        assert!(text.contains("Redis: no such port"), "{text}");
    }

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }
}
