//! Any events at all: the rooms agree with a plain model, and the same events give the same
//! actions.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::stage::Stage;
use crate::chat::{Event, PeerId, RoomId};
use crate::dialect::Dialect;
use crate::limits::ROOMS_PER_CLIENT_MAX;
use crate::time::Time;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The user says that, or connects if it is not here.
    Says(usize, &'static str),
    /// The user goes.
    Goes(usize),
    /// A worker is gone with all its users.
    Lost(u8),
    /// A peer is behind or caught up.
    Congested(u8, u32, bool),
    /// Time passes, and the summaries due are asked for.
    Waits(u64),
}

pub(super) const LINES: [&str; 42] = [
    "hello",
    "",
    "//",
    "/help",
    "/nick plato",
    "/nick PLATO",
    "/nick socrates",
    "/nick all",
    "/login x",
    "/join x",
    "/join X",
    "/join y",
    "/join !",
    "/leave",
    "/python",
    "/rooms",
    "/who",
    "/who y",
    "/msg plato hi",
    "/msg 127.0.0.1:2 hi",
    "/quit",
    "/nonsense",
    "/me waves",
    "/topic a topic",
    "/topic -",
    "/topic",
    "/away",
    "/away for tea",
    "/here",
    "/reply hi",
    "/whois plato",
    "/whois 127.0.0.1:2",
    "/help join",
    "/motd",
    "/history",
    "/time on",
    "/history off",
    "/ignore plato",
    "/ignore 127.0.0.1:2",
    "/ignore 127.0.0.1:3",
    "/unignore plato",
    "/ignore",
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..6_usize, prop::sample::select(&LINES[..])).prop_map(|(u, l)| Step::Says(u, l)),
        2 => (0..6_usize).prop_map(Step::Goes),
        2 => (0..4_u8, 0..5_u32, any::<bool>()).prop_map(|(p, r, on)| Step::Congested(p, r, on)),
        1 => (0..2_u8).prop_map(Step::Lost),
        1 => (0..3_000_000_000_u64).prop_map(Step::Waits),
    ]
}

pub(super) fn take(stage: &mut Stage, step: &Step) {
    match *step {
        Step::Says(user, line) => {
            let name = user.to_string();
            if stage.is_here(&name) {
                stage.says(&name, line);
            } else {
                stage.connects(&name, &format!("127.0.0.1:{user}"));
            }
        }
        Step::Goes(user) => {
            let name = user.to_string();
            if stage.is_here(&name) {
                stage.disconnects(&name);
            }
        }
        Step::Lost(peer) => stage.loses(PeerId(peer)),
        Step::Congested(peer, room, on) => {
            stage.handle(Event::Congested { peer: PeerId(peer), room: RoomId(room), on });
        }
        Step::Waits(nanos) => {
            stage.now = Time(stage.now.0 + nanos);
            stage.handle(Event::Tick);
        }
    }
}

