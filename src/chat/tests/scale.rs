//! Many people in one room: what they cost, and what they are told.

use super::stage::Stage;
use crate::limits::{PRESENCE_INTERVAL, PRESENCE_ROOM_LEN};
use crate::time::Time;

/// The room and `count` users `0`, `1`, ... in it, everything so far read.
fn crowd(count: usize) -> Stage {
    let mut stage = Stage::new(&[]);
    for number in 0..count {
        stage.connects(&number.to_string(), &format!("127.0.0.1:{number}"));
    }
    stage.forget_the_rest();
    stage
}

#[test]
fn at_the_bound_each_is_announced_and_above_it_none() {
    assert_eq!(PRESENCE_ROOM_LEN, 64);
    let mut stage = crowd(62);
    for number in [63, 64] {
        stage.connects("newcomer", "127.0.0.1:9999");
        stage.hears("0", &["Client joined 127.0.0.1:9999"]);
        stage.says("newcomer", &format!("/nick n{number}"));
        let renamed = format!("127.0.0.1:9999 is now n{number}");
        stage.hears("0", &[&renamed]);
        stage.disconnects("newcomer");
        stage.hears("0", &[&format!("Client left n{number}")]);
        stage.connects(&number.to_string(), &format!("127.0.0.1:{number}"));
        stage.forget_the_rest();
    }
    assert_eq!((stage.chat.client_count(), stage.chat.deadline()), (64, Time::NEVER));

    // The 65th is counted, and so is its new name; its leaving makes 64 again and is announced.
    stage.connects("newcomer", "127.0.0.1:9999");
    assert_eq!(stage.chat.deadline(), stage.now + PRESENCE_INTERVAL);
    stage.says("newcomer", "/nick plato");
    stage.hears("0", &[]);
    stage.disconnects("newcomer");
    stage.hears("0", &["Client left plato"]);
    stage.tick();
    stage.hears("0", &["1 joined, 1 renamed; 64 here"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn a_summary_comes_once_an_interval_after_the_first_it_counts() {
    let mut stage = crowd(64);
    let start = stage.now;
    stage.connects("a", "127.0.0.1:9998");
    stage.connects("b", "127.0.0.1:9999");
    stage.forget_the_rest();
    stage.now = start + PRESENCE_INTERVAL / 2;
    stage.disconnects("a");
    stage.handle(crate::chat::Event::Tick);
    stage.hears("0", &[]);
    assert_eq!(stage.chat.deadline(), start + PRESENCE_INTERVAL);
    stage.tick();
    stage.hears("0", &["2 joined, 1 left; 65 here"]);
    stage.hears("b", &["2 joined, 1 left; 65 here"]);
    assert_eq!(stage.chat.deadline(), Time::NEVER);

    stage.connects("a", "127.0.0.1:9998");
    assert_eq!(stage.chat.deadline(), stage.now + PRESENCE_INTERVAL);
    stage.tick();
    stage.hears("0", &["1 joined; 66 here"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn a_room_that_was_empty_meanwhile_is_told_nothing() {
    let mut stage = crowd(0);
    for number in 0..65 {
        stage.connects(&number.to_string(), "127.0.0.1:1");
    }
    let due = stage.chat.deadline();
    for number in 0..65 {
        stage.disconnects(&number.to_string());
    }
    stage.connects("a", "127.0.0.1:1");
    stage.forget_the_rest();
    assert_eq!(stage.chat.deadline(), due);
    stage.tick();
    stage.hears("a", &[]);
    assert_eq!(stage.chat.deadline(), Time::NEVER);
    stage.ends();
}

#[test]
fn ten_thousand_come_and_go_at_a_cost_of_their_number() {
    const COUNT: usize = 10_000;
    // Up to the bound everybody hears everybody, once on the way up and once on the way down.
    let one_by_one = PRESENCE_ROOM_LEN * (PRESENCE_ROOM_LEN - 1) / 2;
    let mut stage = crowd(COUNT);
    assert_eq!(stage.wire.say_count, PRESENCE_ROOM_LEN);
    assert_eq!(stage.wire.delivery_count, one_by_one);
    stage.tick();
    stage.hears("0", &["9936 joined; 10000 here"]);
    assert_eq!(stage.wire.delivery_count, one_by_one + COUNT);

    stage.forget_the_rest();
    for number in 0..COUNT {
        stage.says(&number.to_string(), "/join agora");
    }
    // Each crossing makes both rooms announce, in full, only while they are small.
    assert_eq!(stage.wire.delivery_count, one_by_one + COUNT + one_by_one + leaving());
    stage.tick();
    stage.forget_the_rest();
    let before = stage.wire.delivery_count;
    for number in 0..COUNT {
        stage.disconnects(&number.to_string());
    }
    assert_eq!(stage.wire.delivery_count, before + leaving());
    stage.ends();
}

/// What the end of a mass leaving costs: from the bound down, each tells those who remain.
fn leaving() -> usize {
    (0..=PRESENCE_ROOM_LEN).sum()
}
