//! Whether the generator can be believed: how late it was itself, and how busy.

use super::units::{self, duration, joined, percent};
use super::{part, table};
use crate::limits::THREADS_DRAWN;
use crate::report::{Report, ThreadReport};
use maud::{Markup, html};

pub(super) fn section(report: &Report) -> Markup {
    let generator = &report.generator;
    let rows = [
        ("Schedule lag", "due to write", &report.schedule_lag_us),
        ("Jitter", "an idle thread's lateness", &generator.jitter_us),
    ];
    let content = html! {
        (table::percentiles("Lateness of its own", &rows))
        dl class="facts" {
            @for (name, value) in facts(report) { div { dt { (name) } dd { (value) } } }
        }
        (threads(&generator.threads))
    };
    let lead = "The generator shares the machine with the server. Where it is late or out of CPU \
                itself, latency says little about the server.";
    part("generator", "Can it be believed?", lead, content)
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let generator = &report.generator;
    let mut facts = vec![("busy", format!("{} of a core", joined(percent(generator.busy))))];
    if let Some(cpu_us) = generator.cpu_us_per_delivery {
        facts.push(("CPU a delivery", joined(duration(cpu_us))));
    }
    facts.push(("lines deferred", units::count(generator.sends_deferred)));
    facts.push(("lines not sent", units::count(generator.unsent)));
    if let Some(cores) = report.machine.others_cores {
        facts.push(("other processes", format!("{} of a core", joined(percent(cores)))));
    }
    facts
}

/// The busiest.
fn threads(threads: &[ThreadReport]) -> Markup {
    let mut threads: Vec<_> = threads.iter().collect();
    threads.sort_by(|a, b| b.busy.total_cmp(&a.busy));
    let more = threads.len().saturating_sub(THREADS_DRAWN);
    threads.truncate(THREADS_DRAWN);
    html! {
        @if !threads.is_empty() {
            table class="bars" {
                caption { "Threads" @if more > 0 { ", the busiest; " (more) " more" } }
                thead {
                    tr {
                        th scope="col" { "thread" }
                        th scope="col" { "busy" }
                        th scope="col" class="number" { "waiting for a core" }
                    }
                }
                tbody {
                    @for thread in threads {
                        tr {
                            th scope="row" { (thread.name) }
                            td { (bar(thread)) }
                            td class="number" { (tenths(thread.waiting)) }
                        }
                    }
                }
            }
        }
    }
}

/// A percentage, as exact as it is known of a run of some seconds.
fn tenths(share: f64) -> String {
    joined(percent((share * 1e3).round() / 1e3))
}

fn bar(thread: &ThreadReport) -> Markup {
    let width = (thread.busy * 100.0).clamp(0.0, 100.0);
    html! {
        span class="track" aria-hidden="true" { i style=(format!("width:{width:.1}%")) {} }
        " " (tenths(thread.busy))
    }
}
