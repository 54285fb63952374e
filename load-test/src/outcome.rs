//! Makes the report of what a run found.

use crate::found::Found;
use crate::report::{
    ClosedReason, Generator, GroupReport, Histograms, Machine, Report, SCHEMA, ServerReport,
    Verdict,
};
use crate::scenario::Plan;
use crate::server::Watch;
use crate::stats::Deliveries;
use crate::timeline::{Look, seconds};
use std::net::SocketAddr;

/// What there is at the end of a run.
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) target: SocketAddr,
    pub(crate) machine: Machine,
    /// RFC 3339.
    pub(crate) started_at: String,
    /// The same on our clock.
    pub(crate) begin_ns: u64,
    pub(crate) watch: Option<&'a Watch>,
    pub(crate) found: &'a Found,
}

impl Findings<'_> {
    pub(crate) fn report(self) -> Report {
        let found = self.found;
        let mut all = Deliveries::new();
        found.deliveries.iter().for_each(|deliveries| all.add(deliveries));
        let scenario = &self.plan.scenario;
        let named = scenario.groups.iter().zip(&found.deliveries);
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
            clients: found.clients,
            measured: all.count,
            audit: found.audit,
            closed_reasons: self.closed_reasons(),
            closed_clients: found.closed_clients.clone(),
            faults: found.faults.clone(),
            churn: self.plan.movers().next().map(|_| found.churn),
            latency_us: all.latency.percentiles(),
            latency_uncorrected_us: all.uncorrected.percentiles(),
            schedule_lag_us: found.lag.percentiles(),
            connect_us: found.connect.percentiles(),
            join_us: found.join.percentiles(),
            connect_lag_us: found.connect_lag.percentiles(),
            connect_total_s: found.connect_total_ns as f64 / 1e9,
            receivers: self.plan.receivers_of_lines(),
            broadcast_us: all.broadcast(),
            groups: named
                .map(|(group, of_group)| group_report(&group.name, of_group))
                .chain(self.lagging())
                .collect(),
            server: self.server(all.count),
            generator: self.generator(all.count),
            timeline: seconds(self.begin_ns, &found.looks, &found.arrived),
            histograms: Histograms {
                schedule_lag: found.lag.encode(),
                connect: found.connect.encode(),
                join: found.join.encode(),
                ..all.histograms()
            },
            machine: self.machine,
            started_at: self.started_at,
        };
        report.judge();
        report
    }

    fn server(&self, measured: u64) -> Option<ServerReport> {
        let used = self.found.server_usage()?;
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
            tcp_memory_bytes: self.found.looks.last().and_then(Look::tcp_memory_bytes),
        })
    }

    fn generator(&self, measured: u64) -> Generator {
        let found = self.found;
        let cpu_ns = found.cpu_ns();
        Generator {
            cpu_us_per_delivery: per_delivery_us(cpu_ns, measured),
            busy: cpu_ns as f64 / found.passed_ns().max(1) as f64,
            threads: found.threads.clone(),
            connecting: found.connecting.clone(),
            jitter_us: found.jitter.percentiles(),
            sends_deferred: found.deferred,
            unsent: found.unsent,
        }
    }

    /// The slow readers of each group.
    fn lagging(&self) -> Vec<GroupReport> {
        let name =
            |group: usize| format!("{}, slow readers", self.plan.scenario.groups[group].name);
        let lagging = self.found.lagging.iter();
        lagging.map(|(group, deliveries)| group_report(&name(*group), deliveries)).collect()
    }

    /// The most frequent first.
    fn closed_reasons(&self) -> Vec<ClosedReason> {
        let reason = |(reason, count): (&String, &u64)| ClosedReason {
            reason: reason.clone(),
            count: *count,
        };
        let mut reasons: Vec<_> = self.found.closed.iter().map(reason).collect();
        reasons.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        reasons
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
