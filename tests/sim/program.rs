//! One client of `rid` or `p2p`, as the oracle sees it: it may be in several rooms, and what it is
//! sent does not say of which of them it is.

use std::collections::{BTreeSet, HashMap};

use chatd::dialect::Dialect;

use crate::oracle::PersonId;
use crate::person::{Person, Said, Visit, ignoring, is_closing, skipped};
use crate::words;

/// What only such a client has.
#[derive(Debug)]
pub(crate) struct Program {
    /// Where its stream may stand: for each visit, what was received of it.
    places: BTreeSet<Vec<usize>>,
    /// Of which visit each thing said is, in the order of all rooms.
    order: Vec<usize>,
    /// What it was to be told of the topic, by the place in its script of what made it enter.
    topics: HashMap<usize, String>,
    /// How often it was told that a reader is not there.
    pub(crate) offline_count: usize,
    /// How often it was told that a reader ignores it.
    pub(crate) refused_count: usize,
    /// Its id was refused.
    pub(crate) turned_away: bool,
}

/// A direct message: its author and its text.
pub(crate) type Direct = (String, String);

impl Default for Program {
    fn default() -> Self {
        Self {
            places: BTreeSet::from([Vec::new()]),
            order: Vec::new(),
            topics: HashMap::new(),
            offline_count: 0,
            refused_count: 0,
            turned_away: false,
        }
    }
}

impl Person {
    // What the observer sees.

    /// It entered a room: by its id, or by the first frame for that room.
    pub(crate) fn enter(&mut self, visit: Visit, room: &str, topic: Option<String>) {
        let next = self.script[self.executed..].iter().find(|said| said.is_heard() || said.is_id());
        match next.cloned() {
            Some(said @ Said::Id(_)) => self.execute(&said),
            Some(said @ Said::Frame { .. }) => {
                assert!(matches!(&said, Said::Frame { room: asked, .. } if asked == room));
                self.execute(&said);
                if let Some(topic) = topic {
                    self.program.topics.insert(self.executed - 1, topic);
                }
            }
            other => panic!("it entered {room} where it wrote {other:?}"),
        }
        self.visits.push(visit);
        let places = std::mem::take(&mut self.program.places);
        self.program.places = places.into_iter().map(|place| [&*place, &[0]].concat()).collect();
    }

    /// Something was said in the room of that visit.
    pub(crate) fn note_order(&mut self, visit: usize) {
        self.program.order.push(visit);
    }

    // What is received.

    /// Judges what comes next, if it is whole. The outer `None`: it is not.
    pub(crate) fn hear(&mut self, id: PersonId) -> Option<Option<Direct>> {
        if self.partial.is_empty() {
            return None;
        }
        let expected = || self.program.places.iter().flat_map(|place| self.after(place));
        let heard = expected().find(|said| self.partial.starts_with(said)).map(<[u8]>::to_vec);
        let is_begun = expected().any(|said| said.starts_with(&self.partial));
        if let Some(said) = heard {
            self.hear_room(id, &said);
            return Some(None);
        }
        if is_begun {
            return None;
        }
        let begin = usize::from(self.dialect == Dialect::Rid);
        let end = begin + self.partial[begin..].iter().position(|byte| *byte == b'\n')?;
        let line = self.partial.drain(..=end).collect::<Vec<u8>>();
        assert!(begin == 0 || line[0] == b'\n', "client {id}: a line without its beginning");
        let line = std::str::from_utf8(&line[begin..end]).expect("lines are UTF-8");
        Some(self.judge_line(id, line))
    }

