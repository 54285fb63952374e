//! What people expect beside lines and rooms: doing things, topics, being away, replies.

use super::stage::Stage;
use crate::dialect::Dialect;
use crate::limits::{AWAY_TOLD_MAX, NAME_LEN_MAX, REMARK_LEN_MAX};
use crate::time::Time;

/// `a` and `b` in the lobby, `c` in the room python, under those names, everything so far read.
fn three() -> Stage {
    let mut stage = Stage::new(&["python"]);
    for (port, user) in ["a", "b", "c"].into_iter().enumerate() {
        stage.connects(user, &format!("127.0.0.1:{port}"));
        stage.says(user, &format!("/nick {user}"));
    }
    stage.says("c", "/python");
    stage.forget_the_rest();
    stage
}

#[test]
fn what_one_does_is_told_to_the_others_in_the_room() {
    let mut stage = three();
    stage.says("a", "/me  waves  at b ");
    stage.hears("a", &[]);
    stage.hears("b", &["* a waves  at b"]);
    stage.hears("c", &[]);
    stage.says("a", "/me");
    stage.hears("a", &["Usage: /me TEXT"]);
    stage.ends();
}

#[test]
fn a_topic_is_told_to_all_in_the_room_and_to_who_comes() {
    let mut stage = three();
    stage.says("a", "/topic");
    stage.hears("a", &["There is no topic in lobby"]);
    stage.says("a", "/topic  The  weather ");
    stage.hears("a", &["a set the topic: The  weather"]);
    stage.hears("b", &["a set the topic: The  weather"]);
    stage.hears("c", &[]);
    stage.says("b", "/topic");
    stage.hears("b", &["The topic of lobby: The  weather"]);
    stage.says("c", "/back");
    stage.hears("c", &["You are in lobby with 2 others", "The topic of lobby: The  weather"]);
    stage.says("c", "/rooms");
    stage.hears("c", &["2 rooms:", "  lobby (3): The  weather", "  python (0)"]);
    stage.connects("d", "127.0.0.1:9");
    let welcome = "You're connected to the chatd chatserver";
    stage.hears("d", &[welcome, "The topic of lobby: The  weather"]);

    stage.says("d", "/topic -");
    for user in ["a", "b", "c"] {
        let read = stage.reads(user);
        assert_eq!(read.last().map(String::as_str), Some("127.0.0.1:9 removed the topic"));
    }
    stage.hears("d", &["127.0.0.1:9 removed the topic"]);
    stage.says("d", "/topic");
    stage.hears("d", &["There is no topic in lobby"]);
    stage.ends();
}

#[test]
fn the_topic_of_a_room_goes_with_its_last_member_unless_the_room_stays() {
    let mut stage = three();
    stage.says("c", "/topic snakes");
    stage.says("c", "/join other");
    stage.says("c", "/topic others");
    stage.says("c", "/python");
    stage.says("c", "/join other");
    stage.hears(
        "c",
        &[
            "c set the topic: snakes",
            "You are alone in other",
            "c set the topic: others",
            "You are alone in python",
            "The topic of python: snakes",
            "You are alone in other",
        ],
    );
    stage.ends();
}

#[test]
fn remarks_are_bounded() {
    let mut stage = three();
    let longest = "é".repeat(REMARK_LEN_MAX / 2);
    for word in ["topic", "away"] {
        stage.says("a", &format!("/{word} {longest}x"));
        stage.hears("a", &["That was over 160 bytes and was not kept"]);
    }
    stage.says("a", "/topic");
    stage.hears("a", &["There is no topic in lobby"]);
    stage.says("a", &format!("/away {longest}"));
    stage.hears("a", &[&format!("You are marked away: {longest}")]);
    stage.says("a", &format!("/topic {longest}"));
    let told = format!("a set the topic: {longest}");
    stage.hears("a", &[&told]);
    stage.hears("b", &[&told]);
    stage.ends();
}

