//! Whom people ignore, and what they are spared.

use super::stage::Stage;
use crate::chat::{ConnId, PeerId};
use crate::dialect::Dialect;
use crate::limits::{IGNORED_MAX, PRESENCE_ROOM_LEN};

/// `a`, `b` and `c` in the lobby, under those names, everything so far read.
fn three() -> Stage {
    let mut stage = Stage::new(&["python"]);
    for (port, user) in ["a", "b", "c"].into_iter().enumerate() {
        stage.connects(user, &format!("127.0.0.1:{port}"));
        stage.says(user, &format!("/nick {user}"));
    }
    stage.forget_the_rest();
    stage
}

#[test]
fn what_an_ignored_person_does_is_not_told() {
    let mut stage = three();
    stage.says("a", "/ignore B");
    stage.hears("a", &["You ignore b"]);
    for line in ["hi", "/me waves", "/topic weather", "/nick d", "/join x", "/leave"] {
        stage.says("b", line);
    }
    stage.hears("a", &[]);
    let heard = ["[b] hi", "* b waves", "b set the topic: weather", "b is now d"];
    stage.hears("c", &[&heard[..], &["Client left d", "Client joined d"]].concat());
    // What is so, they are told, whoever made it so.
    stage.says("a", "/topic");
    stage.says("a", "/who");
    stage.hears("a", &["The topic of lobby: weather", "3 in lobby:", "  a", "  c", "  d"]);
    // The ignored notices nothing in rooms.
    stage.forget_the_rest();
    stage.says("a", "hello");
    stage.hears("b", &["[a] hello"]);
    stage.disconnects("b");
    stage.hears("a", &[]);
    stage.hears("c", &["[a] hello", "Client left d"]);
    stage.ends();
}

