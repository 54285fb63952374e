//! Whether every receiver got every line once, in order and unchanged. Pure: it is told what
//! arrived where and knows nothing of time or sockets. One array element per pair of receiver and
//! sender in a room, one comparison per delivery; only faults and stays take memory beyond that.
//!
//! # Stays
//!
//! A receiver that leaves and returns is audited stay by stay. A stay reaches from the request to
//! join until the leave is confirmed, or until the receiver itself closes the connection. Of each
//! sender, the stay has a first and a last line; all from the one to the other must come, each once
//! and in order:
//!
//! - The first line is the first one that was sent after the confirmation of the join was read, or
//!   one that came before that one did.
//! - The last line is the last one that came. If the receiver stays to the end of the run, it is
//!   the last one that was sent.
//! - A line that was sent longer than the grace before the end of the stay is not under way any
//!   more: the last line is not before it, whether it came or not.
//!
//! So a line under way at either edge of a stay may come or not; if it does not, it is neither
//! expected nor lost. Those at the end are counted apart (`under_way`): a server that forgets who
//! has returned shows there, and after the grace as lost. What comes between two stays is foreign,
//! a line up to the last one of an earlier stay is a second copy. Who never leaves has one stay,
//! from before the first line to the end of the run.

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
    /// Clients closed by the server before the end, slow readers left out.
    pub closed: u64,
    /// Lines sent while a receiver was there and not come when it left: neither expected nor lost.
    #[serde(default)]
    pub under_way: u64,
    /// Of those lost, what clients closed by the server missed after the last line that came.
    #[serde(default)]
    pub lost_after_close: u64,
}

impl Totals {
    /// Whether anything but plain deliveries happened.
    pub fn any_fault(&self) -> bool {
        self.lost + self.duplicated + self.reordered + self.corrupted + self.foreign + self.closed
            > 0
            || self.delivered != self.expected
    }

    /// Whether all that went wrong is that the server closed clients, and what these then missed.
    pub fn only_closed(&self) -> bool {
        let others = Self {
            closed: 0,
            lost: self.lost.saturating_sub(self.lost_after_close),
            expected: self.expected.saturating_sub(self.lost_after_close),
            ..*self
        };
        self.closed > 0 && !others.any_fault()
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
        self.under_way += other.under_way;
        self.lost_after_close += other.lost_after_close;
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
    /// In the whole run.
    pub(crate) lines: u32,
}

/// What one receiver must have heard of one sender at the end of a stay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) cell: u32,
    pub(crate) sender: u32,
    /// The first line that must come, unless an earlier one came.
    pub(crate) first: u32,
    /// The one after the last that must come, unless a later one came.
    pub(crate) end: u32,
    /// The one after the last that was sent before the receiver left.
    pub(crate) sent: u32,
}

/// `next` of a sender that has not been heard in this stay: no line has that number.
const UNHEARD: u32 = u32::MAX;

/// The audit of the receivers of one thread, numbered from 0.
pub(crate) struct Audit {
    /// The next sequence number from each sender of the receiver's room, receiver after receiver.
    next: Vec<u32>,
    receivers: Vec<ReceiverState>,
    /// Sequence numbers jumped over in this stay, by index into `next`; only pairs with faults are
    /// in it.
    gaps: HashMap<usize, Vec<Range<u32>>>,
    gap_count: usize,
    /// Lines in gaps that were not remembered.
    forgotten: u64,
    /// By index into `next`, for receivers that have left before.
    edges: HashMap<usize, Edge>,
    totals: Totals,
    faults: HashMap<Where, Faults>,
}

#[derive(Clone, Copy)]
struct ReceiverState {
    cell_first: usize,
    /// Lines that came as they were sent or changed: what need not be waited for.
    arrived: u64,
    /// Changed lines that explain no missing one yet.
    corrupted: u64,
    /// The server has closed its connection.
    closed: bool,
}

/// Where a stay that is not the receiver's first begins.
#[derive(Clone, Copy)]
struct Edge {
    /// Lines below it came in an earlier stay.
    floor: u32,
    /// The lowest line that came in this stay.
    base: u32,
}

