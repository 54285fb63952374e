//! Any events at all: the rooms agree with a plain model, and the same events give the same
//! actions.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::stage::Stage;
use crate::chat::{Event, PeerId, RoomId};
use crate::time::Time;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The user says that, or connects if it is not here.
    Says(usize, &'static str),
    /// The user goes.
    Goes(usize),
    /// A peer is behind or caught up.
    Congested(u8, u32, bool),
    /// Time passes, and the summaries due are asked for.
    Waits(u64),
}

const LINES: [&str; 22] = [
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
];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..6_usize, prop::sample::select(&LINES[..])).prop_map(|(u, l)| Step::Says(u, l)),
        2 => (0..6_usize).prop_map(Step::Goes),
        2 => (0..4_u8, 0..5_u32, any::<bool>()).prop_map(|(p, r, on)| Step::Congested(p, r, on)),
        1 => (0..3_000_000_000_u64).prop_map(Step::Waits),
    ]
}

fn take(stage: &mut Stage, step: &Step) {
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
        Step::Congested(peer, room, on) => {
            stage.handle(Event::Congested { peer: PeerId(peer), room: RoomId(room), on });
        }
        Step::Waits(nanos) => {
            stage.now = Time(stage.now.0 + nanos);
            stage.handle(Event::Tick);
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
fn long_sequence(count: usize) -> Vec<Step> {
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
            prop_assert_eq!(&users, &stage.wire.room_of.keys().copied().collect());
            prop_assert_eq!(stage.chat.client_count(), users.len());
            let mut rooms: BTreeSet<_> = stage.wire.room_of.values().copied().collect();
            rooms.extend([RoomId(0), RoomId(1)]);
            prop_assert_eq!(stage.chat.room_count(), rooms.len());
        }
        stage.forget_the_rest();
        stage.ends();
    }
}
