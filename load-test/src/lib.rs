//! A load generator for chatd that measures the way of a line from the instant it was **due** to
//! the read of each receiver, and checks that every receiver got every line once, in order,
//! unchanged.
//!
//! ```text
//! main ─▶ args ─▶ bench, peers, soak, .. ─▶ processes ─▶ session ─▶ receive, send
//!            │               │                                │           └──▶ scenario, protocol,
//!            │               └──▶ options, server             └──▶ stats       wire, audit: pure
//!            └──▶ compare, outputs ─▶ html, hdr ─▶ report           └──▶ report
//! ```
//!
//! Lines follow a fixed schedule, whatever the server does; a line that leaves late counts its
//! lateness. Latency from the actual send, and the lateness alone, are kept beside it.

pub mod args;
mod audit;
mod bench;
mod children;
mod clock;
mod compare;
mod find_max;
mod found;
mod hdr;
pub mod html;
mod jitter;
pub mod limits;
mod machine;
mod metrics;
mod middle;
mod options;
mod outcome;
mod outputs;
mod peers;
mod processes;
mod progress;
mod protocol;
mod reach;
mod receive;
pub mod report;
mod scenario;
mod send;
pub mod server;
mod session;
mod slo;
mod soak;
mod stats;
mod summary;
mod target;
mod threads;
mod timeline;
mod verdict;
mod wire;

mod written;

pub use audit::Totals;
pub use progress::Progress;
pub use protocol::Protocol;
pub use report::{Report, Verdict};
pub use scenario::{Connect, Group, Rate, Scenario, Sizes, Skew};
pub use session::Session;
pub use slo::Slo;
pub use wire::HEADER_LEN;

use server::Watch;
use std::net::SocketAddr;

/// Why there is no report.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for cannot be done: exit code 2.
    Usage(String),
    /// It was tried and went wrong: exit code 1.
    Run(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Usage(text) | Self::Run(text)) = self;
        out.write_str(text)
    }
}

impl std::error::Error for Failure {}

pub(crate) fn usage(text: String) -> Failure {
    Failure::Usage(text)
}

pub(crate) fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Run(format!("{what}: {error}"))
}

/// Connects, measures, disconnects. `watch` adds what the server used.
pub fn run(
    scenario: Scenario,
    target: SocketAddr,
    watch: Option<&Watch>,
) -> Result<Report, Failure> {
    run_showing(scenario, target, watch, None, Progress::silent())
}

/// The same, telling how far it is. `processes` share the clients; if it is not said how many, as
/// few as their descriptors allow.
pub fn run_showing(
    scenario: Scenario,
    target: SocketAddr,
    watch: Option<&Watch>,
    processes: Option<u32>,
    progress: Progress,
) -> Result<Report, Failure> {
    match processes.unwrap_or_else(|| processes::needed(&scenario)) {
        1 => Session::connect_showing(scenario, target, progress)?.measure(watch),
        processes => processes::run(scenario, target, watch, processes, progress),
    }
}
