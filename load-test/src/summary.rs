//! A report as text: what matters in the first lines, then the rest.

use crate::limits::FAULT_ROWS_SHOWN;
use crate::report::{
    Churn, ClosedClient, Generator, Percentiles, Receivers, Report, ServerReport, SloRow, Spread,
    Verdict,
};
use std::fmt::{Display, Formatter, Result};

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        self.headline(out)?;
        self.void_reasons.iter().try_for_each(|reason| writeln!(out, "  - {reason}"))?;
        self.slo.iter().try_for_each(|row| slo_row(out, row))?;
        self.fault_table(out)?;
        writeln!(out)?;
        self.latencies(out)?;
        writeln!(out)?;
        self.used(out)
    }
}

impl Report {
    fn headline(&self, out: &mut Formatter<'_>) -> Result {
        let Self { verdict, audit, .. } = self;
        let clients = count(self.clients);
        let measured = count(self.measured);
        let what = match verdict {
            Verdict::Pass if audit.expected + self.measured == 0 => {
                format!("{clients} clients, nothing to deliver")
            }
            Verdict::Pass => format!("{clients} clients, {measured} deliveries, none lost"),
            Verdict::Slo => format!("{clients} clients, {measured} deliveries: not as asked"),
            Verdict::Void => "the generator was the bottleneck, not the server".into(),
            Verdict::Fail => {
                let kinds = [
                    (audit.lost, "lost"),
                    (audit.duplicated, "duplicated"),
                    (audit.reordered, "reordered"),
                    (audit.corrupted, "corrupted"),
                    (audit.foreign, "foreign"),
                    (audit.closed, "clients closed"),
                ];
                let happened = kinds.iter().filter(|(number, _)| *number > 0);
                let happened = happened.map(|(number, kind)| format!("{kind} {}", count(*number)));
                let of = count(audit.expected);
                format!("{}, of {of} deliveries", happened.collect::<Vec<_>>().join(", "))
            }
        };
        writeln!(out, "{verdict}  {what}")?;
        let mut figures = Vec::new();
        let (latency, last) = (&self.latency_us, &self.broadcast_us.last);
        if latency.count > 0 {
            figures.push(format!("p50 {}", time(latency.p50)));
            figures.push(format!("p99 {}", time(latency.p99)));
        } else if self.connect_us.count > 0 {
            figures.push(format!("all connected after {:.2} s", self.connect_total_s));
            figures.push(format!("connect p99 {}", time(self.connect_us.p99)));
            let client = self.server.map(|server| server.rss_bytes_per_connection);
            figures.extend(client.map(|bytes| format!("server {bytes:.0} B a client")));
        }
        if last.count > 0 {
            let Receivers { least, most } = self.receivers;
            let of = if least == most { String::new() } else { format!("{} to ", count(least)) };
            figures.push(format!("last of {of}{}: p99 {}", count(most), time(last.p99)));
        }
        let server_us = self.server.and_then(|server| server.cpu_us_per_delivery);
        figures.extend(server_us.map(|us| format!("server {us:.2} us CPU a delivery")));
        writeln!(out, "  {}", figures.join("    "))
    }

    fn latencies(&self, out: &mut Formatter<'_>) -> Result {
        let heads = ["p50", "p90", "p99", "p99.9", "max"];
        let mut rows = vec![(String::new(), heads.map(String::from))];
        rows.extend(row("latency, due to read", &self.latency_us));
        rows.extend(row("uncorrected, write to read", &self.latency_uncorrected_us));
        let heard: Vec<_> = self.groups.iter().filter(|group| group.measured > 0).collect();
        if heard.len() > 1 {
            let of = |name: &str| format!("latency of {name}");
            rows.extend(heard.iter().filter_map(|group| row(&of(&group.name), &group.latency_us)));
        }
        for (name, spread) in [
            ("first receiver of a line", &self.broadcast_us.first),
            ("middle receiver", &self.broadcast_us.median),
            ("last receiver", &self.broadcast_us.last),
            ("from first to last", &self.broadcast_us.spread),
        ] {
            let Spread { p50, p99, max, count } = *spread;
            if count > 0 {
                let none = String::new;
                rows.push((name.into(), [time(p50), none(), time(p99), none(), time(max)]));
            }
        }
        rows.extend(row("connect, to welcome", &self.connect_us));
        rows.extend(row("connect lag, due to begun", &self.connect_lag_us));
        rows.extend(row("join, to answer", &self.join_us));
        rows.extend(row("schedule lag, due to write", &self.schedule_lag_us));
        rows.extend(row("wake-up of an idle thread", &self.generator.jitter_us));
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        rows.iter().try_for_each(|(name, cells)| {
            let cells: String = cells.iter().map(|cell| format!("{cell:>11}")).collect();
            writeln!(out, "{}", format!("{name:<width$} {cells}").trim_end())
        })
    }

