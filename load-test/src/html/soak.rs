//! A soak as a page: verdict, the curves on one axis, and the cycles as a table.

use super::chart::{Plot, Point, polyline};
use super::head::{class, readable, sign, tile, word};
use super::part;
use super::scale::{Scale, Tick};
use super::units::{self, Quantity, bytes, clock, joined, many};
use crate::limits::SOAK_ROWS_DRAWN;
use crate::report::Verdict;
use crate::soak::{Cycle, Sample, Soak};
use maud::{Markup, html};

pub(super) fn title(soak: &Soak) -> String {
    format!("{}: soak · {}", word(soak.verdict), soak.started_at)
}

pub(super) fn content(soak: &Soak) -> Markup {
    html! {
        header class=(class(soak.verdict)) {
            p class="eyebrow" {
                span { "load-test soak" }
                @if let Some(version) = &soak.version { span { (version) } }
                time datetime=(soak.started_at) { (readable(&soak.started_at)) }
            }
            h1 {
                span class="badge" { (sign(soak.verdict)) " " (word(soak.verdict)) }
                " " (sentence(soak))
            }
            @if !soak.reasons.is_empty() {
                ul class="reasons" {
                    @for reason in soak.reasons.iter().take(SOAK_ROWS_DRAWN) { li { (reason) } }
                }
            }
            (tiles(soak))
        }
        main {
            (curves(soak))
            (cycles(&soak.cycles))
            (origin(soak))
        }
    }
}

fn sentence(soak: &Soak) -> &'static str {
    match soak.verdict {
        Verdict::Pass => {
            "After every cycle the server came back to rest, and no phase had a fault."
        }
        Verdict::Void => "It was too short to tell.",
        Verdict::Fail | Verdict::Slo => "A phase had a fault, or something did not come back.",
    }
}

fn tiles(soak: &Soak) -> Markup {
    let phases: usize = soak.cycles.iter().map(|cycle| cycle.phases.len()).sum();
    let accepted = soak.cycles.last().map_or(0, |cycle| cycle.rest.accepted);
    let connections = accepted.saturating_sub(soak.start.accepted);
    let growth = soak.growth.as_ref();
    let descriptors = soak.cycles.last().and_then(|cycle| cycle.rest.seen.as_ref());
    let of = |number: u64| Some((units::count(number), ""));
    html! {
        ul class="tiles" {
            (tile("Time", Some((clock(soak.lasted_s, soak.lasted_s), "")),
                Some(format!("{} cycles, {phases} phases", soak.cycles.len()))))
            (tile("Connections", of(connections), Some("made, and all ended".into())))
            (tile("Deliveries", of(soak.audit.delivered),
                Some(format!("of {} expected", units::count(soak.audit.expected)))))
            (tile("Lost", of(soak.audit.lost), Some("of all phases".into())))
            (tile("Memory at rest", growth.map(|growth| bytes(growth.last_third_bytes as f64)),
                growth.map(|growth| {
                    let [first, most] = [growth.first_third_bytes, growth.limit_bytes]
                        .map(|size| joined(bytes(size as f64)));
                    format!("first third {first}, at most {most}")
                })))
            (tile("Descriptors at rest", descriptors.and_then(|seen| of(seen.descriptors)),
                soak.start.seen.as_ref().map(|seen| format!("{} at the start", seen.descriptors))))
        }
    }
}

/// A line through samples, and one through the rests.
struct Curve {
    name: &'static str,
    loaded: Vec<(f64, f64)>,
    at_rest: Vec<(f64, f64)>,
    words: fn(f64) -> Quantity,
}

