//! Whether every receiver got every line once, in order and unchanged. Pure: it is told what
//! arrived where and knows nothing of time or sockets. One array element per pair of receiver and
//! sender in a room, one comparison per delivery; only faults take memory beyond that.

use crate::limits::{FAULT_ROWS_MAX, GAPS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;

/// Counts of what may happen to a line. `expected = delivered + corrupted + lost` unless a
/// corrupted line was one that its receiver should not have got at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Deliveries that must happen: for each line, the members of its room but its author.
    pub expected: u64,
    /// First intact copies, late ones included.
    pub delivered: u64,
    /// Lines of which a receiver got no copy at all.
    pub lost: u64,
    /// Second and further copies.
    pub duplicated: u64,
    /// Lines that came after a later one of the same sender.
    pub reordered: u64,
    /// Lines that bear our mark but not what was sent.
    pub corrupted: u64,
    /// Lines a receiver must not get: of another room or run, or its own.
    pub foreign: u64,
    /// Clients closed by the server before the end.
    pub closed: u64,
}

impl Totals {
    /// Whether anything but plain deliveries happened.
    pub fn any_fault(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.corrupted + self.foreign + self.closed
            > 0
            || self.delivered != self.expected
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.expected += other.expected;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.corrupted += other.corrupted;
        self.foreign += other.foreign;
        self.closed += other.closed;
    }
}

/// The faults between one sender and one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) corrupted: u64,
    pub(crate) foreign: u64,
}

/// Where a fault happened. A corrupted line does not tell its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Where {
    pub(crate) receiver: usize,
    pub(crate) sender: Option<u32>,
}

/// What one receiver may hear of one sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// The sender's place among those of the room.
    pub(crate) cell: u32,
    pub(crate) sender: u32,
    pub(crate) lines: u32,
}

/// The audit of the receivers of one thread, numbered from 0.
pub(crate) struct Audit {
    /// The next sequence number from each sender of the receiver's room, receiver after receiver.
    next: Vec<u32>,
    receivers: Vec<ReceiverState>,
    /// Sequence numbers jumped over, by index into `next`; only pairs with faults are in it.
    gaps: HashMap<usize, Vec<Range<u32>>>,
    gap_count: usize,
    totals: Totals,
    faults: HashMap<Where, Faults>,
}

#[derive(Clone, Copy)]
struct ReceiverState {
    cell_first: usize,
    /// Lines that came as they were sent or changed: what need not be waited for.
    arrived: u64,
    corrupted: u64,
}

impl Audit {
    /// One item per receiver: how many senders its room has.
    pub(crate) fn new(senders_by_receiver: impl Iterator<Item = u32>) -> Self {
        let mut cell_first = 0;
        let receiver = |senders: u32| {
            let state = ReceiverState { cell_first, arrived: 0, corrupted: 0 };
            cell_first += senders as usize;
            state
        };
        let receivers: Vec<_> = senders_by_receiver.map(receiver).collect();
        Self {
            next: vec![0; cell_first],
            receivers,
            gaps: HashMap::new(),
            gap_count: 0,
            totals: Totals::default(),
            faults: HashMap::new(),
        }
    }

    /// Takes in an intact line of a sender of the receiver's room. True for the first copy.
    pub(crate) fn on_line(&mut self, receiver: usize, cell: u32, sender: u32, seq: u32) -> bool {
        let state = &mut self.receivers[receiver];
        let index = state.cell_first + cell as usize;
        let next = &mut self.next[index];
        if seq == *next {
            *next += 1;
        } else if seq > *next {
            let gap = *next..seq;
            *next = seq + 1;
            if self.gap_count < GAPS_MAX {
                self.gap_count += 1;
                self.gaps.entry(index).or_default().push(gap);
            }
        } else {
            return self.on_late_line(receiver, index, sender, seq);
        }
        state.arrived += 1;
        self.totals.delivered += 1;
        true
    }

