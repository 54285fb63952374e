//! What a run found, as text and as JSON.

use crate::audit::Totals;
use crate::limits::FAULT_ROWS_SHOWN;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter, Result};

/// Everything a run found. Times in microseconds unless the name says otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Whether anything went wrong.
    pub verdict: Verdict,
    /// How many connected.
    pub clients: u32,
    /// What happened to the lines, the warm-up's included.
    pub audit: Totals,
    /// Deliveries in the histograms: those of the measured time.
    pub measured: u64,
    /// From the instant a line was due to the receiver's read.
    pub latency_us: Percentiles,
    /// From its write to the receiver's read.
    pub latency_uncorrected_us: Percentiles,
    /// From the instant a line was due to its write.
    pub schedule_lag_us: Percentiles,
    /// From a client's connect until it was where it should be.
    pub connect_us: Percentiles,
    /// From the first connect until all clients were.
    pub connect_total_s: f64,
    /// How a line spreads.
    pub broadcast_us: Broadcast,
    /// The same for each group of clients.
    pub groups: Vec<GroupReport>,
    /// What the server used in the measured time, if it is known which process it is.
    pub server: Option<ServerReport>,
    /// What this process used.
    pub generator: Generator,
    /// Where the faults are.
    pub faults: Vec<FaultRow>,
}

/// Whether every line came as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It did.
    Pass,
    /// It did not; the audit says how often.
    Fault,
}

/// Of a histogram.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// Of a histogram with one value per line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// The latency of one receiver of each line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Broadcast {
    /// Who got it first.
    pub first: Spread,
    /// Before whom and after whom as many got it.
    pub median: Spread,
    /// Who got it last.
    pub last: Spread,
}

/// One group of clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name in the scenario.
    pub name: String,
    /// Deliveries in its histograms.
    pub measured: u64,
    /// From the instant a line was due to the receiver's read.
    pub latency_us: Percentiles,
    /// How a line spreads.
    pub broadcast_us: Broadcast,
}

/// The server process, from /proc.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ServerReport {
    /// CPU time in its own code, over the measured time.
    pub cpu_user_s: f64,
    /// CPU time in the kernel for it.
    pub cpu_sys_s: f64,
    /// Both, for each measured delivery.
    pub cpu_us_per_delivery: f64,
    /// Resident memory at the end, with all clients connected.
    pub rss_bytes: u64,
    /// Its growth since before the first connect, for each client.
    pub rss_bytes_per_connection: f64,
}

/// This process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Generator {
    /// CPU time for each measured delivery.
    pub cpu_us_per_delivery: f64,
    /// CPU time over the time that passed: 1 is one core without a pause.
    pub busy: f64,
    /// Lines the kernel did not take whole at once.
    pub sends_deferred: u64,
    /// Lines not sent because their sender's connection was closed.
    pub unsent: u64,
}

/// The faults between a sender and a receiver.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; Totals explains them")]
pub struct FaultRow {
    /// None: a corrupted line does not tell.
    pub sender: Option<u32>,
    pub room: u32,
    pub receiver: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    pub foreign: u64,
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let audit = &self.audit;
        writeln!(out, "{} clients welcome after {:.2} s", self.clients, self.connect_total_s)?;
        writeln!(
            out,
            "{:>34}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "us", "p50", "p90", "p99", "p99.9", "max"
        )?;
        row(out, "latency (due to read)", &self.latency_us)?;
        row(out, "uncorrected (write to read)", &self.latency_uncorrected_us)?;
        row(out, "schedule lag (due to write)", &self.schedule_lag_us)?;
        row(out, "connect (to welcome)", &self.connect_us)?;
        if self.groups.len() > 1 {
            for group in &self.groups {
                row(out, &format!("latency of {}", group.name), &group.latency_us)?;
            }
        }
        for (name, spread) in [
            ("first receiver of a line", &self.broadcast_us.first),
            ("middle receiver", &self.broadcast_us.median),
            ("last receiver", &self.broadcast_us.last),
        ] {
            let Spread { p50, p99, max } = spread;
            writeln!(out, "{name:>34}{p50:>10.0}{:>10}{p99:>10.0}{:>10}{max:>10.0}", "", "")?;
        }
        self.used(out)?;
        writeln!(
            out,
            "delivered {} of {}: lost {}, duplicated {}, reordered {}, corrupted {}, foreign {}, \
             clients closed {}",
            audit.delivered,
            audit.expected,
            audit.lost,
            audit.duplicated,
            audit.reordered,
            audit.corrupted,
            audit.foreign,
            audit.closed
        )?;
        self.fault_table(out)?;
        write!(out, "{}", if self.verdict == Verdict::Pass { "pass" } else { "FAULT" })
    }
}

impl Report {
    fn used(&self, out: &mut Formatter<'_>) -> Result {
        if let Some(server) = &self.server {
            let cpu_s = server.cpu_user_s + server.cpu_sys_s;
            writeln!(
                out,
                "server: {cpu_s:.2} s CPU, {:.3} us a delivery; {:.1} MB resident, {:.0} B a client",
                server.cpu_us_per_delivery,
                server.rss_bytes as f64 / 1e6,
                server.rss_bytes_per_connection
            )?;
        }
        let generator = &self.generator;
        writeln!(
            out,
            "generator: {:.3} us CPU a delivery, busy {:.0} % of a core",
            generator.cpu_us_per_delivery,
            generator.busy * 100.0
        )?;
        if generator.sends_deferred + generator.unsent > 0 {
            let Generator { sends_deferred, unsent, .. } = generator;
            writeln!(out, "{sends_deferred} lines had to wait for the socket, {unsent} unsent")?;
        }
        Ok(())
    }

    fn fault_table(&self, out: &mut Formatter<'_>) -> Result {
        if self.faults.is_empty() {
            return Ok(());
        }
        let names =
            ["sender", "room", "receiver", "lost", "twice", "reordered", "corrupt", "foreign"];
        let line = |out: &mut Formatter<'_>, cells: [String; 8]| {
            cells.iter().try_for_each(|cell| write!(out, "{cell:>10}"))?;
            writeln!(out)
        };
        line(out, names.map(String::from))?;
        for row in self.faults.iter().take(FAULT_ROWS_SHOWN) {
            let sender = row.sender.map_or_else(|| "?".into(), |sender| sender.to_string());
            let counts = [row.lost, row.duplicated, row.reordered, row.corrupted, row.foreign];
            let [lost, twice, reordered, corrupted, foreign] =
                counts.map(|count| count.to_string());
            let (room, receiver) = (row.room.to_string(), row.receiver.to_string());
            line(out, [sender, room, receiver, lost, twice, reordered, corrupted, foreign])?;
        }
        let more = self.faults.len().saturating_sub(FAULT_ROWS_SHOWN);
        if more > 0 {
            writeln!(out, "and {more} more pairs")?;
        }
        Ok(())
    }
}

fn row(out: &mut Formatter<'_>, name: &str, percentiles: &Percentiles) -> Result {
    let Percentiles { p50, p90, p99, p999, max } = percentiles;
    writeln!(out, "{name:>34}{p50:>10.0}{p90:>10.0}{p99:>10.0}{p999:>10.0}{max:>10.0}")
}
