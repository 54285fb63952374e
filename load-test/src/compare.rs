//! Two saved runs side by side, and whether the second is worse than chance explains.
//!
//! Latency and CPU vary from second to second, so their seconds are put to a test (`welch`). What
//! has one value a run, such as memory, is compared as it is.

mod welch;

use crate::limits::COMPARE_LEVEL;
use crate::options::say;
use crate::outputs::read;
use crate::report::{Percentiles, Report, Second, ServerReport, Spread, Verdict};
use crate::summary::time;
use crate::{Failure, usage};
use clap::Args;
use std::fmt::{Display, Formatter};
use std::path::PathBuf;
use welch::{Difference, Unclear, passing};

/// Which runs.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// The run to compare with, as --json has written it
    #[arg(value_name = "A.json")]
    first: PathBuf,
    /// The run to judge
    #[arg(value_name = "B.json")]
    second: PathBuf,
    /// Exit with 1 if B is worse by more than this, beyond chance, or has faults that A has not;
    /// with 98 if that cannot be told
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    fail_if_worse: Option<f64>,
}

/// Prints the comparison. Without `--fail-if-worse` nothing is judged: it passes.
pub(crate) fn execute(arguments: &CompareArguments) -> Result<Verdict, Failure> {
    let (first, second) = (read(&arguments.first)?, read(&arguments.second)?);
    if first.measured == 0 || second.measured == 0 {
        let empty = if first.measured == 0 { &arguments.first } else { &arguments.second };
        return Err(usage(format!("{} has no deliveries to compare", empty.display())));
    }
    let comparison = Comparison::new(&first, &second, arguments.fail_if_worse);
    say(&comparison)?;
    Ok(comparison.verdict())
}

/// `5%` or `5`, as a share.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let number = number.ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.map(|number| number / 100.0).ok_or_else(|| "expected a percentage, as in 5%".into())
}

struct Comparison<'a> {
    first: &'a Report,
    second: &'a Report,
    rows: Vec<Row>,
    /// As a share.
    most: Option<f64>,
}

/// A figure of both runs; more is worse.
struct Row {
    name: &'static str,
    values: (f64, f64),
    words: fn(f64) -> String,
    test: Test,
    /// By more than `--fail-if-worse`, and not by chance.
    is_worse: bool,
}

/// What a row is judged by.
enum Test {
    /// Nothing: it is there to be read.
    None,
    /// Itself, having one value a run.
    Value,
    Seconds(Result<Difference, Unclear>),
}

