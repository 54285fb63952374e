//! What the process counts, as OpenMetrics text.
//!
//! Read only when asked for: workers count in their own memory, and the hub's lock is taken for a
//! moment. Labels are few and fixed; no room, nickname or address ever is one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use crate::chat::{CloseReason, Refusal};
use crate::engine::stats::{BUCKETS_US, Counter, Durations, WorkerStats};
use crate::hub::Hub;
use crate::log::DroppedLines;

/// What the text is, for the one who asked.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the control thread itself counts.
#[derive(Debug, Default)]
pub(super) struct ControlStats {
    /// Lines missing in the transcript.
    pub(super) transcript_dropped: Arc<Counter>,
    /// Workers that ended before they were asked to.
    pub(super) worker_failures: Counter,
    /// Whether this process took over from another.
    pub(super) upgrades: Counter,
    /// Times somebody wanted to take over from this process, and did not.
    pub(super) upgrades_failed: Counter,
}

/// Everything that is counted, wherever.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) workers: Vec<Arc<WorkerStats>>,
    pub(super) hub: Arc<Hub>,
    pub(super) control: Arc<ControlStats>,
    pub(super) log: DroppedLines,
    pub(super) started: SystemTime,
}

/// A number of a worker.
type Number = fn(&WorkerStats) -> &Counter;

/// Totals since the start, summed over the workers. `_total` is put behind the name.
const TOTALS: [(&str, &str, Number); 21] = [
    ("chatd_accepted", "Connections accepted", |stats| &stats.accepted),
    ("chatd_adopted", "Connections taken over in an upgrade", |stats| &stats.adopted),
    ("chatd_handed_over", "Connections given away in an upgrade", |stats| &stats.handed_over),
    ("chatd_accept_errors", "Accepts that failed", |stats| &stats.accept_errors),
    ("chatd_accept_pauses", "Times accepting paused for want of slots", |stats| {
        &stats.accept_pauses
    }),
    ("chatd_lines_in", "Lines read from clients", |stats| &stats.lines_in),
    ("chatd_bytes_in", "Bytes read from clients", |stats| &stats.bytes_in),
    ("chatd_deliveries", "Lines handed to sends, once for each reader", |stats| &stats.deliveries),
    ("chatd_bytes_out", "Bytes handed to sends", |stats| &stats.bytes_out),
    ("chatd_sends", "Sends started", |stats| &stats.sends),
    ("chatd_sends_blocked", "Sends that met a full socket", |stats| &stats.sends_blocked),
    ("chatd_lines_skipped", "Lines passed over for slow readers", |stats| &stats.lines_skipped),
    ("chatd_read_pauses", "Times a client was not read from for a while", |stats| {
        &stats.read_pauses
    }),
    ("chatd_feed_refusals", "Lines refused for want of memory", |stats| &stats.feed_refusals),
    ("chatd_renderings", "Renderings of lines made", |stats| &stats.renderings),
    ("chatd_recv_no_buffers", "Receives that found no buffer", |stats| &stats.recv_no_buffers),
    ("chatd_ring_enters", "Calls of io_uring_enter", |stats| &stats.ring_enters),
    ("chatd_ring_overflows", "Overflows of completion queues", |stats| &stats.ring_overflows),
    ("chatd_ring_flushes", "Submissions forced by a full queue", |stats| &stats.ring_flushes),
    ("chatd_stale_completions", "Completions for a former occupant; a bug if ever", |stats| {
        &stats.stale_completions
    }),
    ("chatd_exchanges", "Exchanges of workers with the hub", |stats| &stats.exchanges),
];

/// Numbers as they are now, summed over the workers.
const GAUGES: [(&str, &str, Number); 3] = [
    ("chatd_connections", "Connections now", |stats| &stats.connections),
    ("chatd_blocked_sockets", "Sockets that are full now", |stats| &stats.blocked),
    ("chatd_feed_bytes", "Bytes of feeds in use now", |stats| &stats.feed_bytes),
];

impl Sources {
    /// The text, as of now.
    pub(super) fn text(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }

    /// Connections now.
    pub(super) fn clients(&self) -> u64 {
        self.sum(|stats| &stats.connections)
    }

    fn sum(&self, number: Number) -> u64 {
        self.workers.iter().map(|stats| number(stats).read()).sum()
    }

