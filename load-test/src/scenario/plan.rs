//! A plan numbers clients, rooms, senders and lines through all groups of a scenario and answers
//! questions about them; those asked for each delivery take one look into a table.

use super::rate::Timetable;
use super::{Group, Scenario, mix};
use crate::audit::Expected;
use crate::limits::{AUDIT_CELLS_MAX, CLIENTS_MAX, LINES_MAX};
use crate::report::Receivers;
use crate::{Failure, usage};
use std::ops::Range;

/// A scenario, checked and numbered.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    groups: Vec<GroupPlan>,
    senders: Vec<Sender>,
    /// The room of each client.
    rooms_of: Vec<u32>,
    rooms: Vec<Room>,
    /// Ids of senders, room after room.
    speakers: Vec<u32>,
    pub(crate) client_count: u32,
    pub(crate) line_count: u64,
}

#[derive(Debug)]
struct GroupPlan {
    group: Group,
    client_first: u32,
    sender_first: u32,
    line_first: u64,
    timetable: Timetable,
    /// Of the sizes and the jitter.
    seed: u64,
}

#[derive(Clone, Debug, Default)]
struct Room {
    members: u32,
    /// Those of them who stay and read what comes.
    steady: u32,
    /// Its part of the plan's speakers.
    speakers: Range<usize>,
}

/// A sender, found by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) client: u32,
    pub(crate) room: u32,
    /// Its place among the senders of its room.
    pub(crate) cell: u32,
    pub(crate) group: usize,
    /// Its place among the senders of its group.
    turn: u32,
}

/// What a client does besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Talks,
    Listens,
    /// Leaves its room and returns, again and again.
    Moves,
    /// Reads slowly, or not at all.
    Lags,
}

/// The clients of a group that move, and how many leave each second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Movers {
    pub(crate) clients: Range<u32>,
    pub(crate) rate: u32,
}

/// A line, as its receivers look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counts through all groups.
    pub(crate) index: usize,
    pub(crate) measured: bool,
}

/// A line to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// After the start.
    pub(crate) after_ns: u64,
    pub(crate) sender: u32,
    pub(crate) seq: u32,
    pub(crate) size: usize,
    pub(crate) measured: bool,
}

impl Plan {
    /// Refuses what cannot work or would not fit, naming the option to change.
    pub(crate) fn new(scenario: Scenario) -> Result<Self, Failure> {
        scenario.check_parts().map_err(usage)?;
        let mut plan = Self {
            groups: Vec::with_capacity(scenario.groups.len()),
            senders: Vec::new(),
            rooms_of: Vec::new(),
            rooms: Vec::new(),
            speakers: Vec::new(),
            client_count: 0,
            line_count: 0,
            scenario,
        };
        for index in 0..plan.scenario.groups.len() {
            plan.add_group(index).map_err(|why| usage(plan.scenario.in_group(index, &why)))?;
        }
        plan.place_speakers();
        let in_room = |room: &Room| u64::from(room.members) * room.speakers.len() as u64;
        let cells: u64 = plan.rooms.iter().map(in_room).sum();
        if cells > AUDIT_CELLS_MAX {
            return Err(usage(format!(
                "{cells} pairs of receiver and sender to audit, more than {AUDIT_CELLS_MAX}: \
                 fewer --senders or more --rooms"
            )));
        }
        Ok(plan)
    }

    fn add_group(&mut self, index: usize) -> Result<(), String> {
        let group = self.scenario.groups[index].clone();
        let timetable = group.timetable(self.scenario.warmup, self.scenario.duration)?;
        let clients = self.client_count.saturating_add(group.clients);
        let lines = self.line_count.saturating_add(timetable.line_count);
        if clients > CLIENTS_MAX {
            return Err(format!("{clients} clients are too many: --clients {CLIENTS_MAX} at most"));
        }
        if lines > LINES_MAX {
            return Err(format!(
                "{lines} lines are too many, {LINES_MAX} at most: lower --rate or --duration"
            ));
        }
        let seed = mix(self.scenario.seed, index as u64);
        let (room_first, rooms) = (count(self.rooms.len()), group.rooms.max(1));
        let rooms_of = group.skew.rooms_of(group.clients, rooms, seed);
        self.rooms.resize(self.rooms.len() + rooms as usize, Room::default());
        self.rooms_of.extend(rooms_of.iter().map(|room| room_first + room));
        for (client, room) in (0..).zip(&rooms_of) {
            let room = &mut self.rooms[(room_first + room) as usize];
            room.members += 1;
            let steady = matches!(conduct(&group, client), Conduct::Talks | Conduct::Listens);
            room.steady += u32::from(steady);
        }
        let sender_first = count(self.senders.len());
        let sender = |turn: u32| Sender {
            client: self.client_count + turn,
            room: room_first + rooms_of[turn as usize],
            cell: 0,
            group: index,
            turn,
        };
        self.senders.extend((0..group.senders).map(sender));
        let line_first = self.line_count;
        let client_first = self.client_count;
        let plan = GroupPlan { client_first, sender_first, line_first, timetable, seed, group };
        self.groups.push(plan);
        (self.client_count, self.line_count) = (clients, lines);
        let mut senders = self.senders[sender_first as usize..].iter();
        if lines > line_first && senders.all(|sender| self.receivers(sender) == 0) {
            return Err("nobody is in a room with a sender: more --clients or fewer --rooms".into());
        }
        Ok(())
    }

