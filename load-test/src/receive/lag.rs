//! Slow readers: a few bytes at a time at a fixed rate, or none. They are no part of the figures of
//! the others, and need not get everything: a server may close them, or skip lines for them. What
//! they do get is audited as for everyone.

use super::{Phase, Receiver};
use crate::Failure;
use crate::clock::{duration_ns, now_ns};
use crate::limits::{LAG_INTERVAL, LAG_READ_MIN, READ_LEN};
use crate::scenario::Conduct;
use std::collections::BTreeMap;

/// Clients that read alike.
pub(super) struct Pace {
    clients: Vec<usize>,
    /// Bytes at once.
    len: usize,
    interval_ns: u64,
    next_ns: u64,
}

impl Pace {
    fn new(clients: Vec<usize>, rate: u32, now_ns: u64) -> Self {
        let at_interval = u64::from(rate) * duration_ns(LAG_INTERVAL) / 1_000_000_000;
        let len = at_interval.clamp(u64::from(LAG_READ_MIN), READ_LEN as u64);
        let interval_ns = len * 1_000_000_000 / u64::from(rate);
        let len = usize::try_from(len).expect("at most READ_LEN");
        Self { clients, len, interval_ns, next_ns: now_ns + interval_ns }
    }

    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }
}

impl Receiver {
    /// Those who read nothing at all have no pace.
    pub(super) fn set_paces(&mut self) {
        let mut by_rate: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (index, client) in self.clients.iter().enumerate() {
            if client.conduct == Conduct::Lags {
                let rate = self.plan.lag_rate(self.number(index));
                by_rate.entry(rate).or_default().push(index);
            }
        }
        by_rate.remove(&0);
        let now_ns = now_ns();
        let pace = |(rate, clients)| Pace::new(clients, rate, now_ns);
        self.paces = by_rate.into_iter().map(pace).collect();
    }

    pub(super) fn read_slowly(&mut self) -> Result<(), Failure> {
        let now_ns = now_ns();
        let mut paces = std::mem::take(&mut self.paces);
        let mut buffer = std::mem::take(&mut self.buffer);
        let due = paces.iter_mut().filter(|pace| pace.next_ns <= now_ns);
        let result = due.into_iter().try_for_each(|pace| {
            // A thread that is late does not make up for it: they would read faster then.
            pace.next_ns = now_ns + pace.interval_ns;
            pace.clients.iter().try_for_each(|&index| {
                let reads = self.clients[index].phase == Phase::Ready;
                if reads { self.read_once(index, &mut buffer[..pace.len]) } else { Ok(()) }
            })
        });
        self.buffer = buffer;
        self.paces = paces;
        result
    }
}
