//! What is read first: the verdict, the headline figures, the audit, the objectives.

use super::units::{self, Quantity, bytes, duration, joined, percent};
use super::{options, table};
use crate::report::{Percentiles, Report, Spread, Verdict};
use maud::{Markup, html};

pub(super) fn title(report: &Report) -> String {
    format!("{}: {} · {}", word(report.verdict), report.scenario, report.started_at)
}

pub(super) fn section(report: &Report) -> Markup {
    html! {
        header class=(class(report.verdict)) {
            p class="eyebrow" {
                span { "load-test" }
                span { (report.protocol) " at " (report.target) }
                time datetime=(report.started_at) { (readable(&report.started_at)) }
            }
            h1 {
                span class="badge" { (sign(report.verdict)) " " (word(report.verdict)) }
                " " (sentence(report))
            }
            @if !report.void_reasons.is_empty() {
                ul class="reasons" { @for reason in &report.void_reasons { li { (reason) } } }
            }
            p class="scenario" { (options(&report.scenario)) }
            (tiles(report))
            (audit(report))
            (table::closed(report))
            (table::objectives(report))
        }
    }
}

pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "Pass",
        Verdict::Fail => "Fail",
        Verdict::Slo => "Objective missed",
        Verdict::Void => "Void",
    }
}

/// A shape for those who do not see the colour.
pub(super) fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✕",
        Verdict::Slo => "▲",
        Verdict::Void => "∅",
    }
}

pub(super) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Slo => "slo",
        Verdict::Void => "void",
    }
}

/// `2026-11-21 16:20:09 UTC`; anything else as it is.
pub(super) fn readable(started_at: &str) -> String {
    match started_at.strip_suffix('Z').and_then(|text| text.split_once('T')) {
        Some((date, time)) => {
            format!("{date} {} UTC", time.split('.').next().unwrap_or_default())
        }
        None => started_at.to_owned(),
    }
}

fn sentence(report: &Report) -> String {
    match report.verdict {
        Verdict::Pass if report.audit.expected == 0 => "There was nothing to deliver.".into(),
        Verdict::Pass => "Every line reached everyone, once and in order.".into(),
        Verdict::Fail => faults(report),
        Verdict::Void => {
            "The generator was the bottleneck: these figures say nothing of the server.".into()
        }
        Verdict::Slo => {
            let missed = report.slo.iter().filter(|row| !row.held).count();
            format!("{missed} of {} objectives did not hold.", report.slo.len())
        }
    }
}

fn faults(report: &Report) -> String {
    let audit = &report.audit;
    let kinds = [
        (audit.lost, "lost"),
        (audit.duplicated, "duplicated"),
        (audit.reordered, "out of order"),
        (audit.corrupted, "corrupted"),
        (audit.foreign, "foreign to their room"),
    ];
    let mut parts: Vec<_> = kinds
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(number, kind)| format!("{} {kind}", units::count(number)))
        .collect();
    if audit.closed > 0 {
        let clients = if audit.closed == 1 { "client" } else { "clients" };
        parts.push(format!("{} {clients} closed by the server", units::count(audit.closed)));
    }
    if parts.is_empty() {
        return "The run went wrong.".into();
    }
    let expected = units::count(audit.expected);
    format!("Of {expected} deliveries: {}.", parts.join(", "))
}

fn tiles(report: &Report) -> Markup {
    let latency = &report.latency_us;
    let last = &report.broadcast_us.last;
    let uncorrected = of(&report.latency_uncorrected_us, |values| values.p50);
    let server = report.server.as_ref();
    let per_delivery = server.and_then(|server| server.cpu_us_per_delivery);
    let per_connection = server.map(|server| bytes(server.rss_bytes_per_connection));
    html! {
        ul class="tiles" {
            @if latency.count == 0 && report.connect_us.count > 0 {
                (arrivals(report))
            } @else {
                (tile("Latency, median", of(latency, |values| values.p50),
                    uncorrected.map(|quantity| format!("{} uncorrected", joined(quantity)))))
                (tile("Latency, p99", of(latency, |values| values.p99),
                    of(latency, |values| values.p999)
                        .map(|quantity| format!("p99.9 {}", joined(quantity)))))
                (tile("Last receiver, p99", of_lines(last, |values| values.p99),
                    of_lines(last, |values| values.p50)
                        .map(|quantity| format!("median line {}", joined(quantity)))))
            }
            (tile("Lost", Some((units::count(report.audit.lost), "")),
                Some(format!("of {} deliveries", units::count(report.audit.expected)))))
            (tile("CPU a delivery", per_delivery.map(duration), kernel_share(report)))
            (tile("Memory a client", per_connection,
                server.map(|server| format!("{} resident", joined(bytes(server.rss_bytes as f64))))))
        }
    }
}

/// Of clients who only came, instead of latencies.
fn arrivals(report: &Report) -> Markup {
    let connect = &report.connect_us;
    let clients = units::count(u64::from(report.clients));
    html! {
        (tile("Connect, median", of(connect, |values| values.p50),
            of(connect, |values| values.p90).map(|quantity| format!("p90 {}", joined(quantity)))))
        (tile("Connect, p99", of(connect, |values| values.p99),
            of(connect, |values| values.max).map(|quantity| format!("max {}", joined(quantity)))))
        (tile("All connected after", Some(duration(report.connect_total_s * 1e6)),
            Some(format!("{clients} clients"))))
    }
}

pub(super) fn tile(name: &str, value: Option<Quantity>, note: Option<String>) -> Markup {
    html! {
        li {
            h3 { (name) }
            p class="value" {
                @match value {
                    Some((number, unit)) => { (number) @if !unit.is_empty() { small { (unit) } } },
                    None => "–",
                }
            }
            p class="note" { (note.unwrap_or_else(|| "not measured".into())) }
        }
    }
}

fn of(values: &Percentiles, which: impl Fn(&Percentiles) -> f64) -> Option<Quantity> {
    (values.count > 0).then(|| duration(which(values)))
}

fn of_lines(values: &Spread, which: impl Fn(&Spread) -> f64) -> Option<Quantity> {
    (values.count > 0).then(|| duration(which(values)))
}

fn kernel_share(report: &Report) -> Option<String> {
    let server = report.server.as_ref()?;
    let all = server.cpu_user_s + server.cpu_sys_s;
    let share = (server.cpu_sys_s / all * 100.0).round();
    (all > 0.0).then(|| format!("{} in the kernel", joined(percent(share / 100.0))))
}

fn audit(report: &Report) -> Markup {
    let audit = &report.audit;
    let cells = [
        ("expected", audit.expected, false),
        ("delivered", audit.delivered, false),
        ("lost", audit.lost, true),
        ("duplicated", audit.duplicated, true),
        ("reordered", audit.reordered, true),
        ("corrupted", audit.corrupted, true),
        ("foreign", audit.foreign, true),
        ("clients closed", audit.closed, true),
    ];
    html! {
        dl class="audit" aria-label="Audit of every delivery" {
            @for (name, count, is_fault) in cells {
                div class=[(is_fault && count > 0).then_some("bad")] {
                    dt { (name) }
                    dd { (units::count(count)) }
                }
            }
        }
    }
}
