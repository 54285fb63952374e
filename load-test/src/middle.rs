//! Who is in the middle of a line's receivers where several processes have them. No process knows
//! how late those of the others were, so each keeps the latency of every delivery, one word each,
//! and the one that started them sorts them. For that a run must be small: `KEPT_MAX`.

use crate::limits::{KEPT_MAX, PROCESSES_LINES_MAX};
use crate::scenario::Plan;
use serde::{Deserialize, Serialize};

/// High bits: the line. Low bits: a latency in nanoseconds, 4 hours at most.
const LATENCY_BITS: u32 = 44;
const LATENCY_NS_MAX: u64 = (1 << LATENCY_BITS) - 1;
const _: () = assert!(PROCESSES_LINES_MAX <= 1 << (u64::BITS - LATENCY_BITS));

/// The latencies of steady receivers, each with its line.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Kept(Vec<u64>);

impl Kept {
    /// Whether a run is small enough for it.
    pub(crate) fn fits(plan: &Plan) -> bool {
        let measured = plan.schedule().filter(|due| due.measured);
        let senders = measured.filter_map(|due| plan.sender(due.sender));
        let receivers = senders.map(|sender| u64::from(plan.steady_receivers(sender)));
        receivers.sum::<u64>() <= KEPT_MAX
    }

    pub(crate) fn push(&mut self, line: usize, latency_ns: u64) {
        self.0.push(((line as u64) << LATENCY_BITS) | latency_ns.min(LATENCY_NS_MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// By lines, and those of each by latency.
    pub(crate) fn sort(&mut self) {
        self.0.sort_unstable();
    }

    /// The latency of the receiver before whom so many have the line; call `sort` before.
    pub(crate) fn at(&self, line: usize, place: u32) -> Option<u64> {
        let line = line as u64;
        let first = self.0.partition_point(|word| word >> LATENCY_BITS < line);
        let word = self.0.get(first + place as usize)?;
        (word >> LATENCY_BITS == line).then_some(word & LATENCY_NS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_across_those_who_kept_them() {
        let (mut kept, mut other) = (Kept::default(), Kept::default());
        kept.push(7, 30);
        kept.push(2, u64::MAX);
        other.push(7, 10);
        other.push(2, 0);
        other.push(7, 20);
        kept.add(&other);
        kept.sort();
        assert_eq!(
            [0, 1, 2, 3].map(|place| kept.at(7, place)),
            [Some(10), Some(20), Some(30), None]
        );
        assert_eq!([0, 1, 2].map(|place| kept.at(2, place)), [Some(0), Some(LATENCY_NS_MAX), None]);
        assert_eq!(kept.at(3, 0), None);
    }
}