    /// Sorts the senders by their rooms and gives each its place.
    fn place_speakers(&mut self) {
        let mut speakers: Vec<_> = (0..count(self.senders.len())).collect();
        speakers.sort_by_key(|&id| self.senders[id as usize].room);
        let rooms = speakers.chunk_by(|&one, &other| {
            self.senders[one as usize].room == self.senders[other as usize].room
        });
        let mut places = Vec::with_capacity(speakers.len());
        let mut start = 0;
        for ids in rooms {
            let room = self.senders[ids[0] as usize].room;
            self.rooms[room as usize].speakers = start..start + ids.len();
            start += ids.len();
            places.extend(0..count(ids.len()));
        }
        for (&id, cell) in speakers.iter().zip(places) {
            self.senders[id as usize].cell = cell;
        }
        self.speakers = speakers;
    }

    /// `None` for ids that no client of ours has.
    pub(crate) fn sender(&self, sender: u32) -> Option<&Sender> {
        self.senders.get(sender as usize)
    }

    pub(crate) fn senders(&self) -> &[Sender] {
        &self.senders
    }

    /// The line a sender calls `seq`; `None` if it sends fewer.
    pub(crate) fn line(&self, sender: &Sender, seq: u32) -> Option<Line> {
        let group = &self.groups[sender.group];
        let index = u64::from(seq) * u64::from(group.group.senders) + u64::from(sender.turn);
        let global = usize::try_from(group.line_first + index).ok()?;
        let measured = index >= group.timetable.warmup_count;
        (index < group.timetable.line_count).then_some(Line { index: global, measured })
    }

    /// How many get a line of this sender.
    pub(crate) fn receivers(&self, sender: &Sender) -> u32 {
        self.rooms[sender.room as usize].members - 1
    }

    /// How many of them stay in the room and read what comes.
    pub(crate) fn steady_receivers(&self, sender: &Sender) -> u32 {
        self.rooms[sender.room as usize].steady - 1
    }

    /// The same of all measured lines that have some.
    pub(crate) fn receivers_of_lines(&self) -> Receivers {
        let talks = |sender: &&Sender| {
            let lines = self.groups[sender.group].lines_of(sender.turn);
            let last = lines.checked_sub(1).and_then(|seq| self.line(sender, seq));
            last.is_some_and(|line| line.measured)
        };
        let talking = self.senders.iter().filter(talks);
        let receivers = talking.map(|sender| self.steady_receivers(sender));
        let receivers = receivers.filter(|receivers| *receivers > 0);
        let least = receivers.clone().min().unwrap_or_default();
        Receivers { least, most: receivers.max().unwrap_or_default() }
    }

    pub(crate) fn conduct(&self, client: u32) -> Conduct {
        let group = self.group_of(client);
        conduct(&group.group, client - group.client_first)
    }

    /// Those who leave and return, group by group.
    pub(crate) fn movers(&self) -> impl Iterator<Item = Movers> {
        self.groups.iter().filter(|group| group.group.churn > 0).map(|group| {
            let clients = movers(&group.group);
            let first = group.client_first;
            Movers { clients: first + clients.start..first + clients.end, rate: group.group.churn }
        })
    }

    /// Bytes a second that a client who lags reads.
    pub(crate) fn lag_rate(&self, client: u32) -> u32 {
        self.group_of(client).group.slow_rate
    }

    /// The group a client is in.
    pub(crate) fn group(&self, client: u32) -> usize {
        self.groups.partition_point(|group| group.client_first <= client) - 1
    }

    pub(crate) fn room(&self, client: u32) -> u32 {
        self.rooms_of[client as usize]
    }

    /// The room to ask for; `None` for those who stay where they start.
    pub(crate) fn room_name(&self, client: u32) -> Option<String> {
        let in_lobby = self.group_of(client).group.rooms == 0;
        self.scenario.protocol.room(self.scenario.run, self.room(client), in_lobby)
    }

    /// How many senders the client's room has.
    pub(crate) fn senders_heard(&self, client: u32) -> u32 {
        count(self.rooms[self.room(client) as usize].speakers.len())
    }