/// A figure of one run; none if it was not measured.
type Figure = (&'static str, fn(f64) -> String, fn(&Report) -> Option<f64>);
type OfSecond = fn(&Second) -> Option<f64>;

/// Those that have a value for each second.
const TESTED: [(Figure, OfSecond); 4] = [
    (("latency p50", time, |it| percentile(it.latency_us, |of| of.p50)), |second| {
        percentile(second.latency_us, |of| of.p50)
    }),
    (("latency p90", time, |it| percentile(it.latency_us, |of| of.p90)), |second| {
        percentile(second.latency_us, |of| of.p90)
    }),
    (("latency p99", time, |it| percentile(it.latency_us, |of| of.p99)), |second| {
        percentile(second.latency_us, |of| of.p99)
    }),
    (("server CPU a delivery", small_time, |it| it.server?.cpu_us_per_delivery), |second| {
        let cpu_s = second.server_cpu_user_s? + second.server_cpu_sys_s?;
        (second.deliveries > 0).then(|| cpu_s * 1e6 / second.deliveries as f64)
    }),
];

const RESIDENT: Figure =
    ("server memory, resident", megabytes, |it| Some(it.server?.rss_bytes as f64));

/// Those that are shown only.
const SHOWN: [Figure; 15] = [
    ("latency p99.9", time, |it| percentile(it.latency_us, |of| of.p999)),
    ("latency max", time, |it| percentile(it.latency_us, |of| of.max)),
    ("uncorrected p50", time, |it| percentile(it.latency_uncorrected_us, |of| of.p50)),
    ("uncorrected p99", time, |it| percentile(it.latency_uncorrected_us, |of| of.p99)),
    ("first receiver p50", time, |it| of_lines(it.broadcast_us.first, |of| of.p50)),
    ("middle receiver p50", time, |it| of_lines(it.broadcast_us.median, |of| of.p50)),
    ("last receiver p50", time, |it| of_lines(it.broadcast_us.last, |of| of.p50)),
    ("last receiver p99", time, |it| of_lines(it.broadcast_us.last, |of| of.p99)),
    ("connect p99", time, |it| percentile(it.connect_us, |of| of.p99)),
    ("schedule lag p99", time, |it| percentile(it.schedule_lag_us, |of| of.p99)),
    ("server CPU, own code", seconds, |it| of_server(it, |server| server.cpu_user_s)),
    ("server CPU, kernel", seconds, |it| of_server(it, |server| server.cpu_sys_s)),
    ("server memory a client", bytes, |it| of_server(it, |server| server.rss_bytes_per_connection)),
    ("socket memory", megabytes, |it| Some(it.server?.tcp_memory_bytes? as f64)),
    ("generator CPU a delivery", small_time, |it| it.generator.cpu_us_per_delivery),
];

impl<'a> Comparison<'a> {
    fn new(first: &'a Report, second: &'a Report, most: Option<f64>) -> Self {
        let tested = TESTED.into_iter().filter_map(|(figure, of_second)| {
            let series = |report: &Report| -> Vec<f64> {
                report.timeline.iter().filter_map(of_second).collect()
            };
            let test = Test::Seconds(Difference::new(&series(first), &series(second)));
            Row::new(figure, first, second, test)
        });
        let resident = Row::new(RESIDENT, first, second, Test::Value);
        let shown = SHOWN.into_iter();
        let shown = shown.filter_map(|figure| Row::new(figure, first, second, Test::None));
        let mut rows: Vec<_> = tested.chain(resident).chain(shown).collect();
        judge(&mut rows, most);
        Self { first, second, rows, most }
    }

    fn verdict(&self) -> Verdict {
        let is_void = [self.first, self.second].iter().any(|run| run.verdict == Verdict::Void);
        match self.most {
            None => Verdict::Pass,
            Some(_) if self.has_new_faults() => Verdict::Fail,
            Some(_) if is_void => Verdict::Void,
            Some(_) if self.rows.iter().any(|row| row.is_worse) => Verdict::Fail,
            Some(_) if self.rows.iter().any(Row::is_unclear) => Verdict::Void,
            Some(_) => Verdict::Pass,
        }
    }

    fn has_new_faults(&self) -> bool {
        self.second.verdict == Verdict::Fail && self.first.verdict != Verdict::Fail
    }

    /// What makes the two hard to compare.
    fn warnings(&self) -> Vec<String> {
        let (a, b) = (self.first, self.second);
        let mut warnings = Vec::new();
        for ((what, a), (_, b)) in circumstances(a).into_iter().zip(circumstances(b)) {
            if a != b {
                warnings.push(format!("the {what} differ:\n  A {a}\n  B {b}"));
            }
        }
        for (name, run) in [("A", a), ("B", b)] {
            match run.verdict {
                Verdict::Void => warnings.push(format!(
                    "{name} is void: its generator was the bottleneck, its figures say nothing"
                )),
                Verdict::Fail => warnings.push(format!(
                    "{name} has faults: {} lost, {} clients closed of {}",
                    run.audit.lost, run.audit.closed, run.clients
                )),
                Verdict::Slo | Verdict::Pass => {}
            }
        }
        warnings
    }

    /// Why seconds say nothing, once each.
    fn unclear(&self) -> Vec<String> {
        let mut whys = Vec::new();
        for row in &self.rows {
            let Test::Seconds(Err(unclear)) = row.test else { continue };
            let why = match unclear {
                Unclear::Short => "too few seconds to tell; use --duration 30s or more".to_owned(),
                Unclear::Alike => format!(
                    "{}: seconds too much like their neighbours to tell; use a longer --duration",
                    row.name
                ),
                Unclear::Zero => {
                    format!("{}: some seconds are 0, too little to be measured", row.name)
                }
            };
            if !whys.contains(&why) {
                whys.push(why);
            }
        }
        whys
    }
}

impl Row {
    fn new(figure: Figure, first: &Report, second: &Report, test: Test) -> Option<Self> {
        let (name, words, value) = figure;
        let values = (value(first)?, value(second)?);
        Some(Self { name, values, words, test, is_worse: false })
    }

    /// Of the second to the first.
    fn ratio(&self) -> Option<f64> {
        (self.values.0 > 0.0).then(|| self.values.1 / self.values.0)
    }

    fn is_unclear(&self) -> bool {
        matches!(self.test, Test::Seconds(Err(_)))
    }
}

/// What two runs have in common if they are to be compared.
fn circumstances(run: &Report) -> [(&'static str, String); 6] {
    let machine = &run.machine;
    let server_cores = machine.pinning.server.clone();
    [
        ("scenarios", run.scenario.clone()),
        ("protocols", run.protocol.clone()),
        ("kernels", machine.kernel.clone()),
        ("processors", format!("{} x {}", machine.cores, machine.cpu)),
        ("cores of the generators", machine.pinning.generator.clone()),
        ("cores of the servers", server_cores.unwrap_or_else(|| "not known".into())),
    ]
}

/// Marks what is worse by more than `most`. The rows with seconds share one level of significance.
fn judge(rows: &mut [Row], most: Option<f64>) {
    let Some(most) = most else { return };
    let p = |row: &Row| match &row.test {
        Test::Seconds(Ok(difference)) => Some(difference.p_above(1.0 + most)),
        Test::Seconds(Err(_)) | Test::Value | Test::None => None,
    };
    let beyond_chance = passing(&rows.iter().map(p).collect::<Vec<_>>(), COMPARE_LEVEL);
    for (row, beyond_chance) in rows.iter_mut().zip(beyond_chance) {
        let exceeds = row.ratio().is_some_and(|ratio| ratio > 1.0 + most);
        row.is_worse = beyond_chance || (matches!(row.test, Test::Value) && exceeds);
    }
}

impl Display for Comparison<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        for (name, run) in [("A", self.first), ("B", self.second)] {
            let other = || format!("a {} server at {}", run.protocol, run.target);
            let server = run.machine.server.clone().unwrap_or_else(other);
            let (started_at, seconds) = (&run.started_at, run.duration_s);
            writeln!(out, "{name}  {}  {started_at}, {seconds} s, {server}", run.verdict)?;
        }
        for warning in self.warnings() {
            writeln!(out, "warning: {warning}")?;
        }
        writeln!(
            out,
            "\n{:26}{:>11}{:>11}{:>10}   {:22}{:>8}",
            "", "A", "B", "change", "of the seconds, 95 %", "p"
        )?;
        for row in &self.rows {
            row.fmt(out)?;
        }
        for why in self.unclear() {
            writeln!(out, "{why}")?;
        }
        self.conclude(out)
    }
}

