//! The measured time second by second: what arrived, what the server and the generator used. Each
//! receiving thread keeps one histogram, of the second that runs, and hands it over packed when
//! that is over; one thread more looks at /proc once a second. Where more than an hour is measured,
//! an entry covers so many seconds that there are no more than `SECONDS_MAX`.

use crate::clock::{duration_ns, now_ns, process_cpu_ns};
use crate::limits::SECONDS_MAX;
use crate::progress::Progress;
use crate::report::{Percentiles, Second};
use crate::server::{Usage, Watch, tcp_sockets};
use crate::stats::{Durations, Packed};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What receiving threads and the looking one share.
pub(crate) struct Timeline {
    /// Of one entry.
    interval_ns: u64,
    /// Entries of the measured time.
    intervals: u64,
    /// When the measured time begins; `u64::MAX` until that is known.
    begin_ns: AtomicU64,
    /// Clients connected and where they should be.
    pub(crate) clients: AtomicU32,
    /// What each thread got in each interval.
    packed: Mutex<Vec<(usize, Packed)>>,
}

impl Timeline {
    pub(crate) fn new(measured: Duration) -> Self {
        let seconds = measured.as_secs().div_ceil(SECONDS_MAX).max(1);
        let interval_ns = duration_ns(Duration::from_secs(seconds));
        Self {
            interval_ns,
            intervals: duration_ns(measured).div_ceil(interval_ns),
            begin_ns: AtomicU64::new(u64::MAX),
            clients: AtomicU32::new(0),
            packed: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn begin(&self, begin_ns: u64) {
        self.begin_ns.store(begin_ns, Ordering::Release);
    }

    /// What arrived in the interval, as far as it has been handed over.
    fn arrived(&self, interval: usize) -> Durations {
        let mut sum = Durations::coarse();
        let packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = packed.iter().filter(|(at, _)| *at == interval);
        mine.for_each(|(_, packed)| sum.add(&packed.unpack()));
        sum
    }

    fn end_of(&self, interval: usize) -> u64 {
        let begin_ns = self.begin_ns.load(Ordering::Acquire);
        begin_ns.saturating_add((interval as u64 + 1).saturating_mul(self.interval_ns))
    }

    fn interval_at(&self, instant_ns: u64) -> usize {
        let since_ns = instant_ns.saturating_sub(self.begin_ns.load(Ordering::Acquire));
        usize::try_from(since_ns / self.interval_ns).expect("64 bits")
    }

    /// Looks once an interval, until `over` hears something or has no sender any more. What is told
    /// of arrivals is of the interval before: threads hand one over with the first of the next.
    pub(crate) fn look(
        &self,
        watch: Option<&Watch>,
        progress: &Progress,
        over: &Receiver<()>,
    ) -> Vec<Look> {
        let mut looks = vec![Look::now(watch, self)];
        loop {
            let next_ns = self.end_of(looks.len() - 1);
            let left = Duration::from_nanos(next_ns.saturating_sub(now_ns()));
            let ended = over.recv_timeout(left) != Err(RecvTimeoutError::Timeout);
            let look = Look::now(watch, self);
            let short = look.at_ns + self.interval_ns / 2 < next_ns;
            if ended && short && looks.len() > 1 {
                looks.pop();
            }
            looks.push(look);
            if ended {
                return looks;
            }
            let done = looks.len() - 1;
            let arrived = done.checked_sub(2).map(|before| self.arrived(before).percentiles());
            let seconds = self.interval_ns / duration_ns(Duration::from_secs(1));
            progress.measuring(done as u64 * seconds, self.intervals * seconds, arrived);
        }
    }

    /// What arrived, by interval, once all threads have handed over.
    pub(crate) fn take_arrived(&self) -> Vec<(usize, Packed)> {
        std::mem::take(&mut self.packed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One entry for each look but the first. What arrived after the last one belongs to it.
pub(crate) fn seconds(begin_ns: u64, looks: &[Look], arrived: &[(usize, Packed)]) -> Vec<Second> {
    let entries = looks.len().saturating_sub(1);
    let mut sums: Vec<Option<Durations>> = vec![None; entries];
    for (interval, packed) in arrived {
        if let Some(sum) = sums.get_mut((*interval).min(entries.saturating_sub(1))) {
            sum.get_or_insert_with(Durations::coarse).add(&packed.unpack());
        }
    }
    let pairs = looks.windows(2).zip(sums);
    pairs.map(|(pair, arrived)| second(begin_ns, pair, arrived.as_ref())).collect()
}

/// The interval that runs, for one receiving thread.
pub(crate) struct Arrivals {
    timeline: Arc<Timeline>,
    interval: usize,
    end_ns: u64,
    latency: Durations,
}

impl Arrivals {
    pub(crate) fn new(timeline: Arc<Timeline>) -> Self {
        Self { timeline, interval: 0, end_ns: 0, latency: Durations::coarse() }
    }

    /// A measured line was read at `now_ns`.
    pub(crate) fn record(&mut self, now_ns: u64, latency_ns: u64) {
        if now_ns >= self.end_ns {
            self.hand_over();
            self.interval = self.timeline.interval_at(now_ns);
            self.end_ns = self.timeline.end_of(self.interval);
        }
        self.latency.record(latency_ns);
    }

    /// Call at the end, too.
    pub(crate) fn hand_over(&mut self) {
        if let Some(packed) = self.latency.pack() {
            let mut all = self.timeline.packed.lock().unwrap_or_else(PoisonError::into_inner);
            all.push((self.interval, packed));
            self.latency.clear();
        }
    }
}

/// What the server and this process have used so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) at_ns: u64,
    /// None if it is not known which process it is, or it has gone.
    pub(crate) server: Option<Usage>,
    pub(crate) own_cpu_ns: u64,
    tcp: Option<(u64, u64)>,
    pub(crate) clients: u32,
}

impl Look {
    fn now(watch: Option<&Watch>, timeline: &Timeline) -> Self {
        Self {
            at_ns: now_ns(),
            server: watch.and_then(|watch| watch.usage().ok()),
            own_cpu_ns: process_cpu_ns(),
            tcp: tcp_sockets(),
            clients: timeline.clients.load(Ordering::Relaxed),
        }
    }

    /// Memory in the buffers of all TCP sockets.
    pub(crate) fn tcp_memory_bytes(&self) -> Option<u64> {
        self.tcp.map(|(_, bytes)| bytes)
    }
}

fn second(begin_ns: u64, pair: &[Look], arrived: Option<&Durations>) -> Second {
    let [before, after] = pair else { unreachable!("windows of two") };
    let server = before.server.zip(after.server).map(|(before, after)| after.since(&before));
    let latency_us = arrived.map_or_else(Percentiles::default, Durations::percentiles);
    Second {
        at_s: after.at_ns.saturating_sub(begin_ns) as f64 / 1e9,
        deliveries: latency_us.count,
        latency_us,
        heat: arrived.map(Durations::heat).unwrap_or_default(),
        histogram: arrived.and_then(Durations::encode),
        server_cpu_user_s: server.map(|used| used.user_ns as f64 / 1e9),
        server_cpu_sys_s: server.map(|used| used.system_ns as f64 / 1e9),
        server_rss_bytes: after.server.map(|usage| usage.rss_bytes),
        server_voluntary_switches: server.map(|used| used.voluntary_switches),
        server_involuntary_switches: server.map(|used| used.involuntary_switches),
        tcp_sockets: after.tcp.map(|(sockets, _)| sockets),
        tcp_memory_bytes: after.tcp_memory_bytes(),
        generator_cpu_s: after.own_cpu_ns.saturating_sub(before.own_cpu_ns) as f64 / 1e9,
        clients: after.clients,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    fn look(at_ns: u64) -> Look {
        Look { at_ns, server: None, own_cpu_ns: at_ns / 4, tcp: None, clients: 3 }
    }

    #[test]
    fn what_arrives_is_counted_in_its_second() {
        let timeline = Arc::new(Timeline::new(Duration::from_secs(3)));
        timeline.begin(7 * SECOND_NS);
        let mut threads = [0, 1].map(|_| Arrivals::new(Arc::clone(&timeline)));
        // (thread, when after the begin, latency) in milliseconds. Nothing in the second second;
        // the last two belong to the last look.
        let rows =
            [(0, 0, 5), (1, 999, 5), (0, 999, 7), (0, 2000, 2000), (1, 3500, 9), (1, 9000, 1)];
        for (thread, at_ms, latency_ms) in rows {
            let now_ns = 7 * SECOND_NS + at_ms * 1_000_000;
            threads[thread].record(now_ns, latency_ms * 1_000_000);
        }
        threads.iter_mut().for_each(Arrivals::hand_over);
        let looks = [7, 8, 9, 10, 11].map(|at_s| look(at_s * SECOND_NS));
        assert_eq!(timeline.arrived(2).percentiles().count, 1);
        let seconds = seconds(7 * SECOND_NS, &looks, &timeline.take_arrived());
        let deliveries: Vec<_> = seconds.iter().map(|second| second.deliveries).collect();
        assert_eq!(deliveries, [3, 0, 1, 2]);
        assert_eq!(
            seconds.iter().map(|second| second.at_s).collect::<Vec<_>>(),
            [1.0, 2.0, 3.0, 4.0]
        );
        assert!((seconds[0].latency_us.p50 / 5000.0 - 1.0).abs() < 0.01);
        assert!((seconds[0].latency_us.max / 7000.0 - 1.0).abs() < 0.01);
        assert_eq!(seconds[0].heat.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 1]);
        assert!(seconds[1].heat.is_empty() && seconds[1].histogram.is_none());
        assert!(seconds.iter().all(|second| second.generator_cpu_s == 0.25 && second.clients == 3));
    }

    #[test]
    fn entries_are_bounded() {
        for (measured_s, interval_s) in [(1, 1), (3600, 1), (3601, 2), (86_400, 24)] {
            let timeline = Timeline::new(Duration::from_secs(measured_s));
            assert_eq!(timeline.interval_ns, interval_s * SECOND_NS, "{measured_s}");
        }
    }
}