    fn workers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, number) in TOTALS {
            total(encoder, name, help, self.sum(number))?;
        }
        for (name, help, number) in GAUGES {
            gauge(encoder, name, help, self.sum(number))?;
        }
        let waited = Duration::from_nanos(self.sum(|stats| &stats.hub_wait_ns)).as_secs_f64();
        let help = "Time waited for the hub's lock";
        encoder
            .encode_descriptor("chatd_hub_wait_seconds", help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&waited, None)?;
        self.coalescing(encoder)?;
        self.family(encoder, "chatd_closed", "Connections ended, by reason", |stats| {
            CloseReason::ALL.iter().map(|reason| reason.word()).zip(&stats.closed)
        })?;
        self.family(encoder, "chatd_refused", "What clients were refused, by reason", |stats| {
            Refusal::ALL.iter().map(|refusal| refusal.word()).zip(&stats.refused)
        })?;
        self.turns(encoder)
    }

    /// What pacing and large feeds are for: many lines in each send.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no exact sums")]
    fn coalescing(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let [lines, sends] = [self.sum(|stats| &stats.deliveries), self.sum(|stats| &stats.sends)];
        let mean = lines as f64 / sends.max(1) as f64;
        let help = "Lines a send, the mean since the start";
        encoder
            .encode_descriptor("chatd_lines_per_send", help, None, MetricType::Gauge)?
            .encode_gauge(&mean)
    }

    /// Totals that differ by a reason.
    fn family<'a, I: Iterator<Item = (&'static str, &'a Counter)>>(
        &'a self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        by_reason: impl Fn(&'a WorkerStats) -> I,
    ) -> fmt::Result {
        let mut sums: Vec<(&str, u64)> = Vec::new();
        for stats in &self.workers {
            for (place, (word, counter)) in by_reason(stats).enumerate() {
                if place == sums.len() {
                    sums.push((word, 0));
                }
                sums[place].1 += counter.read();
            }
        }
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (word, count) in sums {
            let labels = [("reason", word)];
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn turns(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time a worker's turn took, without waiting";
        let mut family =
            encoder.encode_descriptor("chatd_turn_seconds", help, None, MetricType::Histogram)?;
        for (worker, stats) in self.workers.iter().enumerate() {
            let labels = [("worker", worker.to_string())];
            histogram(family.encode_family(&labels)?, &stats.turns)?;
        }
        Ok(())
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (clients, rooms) = self.hub.inspect(|chat| (chat.client_count(), chat.room_count()));
        gauge(encoder, "chatd_clients", "Clients the core knows now", count(clients))?;
        gauge(encoder, "chatd_rooms", "Rooms now", count(rooms))?;
        gauge(encoder, "chatd_workers", "Workers started", count(self.workers.len()))?;
        let failures = self.control.worker_failures.read();
        total(encoder, "chatd_worker_failures", "Workers that ended unasked", failures)?;
        let help = "Upgrades that made this process the server: one or none";
        total(encoder, "chatd_upgrades", help, self.control.upgrades.read())?;
        let failed = self.control.upgrades_failed.read();
        total(encoder, "chatd_upgrades_failed", "Upgrades that came to nothing", failed)?;
        let lost = self.control.transcript_dropped.read() + self.hub.dropped();
        let help = "Lines missing in the transcript";
        total(encoder, "chatd_transcript_dropped_lines", help, lost)?;
        let help = "Log lines that stderr was too slow for";
        total(encoder, "chatd_log_dropped_lines", help, self.log.count())?;
        encoder
            .encode_descriptor("chatd_build", "The version", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let help = "When the process started, in seconds since 1970";
        encoder
            .encode_descriptor("process_start_time_seconds", help, None, MetricType::Gauge)?
            .encode_gauge(&started)
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.workers(&mut encoder)?;
        self.process(&mut encoder)
    }
}

fn total(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder
        .encode_descriptor(name, help, None, MetricType::Counter)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn histogram(mut encoder: MetricEncoder<'_>, durations: &Durations) -> fmt::Result {
    let bounds = BUCKETS_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64());
    let counts = durations.buckets.iter().map(Counter::read);
    let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
    let all = buckets.iter().map(|(_, count)| count).sum();
    let sum = Duration::from_nanos(durations.sum_ns.read()).as_secs_f64();
    let no_exemplars: Option<&HashMap<usize, Exemplar<NoLabelSet, f64>>> = None;
    encoder.encode_histogram(sum, all, &buckets, no_exemplars)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::chat::{self, PeerSet};

    pub(in crate::control) fn sources(workers: Vec<Arc<WorkerStats>>) -> Sources {
        let config = chat::Config {
            peer_count: workers.len() + 1,
            observers: PeerSet::default(),
            rooms: Vec::new(),
            clients_max: 1,
            motd: false,
            nicknames: chat::Nicknames::Ascii,
            history_lines: 3,
        };
        Sources {
            workers,
            hub: Arc::new(Hub::new(config, RandomState::new())),
            control: Arc::default(),
            log: DroppedLines::none(),
            started: UNIX_EPOCH + Duration::from_secs(7),
        }
    }

    /// Every field, each with a value of its own. A field that is added does not compile until it
    /// is named here.
    fn filled() -> (WorkerStats, Vec<String>) {
        let stats = WorkerStats::default();
        let WorkerStats {
            connections,
            accepted,
            adopted,
            handed_over,
            closed,
            refused,
            accept_errors,
            accept_pauses,
            lines_in,
            bytes_in,
            deliveries,
            bytes_out,
            sends,
            sends_blocked,
            blocked,
            lines_skipped,
            read_pauses,
            feed_bytes,
            feed_refusals,
            renderings,
            recv_no_buffers,
            ring_enters,
            ring_overflows,
            ring_flushes,
            stale_completions,
            exchanges,
            hub_wait_ns,
            turns,
        } = &stats;
        let mut lines = Vec::new();
        let named = [
            ("chatd_connections", connections),
            ("chatd_accepted_total", accepted),
            ("chatd_adopted_total", adopted),
            ("chatd_handed_over_total", handed_over),
            ("chatd_accept_errors_total", accept_errors),
            ("chatd_accept_pauses_total", accept_pauses),
            ("chatd_lines_in_total", lines_in),
            ("chatd_bytes_in_total", bytes_in),
            ("chatd_deliveries_total", deliveries),
            ("chatd_bytes_out_total", bytes_out),
            ("chatd_sends_total", sends),
            ("chatd_sends_blocked_total", sends_blocked),
            ("chatd_blocked_sockets", blocked),
            ("chatd_lines_skipped_total", lines_skipped),
            ("chatd_read_pauses_total", read_pauses),
            ("chatd_feed_bytes", feed_bytes),
            ("chatd_feed_refusals_total", feed_refusals),
            ("chatd_renderings_total", renderings),
            ("chatd_recv_no_buffers_total", recv_no_buffers),
            ("chatd_ring_enters_total", ring_enters),
            ("chatd_ring_overflows_total", ring_overflows),
            ("chatd_ring_flushes_total", ring_flushes),
            ("chatd_stale_completions_total", stale_completions),
            ("chatd_exchanges_total", exchanges),
        ];
        for (value, (name, counter)) in (100..).zip(named) {
            counter.set(value);
            lines.push(format!("{name} {}", value + 1_000));
        }
        for (value, (refusal, counter)) in (300..).zip(Refusal::ALL.iter().zip(refused)) {
            counter.set(value);
            let word = refusal.word();
            lines.push(format!("chatd_refused_total{{reason=\"{word}\"}} {}", value + 1_000));
        }
        for (value, (reason, counter)) in (200..).zip(CloseReason::ALL.iter().zip(closed)) {
            counter.set(value);
            let word = reason.word();
            lines.push(format!("chatd_closed_total{{reason=\"{word}\"}} {}", value + 1_000));
        }
        hub_wait_ns.set(1_500_000_000);
        lines.push("chatd_hub_wait_seconds_total 1.5".into());
        turns.record(Duration::from_micros(15));
        turns.record(Duration::from_secs(2));
        for line in ["sum{worker=\"0\"} 2.000015", "count{worker=\"0\"} 2"] {
            lines.push(format!("chatd_turn_seconds_{line}"));
        }
        for (bound, count) in [("0.00001", 0), ("0.00002", 1), ("1.0", 1), ("+Inf", 2)] {
            let labels = format!("{{le=\"{bound}\",worker=\"0\"}}");
            lines.push(format!("chatd_turn_seconds_bucket{labels} {count}"));
        }
        (stats, lines)
    }

    /// A second worker, whose numbers are all 1,000, those by reason too.
    fn other() -> WorkerStats {
        let stats = WorkerStats::default();
        let numbers = TOTALS.iter().chain(&GAUGES).map(|(_, _, number)| number(&stats));
        numbers.chain(&stats.closed).chain(&stats.refused).for_each(|counter| counter.set(1_000));
        stats
    }

    #[test]
    fn every_number_of_the_workers_is_told() {
        let (stats, mut expected) = filled();
        let sources = sources(vec![Arc::new(stats), Arc::new(other())]);
        sources.control.transcript_dropped.set(3);
        sources.control.worker_failures.set(1);
        sources.control.upgrades.set(1);
        sources.control.upgrades_failed.set(2);
        expected.extend([
            "chatd_rooms 1".to_owned(),
            "chatd_lines_per_send 0.9981981981981982".to_owned(),
            "chatd_clients 0".to_owned(),
            "chatd_workers 2".to_owned(),
            "chatd_worker_failures_total 1".to_owned(),
            "chatd_upgrades_total 1".to_owned(),
            "chatd_upgrades_failed_total 2".to_owned(),
            "chatd_transcript_dropped_lines_total 3".to_owned(),
            "chatd_log_dropped_lines_total 0".to_owned(),
            format!("chatd_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
            "process_start_time_seconds 7.0".to_owned(),
        ]);
        let text = sources.text().expect("memory takes every text");
        for line in expected {
            assert!(text.lines().any(|told| told == line), "{line} is missing in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