#[test]
fn who_writes_to_one_who_is_away_is_told_once() {
    let mut stage = three();
    stage.says("a", "/away at  lunch");
    stage.hears("a", &["You are marked away: at  lunch"]);
    stage.says("b", "/msg a hi");
    stage.says("b", "/msg a hi?");
    stage.hears("b", &["[you -> a] hi", "a is away: at  lunch", "[you -> a] hi?"]);
    stage.says("c", "/msg A hi");
    stage.hears("c", &["[you -> a] hi", "a is away: at  lunch"]);
    stage.says("b", "/who");
    stage.hears("b", &["2 in lobby:", "  a (away)", "  b"]);
    stage.hears("a", &["[b -> you] hi", "[b -> you] hi?", "[c -> you] hi"]);

    // Commands do not bring one back, what others hear does.
    stage.says("a", "/who");
    stage.says("a", "/nick A");
    stage.says("a", "/msg nobody hi");
    stage.says("a", "back again");
    let who = ["2 in lobby:", "  a (away)", "  b", "You are A", "Nobody here is called nobody"];
    stage.hears("a", &[&who[..], &["You are marked away no longer"]].concat());
    stage.hears("b", &["a is now A", "[A] back again"]);
    stage.says("a", "not away");
    stage.hears("b", &["[A] not away"]);

    // Away anew, and everybody is told anew.
    stage.says("a", "/away");
    stage.says("b", "/msg a hi");
    stage.hears("b", &["[you -> A] hi", "A is away"]);
    stage.says("a", "/here");
    stage.says("a", "/here");
    let read = ["You are marked away", "[b -> you] hi"];
    let back = ["You are marked away no longer", "You were not marked away"];
    stage.hears("a", &[read, back].concat());
    for line in ["/me is back", "/msg b hi", "/reply hi"] {
        stage.says("a", "/away");
        stage.says("a", line);
        let read = stage.reads("a");
        assert_eq!(read[..2], ["You are marked away", "You are marked away no longer"], "{line}");
    }
    stage.hears("b", &["* A is back", "[A -> you] hi", "[A -> you] hi"]);
    stage.ends();
}

