//! What is sent and what must come back: pure, and the same for the same parameters and seed. A
//! scenario is a list of groups of clients, each with its rooms, senders and rate; a plan numbers
//! clients, rooms, senders and lines through all groups and answers questions about them.
//!
//! Client `j` of a group is in its room `j % rooms`; its first `senders` clients are the senders,
//! who take turns. Line `i` is due at `i / rate` after the start, whatever happened to those before
//! it.

use crate::audit::Expected;
use crate::clock::duration_ns;
use crate::limits::{
    AUDIT_CELLS_MAX, CLIENTS_MAX, CONNECT_TIMEOUT, GRACE, LINES_MAX, TEXT_LEN_MAX, THREADS_MAX,
};
use crate::protocol::Protocol;
use crate::wire::{HEADER_LEN, SENDERS_MAX};
use crate::{Failure, usage};
use std::net::Ipv4Addr;
use std::time::Duration;

/// A load: who connects, who talks, for how long.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Clients of one kind each. At most one group may stay in the lobby.
    pub groups: Vec<Group>,
    /// Lines due in this time at the start are sent and audited but not measured.
    pub warmup: Duration,
    /// The measured time.
    pub duration: Duration,
    /// How long to wait after the last line for what is under way.
    pub grace: Duration,
    /// How clients connect.
    pub connect: Connect,
    /// Threads that connect and receive.
    pub threads: usize,
    /// What the target speaks.
    pub protocol: Protocol,
    /// The same seed gives the same jitter.
    pub seed: u64,
    /// Tells the lines of this run from those of others on the same server.
    pub run: u32,
}

/// Clients of one kind.
#[derive(Clone, Debug)]
pub struct Group {
    /// What reports call it.
    pub name: String,
    /// How many connect.
    pub clients: u32,
    /// Rooms they are spread over; 0: they stay in the lobby.
    pub rooms: u32,
    /// How many of them talk.
    pub senders: u32,
    /// Lines a second of all senders together.
    pub rate: u32,
    /// Bytes of a line's text, without its end.
    pub size: usize,
    /// Lines fall anywhere in their interval (seeded) rather than at its start.
    pub jitter: bool,
    /// Clients that leave their room each second; each comes back. Senders and slow readers stay.
    pub churn: u32,
    /// How many read slowly: the last ones of the group, never a sender.
    pub slow: u32,
    /// Bytes a second each of them reads; 0: none at all.
    pub slow_rate: u32,
}

/// How clients connect.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Connects a second; 0: as fast as possible.
    pub rate: u32,
    /// Connections begun and not yet welcome.
    pub in_flight: u32,
    /// Until the last client is welcome.
    pub timeout: Duration,
    /// The local address to connect from; the system's choice if none.
    pub source: Option<Ipv4Addr>,
}

impl Default for Scenario {
    /// 1,000 clients in one room, one line of 100 bytes from each of 10 of them a second, for 5 s.
    fn default() -> Self {
        Self {
            groups: vec![Group::default()],
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            grace: GRACE,
            connect: Connect { rate: 0, in_flight: 128, timeout: CONNECT_TIMEOUT, source: None },
            threads: 1,
            protocol: Protocol::Telnet,
            seed: 1,
            run: 1,
        }
    }
}

impl Default for Group {
    fn default() -> Self {
        Self {
            name: "all".into(),
            clients: 1000,
            rooms: 1,
            senders: 10,
            rate: 10,
            size: 100,
            jitter: false,
            churn: 0,
            slow: 0,
            slow_rate: 0,
        }
    }
}

impl Scenario {
    /// Refuses what cannot work or would not fit, before anything is started for it.
    pub fn check(&self) -> Result<(), Failure> {
        Plan::new(self.clone()).map(|_| ())
    }
}

/// A scenario, checked and numbered.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    groups: Vec<GroupPlan>,
    senders: Vec<Sender>,
    pub(crate) client_count: u32,
    pub(crate) line_count: u64,
}

