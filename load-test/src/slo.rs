//! What a run has to hold: `--slo p99=50ms,last_p99=100ms,lost=0`. Each name is a figure of the
//! report, each value the most it may be.

use crate::report::{Percentiles, Report, SloRow, Spread};
use crate::summary::{count, time};

/// A bound on a figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    name: String,
    /// In microseconds, bytes, or plain.
    limit: f64,
}

/// How its number is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Time,
    Bytes,
    Plain,
}

/// A kind of figure: its name, its unit, and where it is in the report. None: it was not measured.
type Figure = (&'static str, Unit, fn(&Report) -> Option<f64>);

/// Where a histogram is in the report, and a percentile in it.
type Histogram = fn(&Report) -> Percentiles;
type Percentile = fn(&Percentiles) -> f64;

/// Those that stand alone.
const FIGURES: [Figure; 16] = [
    ("lost", Unit::Plain, |report| Some(report.audit.lost as f64)),
    ("duplicated", Unit::Plain, |report| Some(report.audit.duplicated as f64)),
    ("reordered", Unit::Plain, |report| Some(report.audit.reordered as f64)),
    ("corrupted", Unit::Plain, |report| Some(report.audit.corrupted as f64)),
    ("foreign", Unit::Plain, |report| Some(report.audit.foreign as f64)),
    ("closed", Unit::Plain, |report| Some(report.audit.closed as f64)),
    ("connect_total", Unit::Time, |report| Some(report.connect_total_s * 1e6)),
    ("cpu_us_per_delivery", Unit::Plain, |report| report.server?.cpu_us_per_delivery),
    ("cpu_user_s", Unit::Plain, |report| Some(report.server?.cpu_user_s)),
    ("cpu_sys_s", Unit::Plain, |report| Some(report.server?.cpu_sys_s)),
    ("rss_bytes", Unit::Bytes, |report| Some(report.server?.rss_bytes as f64)),
    ("rss_bytes_per_connection", Unit::Bytes, |report| {
        Some(report.server?.rss_bytes_per_connection)
    }),
    ("tcp_memory_bytes", Unit::Bytes, |report| Some(report.server?.tcp_memory_bytes? as f64)),
    ("generator_cpu_us_per_delivery", Unit::Plain, |report| report.generator.cpu_us_per_delivery),
    ("sends_deferred", Unit::Plain, |report| Some(report.generator.sends_deferred as f64)),
    ("unsent", Unit::Plain, |report| Some(report.generator.unsent as f64)),
];

/// Those of which there are several percentiles, by what comes before the percentile's name.
const HISTOGRAMS: [(&str, Histogram); 9] = [
    ("", |report| report.latency_us),
    ("uncorrected_", |report| report.latency_uncorrected_us),
    ("lag_", |report| report.schedule_lag_us),
    ("connect_", |report| report.connect_us),
    ("join_", |report| report.join_us),
    ("first_", |report| of_lines(report.broadcast_us.first)),
    ("median_", |report| of_lines(report.broadcast_us.median)),
    ("last_", |report| of_lines(report.broadcast_us.last)),
    ("spread_", |report| of_lines(report.broadcast_us.spread)),
];

const PERCENTILES: [(&str, Percentile); 5] = [
    ("p50", |of| of.p50),
    ("p90", |of| of.p90),
    ("p99", |of| of.p99),
    ("p999", |of| of.p999),
    ("max", |of| of.max),
];

/// Not there for what is told of lines.
const NOT_OF_LINES: [&str; 2] = ["p90", "p999"];

/// For `--help`.
pub(crate) const HELP: &str = "\
What the run has to hold; exit code 99 if it does not

Each is NAME=MOST, several are separated by commas: --slo p99=50ms,last_p99=100ms,lost=0. Names:
  p50, p90, p99, p999, max           latency, from the instant a line was due
  uncorrected_p99, lag_p99, ...      the same from its write; how late it was written
  connect_p99, join_p99, ...         until a client is welcome; until it is in its room
  first_p50, first_p99, first_max    of each line, the latency of the first receiver,
  median_..., last_..., spread_...   the middle one, the last one, and between first and last
  connect_total                      until all clients are welcome
  lost, duplicated, reordered, corrupted, foreign, closed, sends_deferred, unsent
  cpu_us_per_delivery, cpu_user_s, cpu_sys_s, rss_bytes, rss_bytes_per_connection,
  tcp_memory_bytes                   of the server
  generator_cpu_us_per_delivery      of this program
Times are 50us, 50ms or 2s, bytes 300, 300kB, 300MB or 3GB, all others plain numbers.";

impl Slo {
    /// `NAME=MOST`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, most) = text.split_once('=').ok_or("expected NAME=MOST, as in p99=50ms")?;
        let unit = unit(name).ok_or_else(|| format!("no figure is called {name}; see --help"))?;
        let limit = unit.parse(most).ok_or_else(|| unit.expected(name))?;
        Ok(Self { name: name.into(), limit })
    }

    pub(crate) fn row(&self, report: &Report) -> SloRow {
        let value = value(&self.name, report);
        let held = value.is_some_and(|value| value <= self.limit);
        SloRow { name: self.name.clone(), limit: self.limit, value, held }
    }
}

