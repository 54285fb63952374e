//! The last lines of a room, for those who join it.
//!
//! Kept here and not in the feeds of the workers: a feed is there while somebody reads it, in one
//! dialect on one worker, and who joins may be the first there. A room of the core has one history,
//! the same for all.

use std::collections::VecDeque;

use super::event::{ConnId, PeerId};
use super::message::{Message, What};
use super::nick::ShownName;
use crate::limits::{HISTORY_LEN_MAX, HISTORY_STEP, PEERS_MAX};

/// Whose the connections are of authors who are gone, where others may have their numbers. No peer
/// is called so.
pub(super) const GONE: PeerId = PeerId(u8::MAX);
const _: () = assert!(PEERS_MAX <= GONE.0 as usize);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The latest last.
    lines: VecDeque<Past>,
}

/// What all histories may keep, and do.
#[derive(Debug)]
pub(super) struct Budget {
    lines_max: usize,
    len: usize,
}

/// A line that was said.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) author: ShownName,
    pub(super) conn: ConnId,
    /// When the wall clock said that it was, in minutes since midnight, UTC.
    pub(super) minute: u16,
    pub(super) what: What,
    /// Its memory is used again and again.
    pub(super) text: String,
}

impl Budget {
    /// So many lines a room.
    pub(super) fn new(lines_max: usize) -> Self {
        Self { lines_max, len: 0 }
    }

    /// Whether a line may be kept in `memory`, grown if need be.
    fn takes(&self, memory: &String, text: &str) -> bool {
        self.len - memory.capacity() + len_for(text).max(memory.capacity()) <= HISTORY_LEN_MAX
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl History {
    /// Keeps a line, and lets go of the oldest for it. Without memory for it, it is not kept.
    pub(super) fn push(
        &mut self,
        minute: u16,
        conn: ConnId,
        author: ShownName,
        (what, text): (What, &str),
        budget: &mut Budget,
    ) {
        let mut memory = String::new();
        while self.lines.len() >= budget.lines_max.max(1) || !budget.takes(&memory, text) {
            let Some(oldest) = self.lines.pop_front() else { break };
            budget.len -= memory.capacity();
            memory = oldest.text;
        }
        if budget.lines_max == 0 || !budget.takes(&memory, text) {
            budget.len -= memory.capacity();
            return;
        }
        budget.len -= memory.capacity();
        memory.clear();
        memory.reserve_exact(len_for(text));
        memory.push_str(text);
        budget.len += memory.capacity();
        self.lines.push_back(Past { author, conn, minute, what, text: memory });
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self, budget: &mut Budget) {
        for line in self.lines.drain(..) {
            budget.len -= line.text.capacity();
        }
    }

    /// All connections of that peer are gone, and others will have their numbers.
    pub(super) fn forget_conns_of(&mut self, peer: PeerId) {
        for line in self.lines.iter_mut().filter(|line| line.conn.peer == peer) {
            line.conn = ConnId { peer: GONE, ..line.conn };
        }
    }

    /// What is kept, the oldest first.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Past> {
        self.lines.iter()
    }

    /// The same, with its author, and as people read it.
    pub(super) fn messages(&self) -> impl Iterator<Item = (ConnId, Message<&str>)> {
        self.lines.iter().map(|line| {
            let Past { author, conn, minute, what, text } = line;
            let author = author.as_str();
            (*conn, Message::Past { minute: *minute, author, what: *what, text })
        })
    }
}

/// Bytes that are set aside for a text.
fn len_for(text: &str) -> usize {
    text.len().max(1).next_multiple_of(HISTORY_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId { peer: PeerId(0), index: 0, generation: 0 };

    fn push(history: &mut History, text: &str, budget: &mut Budget) {
        let author = ShownName::new("plato").expect("a short name");
        history.push(0, CONN, author, (What::Said, text), budget);
    }

    fn texts(history: &History) -> Vec<&str> {
        history.lines.iter().map(|line| &*line.text).collect()
    }

    #[test]
    fn the_last_lines_are_kept_in_the_same_memory() {
        let (mut history, mut budget) = (History::default(), Budget::new(2));
        for text in ["one", "two", "three", ""] {
            push(&mut history, text, &mut budget);
        }
        assert_eq!(texts(&history), ["three", ""]);
        let len = budget.len();
        for _ in 0..100 {
            push(&mut history, "four and more", &mut budget);
        }
        assert_eq!(budget.len(), len.next_multiple_of(2 * HISTORY_STEP));
        history.clear(&mut budget);
        assert_eq!((texts(&history).len(), budget.len()), (0, 0));
    }

    #[test]
    fn none_are_kept_where_none_are_wanted() {
        let (mut history, mut budget) = (History::default(), Budget::new(0));
        push(&mut history, "one", &mut budget);
        assert_eq!((texts(&history).len(), budget.len()), (0, 0));
    }

    #[test]
    fn all_rooms_share_what_may_be_kept() {
        let mut budget = Budget::new(3);
        let [mut first, mut second, mut third] = [const { History { lines: VecDeque::new() } }; 3];
        push(&mut first, "one", &mut budget);
        budget.len = HISTORY_LEN_MAX - HISTORY_STEP;
        push(&mut second, "two", &mut budget);
        assert_eq!(budget.len(), HISTORY_LEN_MAX);
        push(&mut second, "three", &mut budget);
        push(&mut third, "four", &mut budget);
        push(&mut first, "five", &mut budget);
        assert_eq!((texts(&first), texts(&second)), (vec!["five"], vec!["three"]));
        assert_eq!((texts(&third).len(), budget.len()), (0, HISTORY_LEN_MAX));
        push(&mut first, &"x".repeat(HISTORY_STEP + 1), &mut budget);
        assert_eq!((texts(&first).len(), budget.len()), (0, HISTORY_LEN_MAX - HISTORY_STEP));
    }
}