impl Audit {
    /// One item per receiver: how many senders its room has.
    pub(crate) fn new(senders_by_receiver: impl Iterator<Item = u32>) -> Self {
        let mut cell_first = 0;
        let receiver = |senders: u32| {
            let state = ReceiverState { cell_first, arrived: 0, corrupted: 0, closed: false };
            cell_first += senders as usize;
            state
        };
        let receivers: Vec<_> = senders_by_receiver.map(receiver).collect();
        Self {
            next: vec![0; cell_first],
            receivers,
            gaps: HashMap::new(),
            gap_count: 0,
            forgotten: 0,
            edges: HashMap::new(),
            totals: Totals::default(),
            faults: HashMap::new(),
        }
    }

    /// Takes in an intact line of a sender of the receiver's room. True for the first copy.
    pub(crate) fn on_line(&mut self, receiver: usize, cell: u32, sender: u32, seq: u32) -> bool {
        let index = self.receivers[receiver].cell_first + cell as usize;
        let next = self.next[index];
        if seq < next {
            return self.on_late_line(receiver, index, sender, seq);
        }
        if seq > next {
            self.add_gap(index, next..seq);
        }
        self.next[index] = seq + 1;
        self.on_first_copy(receiver);
        true
    }

    fn on_first_copy(&mut self, receiver: usize) {
        self.receivers[receiver].arrived += 1;
        self.totals.delivered += 1;
    }

    fn on_late_line(&mut self, receiver: usize, index: usize, sender: u32, seq: u32) -> bool {
        let edge = self.edges.get_mut(&index).filter(|edge| seq >= edge.floor);
        if let Some(edge) = edge.filter(|edge| seq < edge.base) {
            let base = std::mem::replace(&mut edge.base, seq);
            if self.next[index] == UNHEARD {
                self.next[index] = seq + 1;
                self.on_first_copy(receiver);
                return true;
            }
            self.add_gap(index, seq + 1..base);
        } else if !self.gaps.get_mut(&index).is_some_and(|gaps| fill(gaps, seq)) {
            self.totals.duplicated += 1;
            self.note(receiver, Some(sender), |faults| faults.duplicated += 1);
            return false;
        }
        self.on_first_copy(receiver);
        self.totals.reordered += 1;
        self.note(receiver, Some(sender), |faults| faults.reordered += 1);
        true
    }

