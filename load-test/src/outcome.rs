//! Adds up what the threads of a run found into its report.

use crate::audit::{Faults, Where};
use crate::limits::FAULT_ROWS_MAX;
use crate::machine::Others;
use crate::receive::Received;
use crate::report::{
    Churn, ClosedReason, FaultRow, Generator, GroupReport, Histograms, Machine, Report, SCHEMA,
    ServerReport, ThreadReport, Verdict,
};
use crate::scenario::Plan;
use crate::send::Sent;
use crate::server::{Usage, Watch};
use crate::stats::{Deliveries, Durations};
use crate::timeline::{Look, Timeline};
use crate::{Failure, Totals};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What there is at the end of a run.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) target: SocketAddr,
    pub(crate) machine: Machine,
    /// From when the measured time began.
    pub(crate) others: &'a Others,
    /// RFC 3339.
    pub(crate) started_at: String,
    pub(crate) connect: &'a Durations,
    /// Before the start; those who returned are added.
    pub(crate) join: Durations,
    pub(crate) connect_total_s: f64,
    pub(crate) sent: &'a Sent,
    /// One for each receiving thread.
    pub(crate) received: &'a [Received],
    pub(crate) watch: Option<&'a Watch>,
    pub(crate) timeline: &'a Timeline,
    /// The first when the measured time began, the last at the end.
    pub(crate) looks: &'a [Look],
    pub(crate) jitter: &'a Durations,
    pub(crate) threads: Vec<ThreadReport>,
}