    fn used(&self, out: &mut Formatter<'_>) -> Result {
        if let Some(server) = &self.server {
            let ServerReport { cpu_user_s, cpu_sys_s, rss_bytes, rss_bytes_per_connection, .. } =
                server;
            write!(
                out,
                "server     {cpu_user_s:.2} s user, {cpu_sys_s:.2} s system; {:.1} MB resident, \
                 {rss_bytes_per_connection:.0} B a client; {} + {} switches",
                *rss_bytes as f64 / 1e6,
                count(server.voluntary_switches),
                count(server.involuntary_switches),
            )?;
            if let Some(bytes) = server.tcp_memory_bytes {
                write!(out, "; {:.1} MB in socket buffers", bytes as f64 / 1e6)?;
            }
            writeln!(out)?;
        } else if self.machine.pinning.server.is_some() {
            writeln!(out, "server     gone before the end, so its figures are not known")?;
        }
        let Generator { busy, threads, sends_deferred, unsent, .. } = &self.generator;
        write!(out, "generator  {:.0} % of a core", busy * 100.0)?;
        if let Some(us) = self.generator.cpu_us_per_delivery {
            write!(out, ", {us:.2} us a delivery")?;
        }
        let busiest = threads.iter().max_by(|a, b| a.busy.total_cmp(&b.busy));
        if let Some(busiest) = busiest {
            write!(out, "; busiest thread {} {:.0} %", busiest.name, busiest.busy * 100.0)?;
        }
        writeln!(out)?;
        if sends_deferred + unsent > 0 {
            let (deferred, unsent) = (count(*sends_deferred), count(*unsent));
            writeln!(out, "           {deferred} lines waited for the socket, {unsent} not sent")?;
        }
        if let Some(Churn { left, returned, missed }) = self.churn {
            let (left, returned, missed) = (count(left), count(returned), count(missed));
            let under_way = count(self.audit.under_way);
            write!(out, "churn      {left} left, {returned} returned, {missed} turns missed; ")?;
            writeln!(out, "{under_way} deliveries under way")?;
        }
        for closed in &self.closed_reasons {
            writeln!(out, "closed     {}: {}", count(closed.count), closed.reason)?;
        }
        self.closed_table(out)?;
        write!(out, "connected  {} clients in {:.2} s", count(self.clients), self.connect_total_s)
    }