/// One thing that happens where each user speaks a dialect of its own.
#[derive(Clone, Debug)]
pub(super) enum Mixed {
    Step(Step),
    Frames(usize, &'static str),
    Writes(usize, &'static str),
}

const NAMES: [&str; 6] = ["plato", "PLATO", "1", "2", "all", "no name"];

pub(super) fn mixed() -> impl Strategy<Value = Mixed> {
    prop_oneof![
        4 => step().prop_map(Mixed::Step),
        4 => (0..6_usize, 0..30_usize).prop_map(|(u, room)| Mixed::Frames(u, ROOMS[room])),
        4 => (0..6_usize, prop::sample::select(&NAMES[..])).prop_map(|(u, n)| Mixed::Writes(u, n)),
    ]
}

/// More than a client may be in.
const ROOMS: [&str; 30] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17",
    "18", "19", "20", "21", "22", "23", "24", "25", "x", "lobby", "python", "PYTHON", "no room",
];

/// Users 0 and 1 speak telnet, 2 and 3 rid, 4 and 5 p2p. What another dialect's users do, those who
/// are here do not; who is not, connects.
pub(super) fn take_mixed(stage: &mut Stage, step: &Mixed) {
    let (user, dialect) = match *step {
        Mixed::Step(Step::Says(user, _)) => (user, Dialect::Telnet),
        Mixed::Frames(user, _) => (user, Dialect::Rid),
        Mixed::Writes(user, _) => (user, Dialect::P2p),
        Mixed::Step(ref step) => return take(stage, step),
    };
    let spoken = Dialect::ALL[user / 2];
    let name = user.to_string();
    if !stage.is_here(&name) {
        stage.connects_as(spoken, &name, &format!("127.0.0.1:{user}"));
        if spoken == Dialect::P2p {
            stage.is_called(&name, &name);
        }
    } else if spoken == dialect {
        match *step {
            Mixed::Frames(_, room) => stage.frames(&name, room, "text\n"),
            Mixed::Writes(_, to) => stage.writes(&name, to, "text"),
            Mixed::Step(ref step) => take(stage, step),
        }
    }
}

/// The actions of the whole sequence, as text.
fn log_of(steps: &[Step]) -> Vec<String> {
    let mut stage = Stage::new(&["python"]);
    stage.wire.log = Some(Vec::new());
    steps.iter().for_each(|step| take(&mut stage, step));
    stage.wire.log.expect("it was asked for")
}

/// A plain generator of numbers, so that a long sequence needs no seed from outside.
pub(super) fn long_sequence(count: usize) -> Vec<Step> {
    let mut state = 1_u64;
    let mut below = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from((state >> 33) % bound).expect("it is small")
    };
    (0..count)
        .map(|_| match below(10) {
            0 => Step::Goes(below(200)),
            1 => Step::Waits(200_000_000),
            _ => Step::Says(below(200), LINES[below(20)]),
        })
        .collect()
}

#[test]
fn the_same_events_give_the_same_actions() {
    let steps = long_sequence(20_000);
    let log = log_of(&steps);
    assert!(log.iter().any(|action| action.contains("Presence")), "the sequence covers summaries");
    assert!(log == log_of(&steps));
}

proptest! {
    #[test]
    fn everybody_is_in_one_room_and_empty_rooms_are_gone(steps in vec(step(), 1..200)) {
        let mut stage = Stage::new(&["python"]);
        for step in &steps {
            take(&mut stage, step);
            // The wire has checked that nobody enters a second room or leaves another.
            let users: BTreeSet<_> = stage.wire.heard.keys().copied().collect();
            prop_assert_eq!(&users, &stage.wire.seats.iter().map(|seat| seat.0).collect());
            prop_assert_eq!(stage.wire.seats.len(), users.len());
            prop_assert_eq!(stage.chat.client_count(), users.len());
            let mut rooms: BTreeSet<_> = stage.wire.seats.iter().map(|seat| seat.1).collect();
            rooms.extend([RoomId(0), RoomId(1)]);
            prop_assert_eq!(stage.chat.room_count(), rooms.len());
        }
        stage.forget_the_rest();
        stage.ends();
    }

    #[test]
    fn everybody_is_where_their_dialect_puts_them(steps in vec(mixed(), 1..300)) {
        let mut stage = Stage::new(&["python"]);
        for step in &steps {
            take_mixed(&mut stage, step);
            prop_assert_eq!(stage.chat.client_count(), stage.wire.heard.len());
            let mut rooms: BTreeSet<_> = stage.wire.seats.iter().map(|seat| seat.1).collect();
            rooms.extend([RoomId(0), RoomId(1)]);
            prop_assert_eq!(stage.chat.room_count(), rooms.len());
            for user in (0..6).filter(|user| stage.is_here(&user.to_string())) {
                let conn = stage.conn(&user.to_string());
                let seats: Vec<_> = stage.wire.seats.iter().filter(|seat| seat.0 == conn).collect();
                match Dialect::ALL[user / 2] {
                    Dialect::Telnet => prop_assert_eq!(seats.len(), 1),
                    Dialect::Rid => prop_assert!(seats.len() <= ROOMS_PER_CLIENT_MAX),
                    Dialect::P2p => prop_assert_eq!(&seats[..], &[&(conn, RoomId(0))]),
                }
            }
        }
        stage.forget_the_rest();
        stage.ends();
    }
}
