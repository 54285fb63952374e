//! A chat that goes on in another process.

use std::hash::RandomState;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::property::{LINES, Mixed, Step, long_sequence, mixed, take, take_mixed};
use super::stage::{OBSERVER, Stage};
use crate::chat::{Action, Chat, Config, ConnId, Event, Nicknames, PeerId, PeerSet, Saved, Sink};
use crate::dialect::Dialect;
use crate::limits::PRESENCE_ROOM_LEN;
use crate::time::Time;

/// Other workers have the connections, in other slots.
fn elsewhere(conn: ConnId) -> Option<ConnId> {
    let ConnId { peer, index, generation } = conn;
    Some(ConnId { peer: PeerId(1 - peer.0), index: index + 3, generation: generation + 1 })
}

/// `a`, `b` and `c` in python, under those names, everything so far read.
fn three() -> Stage {
    let mut stage = Stage::with_observers(&["python"], PeerSet::one(OBSERVER));
    for (port, user) in ["a", "b", "c"].into_iter().enumerate() {
        stage.connects(user, &format!("127.0.0.1:{port}"));
        stage.says(user, &format!("/nick {user}"));
        stage.says(user, "/python");
    }
    stage.forget_the_rest();
    stage
}

#[test]
fn nobody_is_told_and_everything_is_as_it_was() {
    let mut stage = three();
    stage.connects("d", "[::ffff:10.0.0.1]:7");
    for (user, line) in [
        ("a", "/topic snakes"),
        ("a", "/join Own"),
        ("a", "/topic mine"),
        ("a", "alone"),
        ("b", "/me waits"),
        ("b", "/msg c psst"),
        ("b", "/away for tea"),
        ("c", "/msg b are you there"),
        ("c", "/ignore a"),
        ("c", "/history off"),
    ] {
        stage.says(user, line);
    }
    stage.forget_the_rest();
    stage.wire.observed.clear();

    stage.is_replaced(elsewhere);
    for user in ["a", "b", "c", "d"] {
        stage.hears(user, &[]);
    }
    assert_eq!(stage.wire.observed, ["0 is lobby", "1 is python", "2 is Own"]);
    assert_eq!((stage.chat.client_count(), stage.chat.room_count()), (4, 3));

    stage.says("d", "/rooms");
    stage.hears("d", &["3 rooms:", "  lobby (1)", "  python (2): snakes", "  Own (1): mine"]);
    stage.says("d", "/whois b");
    stage.hears("d", &["b is in python", "b is away: for tea"]);
    stage.says("c", "/who");
    stage.hears("c", &["2 in python:", "  c", "  b (away)"]);
    // Who was told of it before is not told again.
    stage.says("c", "/msg b really");
    stage.hears("c", &["[you -> b] really"]);
    stage.says("d", "/msg b hi");
    stage.hears("d", &["[you -> b] hi", "b is away: for tea"]);
    stage.hears("b", &["[c -> you] really", "[10.0.0.1:7 -> you] hi"]);
    stage.says("c", "/reply yes");
    stage.hears("c", &["[you -> b] yes"]);
    stage.says("b", "/reply back");
    stage.hears("b", &["[c -> you] yes", "You are marked away no longer", "[you -> c] back"]);
    stage.hears("c", &["[b -> you] back"]);
    stage.says("c", "/ignore");
    stage.hears("c", &["You ignore 1:", "  a"]);
    stage.says("a", "/join python");
    let past = ["The last line of python (UTC):", "  00:00 * b waits"];
    let read = ["You are in python with 2 others", "The topic of python: snakes"];
    stage.hears("a", &[read, past].concat());
    stage.hears("b", &["Client joined a"]);
    stage.hears("c", &[]);
    stage.says("c", "/join other");
    stage.hears("c", &["You are alone in other"]);
    stage.says("c", "/join python");
    stage.hears("c", &["You are in python with 2 others", "The topic of python: snakes"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn programs_stay_in_all_their_rooms_in_order() {
    let mut stage = three();
    stage.connects_as(Dialect::Rid, "r", "127.0.0.1:9");
    for room in ["3", "1", "python", "2"] {
        stage.frames("r", room, "");
    }
    stage.connects_as(Dialect::Rid, "nowhere", "127.0.0.1:10");
    stage.forget_the_rest();
    stage.is_replaced(elsewhere);
    stage.says("a", "/whois 127.0.0.1:9");
    let rooms = ["3", "1", "python", "2"].map(|room| format!("127.0.0.1:9 is in {room}"));
    assert_eq!(stage.reads("a"), rooms);
    stage.says("a", "/whois 127.0.0.1:10");
    stage.hears("a", &["127.0.0.1:10 is in no room"]);
    stage.frames("r", "1", "alone");
    stage.frames("r", "python", "hi");
    stage.hears("a", &["[127.0.0.1:9] hi"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn who_is_gone_is_gone_untold_and_what_they_said_stays() {
    let mut stage = three();
    stage.says("a", "/ignore b");
    stage.says("b", "from b");
    stage.says("c", "/away");
    stage.says("b", "/msg c from b");
    stage.says("c", "from c");
    stage.says("a", "/join x");
    stage.says("b", "/join y");
    stage.says("c", "/join y");
    stage.forget_the_rest();
    let b = stage.conn("b");
    stage.is_replaced(|conn| Some(conn).filter(|conn| *conn != b));
    assert_eq!(stage.chat.client_count(), 2);
    stage.says("c", "/who");
    stage.hears("c", &["1 in y:", "  c"]);
    stage.says("c", "/reply gone");
    stage.hears("c", &["Nobody wrote to you, or they are gone"]);
    stage.says("c", "/join python");
    let past = ["The last 2 lines of python (UTC):", "  00:00 [b] from b", "  00:00 [c] from c"];
    stage.hears("c", &[&["You are alone in python"], &past[..]].concat());
    // What is kept of them means nobody else: not the next who has their numbers.
    stage.connects_to(b.peer, "next", "127.0.0.1:8");
    assert_eq!(stage.conn("next"), b);
    stage.forget_the_rest();
    for _ in 0..2 {
        stage.is_replaced(Some);
        stage.says("next", "/msg a hi");
        stage.hears("a", &["[127.0.0.1:8 -> you] hi"]);
        stage.says("a", "/join python");
        let past = ["The last line of python (UTC):", "  00:00 [c] from c"];
        stage.hears("a", &[&["You are in python with 1 other"], &past[..]].concat());
        stage.says("a", "/join x");
        stage.hears("a", &["You are alone in x"]);
    }
    // One who is gone is not taken for another who is.
    let c = stage.conn("c");
    stage.is_replaced(|conn| Some(conn).filter(|conn| *conn != c));
    stage.says("a", "/join python");
    let past = ["The last line of python (UTC):", "  00:00 [c] from c"];
    stage.hears("a", &[&["You are alone in python"], &past[..]].concat());
    stage.says("a", "/ignore");
    stage.hears("a", &["You ignore nobody"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn it_goes_on_under_another_configuration() {
    let mut stage = three();
    for (user, line) in
        [("a", "one"), ("b", "two"), ("c", "three"), ("c", "/join x"), ("c", "/nick rnike")]
    {
        stage.says(user, line);
    }
    stage.connects("d", "127.0.0.1:9");
    stage.says("d", "/nick mike");
    stage.forget_the_rest();
    let config = Config {
        rooms: ["X", "perl"].map(str::to_owned).into(),
        nicknames: Nicknames::Unicode,
        history_lines: 2,
        ..stage.config.clone()
    };
    stage.is_replaced_by(config, Some);
    stage.says("d", "/rooms");
    let rooms = ["  lobby (1)", "  X (1)", "  perl (0)", "  python (2)"];
    stage.hears("d", &[&["4 rooms:"], &rooms[..]].concat());
    stage.says("a", "/history");
    let past = ["  00:00 [b] two", "  00:00 [c] three"];
    stage.hears("a", &[&["The last 2 lines of python (UTC):"], &past[..]].concat());
    // Two who look alike are left alone; no third comes to it.
    stage.says("d", "/who x");
    stage.hears("d", &["1 in X:", "  rnike"]);
    stage.says("a", "/nick MIKE");
    stage.hears("a", &["Somebody else is called MIKE; MIKE2 is free"]);
    stage.says("a", "/nick Платон");
    stage.forget_the_rest();
    stage.config.nicknames = Nicknames::Ascii;
    stage.is_replaced(Some);
    stage.says("a", "hi");
    stage.hears("b", &["[Платон] hi"]);
    // It was made at start, and is not now.
    stage.says("a", "/leave");
    stage.says("b", "/leave");
    stage.forget_the_rest();
    stage.says("b", "/who");
    assert_eq!(stage.reads("b").len(), 4);
    stage.ends();
}

#[test]
fn a_large_room_is_told_what_it_is_owed() {
    let mut stage = Stage::new(&[]);
    for user in 0..PRESENCE_ROOM_LEN + 3 {
        stage.connects(&user.to_string(), &format!("127.0.0.1:{user}"));
    }
    stage.forget_the_rest();
    let due = stage.chat.deadline();
    assert!(due < Time::NEVER);
    stage.is_replaced(elsewhere);
    assert_eq!(stage.chat.deadline(), due);
    stage.disconnects("1");
    stage.tick();
    let told = stage.reads("0");
    assert_eq!(told, ["3 joined, 1 left; 66 here"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn what_is_owed_to_those_who_are_gone_is_not_told() {
    let mut stage = Stage::new(&[]);
    for user in 0..PRESENCE_ROOM_LEN + 3 {
        stage.connects(&user.to_string(), &format!("127.0.0.1:{user}"));
    }
    stage.is_replaced(|_| None);
    assert_eq!((stage.chat.client_count(), stage.chat.deadline()), (0, Time::NEVER));
    stage.forget_the_rest();
    stage.ends();
}

/// What happens after the first `cut` steps, in words; whether or not it is another process then.
fn log_of<T>(steps: &[T], take: fn(&mut Stage, &T), cut: usize, is_replaced: bool) -> Vec<String> {
    let mut stage = Stage::with_observers(&["python"], PeerSet::one(OBSERVER));
    let (before, after) = steps.split_at(cut);
    before.iter().for_each(|step| take(&mut stage, step));
    if is_replaced {
        stage.is_replaced(Some);
    }
    stage.wire.log = Some(Vec::new());
    after.iter().for_each(|step| take(&mut stage, step));
    let mut log = stage.wire.log.take().expect("it was asked for");
    stage.forget_the_rest();
    stage.ends();
    // Rooms are listed in the order of their numbers, which are given anew.
    let is_room = |words: &String| words.contains("RoomsEntry");
    log.chunk_by_mut(|one, next| is_room(one) && is_room(next)).for_each(<[_]>::sort);
    log
}

/// Holds are not saved: all peers have caught up when they are still.
fn take_uncongested(stage: &mut Stage, step: &Mixed) {
    if !matches!(step, Mixed::Step(Step::Congested(..))) {
        take_mixed(stage, step);
    }
}

#[test]
fn a_crowd_goes_on_the_same() {
    let steps = long_sequence(4_000);
    for cut in [1_000, 1_777, 3_000] {
        let log = log_of(&steps, take, cut, false);
        assert!(log.iter().any(|action| action.contains("Presence")), "it covers summaries");
        assert!(log == log_of(&steps, take, cut, true), "cut at {cut}");
    }
}

/// Numbers of sessions do not outlive the process: what follows from the loss of a worker is in
/// another order than theirs.
#[test]
fn a_worker_is_lost_the_same() {
    let says = |user, text| Step::Says(user, text);
    let mut steps: Vec<_> = (0..4).map(|user| says(user, "")).collect();
    steps.extend([Step::Goes(0), says(4, "")]);
    steps.extend([2, 4].map(|user| says(user, "/ignore 127.0.0.1:1")));
    steps.push(Step::Lost(1));
    let log = log_of(&steps, take, 5, false);
    assert_eq!(log.iter().filter(|action| action.contains("on: false")).count(), 2);
    assert_eq!(log, log_of(&steps, take, 5, true));
}

/// Takes anything that is for somebody.
struct Somebody;

impl Sink for Somebody {
    fn push(&mut self, peers: PeerSet, _: Action<&str>) {
        assert!(!peers.is_empty() && peers.0 < 8);
    }
}

/// The numbers and texts of a saved chat.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(all) => all.iter_mut().flat_map(leaves).collect(),
        Value::Object(all) => all.values_mut().flat_map(leaves).collect(),
        leaf => vec![leaf],
    }
}

/// A chat that says it was saved, and was not.
fn torn(stage: &Stage, changes: &[(Index, Option<Index>, &Value)]) -> Option<Saved> {
    let mut value = serde_json::to_value(stage.chat.save()).expect("it can be written");
    let mut leaves = leaves(&mut value);
    for (place, source, other) in changes {
        let other = source.map_or((*other).clone(), |source| (**source.get(&leaves)).clone());
        **place.get_mut(&mut leaves) = other;
    }
    serde_json::from_value(value).ok()
}

proptest! {
    #[test]
    fn it_goes_on_the_same(steps in vec(mixed(), 1..200), cut in any::<Index>()) {
        let cut = cut.index(steps.len());
        let log = log_of(&steps, take_uncongested, cut, false);
        prop_assert_eq!(log, log_of(&steps, take_uncongested, cut, true));
    }

    #[test]
    fn it_goes_on_without_some(
        steps in vec(mixed(), 1..200),
        cut in any::<Index>(),
        gone in any::<u32>(),
    ) {
        let mut stage = Stage::new(&["python"]);
        let (before, after) = steps.split_at(cut.index(steps.len()));
        before.iter().for_each(|step| take_uncongested(&mut stage, step));
        let bit = |conn: &ConnId| conn.index % 16 * 2 + u32::from(conn.peer.0);
        let present = |conn: &ConnId| gone >> bit(conn) & 1 == 0;
        stage.is_replaced(|conn| Some(conn).filter(present).and_then(elsewhere));
        prop_assert_eq!(stage.chat.client_count(), stage.wire.heard.len());
        after.iter().for_each(|step| take_uncongested(&mut stage, step));
        stage.forget_the_rest();
        stage.ends();
    }

    #[test]
    fn no_saved_chat_ends_the_server(
        steps in vec(mixed(), 1..100),
        changes in vec(
            (any::<Index>(), any::<Option<Index>>(), prop::sample::select(odd_values())),
            1..4,
        ),
    ) {
        let mut stage = Stage::new(&["python"]);
        steps.iter().for_each(|step| take_uncongested(&mut stage, step));
        let changes: Vec<_> = changes.iter().map(|(at, from, to)| (*at, *from, to)).collect();
        let Some(saved) = torn(&stage, &changes) else { return Ok(()) };
        let is_slot = |conn: &ConnId| conn.index < 100;
        let conn_of = |conn| Some(conn).filter(is_slot);
        let config = stage.config.clone();
        let mut chat = Chat::restore(config, RandomState::new(), saved, conn_of, &mut Somebody);
        let all = (0..2).flat_map(|peer| (0..4).map(move |index| (PeerId(peer), index)));
        for ((peer, index), text) in all.cycle().zip(LINES) {
            let conn = ConnId { peer, index, generation: index % 2 };
            chat.handle(Time(5), Event::Line { conn, text }, &mut Somebody);
        }
        for peer in 0..3 {
            chat.handle(Time(5), Event::Lost { peer: PeerId(peer) }, &mut Somebody);
        }
        chat.assert_empty();
    }
}

fn odd_values() -> Vec<Value> {
    let texts = ["", "plato", "lobby", "Python", "no room", "127.0.0.1:2", "é"].map(Value::from);
    let numbers = [0, 1, 2, 255, u64::from(u32::MAX), u64::MAX].map(Value::from);
    let long = [21, 48, 161, 5_000].map(|len| Value::from("x".repeat(len)));
    texts.into_iter().chain(numbers).chain(long).collect()
}