fn curves(soak: &Soak) -> Markup {
    let x = Scale::time(soak.lasted_s);
    let ticks = x.ticks(|value| (clock(value, soak.lasted_s), ""));
    let loaded = |of: fn(&Sample) -> Option<u64>| -> Vec<_> {
        let points = soak.samples.iter();
        points.filter_map(|sample| Some((sample.at_s, of(sample)? as f64))).collect()
    };
    let at_rest = |of: fn(&Cycle) -> Option<u64>| -> Vec<_> {
        let points = soak.cycles.iter();
        points.filter_map(|cycle| Some((cycle.at_s, of(cycle)? as f64))).collect()
    };
    let curves = [
        Curve {
            name: "Resident memory",
            loaded: loaded(|sample| sample.rss_bytes),
            at_rest: at_rest(|cycle| Some(cycle.rest.seen.as_ref()?.rss_bytes)),
            words: bytes,
        },
        Curve {
            name: "Connections",
            loaded: loaded(|sample| Some(sample.connections)),
            at_rest: at_rest(|cycle| Some(cycle.rest.connections)),
            words: many,
        },
        Curve {
            name: "Open descriptors",
            loaded: loaded(|sample| sample.descriptors),
            at_rest: at_rest(|cycle| Some(cycle.rest.seen.as_ref()?.descriptors)),
            words: many,
        },
        Curve {
            name: "Socket buffers of the machine",
            loaded: loaded(|sample| sample.tcp_memory_bytes),
            at_rest: at_rest(|cycle| cycle.rest.tcp_memory_bytes),
            words: bytes,
        },
    ];
    let drawn: Vec<_> = curves
        .iter()
        .filter(|curve| !curve.loaded.is_empty() || !curve.at_rest.is_empty())
        .collect();
    let content = html! {
        figure class="time" {
            @for (index, curve) in drawn.iter().enumerate() {
                (curve.markup(x, &ticks, index + 1 == drawn.len()))
            }
            p class="axis" { "time since the start" }
        }
    };
    let lead = "Under load, and at rest after each cycle, when everybody has left. A server that \
                keeps something shows it at rest.";
    part("curves", "Over time", lead, content)
}

impl Curve {
    fn markup(&self, x: Scale, ticks: &[Tick], is_last: bool) -> Markup {
        let values = self.loaded.iter().chain(&self.at_rest);
        let y = Scale::linear(values.map(|(_, value)| *value).fold(0.0, f64::max), 2.0);
        let line = |points: &[(f64, f64)]| {
            let places = points.iter().map(|(at_s, value)| (x.place(*at_s), y.place(*value)));
            polyline(&places.collect::<Vec<Point>>())
        };
        let drawing = html! {
            path class="line s1" d=(line(&self.loaded)) {}
            path class="line s2 strong" d=(line(&self.at_rest)) {}
        };
        let y = y.ticks(self.words);
        let plot = Plot { class: "low", x: ticks, y: &y, drawing, x_words: is_last };
        html! {
            div class="strip" {
                p class="legend" {
                    b { (self.name) }
                    span class="key s1" { "under load" }
                    span class="key s2 strong" { "at rest" }
                }
                (plot.markup())
            }
        }
    }
}

fn cycles(cycles: &[Cycle]) -> Markup {
    let end_s = cycles.last().map_or(0.0, |cycle| cycle.at_s);
    let number = |value: Option<u64>| value.map_or_else(|| "–".into(), units::count);
    let memory =
        |value: Option<u64>| value.map_or_else(|| "–".into(), |size| joined(bytes(size as f64)));
    let content = html! {
        div class="scroll" {
            table class="figures" {
                thead {
                    tr {
                        @for name in ["cycle", "at", "phases", "connections", "to rest", "memory",
                            "descriptors", "threads", "sockets", "faults"] {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for cycle in cycles.iter().take(SOAK_ROWS_DRAWN) {
                        @let seen = cycle.rest.seen.as_ref();
                        @let faults = cycle.faults();
                        tr {
                            th scope="row" { (cycle.number) }
                            td { (clock(cycle.at_s, end_s)) }
                            td { (cycle.phases.len()) }
                            td { (units::count(cycle.connections_most)) }
                            td { (joined(units::duration(cycle.rest_s * 1e6))) }
                            td { (memory(seen.map(|seen| seen.rss_bytes))) }
                            td { (number(seen.map(|seen| seen.descriptors))) }
                            td { (number(seen.map(|seen| seen.threads))) }
                            td { (number(seen.map(|seen| seen.sockets))) }
                            td class=[(!faults.is_empty()).then_some("bad")] { (faults.len()) }
                        }
                    }
                }
            }
        }
    };
    let left_out = cycles.len().saturating_sub(SOAK_ROWS_DRAWN);
    let lead = match left_out {
        0 => "The most connections under load; the rest as it was at rest.".to_owned(),
        _ => format!("The first {SOAK_ROWS_DRAWN}; the JSON has {left_out} more."),
    };
    part("cycles", "Cycles", &lead, content)
}

fn origin(soak: &Soak) -> Markup {
    let content = html! {
        pre { code { (soak.command) } }
        dl class="facts" {
            div { dt { "seed" } dd { (soak.seed) } }
            div { dt { "schema" } dd { (soak.schema) } }
        }
    };
    let lead = "The same seed gives the same phases, in the same order and sizes.";
    part("origin", "Do it again", lead, content)
}