impl Comparison<'_> {
    fn conclude(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        let Some(most) = self.most else { return Ok(()) };
        let most = percent(1.0 + most);
        let worse: Vec<_> =
            self.rows.iter().filter(|row| row.is_worse).map(|row| row.name).collect();
        match self.verdict() {
            Verdict::Fail if worse.is_empty() => write!(out, "\nB is WORSE: it has faults"),
            Verdict::Fail => write!(out, "\nB is WORSE by more than {most}: {}", worse.join(", ")),
            Verdict::Void => write!(out, "\nIt CANNOT BE TOLD whether B is worse by {most}"),
            Verdict::Slo | Verdict::Pass => write!(out, "\nB is not worse by more than {most}"),
        }
    }
}

impl Display for Row {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        let (a, b) = ((self.words)(self.values.0), (self.words)(self.values.1));
        let change = self.ratio().map_or_else(String::new, percent);
        write!(out, "{:26}{a:>11}{b:>11}{change:>10}", self.name)?;
        if let Test::Seconds(Ok(difference)) = &self.test {
            let (low, high) = difference.interval();
            let interval = format!("{} to {}", percent(low), percent(high));
            let p = difference.p();
            let p = if p < 1e-4 { "<0.0001".into() } else { format!("{p:.4}") };
            write!(out, "   {interval:22}{p:>8}")?;
        }
        writeln!(out, "{}", if self.is_worse { "  WORSE" } else { "" })
    }
}

fn percentile(of: Percentiles, which: fn(&Percentiles) -> f64) -> Option<f64> {
    (of.count > 0).then(|| which(&of))
}

fn of_lines(of: Spread, which: fn(&Spread) -> f64) -> Option<f64> {
    (of.count > 0).then(|| which(&of))
}

fn of_server(report: &Report, which: fn(&ServerReport) -> f64) -> Option<f64> {
    report.server.as_ref().map(which)
}

/// The change that a ratio is.
fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

fn small_time(us: f64) -> String {
    format!("{us:.3} us")
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

fn bytes(bytes: f64) -> String {
    format!("{bytes:.0} B")
}

fn megabytes(bytes: f64) -> String {
    format!("{:.2} MB", bytes / 1e6)
}