    fn on_late_line(&mut self, receiver: usize, index: usize, sender: u32, seq: u32) -> bool {
        let gaps = self.gaps.get_mut(&index);
        let first_copy = gaps.is_some_and(|gaps| fill(gaps, seq));
        if first_copy {
            self.receivers[receiver].arrived += 1;
            self.totals.delivered += 1;
            self.totals.reordered += 1;
            self.note(receiver, Some(sender), |faults| faults.reordered += 1);
        } else {
            self.totals.duplicated += 1;
            self.note(receiver, Some(sender), |faults| faults.duplicated += 1);
        }
        first_copy
    }

    /// Takes in a line that is not what was sent.
    pub(crate) fn on_corrupted(&mut self, receiver: usize) {
        let state = &mut self.receivers[receiver];
        state.arrived += 1;
        state.corrupted += 1;
        self.totals.corrupted += 1;
        self.note(receiver, None, |faults| faults.corrupted += 1);
    }

    /// Takes in an intact line that this receiver must not get.
    pub(crate) fn on_foreign(&mut self, receiver: usize, sender: u32) {
        self.totals.foreign += 1;
        self.note(receiver, Some(sender), |faults| faults.foreign += 1);
    }

    /// The server closed the receiver's connection.
    pub(crate) fn on_closed(&mut self) {
        self.totals.closed += 1;
    }

    /// Lines, intact or not, that this receiver has got.
    pub(crate) fn arrived(&self, receiver: usize) -> u64 {
        self.receivers[receiver].arrived
    }

    /// Ends the audit: `expected` names what a receiver should have heard, sender by sender.
    /// A corrupted line explains one missing line of its receiver, which then is not lost.
    pub(crate) fn finish<E>(
        mut self,
        expected: impl Fn(usize) -> E,
    ) -> (Totals, HashMap<Where, Faults>)
    where
        E: Iterator<Item = Expected>,
    {
        for receiver in 0..self.receivers.len() {
            let state = self.receivers[receiver];
            let mut explained = state.corrupted;
            for Expected { cell, sender, lines } in expected(receiver) {
                let missing = self.missing(state.cell_first + cell as usize, lines);
                let lost = missing.saturating_sub(explained);
                explained -= missing - lost;
                self.totals.expected += u64::from(lines);
                self.totals.lost += lost;
                if lost > 0 {
                    self.note(receiver, Some(sender), |faults| faults.lost += lost);
                }
            }
        }
        (self.totals, self.faults)
    }

    fn missing(&self, index: usize, lines: u32) -> u64 {
        let within = self.gaps.get(&index).into_iter().flatten();
        let within: u64 = within.map(|gap| gap.len() as u64).sum();
        within + u64::from(lines.saturating_sub(self.next[index]))
    }

    fn note(&mut self, receiver: usize, sender: Option<u32>, change: impl FnOnce(&mut Faults)) {
        let key = Where { receiver, sender };
        if self.faults.len() < FAULT_ROWS_MAX || self.faults.contains_key(&key) {
            change(self.faults.entry(key).or_default());
        }
    }
}

