//! Latency by percentile, on an axis where each nine takes as much room as the one before.

use super::chart::{Plot, Point, polyline};
use super::scale::Scale;
use super::units::duration;
use super::{part, table};
use crate::hdr;
use crate::report::{Percentiles, Report};
use hdrhistogram::Histogram;
use maud::{Markup, html};

/// Points of a line: closer than a pixel on a wide screen.
const POINTS: u32 = 400;
/// Half the width of an objective's mark, of the whole.
const BOUND_HALF: f64 = 0.025;

pub(super) fn section(report: &Report) -> Markup {
    let lead = match report.latency_us.count {
        0 => "Nothing was delivered: there is only how long clients took to come.",
        _ => {
            "Latency counts from the instant a line was due to the read of each receiver, so a \
             line that was sent late is not forgiven. Uncorrected counts from the write: where \
             the two part, the server or the generator made lines wait before they were sent."
        }
    };
    let rows = [
        ("Latency", "due to read", &report.latency_us),
        ("Uncorrected", "write to read", &report.latency_uncorrected_us),
        ("Schedule lag", "due to write", &report.schedule_lag_us),
        ("Connect", "connect to welcome", &report.connect_us),
        ("Join", "request to room", &report.join_us),
    ];
    let content = html! {
        @if report.latency_us.count > 0 { (figure(report)) }
        (table::percentiles("Percentiles", &rows))
        @if report.groups.len() > 1 { (groups(report)) }
    };
    part("percentiles", "Latency by percentile", lead, content)
}

fn groups(report: &Report) -> Markup {
    let rows: Vec<_> =
        report.groups.iter().map(|group| (group.name.as_str(), "", &group.latency_us)).collect();
    table::percentiles("Latency by group of clients", &rows)
}

fn figure(report: &Report) -> Markup {
    let x = Scale::nines(report.latency_us.count);
    let latency = Line::new(report.histograms.latency.as_ref(), &report.latency_us, x);
    let uncorrected = report.histograms.latency_uncorrected.as_ref();
    let uncorrected = Line::new(uncorrected, &report.latency_uncorrected_us, x);
    let bounds = bounds(report);
    let values = latency.0.iter().chain(&uncorrected.0).map(|(_, value)| *value);
    let y = Scale::log(values.chain(bounds.iter().map(|(_, limit)| *limit)));
    let bound = |(share, limit): &(f64, f64)| {
        let (middle, height) = (x.place(*share), y.place(*limit));
        polyline(&[(middle - BOUND_HALF, height), (middle + BOUND_HALF, height)])
    };
    let plot = Plot {
        class: "tall",
        x: &x.ticks(|_| unreachable!("quantiles have words of their own")),
        y: &y.ticks(duration),
        drawing: html! {
            path class="line s2 dashed" d=(uncorrected.path(y)) {}
            path class="line s1 strong" d=(latency.path(y)) {}
            path class="line bound" d=(bounds.iter().map(bound).collect::<String>()) {}
        },
        x_words: true,
    };
    html! {
        figure {
            figcaption class="legend" {
                span class="key s1 strong" { "latency" }
                span class="key s2 dashed" { "uncorrected" }
                @if !bounds.is_empty() { span class="key bound" { "objective" } }
            }
            (plot.markup())
            p class="axis" { "share of deliveries that were at least as fast" }
        }
    }
}

/// Of the objectives, those of latency: which share of deliveries, and its limit.
fn bounds(report: &Report) -> Vec<(f64, f64)> {
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];
    let share = |name: &str| shares.iter().find(|(known, _)| *known == name);
    report.slo.iter().filter_map(|row| Some((share(&row.name)?.1, row.limit))).collect()
}

/// Places on the x axis, and latencies in microseconds.
struct Line(Vec<(f64, f64)>);

impl Line {
    /// From the histogram, or, without one, through the percentiles that are known.
    fn new(saved: Option<&String>, known: &Percentiles, x: Scale) -> Self {
        if known.count == 0 {
            return Self(Vec::new());
        }
        match saved.and_then(|saved| hdr::decode(saved)) {
            Some(histogram) => Self::of(&histogram, x),
            None => Self(
                [(0.5, known.p50), (0.9, known.p90), (0.99, known.p99), (0.999, known.p999)]
                    .into_iter()
                    .map(|(share, value)| (x.place(share), value))
                    .chain([(1.0, known.max)])
                    .collect(),
            ),
        }
    }

    fn of(histogram: &Histogram<u64>, x: Scale) -> Self {
        let value = |place: f64| {
            let share = if place < 1.0 { x.value(place) } else { 1.0 };
            histogram.value_at_quantile(share) as f64 / 1e3
        };
        let places = (0..=POINTS).map(|point| f64::from(point) / f64::from(POINTS));
        Self(places.map(|place| (place, value(place))).collect())
    }

    fn path(&self, y: Scale) -> String {
        let points: Vec<Point> =
            self.0.iter().map(|(place, value)| (*place, y.place(*value))).collect();
        polyline(&points)
    }
}