#[test]
fn it_follows_a_rename_and_not_the_name() {
    let mut stage = three();
    stage.says("a", "/ignore b");
    stage.says("b", "/nick d");
    stage.says("c", "/nick b");
    stage.says("b", "from d");
    stage.says("c", "from b");
    stage.hears("a", &["You ignore b", "c is now b", "[b] from b"]);
    stage.says("a", "/ignore");
    stage.hears("a", &["You ignore 1:", "  d"]);
    stage.says("a", "/unignore b");
    stage.says("a", "/unignore d");
    stage.says("b", "hi");
    stage.hears("a", &["You do not ignore b", "You do not ignore d", "[d] hi"]);
    stage.says("a", "/ignore");
    stage.hears("a", &["You ignore nobody"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn what_they_write_to_one_alone_is_refused() {
    let mut stage = three();
    stage.says("b", "/msg a hi");
    stage.says("a", "/ignore b");
    stage.says("a", "/away");
    stage.says("b", "/away");
    stage.says("b", "/msg a hi");
    let refused = "a ignores you: that was not delivered";
    // Nobody heard them: they are not back, and are not told that the other is away.
    stage.hears("b", &["[you -> a] hi", "You are marked away", refused]);
    // The other way it goes.
    stage.says("a", "/reply yes?");
    stage.says("b", "/reply well");
    stage.hears("b", &["[a -> you] yes?", refused]);
    stage.forget_the_rest();
    stage.connects_as(Dialect::P2p, "p", "127.0.0.1:8");
    stage.is_called("p", "p");
    stage.says("a", "/ignore p");
    stage.forget_the_rest();
    stage.writes("p", "a", "hi");
    stage.writes("p", "all", "hi");
    stage.hears("p", &["a ignores you: that was not delivered\n", "p said : hi\n"]);
    stage.hears("a", &[]);
    stage.hears("c", &["[p] hi"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn frames_and_the_past_of_a_room_do_without_them() {
    let mut stage = three();
    stage.connects_as(Dialect::Rid, "r", "127.0.0.1:9");
    for name in ["python", "lobby"] {
        stage.frames("r", name, "");
    }
    stage.says("a", "/ignore 127.0.0.1:9");
    stage.says("b", "/python");
    stage.frames("r", "python", "one\ntwo\n");
    stage.says("b", "three");
    stage.forget_the_rest();
    stage.frames("r", "lobby", "hi\n");
    stage.hears("a", &[]);
    stage.hears("c", &["[127.0.0.1:9] hi"]);
    stage.says("a", "/join python");
    let past = ["The last line of python (UTC):", "  00:00 [b] three"];
    stage.hears("a", &[&["You are in python with 2 others"], &past[..]].concat());
    stage.says("a", "/ignore b");
    stage.says("a", "/history");
    stage.hears("a", &["You ignore b", "No lines of python are kept"]);
    stage.says("a", "/leave");
    stage.says("a", "/join python");
    stage.hears("a", &["You are in lobby with 2 others", "You are in python with 2 others"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn who_is_there_to_be_ignored() {
    let mut stage = three();
    stage.says("a", "/ignore nobody");
    stage.says("a", "/ignore A");
    stage.says("a", "/unignore b");
    stage.says("a", "/ignore b c");
    stage.says("a", "/unignore");
    let read = ["Nobody here is called nobody", "You cannot ignore yourself"];
    let usage = ["You do not ignore b", "Usage: /ignore [NAME]", "Usage: /unignore NAME"];
    stage.hears("a", &[&read[..], &usage].concat());
    stage.says("a", "/ignore b");
    stage.says("a", "/ignore b");
    stage.hears("a", &["You ignore b", "You ignore b"]);
    stage.ends();
}

#[test]
fn the_list_is_bounded_and_those_who_left_are_not_in_it() {
    let mut stage = three();
    for number in 0..IGNORED_MAX {
        stage.connects(&number.to_string(), &format!("127.0.0.1:{}", 100 + number));
        stage.says("a", &format!("/ignore 127.0.0.1:{}", 100 + number));
    }
    stage.forget_the_rest();
    stage.says("a", "/ignore b");
    stage.hears("a", &["You ignore 32 people already: /unignore one of them first"]);
    stage.disconnects("7");
    stage.says("a", "/ignore b");
    stage.hears("a", &["You ignore b"]);
    assert_eq!(stage.wire.ignored.len(), IGNORED_MAX, "the worker keeps no more");
    stage.says("a", "/ignore c");
    stage.hears("a", &["You ignore 32 people already: /unignore one of them first"]);
    stage.disconnects("8");
    stage.says("a", "/ignore");
    let read = stage.reads("a");
    assert_eq!((read[0].as_str(), read.len()), ("You ignore 31:", 32));
    assert_eq!(stage.wire.ignored.len(), IGNORED_MAX - 1);
    // Who comes in the same slot is somebody else.
    stage.connects("7", "127.0.0.1:107");
    stage.says("7", "hi");
    stage.hears("a", &["Client joined 127.0.0.1:107", "[127.0.0.1:107] hi"]);
    // And whoever ignored somebody ignores nobody when they come again.
    stage.disconnects("a");
    stage.connects("a", "127.0.0.1:0");
    stage.forget_the_rest();
    stage.says("b", "hi");
    stage.hears("a", &["[b] hi"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn who_has_the_numbers_of_one_whose_worker_failed_is_not_ignored() {
    let mut stage = three();
    let ConnId { peer, .. } = stage.conn("b");
    assert_ne!(peer, stage.conn("a").peer);
    stage.says("a", "/ignore b");
    stage.says("b", "bye");
    stage.loses(peer);
    assert!(stage.wire.ignored.is_empty(), "the worker is told");
    stage.connects_to(peer, "b", "127.0.0.1:9");
    stage.says("a", "/ignore 127.0.0.1:9");
    stage.forget_the_rest();
    stage.says("a", "/history");
    let past = ["The last line of lobby (UTC):", "  00:00 [b] bye"];
    stage.hears("a", &past);
    stage.says("a", "/unignore 127.0.0.1:9");
    stage.forget_the_rest();
    stage.says("b", "hi");
    stage.says("b", "/msg a hi");
    stage.hears("a", &["[127.0.0.1:9] hi", "[127.0.0.1:9 -> you] hi"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn sums_of_a_large_room_count_everybody() {
    let mut stage = three();
    for number in 0..PRESENCE_ROOM_LEN {
        stage.connects_to(PeerId(0), &number.to_string(), &format!("127.0.0.1:{}", 100 + number));
    }
    stage.tick();
    stage.says("a", "/ignore b");
    stage.forget_the_rest();
    stage.says("b", "/leave");
    stage.says("b", "/python");
    stage.tick();
    stage.hears("a", &["1 left; 66 here"]);
    stage.forget_the_rest();
    stage.ends();
}