    fn closed_table(&self, out: &mut Formatter<'_>) -> Result {
        for closed in self.closed_clients.iter().take(FAULT_ROWS_SHOWN) {
            let ClosedClient { client, room, group, reason } = closed;
            writeln!(out, "           client {client}, room {room}, group {group}: {reason}")?;
        }
        match self.audit.closed.saturating_sub(FAULT_ROWS_SHOWN as u64) {
            more if more > 0 && !self.closed_clients.is_empty() => {
                writeln!(out, "           and {} more clients", count(more))
            }
            _ => Ok(()),
        }
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

fn slo_row(out: &mut Formatter<'_>, row: &SloRow) -> Result {
    let SloRow { name, limit, value, held } = row;
    let held = if *held { "held" } else { "BROKEN" };
    let shown = |value: f64| crate::slo::shown(name, value);
    let value = value.map_or_else(|| "not measured".into(), shown);
    writeln!(out, "  {held:<8}{name:<30}{value:>14}  at most {}", shown(*limit))
}

/// Nothing if nothing was measured.
fn row(name: &str, percentiles: &Percentiles) -> Option<(String, [String; 5])> {
    let Percentiles { p50, p90, p99, p999, max, count } = *percentiles;
    (count > 0).then(|| (name.into(), [p50, p90, p99, p999, max].map(time)))
}

/// With three significant digits, in the unit that suits it.
pub(crate) fn time(us: f64) -> String {
    let (value, unit) = match us {
        us if us >= 999_500.0 => (us / 1e6, "s"),
        us if us >= 999.5 => (us / 1e3, "ms"),
        us => (us, "us"),
    };
    let places = match value {
        value if value >= 99.95 || unit == "us" => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.places$} {unit}")
}

/// A whole number with a comma after each three digits.
pub(crate) fn count(number: impl Display) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Totals;
    use crate::report::{Broadcast, ClosedReason, FaultRow, GroupReport};
    use crate::slo::Slo;

    #[test]
    fn numbers_are_short() {
        let times = [
            (0.4, "0 us"),
            (999.4, "999 us"),
            (999.6, "1.00 ms"),
            (12_345.0, "12.3 ms"),
            (123_456.0, "123 ms"),
            (1_500_000.0, "1.50 s"),
        ];
        for (us, text) in times {
            assert_eq!(time(us), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn columns_stand_under_each_other_and_only_what_was_heard_has_a_row() {
        let latency_us = Percentiles { p50: 8460.0, count: 1, ..Percentiles::default() };
        let group = |name: &str, measured| GroupReport {
            name: name.into(),
            measured,
            latency_us: Percentiles { count: measured, ..latency_us },
            broadcast_us: Broadcast::default(),
        };
        let mut report = Report {
            latency_us,
            groups: vec![group("all", 1), group("all, slow readers", 0)],
            ..Report::default()
        };
        assert!(!report.to_string().contains("latency of"), "{report}");
        report.groups[1] = group("all, slow readers", 1);
        let text = report.to_string();
        let ends: Vec<_> = text.lines().filter_map(|line| line.find("8.46 ms")).skip(1).collect();
        assert!(ends.len() == 3 && ends.iter().all(|end| *end == ends[0]), "{text}");
    }

    #[test]
    fn a_silent_crowd_is_told_by_how_it_came() {
        let mut report = Report {
            clients: 10_000,
            connect_us: Percentiles { p99: 102_000.0, count: 10_000, ..Percentiles::default() },
            connect_total_s: 1.713,
            ..Report::default()
        };
        report.hold(&[]);
        let text = report.to_string();
        let head = "PASS  10,000 clients, nothing to deliver\n  \
                    all connected after 1.71 s    connect p99 102 ms\n";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn the_first_lines_say_how_it_went() {
        let percentiles = |p50, p99| Percentiles { p50, p99, count: 1, ..Percentiles::default() };
        let last = Spread { p50: 9000.0, p99: 16_700.0, max: 16_700.0, count: 30 };
        let mut report = Report {
            clients: 1000,
            measured: 29_970,
            receivers: Receivers { least: 999, most: 999 },
            latency_us: percentiles(8460.0, 15_200.0),
            broadcast_us: Broadcast { last, ..Broadcast::default() },
            ..Report::default()
        };
        let head = |report: &Report, lines: usize| {
            let text = report.to_string();
            text.lines().take(lines).map(String::from).collect::<Vec<_>>()
        };
        let figures = "  p50 8.46 ms    p99 15.2 ms    last of 999: p99 16.7 ms";
        report.hold(&[]);
        let first = "PASS  1,000 clients, 29,970 deliveries, none lost";
        assert_eq!(head(&report, 3), [first, figures, ""]);
        report.receivers.least = 12;
        assert!(head(&report, 2)[1].ends_with("last of 12 to 999: p99 16.7 ms"));

        let gone = "server     gone before the end";
        assert!(!report.to_string().contains(gone));
        report.machine.pinning.server = Some("0".into());
        assert!(report.to_string().contains(gone));

        report.hold(
            &["p99=50ms", "last_p99=10ms", "rss_bytes=1MB"]
                .map(|slo| Slo::parse(slo).expect("right")),
        );
        let rows: Vec<_> = head(&report, 5)
            .iter()
            .map(|line| line.split_whitespace().map(String::from).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(rows[0], "SLO BREACH 1,000 clients, 29,970 deliveries: not as asked");
        assert_eq!(
            rows[2..],
            [
                "held p99 15.2 ms at most 50.0 ms",
                "BROKEN last_p99 16.7 ms at most 10.0 ms",
                "BROKEN rss_bytes not measured at most 1.00 MB"
            ]
        );

        report.schedule_lag_us = percentiles(9000.0, 9000.0);
        report.latency_uncorrected_us = percentiles(1000.0, 6200.0);
        report.hold(&[]);
        let void = head(&report, 3);
        assert_eq!(void[0], "VOID  the generator was the bottleneck, not the server");
        assert!(void[2].contains("lines left late by 9.0 ms"), "{void:?}");

        report.audit = Totals { expected: 39_960, lost: 3, closed: 1, ..Totals::default() };
        report.faults.push(FaultRow { receiver: 7, lost: 3, ..FaultRow::default() });
        report.closed_reasons.push(ClosedReason { reason: "too slow".into(), count: 1 });
        report.hold(&[]);
        let text = report.to_string();
        assert!(
            text.starts_with("FAIL  lost 3, clients closed 1, of 39,960 deliveries\n"),
            "{text}"
        );
        assert!(text.contains("closed     1: too slow\n"), "{text}");

        let who = |client| ClosedClient {
            client,
            room: 3,
            group: "all".into(),
            reason: "too slow".into(),
        };
        report.closed_clients = (7..30).map(who).collect();
        report.audit.closed = 25;
        let text = report.to_string();
        assert!(text.contains("\n           client 7, room 3, group all: too slow\n"), "{text}");
        assert!(text.contains("client 26,") && !text.contains("client 27,"), "{text}");
        assert!(text.contains("\n           and 5 more clients\n"), "{text}");
    }
}
