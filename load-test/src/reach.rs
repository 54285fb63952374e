//! How far each line has come: how many of its steady receivers have it and how long the first one
//! took. Shared by the receiving threads; one word for each line, so that a thread that sees itself
//! as the last also sees when the first was.

use crate::found::Span;
use crate::limits::CLIENTS_MAX;
use std::sync::atomic::{AtomicU64, Ordering};

/// Low bits: receivers so far. High bits: the first one's latency in nanoseconds, 4 hours at most.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const LATENCY_NS_MAX: u64 = u64::MAX >> COUNT_BITS;
const _: () = assert!((CLIENTS_MAX as u64) <= COUNT_MASK);

/// One word for each line, and one more where other processes have clients, too.
pub(crate) struct Reach {
    words: Vec<AtomicU64>,
    /// The last one's latency; none where this process knows who is the last.
    last_ns: Vec<AtomicU64>,
}

/// One arrival of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// How many came before it.
    pub(crate) place: u32,
    /// How long the first one took.
    pub(crate) first_ns: u64,
}

impl Reach {
    pub(crate) fn new(lines: usize, with_last: bool) -> Self {
        let zeros = |lines: usize| (0..lines).map(|_| AtomicU64::new(0)).collect();
        Self { words: zeros(lines), last_ns: zeros(if with_last { lines } else { 0 }) }
    }

    /// How each line came; nothing if the last one was not kept.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let span = |(word, last_ns): (&AtomicU64, &AtomicU64)| {
            let word = word.load(Ordering::Relaxed);
            Span {
                count: u32::try_from(word & COUNT_MASK).expect("20 bits"),
                first_ns: word >> COUNT_BITS,
                last_ns: last_ns.load(Ordering::Relaxed),
            }
        };
        self.words.iter().zip(&self.last_ns).map(span).collect()
    }

    /// Takes in that one more receiver has the line, so long after it was due.
    pub(crate) fn add(&self, line: usize, latency_ns: u64) -> Arrival {
        let latency_ns = latency_ns.min(LATENCY_NS_MAX);
        let word = &self.words[line];
        let first = (latency_ns << COUNT_BITS) | 1;
        // Nothing else is read by what this says, so no order is needed.
        let order = Ordering::Relaxed;
        if let Some(last_ns) = self.last_ns.get(line) {
            last_ns.fetch_max(latency_ns, order);
        }
        if word.load(order) == 0 && word.compare_exchange(0, first, order, order).is_ok() {
            return Arrival { place: 0, first_ns: latency_ns };
        }
        let before = word.fetch_add(1, order);
        let place = u32::try_from(before & COUNT_MASK).expect("20 bits");
        Arrival { place, first_ns: before >> COUNT_BITS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_the_first_is_remembered() {
        let reach = Reach::new(2, true);
        let rows = [(1, 500, (0, 500)), (1, 700, (1, 500)), (1, 600, (2, 500)), (0, 0, (0, 0))];
        for (line, latency_ns, (place, first_ns)) in rows {
            assert_eq!(reach.add(line, latency_ns), Arrival { place, first_ns });
        }
        assert_eq!(reach.add(0, 9), Arrival { place: 1, first_ns: 0 });
        let spans = [(2, 0, 9), (3, 500, 700)];
        let spans = spans.map(|(count, first_ns, last_ns)| Span { count, first_ns, last_ns });
        assert_eq!(reach.spans(), spans);
        let long = Reach::new(1, false);
        long.add(0, u64::MAX);
        assert_eq!(long.add(0, 1), Arrival { place: 1, first_ns: LATENCY_NS_MAX });
    }

    #[test]
    fn threads_agree_on_the_first() {
        const THREADS: usize = 4;
        let reach = Reach::new(1000, false);
        let all = std::thread::scope(|scope| {
            let lines = |thread: u64| (0..1000).map(move |line| (line, thread));
            let threads: Vec<_> = (1..=THREADS as u64)
                .map(|thread| {
                    let reach = &reach;
                    let add = move |(line, own)| (own, reach.add(line, own));
                    scope.spawn(move || lines(thread).map(add).collect::<Vec<_>>())
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<_>>| thread.join();
            threads.into_iter().map(|thread| join(thread).expect("it ends")).collect::<Vec<_>>()
        });
        for line in 0..1000 {
            let of_line = all.iter().map(|thread| thread[line]);
            let first = of_line.clone().find(|(_, arrival)| arrival.place == 0);
            let (own, _) = first.expect("one is the first");
            assert!(of_line.clone().all(|(_, arrival)| arrival.first_ns == own));
            let places: u32 = of_line.map(|(_, arrival)| arrival.place).sum();
            assert_eq!(places, 1 + 2 + 3);
        }
    }
}