    /// What may come after that place, a thing for each room.
    fn after<'a>(&'a self, place: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
        let next = self.visits.iter().zip(place).filter_map(|(visit, at)| visit.lines.get(*at));
        next.map(|said| &**said)
    }

    fn hear_room(&mut self, id: PersonId, said: &[u8]) {
        let is_last = self.closing || self.program.turned_away;
        assert!(!is_last, "client {id}: a room after the last line");
        assert!(self.welcomed || self.dialect != Dialect::P2p, "client {id}: a room before hello");
        self.partial.drain(..said.len());
        let mut places = BTreeSet::new();
        for place in &self.program.places {
            for (visit, at) in place.iter().enumerate() {
                if self.visits[visit].lines.get(*at).is_some_and(|next| **next == *said) {
                    let mut place = place.clone();
                    place[visit] += 1;
                    places.insert(place);
                }
            }
        }
        self.program.places = places;
    }

    fn judge_line(&mut self, id: PersonId, line: &str) -> Option<Direct> {
        assert!(!self.closing, "client {id}: {line:?} after the last line");
        // What it wrote right behind the id may be a reason too.
        let may_follow = !self.program.turned_away || is_closing(self.dialect, line);
        assert!(may_follow, "client {id}: {line:?} after it was turned away");
        if let Some(count) = skipped(line) {
            self.skip(count);
        } else if let Some(direct) = words::direct(self.dialect, line) {
            return Some(direct);
        } else if is_closing(self.dialect, line) {
            self.closing = true;
        } else {
            self.judge_answer_to_program(id, line);
        }
        None
    }

    /// It goes on where all its rooms ended at one moment, so that it missed just as much.
    fn skip(&mut self, count: usize) {
        let order = &self.program.order;
        let moved = self.program.places.iter().filter_map(|place| {
            let until = order.get(..place.iter().sum::<usize>() + count)?;
            let mut ends = vec![0; place.len()];
            until.iter().for_each(|visit| ends[*visit] += 1);
            ends.iter().zip(place).all(|(end, at)| end >= at).then_some(ends)
        });
        let moved: BTreeSet<_> = moved.collect();
        assert!(!moved.is_empty(), "{count} lines skipped from {:?}", self.program.places);
        self.program.places = moved;
    }

    fn judge_answer_to_program(&mut self, id: PersonId, line: &str) {
        loop {
            let asked = self.replied;
            let Some(said) = self.script.get(asked).cloned() else {
                panic!(
                    "client {id} is told {line:?} and had asked nothing; it stands at {:?}: {:?}",
                    self.program.places,
                    self.program.places.first().map(|place| self
                        .after(place)
                        .map(|said| said.escape_ascii().to_string())
                        .collect::<Vec<_>>())
                );
            };
            self.replied += 1;
            match said {
                Said::Id(name) => return self.judge_id(&name, line),
                Said::Invalid => return assert_eq!(line, words::invalid(self.dialect)),
                Said::TooLong => return assert_eq!(line, words::too_long(self.dialect)),
                Said::Frame { .. } => {
                    if let Some(topic) = self.program.topics.get(&asked) {
                        return assert_eq!(line, topic);
                    }
                }
                // Who is there is silent about it.
                Said::Msg { to, .. } => {
                    if line == "remote is offline" {
                        self.program.offline_count += 1;
                        return;
                    }
                    if ignoring(line) == Some(&*to) {
                        self.program.refused_count += 1;
                        return;
                    }
                    if line == format!("{to} is away") || line == format!("{to} is away: lunch") {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    fn judge_id(&mut self, name: &str, line: &str) {
        let is_one = name.starts_with('p');
        if is_one && line == format!("hello {name},you login successed") {
            self.welcomed = true;
            return;
        }
        let refusal = if is_one { "That id is taken. Choose another" } else { "That cannot be an" };
        assert!(line.starts_with(refusal), "{line:?} for the id {name:?}");
        self.program.turned_away = true;
    }

    // What must be so when the server rests.

    pub(crate) fn assert_program_done(&self, id: PersonId) {
        for said in &self.script[self.executed..] {
            assert!(!said.is_heard(), "client {id}: {said:?} was not carried out");
        }
        for (place, said) in self.script.iter().enumerate().skip(self.replied) {
            let is_answered = matches!(said, Said::Id(_) | Said::Invalid | Said::TooLong)
                || self.program.topics.contains_key(&place);
            assert!(!is_answered, "client {id}: {said:?} was not answered");
        }
    }

    pub(crate) fn assert_all_heard(&self, id: PersonId) {
        let ends: Vec<usize> = self.visits.iter().map(|visit| visit.lines.len()).collect();
        let places = &self.program.places;
        assert!(
            places.contains(&ends),
            "client {id} stands at {places:?}, its rooms end at {ends:?}"
        );
    }
}
