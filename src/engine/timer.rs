//! What a worker has to do at an instant.
//!
//! A timer that is no longer wanted stays and finds nothing to do when it fires: there is one for a
//! connection's closing, one for its retry, and one for a room's sweep, so that their number is
//! bounded by those.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::token::Key;
use crate::time::Time;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Close the connection, whatever it is still owed.
    Close(Key),
    /// Try again to send to the connection.
    Retry(Key),
    /// Start the sweep of a room that had to wait.
    Sweep(u32),
    /// Look for slow readers.
    Slow,
    /// Accept again.
    Accept,
}

/// Timers, the earliest first.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Time, Timer)>>,
}

impl Timers {
    /// Sets one.
    pub(super) fn set(&mut self, at: Time, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    /// When the earliest fires; `Time::NEVER` if there is none.
    pub(super) fn next(&self) -> Time {
        self.heap.peek().map_or(Time::NEVER, |Reverse((at, _))| *at)
    }

    /// Takes one that is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        if self.next() > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, timer))| timer)
    }
}
