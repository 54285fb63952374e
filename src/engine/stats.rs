//! What a worker counts. One thread writes, any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::chat::{CloseReason, Message, Refusal};

/// A count with one writer: adding is a plain load and store, reading never disturbs it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. By the one writer only.
    pub fn add(&self, count: u64) {
        self.set(self.read() + count);
    }

    /// Sets the value. By the one writer only.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets of a histogram of durations, in microseconds; the last bucket has
/// none.
pub const BUCKETS_US: [u64; 15] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000,
    1_000_000,
];

/// How long something took, each time.
#[derive(Debug, Default)]
pub struct Durations {
    /// How many fell between one bound of `BUCKETS_US` and the next.
    pub buckets: [Counter; BUCKETS_US.len() + 1],
    /// The sum of all, in nanoseconds.
    pub sum_ns: Counter,
}

impl Durations {
    /// Counts one.
    pub fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].add(1);
        self.sum_ns.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Everything a worker counts. Totals since its start, but where it says "now".
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Connections now.
    pub connections: Counter,
    /// Connections accepted, those refused at once included. With those adopted, always
    /// `connections` + `closed` + `handed_over`.
    pub accepted: Counter,
    /// Connections taken over, from another process or from a worker before.
    pub adopted: Counter,
    /// Connections given away, to another process or to a worker after.
    pub handed_over: Counter,
    /// Connections ended, by reason (`CloseReason as usize`).
    pub closed: [Counter; CloseReason::ALL.len()],
    /// What clients were refused (`Refusal as usize`).
    pub refused: [Counter; Refusal::ALL.len()],
    /// Failed accepts: no descriptor, no memory, or the peer went at once.
    pub accept_errors: Counter,
    /// Times accepting paused for want of slots or descriptors.
    pub accept_pauses: Counter,
    /// Lines read from clients, commands included.
    pub lines_in: Counter,
    /// Bytes read from clients.
    pub bytes_in: Counter,
    /// Lines handed to sends, once for each reader.
    pub deliveries: Counter,
    /// Bytes handed to sends.
    pub bytes_out: Counter,
    /// Sends started.
    pub sends: Counter,
    /// Sends that met a full socket, or went in part.
    pub sends_blocked: Counter,
    /// Sockets that are full, now.
    pub blocked: Counter,
    /// Lines passed over for readers under the `skip` policy.
    pub lines_skipped: Counter,
    /// Times a client was not read from for a while, because it or the server had to catch up.
    pub read_pauses: Counter,
    /// Bytes of feeds in use, now.
    pub feed_bytes: Counter,
    /// Lines refused because the memory for feeds was used up.
    pub feed_refusals: Counter,
    /// Renderings made: one for each line and dialect that has readers here.
    pub renderings: Counter,
    /// Receives that found no buffer free.
    pub recv_no_buffers: Counter,
    /// Calls of `io_uring_enter`.
    pub ring_enters: Counter,
    /// Overflows of the completion queue.
    pub ring_overflows: Counter,
    /// Submissions forced by a full submission queue.
    pub ring_flushes: Counter,
    /// Completions for a former occupant of a slot. Always zero; anything else is a bug.
    pub stale_completions: Counter,
    /// Exchanges with the hub.
    pub exchanges: Counter,
    /// Nanoseconds waited for the hub's lock.
    pub hub_wait_ns: Counter,
    /// How long turns took, without waiting.
    pub turns: Durations,
}

impl WorkerStats {
    /// Counts what a client is told, if that is a refusal.
    pub fn count_refusal(&self, message: &Message<&str>) {
        if let Some(refusal) = Refusal::of(message) {
            self.refused[refusal as usize].add(1);
        }
    }
}