impl Findings<'_> {
    pub(crate) fn report(mut self) -> Result<Report, Failure> {
        let server_ns = self.server_usage().map_or(0, |usage| usage.cpu_ns());
        self.machine.others_cores = Some(self.others.cores(server_ns)?);
        let mut groups = vec![Deliveries::new(); self.plan.scenario.groups.len()];
        let mut all = Deliveries::new();
        let mut audit = Totals::default();
        let mut join = self.join.clone();
        for thread in self.received {
            audit.add(&thread.totals);
            join.add(&thread.join);
            for (sum, deliveries) in groups.iter_mut().zip(&thread.deliveries) {
                sum.add(deliveries);
                all.add(deliveries);
            }
        }
        let scenario = &self.plan.scenario;
        let named = scenario.groups.iter().zip(&groups);
        let mut report = Report {
            schema: SCHEMA.into(),
            command: command(),
            seed: scenario.seed,
            target: self.target.to_string(),
            protocol: scenario.protocol.name().into(),
            duration_s: scenario.duration.as_secs_f64(),
            scenario: scenario.options(),
            verdict: Verdict::Pass,
            void_reasons: Vec::new(),
            slo: Vec::new(),
            clients: self.plan.client_count,
            measured: all.count,
            audit,
            closed_reasons: self.closed_reasons(),
            faults: self.faults(),
            churn: self.churn(),
            latency_us: all.latency.percentiles(),
            latency_uncorrected_us: all.uncorrected.percentiles(),
            schedule_lag_us: self.sent.lag.percentiles(),
            connect_us: self.connect.percentiles(),
            join_us: join.percentiles(),
            connect_total_s: self.connect_total_s,
            broadcast_us: all.broadcast(),
            groups: named
                .map(|(group, of_group)| group_report(&group.name, of_group))
                .chain(self.lagging())
                .collect(),
            server: self.server(all.count),
            generator: self.generator(all.count),
            timeline: self.timeline.seconds(self.looks),
            histograms: Histograms {
                schedule_lag: self.sent.lag.encode(),
                connect: self.connect.encode(),
                join: join.encode(),
                ..all.histograms()
            },
            machine: self.machine,
            started_at: self.started_at,
        };
        report.judge();
        Ok(report)
    }

    /// What the server used in the measured time; its memory at the end.
    fn server_usage(&self) -> Option<Usage> {
        let (before, after) = (self.looks.first()?.server?, self.looks.last()?.server?);
        Some(after.since(&before))
    }

    fn server(&self, measured: u64) -> Option<ServerReport> {
        let used = self.server_usage()?;
        let cpu_ns = used.cpu_ns();
        let grown = used.rss_bytes as f64 - self.watch?.rss_at_start_bytes() as f64;
        Some(ServerReport {
            cpu_user_s: used.user_ns as f64 / 1e9,
            cpu_sys_s: used.system_ns as f64 / 1e9,
            cpu_us_per_delivery: per_delivery_us(cpu_ns, measured),
            deliveries_per_cpu_s: (cpu_ns > 0).then(|| measured as f64 * 1e9 / cpu_ns as f64),
            rss_bytes: used.rss_bytes,
            rss_bytes_per_connection: grown / f64::from(self.plan.client_count),
            voluntary_switches: used.voluntary_switches,
            involuntary_switches: used.involuntary_switches,
            tcp_memory_bytes: self.looks.last().and_then(Look::tcp_memory_bytes),
        })
    }

    fn generator(&self, measured: u64) -> Generator {
        let (first, last) = (&self.looks[0], &self.looks[self.looks.len() - 1]);
        let cpu_ns = last.own_cpu_ns - first.own_cpu_ns;
        let passed_ns = last.at_ns - first.at_ns;
        Generator {
            cpu_us_per_delivery: per_delivery_us(cpu_ns, measured),
            busy: cpu_ns as f64 / passed_ns.max(1) as f64,
            threads: self.threads.clone(),
            jitter_us: self.jitter.percentiles(),
            sends_deferred: self.sent.deferred,
            unsent: self.sent.unsent,
        }
    }

    /// The slow readers of each group.
    fn lagging(&self) -> Vec<GroupReport> {
        let mut groups: BTreeMap<usize, Deliveries> = BTreeMap::new();
        for (group, deliveries) in self.received.iter().flat_map(|thread| &thread.lagging) {
            groups.entry(*group).or_insert_with(Deliveries::new).add(deliveries);
        }
        let name =
            |group: usize| format!("{}, slow readers", self.plan.scenario.groups[group].name);
        let report =
            |(group, deliveries): (usize, Deliveries)| group_report(&name(group), &deliveries);
        groups.into_iter().map(report).collect()
    }

    fn churn(&self) -> Option<Churn> {
        self.plan.movers().next()?;
        let mut sum = Churn::default();
        for Churn { left, returned, missed } in self.received.iter().map(|thread| thread.churn) {
            sum.left += left;
            sum.returned += returned;
            sum.missed += missed;
        }
        Some(sum)
    }

    /// The most frequent first.
    fn closed_reasons(&self) -> Vec<ClosedReason> {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (reason, count) in self.received.iter().flat_map(|thread| &thread.closed) {
            *counts.entry(reason).or_default() += count;
        }
        let reason = |(reason, count): (&str, u64)| ClosedReason { reason: reason.into(), count };
        let mut reasons: Vec<_> = counts.into_iter().map(reason).collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        reasons
    }

    fn faults(&self) -> Vec<FaultRow> {
        let all = self.received.iter().flat_map(|thread| &thread.faults);
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by_key(|(at, _)| **at);
        all.truncate(FAULT_ROWS_MAX);
        let row = |(at, faults): (&Where, &Faults)| FaultRow {
            sender: at.sender,
            room: self.plan.room(u32::try_from(at.receiver).expect("bounded by CLIENTS_MAX")),
            receiver: at.receiver as u64,
            lost: faults.lost,
            duplicated: faults.duplicated,
            reordered: faults.reordered,
            corrupted: faults.corrupted,
            foreign: faults.foreign,
        };
        all.into_iter().map(row).collect()
    }
}

fn group_report(name: &str, deliveries: &Deliveries) -> GroupReport {
    GroupReport {
        name: name.into(),
        measured: deliveries.count,
        latency_us: deliveries.latency.percentiles(),
        broadcast_us: deliveries.broadcast(),
    }
}

fn per_delivery_us(cpu_ns: u64, measured: u64) -> Option<f64> {
    (measured > 0).then(|| cpu_ns as f64 / 1e3 / measured as f64)
}

/// The command line of this process, so that a shell takes it as it was.
pub(crate) fn command() -> String {
    let words: Vec<_> = std::env::args().map(|word| quoted(&word)).collect();
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:,=@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_command_as_it_was() {
        let words = ["", "plain-1.2/x", "two words", "it's", "$HOME", "a;b"];
        let quoted: Vec<_> = words.iter().map(|word| quoted(word)).collect();
        let script = format!("printf '%s\\n' {}", quoted.join(" "));
        let output = std::process::Command::new("sh").args(["-c", &script]).output();
        let output = output.expect("every Linux has sh");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            words.map(|word| format!("{word}\n")).concat()
        );
    }
}