impl Unit {
    fn parse(self, text: &str) -> Option<f64> {
        let factors: &[(&str, f64)] = match self {
            Self::Time => &[("us", 1.0), ("ms", 1e3), ("s", 1e6)],
            Self::Bytes => &[("kB", 1e3), ("MB", 1e6), ("GB", 1e9), ("B", 1.0), ("", 1.0)],
            Self::Plain => &[("", 1.0)],
        };
        let of = |(unit, factor): &(&str, f64)| {
            let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
            (number.is_finite() && number >= 0.0).then_some(number * factor)
        };
        factors.iter().find_map(of)
    }

    fn expected(self, name: &str) -> String {
        match self {
            Self::Time => format!("{name} is a time: {name}=50us, {name}=50ms or {name}=2s"),
            Self::Bytes => format!("{name} is in bytes: {name}=300, {name}=300kB or {name}=3MB"),
            Self::Plain => format!("{name} is a number without a unit: {name}=0"),
        }
    }
}

/// A value of that figure as people read it.
pub(crate) fn shown(name: &str, value: f64) -> String {
    match unit(name) {
        Some(Unit::Time) => time(value),
        Some(Unit::Bytes) if value >= 1e6 => format!("{:.2} MB", value / 1e6),
        _ if value.fract() == 0.0 => count(value),
        _ => format!("{value:.3}"),
    }
}

/// None for what has no name.
pub(crate) fn unit(name: &str) -> Option<Unit> {
    let alone = FIGURES.iter().find(|(figure, ..)| *figure == name).map(|(_, unit, _)| *unit);
    alone.or_else(|| percentile(name).map(|_| Unit::Time))
}

fn value(name: &str, report: &Report) -> Option<f64> {
    if let Some((.., value)) = FIGURES.iter().find(|(figure, ..)| *figure == name) {
        return value(report);
    }
    let (histogram, percentile) = percentile(name)?;
    let percentiles = histogram(report);
    (percentiles.count > 0).then(|| percentile(&percentiles))
}

/// The histogram of the report and which of its percentiles.
fn percentile(name: &str) -> Option<(Histogram, Percentile)> {
    let of_lines = ["first_", "median_", "last_", "spread_"];
    HISTOGRAMS.iter().find_map(|(prefix, histogram)| {
        let which = name.strip_prefix(prefix)?;
        let (_, value) = PERCENTILES.iter().find(|(percentile, _)| *percentile == which)?;
        let there = !of_lines.contains(prefix) || !NOT_OF_LINES.contains(&which);
        there.then_some((*histogram, *value))
    })
}

fn of_lines(spread: Spread) -> Percentiles {
    let Spread { p50, p99, max, count } = spread;
    Percentiles { p50, p99, max, count, ..Percentiles::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_the_unit_of_their_figure() {
        let rows = [
            ("p99=50ms", Some(50_000.0)),
            ("p999=1.5s", Some(1.5e6)),
            ("max=20us", Some(20.0)),
            ("last_p99=1s", Some(1e6)),
            ("connect_total=2s", Some(2e6)),
            ("rss_bytes=300MB", Some(3e8)),
            ("rss_bytes_per_connection=400", Some(400.0)),
            ("lost=0", Some(0.0)),
            ("cpu_us_per_delivery=0.7", Some(0.7)),
            ("p99=50", None),
            ("p99=-1ms", None),
            ("p99=infs", None),
            ("lost=1ms", None),
            ("p98=1ms", None),
            ("last_p90=1ms", None),
            ("fastest_p50=1ms", None),
            ("p99", None),
            ("", None),
        ];
        for (text, limit) in rows {
            assert_eq!(Slo::parse(text).ok().map(|slo| slo.limit), limit, "{text}");
        }
        let refusal = Slo::parse("p99=50").expect_err("it has no unit");
        assert!(refusal.contains("p99=50ms"), "{refusal}");
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let mut report = Report::default();
        let row = |text: &str, report: &Report| Slo::parse(text).expect("right").row(report);
        assert!(row("lost=0", &report).held);
        for text in ["p99=1s", "last_p99=1s", "join_p50=1s", "rss_bytes=1GB"] {
            let row = row(text, &report);
            assert!(!row.held && row.value.is_none(), "{text}");
        }
        report.latency_us = Percentiles { p99: 1000.0, count: 1, ..Percentiles::default() };
        report.broadcast_us.last = Spread { max: 2000.0, count: 1, ..Spread::default() };
        let rows = [("p99=1ms", true), ("p99=999us", false), ("last_max=2ms", true)];
        for (text, held) in rows {
            assert_eq!(row(text, &report).held, held, "{text}");
        }
    }

    #[test]
    fn every_name_is_in_the_help() {
        for (name, ..) in FIGURES {
            assert!(HELP.contains(name), "{name}");
        }
        for (prefix, _) in HISTOGRAMS {
            assert!(
                HELP.contains(&format!("{prefix}p99")) || HELP.contains(&format!("{prefix}...")),
                "{prefix}"
            );
        }
    }
}