    /// What a client must get, sender by sender.
    pub(crate) fn expected(&self, client: u32) -> impl Iterator<Item = Expected> {
        let group = self.group_of(client);
        let room = &self.rooms[self.room(client) as usize];
        let speakers = self.speakers[room.speakers.clone()].iter();
        let speakers = speakers.map(|&id| (id, &self.senders[id as usize]));
        speakers.filter(move |(_, sender)| sender.client != client).map(move |(id, sender)| {
            Expected { cell: sender.cell, sender: id, lines: group.lines_of(sender.turn) }
        })
    }

    /// Every line in the order of its instant.
    pub(crate) fn schedule(&self) -> impl Iterator<Item = Due> {
        let mut next: Vec<_> = self.groups.iter().map(|group| (0, group.due(0))).collect();
        std::iter::from_fn(move || {
            let waiting = (0..next.len()).filter_map(|group| Some((group, next[group].1?)));
            let (group, due) = waiting.min_by_key(|(_, due)| due.after_ns)?;
            let index = next[group].0 + 1;
            next[group] = (index, self.groups[group].due(index));
            Some(due)
        })
    }

    fn group_of(&self, client: u32) -> &GroupPlan {
        &self.groups[self.group(client)]
    }
}

impl GroupPlan {
    fn lines_of(&self, turn: u32) -> u32 {
        let lines = u32::try_from(self.timetable.line_count).expect("bounded by LINES_MAX");
        share(lines, self.group.senders, turn)
    }

    fn due(&self, index: u64) -> Option<Due> {
        if index >= self.timetable.line_count {
            return None;
        }
        let senders = u64::from(self.group.senders);
        Some(Due {
            after_ns: self.timetable.after_ns(index, self.seed),
            sender: self.sender_first + u32::try_from(index % senders).expect("below senders"),
            seq: u32::try_from(index / senders).expect("bounded by LINES_MAX"),
            size: self.group.size.pick(self.seed, index),
            measured: index >= self.timetable.warmup_count,
        })
    }
}

/// A number of clients, rooms or senders.
fn count(count: usize) -> u32 {
    u32::try_from(count).expect("bounded by CLIENTS_MAX")
}

/// Senders come first and slow readers last. Half of those between them move: the others are there
/// all the time, to tell when a line has come to everyone.
fn movers(group: &Group) -> Range<u32> {
    let end = group.clients - group.slow;
    let between = end - group.senders;
    if group.churn > 0 { end - between / 2..end } else { end..end }
}

/// `client` counts from the group's first.
fn conduct(group: &Group, client: u32) -> Conduct {
    if client < group.senders {
        Conduct::Talks
    } else if client >= group.clients - group.slow {
        Conduct::Lags
    } else if movers(group).contains(&client) {
        Conduct::Moves
    } else {
        Conduct::Listens
    }
}