#[test]
fn of_many_who_write_to_one_who_is_away_the_first_are_forgotten() {
    let mut stage = three();
    stage.says("a", "/away");
    for writer in 0..=AWAY_TOLD_MAX {
        stage.connects(&writer.to_string(), &format!("127.0.0.1:{}", 100 + writer));
    }
    stage.forget_the_rest();
    for writer in 0..=AWAY_TOLD_MAX {
        stage.says(&writer.to_string(), "/msg a hi");
        stage.hears(&writer.to_string(), &["[you -> a] hi", "a is away"]);
    }
    for (writer, told) in [(1, false), (0, true), (1, true)] {
        stage.says(&writer.to_string(), "/msg a hi");
        let read = stage.reads(&writer.to_string());
        assert_eq!(read.contains(&"a is away".to_owned()), told, "{writer}");
    }
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn a_reply_goes_to_who_wrote_last_under_whatever_name() {
    let mut stage = three();
    stage.says("a", "/reply hi");
    stage.hears("a", &["Nobody wrote to you, or they are gone"]);
    stage.says("b", "/msg a hi");
    stage.says("c", "/msg a hi");
    stage.says("c", "/nick d");
    stage.says("a", "/reply  hello  yourself ");
    stage.hears("a", &["[b -> you] hi", "[c -> you] hi", "[you -> d] hello  yourself"]);
    stage.hears("c", &["[you -> a] hi", "You are d", "[a -> you] hello  yourself"]);
    stage.hears("b", &["[you -> a] hi"]);
    // Nobody else gets it, in the same slot or under the same name.
    stage.disconnects("c");
    stage.connects("c", "127.0.0.1:7");
    stage.says("c", "/nick d");
    stage.says("a", "/reply hi");
    stage.forget_the_rest();
    stage.says("a", "/reply hi");
    stage.hears("a", &["Nobody wrote to you, or they are gone"]);
    stage.hears("c", &[]);
    stage.ends();
}

#[test]
fn who_has_the_numbers_of_one_whose_worker_failed_is_somebody_else() {
    let mut stage = three();
    let peer = stage.conn("b").peer;
    assert_ne!(peer, stage.conn("a").peer);
    stage.says("a", "/away");
    stage.says("b", "/msg a hi");
    stage.loses(peer);
    stage.connects_to(peer, "b", "127.0.0.1:9");
    stage.forget_the_rest();
    stage.says("a", "/reply hi");
    stage.hears("a", &["Nobody wrote to you, or they are gone"]);
    stage.says("b", "/msg a hi");
    stage.hears("b", &["[you -> a] hi", "a is away"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn whois_says_where_somebody_is() {
    let mut stage = three();
    stage.connects_as(Dialect::Rid, "r", "127.0.0.1:9");
    stage.says("c", "/away");
    stage.hears("c", &["You are marked away"]);
    stage.says("a", "/whois C");
    stage.hears("a", &["c is in python", "c is away"]);
    stage.says("a", "/whois nobody");
    stage.hears("a", &["Nobody here is called nobody"]);
    stage.says("a", "/whois 127.0.0.1:9");
    stage.hears("a", &["127.0.0.1:9 is in no room"]);
    for room in ["1", "2"] {
        stage.frames("r", room, "");
    }
    stage.says("a", "/whois 127.0.0.1:9");
    stage.hears("a", &["127.0.0.1:9 is in 1", "127.0.0.1:9 is in 2"]);
    stage.ends();
}

#[test]
fn a_nickname_that_is_free_is_suggested() {
    let mut stage = three();
    let taken = |name: &str, free: &str| format!("Somebody else is called {name}; {free} is free");
    stage.says("b", "/nick B2");
    stage.says("b", "/nick A");
    stage.hears("b", &["You are B2", &taken("A", "A2")]);
    stage.says("a", "/nick A2");
    stage.says("a", "/nick b2");
    stage.hears("a", &["b is now B2", "You are A2", &taken("b2", "b22")]);
    let longest = "x".repeat(NAME_LEN_MAX);
    stage.says("a", &format!("/nick {longest}"));
    stage.says("b", &format!("/nick {longest}"));
    let short = format!("{}2", "x".repeat(NAME_LEN_MAX - 1));
    let read = stage.reads("b");
    assert_eq!(read.last(), Some(&taken(&longest, &short)));
    // Of a crowd that wants one name, the last is suggested none.
    for number in 2..22 {
        let user = format!("x{number}");
        stage.connects(&user, &format!("127.0.0.1:{}", 100 + number));
        stage.says(&user, &format!("/nick c{number}"));
    }
    stage.says("b", "/nick c");
    assert_eq!(stage.reads("b").last().map(String::as_str), Some("Somebody else is called c"));
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn remarks_in_the_dialects_for_programs() {
    let mut stage = three();
    stage.connects_as(Dialect::P2p, "p", "127.0.0.1:8");
    stage.is_called("p", "p");
    stage.connects_as(Dialect::Rid, "r", "127.0.0.1:9");
    stage.frames("r", "lobby", "");
    stage.forget_the_rest();
    stage.says("a", "/topic snakes");
    stage.says("a", "/away at lunch");
    stage.writes("p", "a", "hi");
    stage.writes("p", "a", "hi");
    stage.hears("p", &["a is away: at lunch\n"]);
    stage.hears("r", &["\na set the topic: snakes\n"]);
    stage.says("a", "/me waves");
    stage.hears("p", &["* a waves\n"]);
    stage.hears("r", &["\n* a waves\n"]);
    stage.connects_as(Dialect::Rid, "s", "127.0.0.1:10");
    stage.frames("s", "lobby", "");
    stage.hears("s", &["\nThe topic of lobby: snakes\n"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn who_joins_a_room_is_told_its_last_lines() {
    let mut stage = three();
    stage.now = Time(61_000_000_000);
    stage.says("c", "one");
    stage.says("c", "two");
    stage.says("c", "/me waves");
    stage.now = Time(3_600_000_000_000);
    stage.says("c", "/nick d");
    stage.says("c", "three");
    stage.forget_the_rest();
    stage.says("a", "/join python");
    let past = ["  00:01 [c] two", "  00:01 * c waves", "  01:00 [d] three"];
    let head = "The last 3 lines of python (UTC):";
    stage.hears("a", &[&["You are in python with 1 other", head], &past[..]].concat());
    // Lists are asked for; a room that one is in is not joined.
    stage.says("a", "/join python");
    stage.says("a", "/history");
    stage.hears("a", &[&["You are in python already", head], &past[..]].concat());

    // The commands that led to a room before there was a history do without.
    stage.says("a", "/leave");
    stage.says("a", "/python");
    stage.hears("a", &["You are in lobby with 1 other", "You are in python with 1 other"]);
    // And so do those who do not want it.
    stage.says("b", "/history off");
    stage.says("b", "/join python");
    let off = "You are not shown the last lines of a room you join";
    stage.hears(
        "b",
        &[
            "Client left a",
            "Client joined a",
            "Client left a",
            off,
            "You are in python with 2 others",
        ],
    );
    stage.says("b", "/back");
    stage.says("b", "/history on");
    stage.says("b", "/join python");
    let on = "You are shown the last lines of a room you join";
    let read = ["You are alone in lobby", on, "You are in python with 2 others", head];
    stage.hears("b", &[&read, &past[..]].concat());
    stage.forget_the_rest();
    stage.ends();
}

/// A machine that was asleep, and a clock that somebody set.
#[test]
fn what_was_said_keeps_the_time_it_was_said_at() {
    let mut stage = three();
    for (wall, text) in [(3_600, "one"), (12 * 3_600, "two"), (60, "three")] {
        stage.wall = Some(wall);
        stage.says("c", text);
    }
    stage.wall = Some(23 * 3_600);
    stage.says("a", "/join python");
    let past = ["  01:00 [c] one", "  12:00 [c] two", "  00:01 [c] three"];
    let head = "The last 3 lines of python (UTC):";
    stage.hears("a", &[&["You are in python with 1 other", head], &past[..]].concat());
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn a_room_without_a_past_tells_none() {
    let mut stage = three();
    stage.says("a", "/history");
    stage.hears("a", &["No lines of lobby are kept"]);
    stage.says("a", "/join other");
    stage.says("a", "alone");
    stage.says("a", "/back");
    stage.says("a", "/join other");
    let read =
        ["You are alone in other", "You are in lobby with 1 other", "You are alone in other"];
    stage.hears("a", &read);
    stage.says("a", "again");
    stage.says("a", "/history");
    stage.hears("a", &["The last line of other (UTC):", "  00:00 [a] again"]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn what_programs_say_is_remembered_and_they_are_told_nothing() {
    let mut stage = three();
    stage.connects_as(Dialect::Rid, "r", "127.0.0.1:9");
    stage.frames("r", "python", "");
    stage.frames("r", "python", "one\ntwo\n\nthree\n");
    stage.connects_as(Dialect::P2p, "p", "127.0.0.1:8");
    stage.is_called("p", "p");
    stage.writes("p", "all", "hi");
    stage.forget_the_rest();
    stage.says("a", "/history");
    stage.hears("a", &["The last line of lobby (UTC):", "  00:00 [p] hi"]);
    stage.connects_as(Dialect::Rid, "s", "127.0.0.1:10");
    stage.frames("s", "python", "");
    stage.hears("s", &[]);
    stage.says("a", "/join python");
    let past = ["one", "two", "three"].map(|text| format!("  00:00 [127.0.0.1:9] {text}"));
    let read = stage.reads("a");
    assert_eq!(read[read.len() - 3..], past);
    stage.forget_the_rest();
    stage.ends();
}
