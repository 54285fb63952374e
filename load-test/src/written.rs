//! When each line was handed to the kernel: told by the sending thread, asked by the receiving ones
//! about members that come and go. Nothing is kept if nobody does.

use crate::scenario::{Plan, Sender};
use std::sync::atomic::{AtomicU64, Ordering};

/// One instant for each line; 0 until it was written.
pub(crate) struct Written(Vec<AtomicU64>);

impl Written {
    pub(crate) fn new(plan: &Plan) -> Self {
        let lines = if plan.movers().next().is_some() { plan.line_count } else { 0 };
        Self((0..lines).map(|_| AtomicU64::new(0)).collect())
    }

    /// Call before the line is written: it may arrive at once.
    pub(crate) fn set(&self, line: usize, at_ns: u64) {
        if let Some(written_ns) = self.0.get(line) {
            written_ns.store(at_ns, Ordering::Release);
        }
    }

    /// How many of the first `lines` lines of a sender, which it writes one after the other, were
    /// written until then.
    pub(crate) fn until(&self, plan: &Plan, sender: &Sender, lines: u32, at_ns: u64) -> u32 {
        let written = |seq: u32| {
            let line = plan.line(sender, seq);
            let written_ns = line.and_then(|line| self.0.get(line.index));
            let written_ns = written_ns.map_or(0, |written_ns| written_ns.load(Ordering::Acquire));
            written_ns != 0 && written_ns <= at_ns
        };
        // The lines written come first: the end of them is found by halving.
        let (mut low, mut high) = (0, lines);
        while low < high {
            let middle = low.midpoint(high);
            if written(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Group, Scenario};

    #[test]
    fn lines_are_counted_by_when_they_were_written() {
        let group = Group { clients: 6, senders: 2, churn: 1, ..Group::default() };
        let plan = Plan::new(Scenario { groups: vec![group], ..Scenario::default() });
        let plan = plan.expect("valid");
        let written = Written::new(&plan);
        let sender = plan.sender(1).expect("planned");
        for seq in 0..5 {
            let line = plan.line(sender, seq).expect("planned");
            written.set(line.index, u64::from(seq + 1) * 10);
        }
        let until = |at_ns| written.until(&plan, sender, 30, at_ns);
        assert_eq!([9, 10, 11, 49, 50, u64::MAX].map(until), [0, 1, 1, 4, 5, 5]);
        assert_eq!(written.until(&plan, sender, 3, u64::MAX), 3);
        let other = plan.sender(0).expect("planned");
        assert_eq!(written.until(&plan, other, 30, u64::MAX), 0);
    }
}
