//! Tables.

use super::part;
use super::units::{self, bytes, duration, joined, many};
use crate::limits::FAULT_ROWS_DRAWN;
use crate::report::{Percentiles, Report};
use crate::slo::{Unit, unit};
use maud::{Markup, html};

/// Percentiles side by side; what was not measured is left out.
pub(super) fn percentiles(caption: &str, rows: &[(&str, &str, &Percentiles)]) -> Markup {
    html! {
        div class="scroll" {
            table class="figures" {
                caption { (caption) }
                thead {
                    tr {
                        th scope="col" { span class="hidden" { "what" } }
                        @for name in ["p50", "p90", "p99", "p99.9", "max"] {
                            th scope="col" { (name) }
                        }
                        th scope="col" { "samples" }
                    }
                }
                tbody {
                    @for (name, meaning, values) in rows.iter().filter(|row| row.2.count > 0) {
                        tr {
                            th scope="row" { (name) small { (meaning) } }
                            @for value in [
                                values.p50, values.p90, values.p99, values.p999, values.max,
                            ] {
                                td { (joined(duration(value))) }
                            }
                            td { (units::count(values.count)) }
                        }
                    }
                }
            }
        }
    }
}

/// What the server said when it closed clients.
pub(super) fn closed(report: &Report) -> Markup {
    let shown = report.closed_reasons.iter().take(FAULT_ROWS_DRAWN);
    html! {
        @if !report.closed_reasons.is_empty() {
            table class="words" {
                caption { "Clients closed by the server" }
                thead { tr { th scope="col" { "clients" } th scope="col" { "what it said" } } }
                tbody {
                    @for closed in shown {
                        tr { td { (units::count(closed.count)) } td { (closed.reason) } }
                    }
                }
            }
        }
    }
}

/// What was asked for with `--slo`.
pub(super) fn objectives(report: &Report) -> Markup {
    html! {
        @if !report.slo.is_empty() {
            table class="words" {
                caption { "Objectives" }
                thead {
                    tr {
                        th scope="col" { "held" }
                        th scope="col" { "figure" }
                        th scope="col" class="number" { "at most" }
                        th scope="col" class="number" { "was" }
                    }
                }
                tbody {
                    @for row in &report.slo {
                        tr class=[(!row.held).then_some("bad")] {
                            td { @if row.held { "✓ yes" } @else { "✕ no" } }
                            td { (row.name) }
                            td class="number" { (bound(&row.name, row.limit)) }
                            td class="number" {
                                @match row.value {
                                    Some(value) => (bound(&row.name, value)),
                                    None => "not measured",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn bound(name: &str, value: f64) -> String {
    joined(match unit(name) {
        Some(Unit::Time) => duration(value),
        Some(Unit::Bytes) => bytes(value),
        Some(Unit::Plain) | None => many(value),
    })
}

/// Between whom lines went wrong.
pub(super) fn faults(report: &Report) -> Markup {
    let kinds = ["lost", "duplicated", "reordered", "corrupted", "foreign"];
    let (all, shown) = (report.faults.len(), report.faults.len().min(FAULT_ROWS_DRAWN));
    let content = html! {
        div class="scroll" {
            table class="figures" {
                caption {
                    @if shown < all {
                        (units::count(shown as u64)) " of " (units::count(all as u64)) " listed pairs"
                    } @else {
                        "Pairs of a sender and a receiver"
                    }
                }
                thead {
                    tr {
                        @for name in ["room", "sender", "receiver"].into_iter().chain(kinds) {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for row in &report.faults[..shown] {
                        tr {
                            td { (row.room) }
                            td { @match row.sender { Some(sender) => (sender), None => "?" } }
                            td { (row.receiver) }
                            @for count in [
                                row.lost, row.duplicated, row.reordered, row.corrupted, row.foreign,
                            ] {
                                td class=[(count > 0).then_some("bad")] { (units::count(count)) }
                            }
                        }
                    }
                }
            }
        }
    };
    let lead = "Every stream from a sender to a receiver is checked by itself. Clients, rooms and \
                senders are numbered from 0.";
    if all == 0 {
        html! {}
    } else {
        part("faults", "Where the faults are", lead, content)
    }
}