#[derive(Debug)]
struct GroupPlan {
    group: Group,
    client_first: u32,
    room_first: u32,
    sender_first: u32,
    line_first: u64,
    line_count: u64,
    /// The first lines, which are not measured.
    warmup_count: u64,
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
        check(&scenario)?;
        let mut plan = Self {
            groups: Vec::with_capacity(scenario.groups.len()),
            senders: Vec::new(),
            client_count: 0,
            line_count: 0,
            scenario,
        };
        for index in 0..plan.scenario.groups.len() {
            plan.add_group(index)?;
        }
        let cells: u64 = plan.groups.iter().map(GroupPlan::cells).sum();
        if cells > AUDIT_CELLS_MAX {
            return Err(usage(format!(
                "{cells} pairs of receiver and sender to audit, more than {AUDIT_CELLS_MAX}: \
                 fewer --senders or more --rooms"
            )));
        }
        Ok(plan)
    }

    fn add_group(&mut self, index: usize) -> Result<(), Failure> {
        let group = self.scenario.groups[index].clone();
        let speaks = group.senders > 0 && group.rate > 0;
        let lines_in = |time: Duration| {
            let lines = u128::from(group.rate) * time.as_nanos() / 1_000_000_000;
            if speaks { u64::try_from(lines).unwrap_or(u64::MAX) } else { 0 }
        };
        let warmup_count = lines_in(self.scenario.warmup);
        let line_count = warmup_count.saturating_add(lines_in(self.scenario.duration));
        let clients = self.client_count.saturating_add(group.clients);
        let lines = self.line_count.saturating_add(line_count);
        if clients > CLIENTS_MAX || lines > LINES_MAX {
            return Err(usage(format!(
                "{clients} clients and {lines} lines; at most {CLIENTS_MAX} and {LINES_MAX}"
            )));
        }
        let room_first = self.groups.last().map_or(0, |last| last.room_first + last.rooms());
        let sender_first = u32::try_from(self.senders.len()).expect("bounded by CLIENTS_MAX");
        let plan = GroupPlan {
            client_first: self.client_count,
            room_first,
            sender_first,
            line_first: self.line_count,
            line_count,
            warmup_count,
            group,
        };
        self.senders.extend((0..plan.group.senders).map(|turn| plan.sender(index, turn)));
        self.groups.push(plan);
        (self.client_count, self.line_count) = (clients, lines);
        Ok(())
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
        (index < group.line_count)
            .then_some(Line { index: global, measured: index >= group.warmup_count })
    }

    /// How many get a line of this sender.
    pub(crate) fn receivers(&self, sender: &Sender) -> u32 {
        let group = &self.groups[sender.group];
        group.members(sender.room - group.room_first) - 1
    }

    pub(crate) fn room(&self, client: u32) -> u32 {
        let group = self.group_of(client);
        group.room_first + (client - group.client_first) % group.rooms()
    }

    /// The room to ask for; `None` for those who stay where they start.
    pub(crate) fn room_name(&self, client: u32) -> Option<String> {
        let in_lobby = self.group_of(client).group.rooms == 0;
        self.scenario.protocol.room(self.scenario.run, self.room(client), in_lobby)
    }

    /// How many senders the client's room has.
    pub(crate) fn senders_heard(&self, client: u32) -> u32 {
        let group = self.group_of(client);
        group.senders_in((client - group.client_first) % group.rooms())
    }

    /// What a client must get, sender by sender.
    pub(crate) fn expected(&self, client: u32) -> impl Iterator<Item = Expected> {
        let group = self.group_of(client);
        let room = (client - group.client_first) % group.rooms();
        let cells =
            (0..group.senders_in(room)).map(move |cell| (cell, cell * group.rooms() + room));
        cells.filter(move |(_, turn)| group.client_first + turn != client).map(
            move |(cell, turn)| Expected {
                cell,
                sender: group.sender_first + turn,
                lines: group.lines_of(turn),
            },
        )
    }

    /// Every line in the order of its instant.
    pub(crate) fn schedule(&self) -> impl Iterator<Item = Due> {
        let mut next: Vec<u64> = vec![0; self.groups.len()];
        std::iter::from_fn(move || {
            let due = |group: usize| self.groups[group].due(next[group], self.scenario.seed);
            let (group, due) = (0..next.len())
                .filter_map(|group| Some((group, due(group)?)))
                .min_by_key(|(_, due)| due.after_ns)?;
            next[group] += 1;
            Some(due)
        })
    }

    fn group_of(&self, client: u32) -> &GroupPlan {
        let after = self.groups.partition_point(|group| group.client_first <= client);
        &self.groups[after - 1]
    }
}

impl GroupPlan {
    /// The lobby is one room.
    fn rooms(&self) -> u32 {
        self.group.rooms.max(1)
    }

    fn sender(&self, group: usize, turn: u32) -> Sender {
        Sender {
            client: self.client_first + turn,
            room: self.room_first + turn % self.rooms(),
            cell: turn / self.rooms(),
            group,
            turn,
        }
    }

    fn members(&self, room: u32) -> u32 {
        share(self.group.clients, self.rooms(), room)
    }