    fn add_gap(&mut self, index: usize, gap: Range<u32>) {
        if gap.is_empty() {
        } else if self.gap_count < GAPS_MAX {
            self.gap_count += 1;
            self.gaps.entry(index).or_default().push(gap);
        } else {
            self.forgotten += gap.len() as u64;
        }
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
    pub(crate) fn on_closed(&mut self, receiver: usize) {
        self.receivers[receiver].closed = true;
        self.totals.closed += 1;
    }

    /// How many of the lines in the spans have not come.
    pub(crate) fn outstanding(&self, receiver: usize, spans: impl Iterator<Item = Span>) -> u64 {
        let state = self.receivers[receiver];
        let missing = spans.map(|span| {
            let index = state.cell_first + span.cell as usize;
            self.missing(index, &self.range(index, &span))
        });
        missing.sum::<u64>().saturating_sub(state.corrupted)
    }

    /// The receiver has left: what comes from here on belongs to its next stay.
    pub(crate) fn leave(&mut self, receiver: usize, spans: &[Span]) {
        self.settle(receiver, spans.iter().copied());
        for span in spans {
            self.begin_stay(self.receivers[receiver].cell_first + span.cell as usize);
        }
    }

    /// The run is over: adds up what should have come in the stay. A corrupted line explains one
    /// missing line of its receiver, which then is not lost.
    pub(crate) fn settle(&mut self, receiver: usize, spans: impl Iterator<Item = Span>) {
        let state = &mut self.receivers[receiver];
        let (cell_first, closed) = (state.cell_first, state.closed);
        let mut explained = std::mem::take(&mut state.corrupted);
        for span in spans {
            let index = cell_first + span.cell as usize;
            let range = self.range(index, &span);
            let missing = self.missing(index, &range);
            let lost = missing.saturating_sub(explained);
            explained -= missing - lost;
            self.totals.expected += range.len() as u64;
            self.totals.under_way += u64::from(span.sent.saturating_sub(range.end));
            self.totals.lost += lost;
            if closed {
                let after_last = match self.next[index] {
                    UNHEARD => missing,
                    next => u64::from(range.end - next),
                };
                self.totals.lost_after_close += lost.min(after_last);
            }
            if lost > 0 {
                self.note(receiver, Some(span.sender), |faults| faults.lost += lost);
            }
        }
    }

    /// The run is over for a receiver that need not get everything: what it got is what it should
    /// have got.
    pub(crate) fn settle_slow(&mut self, receiver: usize) {
        self.totals.expected += self.receivers[receiver].arrived;
    }

    /// The totals of all that was settled, and where the faults are.
    pub(crate) fn finish(mut self) -> (Totals, HashMap<Where, Faults>) {
        self.totals.lost += self.forgotten;
        (self.totals, self.faults)
    }

    fn begin_stay(&mut self, index: usize) {
        let next = std::mem::replace(&mut self.next[index], UNHEARD);
        let edge = self.edges.entry(index).or_insert(Edge { floor: 0, base: 0 });
        if next != UNHEARD {
            edge.floor = edge.floor.max(next);
        }
        edge.base = UNHEARD;
        let settled = self.gaps.remove(&index).map_or(0, |gaps| gaps.len());
        self.gap_count = self.gap_count.saturating_sub(settled);
    }

    /// The lines that should have come by now.
    fn range(&self, index: usize, span: &Span) -> Range<u32> {
        match self.next[index] {
            UNHEARD => span.first..span.end.max(span.first),
            next => span.first.min(self.base(index))..span.end.max(next),
        }
    }

    fn missing(&self, index: usize, range: &Range<u32>) -> u64 {
        let next = self.next[index];
        if next == UNHEARD {
            return range.len() as u64;
        }
        let within = self.gaps.get(&index).into_iter().flatten();
        let within: u64 = within.map(|gap| gap.len() as u64).sum();
        within + u64::from(self.base(index) - range.start) + u64::from(range.end - next)
    }

    fn base(&self, index: usize) -> u32 {
        self.edges.get(&index).map_or(0, |edge| edge.base)
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
        audit.settle(0, [span(0, 0, 0)].into_iter());
        audit.settle(1, [span(0, LINES, LINES)].into_iter());
        audit.finish()
    }

    fn span(first: u32, end: u32, sent: u32) -> Span {
        Span { cell: 0, sender: 9, first, end, sent }
    }

    /// Lines that come in a stay, one after the other.
    fn hear(audit: &mut Audit, lines: impl IntoIterator<Item = u32>) {
        for seq in lines {
            audit.on_line(0, 0, 9, seq);
        }
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
                ..Totals::default()
            };
            assert_eq!(totals, expected, "{name}");
            assert_eq!(totals.any_fault(), !faults.is_empty(), "{name}");
            assert!(faults.keys().all(|key| key.receiver == 1), "{name}");
            let listed: u64 = faults.values().map(|faults| faults.lost + faults.duplicated).sum();
            assert_eq!(listed, lost + duplicated, "{name}");
        }
    }

    #[test]
    fn a_closed_client_is_a_fault_and_what_it_then_missed_is_told_apart() {
        let closed = |came: &[u32]| {
            let mut audit = Audit::new([1, 1].into_iter());
            hear(&mut audit, came.iter().copied());
            audit.on_closed(0);
            audit.settle(0, [span(0, LINES, LINES)].into_iter());
            audit.finish().0
        };
        // What came, then lost, of that after the close, whether the close is all.
        let rows: [(&[u32], u64, u64, bool); 5] = [
            (&[0, 1, 2, 3, 4], 0, 0, true),
            (&[0, 1], 3, 3, true),
            (&[], 5, 5, true),
            (&[0, 2], 3, 2, false),
            (&[1, 0, 2], 2, 2, false),
        ];
        for (came, lost, after_close, only) in rows {
            let totals = closed(came);
            assert_eq!((totals.lost, totals.lost_after_close), (lost, after_close), "{came:?}");
            assert!(totals.any_fault() && totals.closed == 1, "{came:?}");
            assert_eq!(totals.only_closed(), only, "{came:?}");
        }
        // Another one, who was not closed, has lost a line.
        let mut other = closed(&[0, 1]);
        other.add(&Totals { expected: 1, lost: 1, ..Totals::default() });
        assert!(!other.only_closed());
    }

    #[test]
    fn who_reads_slowly_should_have_got_what_it_got() {
        let mut audit = Audit::new([1].into_iter());
        hear(&mut audit, [0, 1, 4, 4]);
        audit.on_corrupted(0);
        audit.settle_slow(0);
        let (totals, _) = audit.finish();
        let expected =
            Totals { expected: 4, delivered: 3, corrupted: 1, duplicated: 1, ..Totals::default() };
        assert_eq!(totals, expected);
    }

    #[test]
    fn a_stay_without_faults_has_none_wherever_its_edges_are() {
        const SENT: u32 = 9;
        // The second stay; in the first, line 0 came. `first`: sent after the join was confirmed.
        // `from..to`: what came.
        for first in 1..=SENT {
            for from in 1..=first {
                for to in from..=SENT {
                    let mut audit = Audit::new([1].into_iter());
                    hear(&mut audit, [0]);
                    audit.leave(0, &[span(0, 0, 1)]);
                    hear(&mut audit, from..to);
                    audit.leave(0, &[span(first, 0, SENT)]);
                    let (totals, faults) = audit.finish();
                    let came = u64::from(to - from);
                    let end = if came > 0 { to } else { first };
                    let expected = Totals {
                        expected: 1 + came,
                        delivered: 1 + came,
                        under_way: u64::from(SENT - end),
                        ..Totals::default()
                    };
                    assert_eq!(totals, expected, "{first}: {from}..{to}");
                    assert!(faults.is_empty());
                }
            }
        }
    }

    #[test]
    fn one_line_dropped_is_lost_only_between_the_edges_of_a_stay() {
        const SENT: u32 = 9;
        for first in 1..SENT {
            for from in 1..=first {
                for dropped in from..SENT {
                    let mut audit = Audit::new([1].into_iter());
                    audit.leave(0, &[span(0, 0, 0)]);
                    hear(&mut audit, (from..SENT).filter(|seq| *seq != dropped));
                    audit.leave(0, &[span(first, 0, SENT)]);
                    let (totals, _) = audit.finish();
                    let at_beginning = dropped == from && dropped < first;
                    let at_end = dropped + 1 == SENT;
                    let lost = u64::from(!at_beginning && !at_end);
                    assert_eq!(totals.lost, lost, "{first}: {from}.. without {dropped}");
                    assert_eq!(totals.under_way, u64::from(at_end), "{first}: {dropped}");
                    assert_eq!(totals.expected, totals.delivered + lost);
                }
            }
        }
    }

    #[test]
    fn faults_in_a_later_stay_are_counted_exactly() {
        // What came in the second stay; the first had lines 0 to 3 and lost none. 6 is the first
        // that must come. Then lost, duplicated, reordered, under way.
        let rows: [(&str, &[u32], u32, [u64; 4]); 9] = [
            ("all", &[6, 7, 8, 9], 0, [0, 0, 0, 0]),
            ("from before the join", &[5, 6, 7, 8, 9], 0, [0, 0, 0, 0]),
            ("a gap before the join", &[4, 6, 7, 8, 9], 0, [1, 0, 0, 0]),
            ("the first two swapped", &[7, 6, 8, 9], 0, [0, 0, 1, 0]),
            ("swapped at the edge", &[6, 5, 7, 8, 9], 0, [0, 0, 1, 0]),
            ("twice", &[6, 6, 7, 8, 9], 0, [0, 1, 0, 0]),
            ("again from the first stay", &[3, 6, 7, 8, 9], 0, [0, 1, 0, 0]),
            ("none, and all are under way", &[], 0, [0, 0, 0, 4]),
            ("none, and two are too old for that", &[], 8, [2, 0, 0, 2]),
        ];
        for (name, came, end, [lost, duplicated, reordered, under_way]) in rows {
            let mut audit = Audit::new([1].into_iter());
            hear(&mut audit, 0..4);
            audit.leave(0, &[span(0, 0, 4)]);
            hear(&mut audit, came.iter().copied());
            audit.leave(0, &[span(6, end, 10)]);
            let (totals, _) = audit.finish();
            let found = [totals.lost, totals.duplicated, totals.reordered, totals.under_way];
            assert_eq!(found, [lost, duplicated, reordered, under_way], "{name}");
            assert_eq!(totals.expected, totals.delivered + totals.lost, "{name}");
        }
    }

    #[test]
    fn what_is_still_to_come_is_known() {
        let mut audit = Audit::new([1].into_iter());
        let outstanding = |audit: &Audit| audit.outstanding(0, [span(0, 5, 5)].into_iter());
        assert_eq!(outstanding(&audit), 5);
        hear(&mut audit, [0, 2]);
        assert_eq!(outstanding(&audit), 3);
        audit.on_corrupted(0);
        assert_eq!(outstanding(&audit), 2);
        audit.leave(0, &[span(0, 0, 5)]);
        assert_eq!(audit.outstanding(0, [span(4, 5, 5)].into_iter()), 1);
    }
}
