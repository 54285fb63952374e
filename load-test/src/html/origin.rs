//! What it takes to do it again: command, seed, machine, versions.

use super::units::{self, bytes, joined};
use super::{options, part};
use crate::report::Report;
use maud::{Markup, html};

pub(super) fn section(report: &Report) -> Markup {
    let content = html! {
        pre { code { (options(&report.command)) } }
        dl class="facts" {
            @for (name, value) in facts(report) { div { dt { (name) } dd { (value) } } }
        }
    };
    let lead = "The same command with the same seed sends the same lines at the same instants.";
    part("origin", "Do it again", lead, content)
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let machine = &report.machine;
    let cores = if machine.cores == 1 { "core" } else { "cores" };
    let unknown = || "not known".to_owned();
    let of_server = machine.pinning.server.clone();
    vec![
        ("seed", report.seed.to_string()),
        ("measured", format!("{} s", report.duration_s)),
        ("clients", units::count(u64::from(report.clients))),
        ("all connected after", format!("{:.2} s", report.connect_total_s)),
        ("target", report.target.clone()),
        ("protocol", report.protocol.clone()),
        ("server", machine.server.clone().unwrap_or_else(unknown)),
        ("load-test", machine.load_test.clone()),
        ("Linux", machine.kernel.clone()),
        ("processor", format!("{}, {} {cores}", machine.cpu, machine.cores)),
        ("memory", joined(bytes(machine.memory_bytes as f64))),
        ("descriptors", units::count(machine.nofile)),
        ("generator on cores", machine.pinning.generator.clone()),
        ("server on cores", of_server.unwrap_or_else(unknown)),
        ("schema", report.schema.clone()),
    ]
}