    fn senders_in(&self, room: u32) -> u32 {
        share(self.group.senders, self.rooms(), room)
    }

    fn lines_of(&self, turn: u32) -> u32 {
        let lines = u32::try_from(self.line_count).expect("bounded by LINES_MAX");
        share(lines, self.group.senders, turn)
    }

    fn cells(&self) -> u64 {
        let in_room = |room| u64::from(self.members(room)) * u64::from(self.senders_in(room));
        (0..self.rooms()).map(in_room).sum()
    }

    fn due(&self, index: u64, seed: u64) -> Option<Due> {
        if index >= self.line_count {
            return None;
        }
        let rate = u64::from(self.group.rate);
        let start_ns = index * 1_000_000_000 / rate;
        let interval_ns = 1_000_000_000 / rate;
        let jitter = self.group.jitter && interval_ns > 0;
        let jitter_ns = if jitter { mix(seed ^ self.line_first, index) % interval_ns } else { 0 };
        let senders = u64::from(self.group.senders);
        Some(Due {
            after_ns: start_ns + jitter_ns,
            sender: self.sender_first + u32::try_from(index % senders).expect("below senders"),
            seq: u32::try_from(index / senders).expect("bounded by LINES_MAX"),
            size: self.group.size,
            measured: index >= self.warmup_count,
        })
    }
}

/// How many of `count` things dealt in turn to `hands` fall to `hand`.
fn share(count: u32, hands: u32, hand: u32) -> u32 {
    count / hands + u32::from(hand < count % hands)
}

/// A number that looks random, from a seed and an index (splitmix64).
pub(crate) fn mix(seed: u64, index: u64) -> u64 {
    let state = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

fn check(scenario: &Scenario) -> Result<(), Failure> {
    let need = |right: bool, what: &str| if right { Ok(()) } else { Err(usage(what.into())) };
    for group in &scenario.groups {
        need(group.clients > 0, "--clients must be at least 1")?;
        need(group.rooms <= group.clients, "more --rooms than --clients")?;
        need(group.senders <= group.clients, "more --senders than --clients")?;
        need(group.senders <= SENDERS_MAX, "too many --senders")?;
        let still = group.senders.saturating_add(group.slow);
        need(still <= group.clients, "more --senders and --slow readers than --clients")?;
        need(group.slow_rate == 0 || group.slow > 0, "--slow-rate without --slow readers")?;
        need(group.churn == 0 || group.rooms > 0, "--churn needs --rooms to leave")?;
        let movers = group.churn == 0 || still < group.clients;
        need(movers, "--churn needs clients that neither talk nor read slowly")?;
        if !(HEADER_LEN..=TEXT_LEN_MAX).contains(&group.size) {
            return Err(usage(format!("--size must be {HEADER_LEN} to {TEXT_LEN_MAX}")));
        }
    }
    need(!scenario.groups.is_empty(), "no clients")?;
    need((1..=THREADS_MAX).contains(&scenario.threads), "--threads must be 1 to 64")?;
    need(scenario.connect.in_flight > 0, "--connections-in-flight must be at least 1")?;
    let total = duration_ns(scenario.warmup).saturating_add(duration_ns(scenario.duration));
    need(total <= duration_ns(Duration::from_secs(86_400)), "at most a day can be measured")?;
    let in_lobby = scenario.groups.iter().filter(|group| group.rooms == 0).count();
    need(in_lobby <= 1, "only one group can stay in the lobby")?;
    let one_room = scenario.groups.len() == 1 && scenario.groups[0].rooms <= 1;
    need(one_room || scenario.protocol.has_rooms(), "the floor has one room")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(clients: u32, rooms: u32, senders: u32, rate: u32) -> Group {
        Group { clients, rooms, senders, rate, ..Group::default() }
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
        let shapes = [(5, 1, 1, 7), (7, 3, 5, 11), (6, 6, 6, 4), (9, 0, 2, 30), (4, 2, 0, 9)];
        for (clients, rooms, senders, rate) in shapes {
            let plan = plan(vec![group(clients, rooms, senders, rate), group(3, 1, 2, 5)]);
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
    fn what_cannot_work_is_refused() {
        let small = Group { size: HEADER_LEN - 1, ..Group::default() };
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
            vec![Group { slow: 6, ..group(10, 1, 5, 1) }],
            vec![Group { slow_rate: 100, ..group(10, 1, 5, 1) }],
            vec![Group { churn: 1, ..group(10, 0, 5, 1) }],
            vec![Group { churn: 1, slow: 5, ..group(10, 1, 5, 1) }],
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