/// How many of `count` things dealt in turn to `hands` fall to `hand`.
fn share(count: u32, hands: u32, hand: u32) -> u32 {
    count / hands + u32::from(hand < count % hands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::scenario::Skew;
    use crate::wire::HEADER_LEN;
    use std::time::Duration;

    fn group(clients: u32, rooms: u32, senders: u32, rate: u32) -> Group {
        Group { clients, rooms, senders, rate: rate.into(), ..Group::default() }
    }

    fn plan(groups: Vec<Group>) -> Plan {
        let (warmup, duration) = (Duration::from_millis(500), Duration::from_secs(2));
        Plan::new(Scenario { groups, warmup, duration, ..Scenario::default() }).expect("valid")
    }

    #[test]
    fn lines_are_due_at_their_own_instants() {
        let due: Vec<_> = plan(vec![group(4, 1, 3, 4)]).schedule().collect();
        let (times, rest): (Vec<_>, Vec<_>) = due
            .iter()
            .map(|due| (due.after_ns / 1_000_000, (due.sender, due.seq, due.measured)))
            .unzip();
        assert_eq!(times, [0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000, 2250]);
        assert_eq!(
            rest[..5],
            [(0, 0, false), (1, 0, false), (2, 0, true), (0, 1, true), (1, 1, true)]
        );
    }

    #[test]
    fn groups_are_merged_in_order_and_jitter_stays_in_its_interval() {
        let jittered = Group { jitter: true, ..group(2, 1, 2, 50) };
        let plan = plan(vec![group(6, 0, 1, 10), jittered]);
        let due: Vec<_> = plan.schedule().collect();
        assert_eq!(due.len(), 25 + 125);
        assert!(due.is_sorted_by_key(|due| due.after_ns));
        let pair: Vec<_> = due.iter().filter(|due| due.sender > 0).collect();
        for (slot, due) in (0..).zip(&pair) {
            assert_eq!(due.after_ns / 20_000_000, slot);
        }
        assert!(pair.iter().any(|due| due.after_ns % 20_000_000 > 0));
        assert_eq!(due, plan.schedule().collect::<Vec<_>>(), "the same seed, the same schedule");
    }

    #[test]
    fn what_is_sent_is_what_is_expected() {
        let shapes = [(5, 1, 1, 7), (7, 3, 5, 11), (7, 6, 6, 4), (9, 0, 2, 30), (4, 2, 0, 9)];
        let plain =
            shapes.map(|(clients, rooms, senders, rate)| group(clients, rooms, senders, rate));
        let town = Group { skew: Skew::Zipf(1.1), ..group(60, 9, 20, 11) };
        let burst = Group { burst: 4, ..group(7, 3, 5, 11) };
        let steps = "3,40,7".parse().expect("a rate");
        let steps =
            Group { rate: steps, size: "80-300".parse().expect("sizes"), ..group(7, 2, 3, 1) };
        for group_first in plain.into_iter().chain([town, burst, steps]) {
            let clients = group_first.clients;
            let plan = plan(vec![group_first, group(3, 1, 2, 5)]);
            // Delivers every line by hand.
            let mut got = vec![0u64; plan.client_count as usize];
            let mut lines_seen = vec![0; usize::try_from(plan.line_count).expect("few")];
            for due in plan.schedule() {
                let sender = plan.sender(due.sender).expect("planned");
                let line = plan.line(sender, due.seq).expect("planned");
                assert_eq!(line.measured, due.measured);
                lines_seen[line.index] += 1;
                let members = (0..plan.client_count)
                    .filter(|&client| plan.room(client) == sender.room && client != sender.client);
                let members: Vec<_> = members.collect();
                assert_eq!(members.len(), plan.receivers(sender) as usize);
                for member in members {
                    got[member as usize] += 1;
                    assert!(sender.cell < plan.senders_heard(member));
                }
            }
            assert!(lines_seen.iter().all(|&count| count == 1));
            for client in 0..plan.client_count {
                let expected: u64 = plan.expected(client).map(|each| u64::from(each.lines)).sum();
                assert_eq!(expected, got[client as usize], "client {client} of {clients}");
            }
        }
    }

    #[test]
    fn half_of_those_between_senders_and_slow_readers_move() {
        use Conduct::{Lags, Listens, Moves, Talks};
        let moving = Group { churn: 4, slow: 2, ..group(9, 2, 2, 1) };
        let plan = plan(vec![group(3, 1, 1, 1), moving]);
        let conduct: Vec<_> = (0..12).map(|client| plan.conduct(client)).collect();
        let second = [Talks, Talks, Listens, Listens, Listens, Moves, Moves, Lags, Lags];
        assert_eq!(conduct, [&[Talks, Listens, Listens][..], &second].concat());
        assert_eq!(plan.movers().collect::<Vec<_>>(), [Movers { clients: 8..10, rate: 4 }]);
        // Rooms are dealt in turn: the first has clients 3, 5, 7, 9, 11 of all.
        let sender = plan.sender(1).expect("planned");
        assert_eq!((plan.receivers(sender), plan.steady_receivers(sender)), (4, 2));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let small = Group { size: (HEADER_LEN - 1).into(), ..Group::default() };
        let refused = [
            vec![],
            vec![group(0, 1, 0, 0)],
            vec![group(2, 3, 1, 1)],
            vec![group(2, 1, 3, 1)],
            vec![group(10_000, 1, 10_000, 1)],
            vec![group(10, 1, 1, 4_000_000_000)],
            vec![group(10, 0, 1, 1), group(10, 0, 1, 1)],
            vec![group(u32::MAX, 1, 1, 1)],
            vec![small],
            vec![group(10, 10, 5, 10)],
            vec![group(10, 1, 5, 0)],
            vec![Group { burst: 0, ..group(10, 1, 5, 1) }],
            vec![Group { skew: Skew::Zipf(1.0), ..group(10, 1, 5, 1) }],
            vec![Group { rate: "10:1s".parse().expect("a rate"), ..group(10, 1, 5, 1) }],
            vec![Group { slow: 6, ..group(10, 1, 5, 1) }],
            vec![Group { slow_rate: 100, ..group(10, 1, 5, 1) }],
            vec![Group { churn: 1, ..group(10, 0, 5, 1) }],
            vec![Group { churn: 1, slow: 4, ..group(10, 1, 5, 1) }],
            vec![Group { churn: 5, ..group(10, 1, 5, 1) }],
        ];
        for groups in refused {
            let scenario = Scenario { groups, ..Scenario::default() };
            let refusal = Plan::new(scenario.clone()).map(|_| ()).expect_err("impossible");
            assert!(matches!(refusal, Failure::Usage(_)), "{scenario:?}");
        }
        let two_rooms = vec![group(10, 2, 1, 1)];
        let floor =
            Scenario { groups: two_rooms, protocol: Protocol::Floor, ..Scenario::default() };
        assert!(Plan::new(floor).is_err());
    }
}
