//! The shape of a broadcast: when the first, the middle and the last receiver of a line had it.

use super::chart::{Plot, area, polyline, steps};
use super::part;
use super::scale::Scale;
use super::units::{duration, joined};
use crate::hdr;
use crate::report::{Report, Spread};
use hdrhistogram::Histogram;
use maud::{Markup, html};

/// Bars of a shape.
const BARS: usize = 96;
/// Of the highest bar.
const HEIGHT: f64 = 0.94;

pub(super) fn section(report: &Report) -> Markup {
    let (values, saved) = (&report.broadcast_us, &report.histograms);
    if values.last.count == 0 {
        return html! {};
    }
    let rows = [
        ("First receiver", "s3", &values.first, &saved.first),
        ("Middle receiver", "s1", &values.median, &saved.median),
        ("Last receiver", "s2", &values.last, &saved.last),
        ("From first to last", "s4", &values.spread, &saved.spread),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|(_, _, spread, _)| spread.count > 0)
        .map(|(name, class, spread, saved)| Shape {
            name,
            class,
            spread,
            histogram: saved.as_deref().and_then(hdr::decode),
        })
        .collect();
    let x = Scale::log(rows.iter().flat_map(Shape::ends));
    let content = html! {
        div class="shapes" role="table" aria-label="Shape of a broadcast" {
            div class="shape" role="row" {
                span role="columnheader" class="hidden" { "receiver" }
                span role="columnheader" { "p50" }
                span role="columnheader" { "p99" }
                span role="columnheader" { "max" }
            }
            @for (index, row) in rows.iter().enumerate() {
                (row.markup(x, index + 1 == rows.len()))
            }
        }
    };
    let lead = "For each line, when its first, its middle and its last receiver had it. The height \
                is the share of lines; the strokes are p50 and p99.";
    part("broadcast", "Shape of a broadcast", lead, content)
}

struct Shape<'a> {
    name: &'static str,
    class: &'static str,
    spread: &'a Spread,
    histogram: Option<Histogram<u64>>,
}

impl Shape<'_> {
    /// The range in which its lines are, in microseconds.
    fn ends(&self) -> [f64; 2] {
        let least = self.histogram.as_ref().map(|histogram| histogram.min() as f64 / 1e3);
        [least.unwrap_or(self.spread.p50), self.spread.max]
    }

    fn markup(&self, x: Scale, is_last: bool) -> Markup {
        let stroke = |value: f64| polyline(&[(x.place(value), 0.0), (x.place(value), 1.0)]);
        let drawing = html! {
            @if let Some(histogram) = &self.histogram {
                path class={ "area " (self.class) } d=(bars(histogram, x)) {}
            }
            path class={ "line strong " (self.class) } d=(stroke(self.spread.p50)) {}
            path class={ "line dashed " (self.class) } d=(stroke(self.spread.p99)) {}
        };
        let ticks = x.ticks(duration);
        let plot = Plot { class: "ridge", x: &ticks, y: &[], drawing, x_words: is_last };
        html! {
            div class="shape" role="row" {
                span class="name" role="rowheader" { (self.name) }
                @for value in [self.spread.p50, self.spread.p99, self.spread.max] {
                    span class="number" role="cell" { (joined(duration(value))) }
                }
                (plot.markup())
            }
        }
    }
}

/// The share of values in each of the bars, the highest of which fills the drawing.
fn bars(histogram: &Histogram<u64>, x: Scale) -> String {
    let edges: Vec<f64> = (0..=BARS).map(|bar| bar as f64 / BARS as f64).collect();
    let mut counts = [0u64; BARS];
    for value in histogram.iter_recorded() {
        let place = x.place(value.value_iterated_to() as f64 / 1e3);
        let bar = edges[1..BARS].partition_point(|edge| *edge <= place);
        counts[bar] += value.count_at_value();
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let line = |height: fn(f64) -> f64| {
        let bar = |(bar, count): (usize, &u64)| {
            (edges[bar], edges[bar + 1], height(*count as f64 / most))
        };
        steps(counts.iter().enumerate().map(bar))
    };
    area(&line(|share| share * HEIGHT), &line(|_| 0.0))
}