/// Takes `seq` out of the gaps; false if it is in none.
fn fill(gaps: &mut Vec<Range<u32>>, seq: u32) -> bool {
    let Some(at) = gaps.iter().position(|gap| gap.contains(&seq)) else { return false };
    let gap = gaps.swap_remove(at);
    gaps.extend([gap.start..seq, seq + 1..gap.end].into_iter().filter(|part| !part.is_empty()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a receiver sees of a sender that sends 5 lines: a sequence number, `Bad` for a
    /// corrupted line, `Foreign`.
    #[derive(Clone, Copy)]
    enum Seen {
        Line(u32),
        Bad,
        Foreign,
    }
    use Seen::{Bad, Foreign, Line};

    const LINES: u32 = 5;

    fn audited(seen: &[Seen]) -> (Totals, HashMap<Where, Faults>) {
        let mut audit = Audit::new([1, 1].into_iter());
        for &seen in seen {
            match seen {
                Line(seq) => drop(audit.on_line(1, 0, 9, seq)),
                Bad => audit.on_corrupted(1),
                Foreign => audit.on_foreign(1, 9),
            }
        }
        let expected = |receiver| {
            let lines = if receiver == 1 { LINES } else { 0 };
            [Expected { cell: 0, sender: 9, lines }].into_iter()
        };
        audit.finish(expected)
    }

    #[test]
    fn each_kind_of_fault_is_counted_exactly() {
        // delivered, lost, duplicated, reordered, corrupted, foreign
        type Row = (&'static str, &'static [Seen], [u64; 6]);
        let rows: &[Row] = &[
            ("all", &[Line(0), Line(1), Line(2), Line(3), Line(4)], [5, 0, 0, 0, 0, 0]),
            ("none", &[], [0, 5, 0, 0, 0, 0]),
            ("first lost", &[Line(1), Line(2), Line(3), Line(4)], [4, 1, 0, 0, 0, 0]),
            ("middle lost", &[Line(0), Line(3), Line(4)], [3, 2, 0, 0, 0, 0]),
            ("end lost", &[Line(0), Line(1), Line(2)], [3, 2, 0, 0, 0, 0]),
            ("twice", &[Line(0), Line(1), Line(1), Line(2), Line(3), Line(4)], [5, 0, 1, 0, 0, 0]),
            (
                "three times, late",
                &[Line(0), Line(1), Line(2), Line(0), Line(0), Line(3), Line(4)],
                [5, 0, 2, 0, 0, 0],
            ),
            ("swapped", &[Line(0), Line(2), Line(1), Line(3), Line(4)], [5, 0, 0, 1, 0, 0]),
            ("backwards", &[Line(4), Line(3), Line(2), Line(1), Line(0)], [5, 0, 0, 4, 0, 0]),
            (
                "late, then again",
                &[Line(0), Line(3), Line(2), Line(2), Line(1), Line(4)],
                [5, 0, 1, 2, 0, 0],
            ),
            ("changed", &[Line(0), Bad, Line(2), Line(3), Line(4)], [4, 0, 0, 0, 1, 0]),
            ("changed and lost", &[Line(0), Bad, Line(3), Line(4)], [3, 1, 0, 0, 1, 0]),
            (
                "one more, changed",
                &[Line(0), Line(1), Line(2), Line(3), Line(4), Bad],
                [5, 0, 0, 0, 1, 0],
            ),
            (
                "foreign",
                &[Line(0), Line(1), Foreign, Line(2), Line(3), Line(4)],
                [5, 0, 0, 0, 0, 1],
            ),
        ];
        for (name, seen, [delivered, lost, duplicated, reordered, corrupted, foreign]) in rows {
            let (totals, faults) = audited(seen);
            let expected = Totals {
                expected: u64::from(LINES),
                delivered: *delivered,
                lost: *lost,
                duplicated: *duplicated,
                reordered: *reordered,
                corrupted: *corrupted,
                foreign: *foreign,
                closed: 0,
            };
            assert_eq!(totals, expected, "{name}");
            assert_eq!(totals.any_fault(), !faults.is_empty(), "{name}");
            assert!(faults.keys().all(|key| key.receiver == 1), "{name}");
            let listed: u64 = faults.values().map(|faults| faults.lost + faults.duplicated).sum();
            assert_eq!(listed, lost + duplicated, "{name}");
        }
    }

    #[test]
    fn a_closed_client_is_a_fault() {
        let mut audit = Audit::new([0].into_iter());
        audit.on_closed();
        let (totals, _) = audit.finish(|_| std::iter::empty());
        assert_eq!(totals, Totals { closed: 1, ..Totals::default() });
        assert!(totals.any_fault());
    }
}
