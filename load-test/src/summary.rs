//! A report as text.

use crate::limits::FAULT_ROWS_SHOWN;
use crate::report::{Percentiles, Report, Spread};
use std::fmt::{Display, Formatter, Result};

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
            let Spread { p50, p99, max, .. } = spread;
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
        for reason in &self.void_reasons {
            writeln!(out, "VOID: {reason}")?;
        }
        write!(out, "{}", self.verdict)
    }
}

impl Report {
    fn used(&self, out: &mut Formatter<'_>) -> Result {
        if let Some(server) = &self.server {
            let cpu_s = server.cpu_user_s + server.cpu_sys_s;
            writeln!(
                out,
                "server: {cpu_s:.2} s CPU, {:.3} us a delivery; {:.1} MB resident, {:.0} B a client",
                server.cpu_us_per_delivery.unwrap_or(0.0),
                server.rss_bytes as f64 / 1e6,
                server.rss_bytes_per_connection
            )?;
        }
        let generator = &self.generator;
        writeln!(
            out,
            "generator: {:.3} us CPU a delivery, busy {:.0} % of a core",
            generator.cpu_us_per_delivery.unwrap_or(0.0),
            generator.busy * 100.0
        )?;
        if generator.sends_deferred + generator.unsent > 0 {
            let crate::report::Generator { sends_deferred, unsent, .. } = generator;
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
    let Percentiles { p50, p90, p99, p999, max, .. } = percentiles;
    writeln!(out, "{name:>34}{p50:>10.0}{p90:>10.0}{p99:>10.0}{p999:>10.0}{max:>10.0}")
}
