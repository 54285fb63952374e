//! Every command, every answer, with two to five users.

use super::stage::{OBSERVER, Stage};
use crate::chat::{Event, PeerId, PeerSet, RoomId, Start};
use crate::limits::{ECHO_LEN_MAX, LIST_LEN_MAX, ROOMS_MAX};
use crate::time::Time;

const WELCOME: &str = "You're connected to the chatd chatserver";

/// `a` and `b` in the lobby under those names, everything so far read.
fn two() -> Stage {
    let mut stage = Stage::new(&["python"]);
    stage.connects("a", "127.0.0.1:1");
    stage.connects("b", "127.0.0.1:2");
    stage.says("a", "/nick a");
    stage.says("b", "/nick b");
    stage.forget_the_rest();
    stage
}

/// What `a` is answered to a line, `b` hearing nothing.
#[track_caller]
fn answers(stage: &mut Stage, table: &[(&str, &[&str])]) {
    for (line, answer) in table {
        stage.says("a", line);
        assert_eq!(stage.reads("a"), *answer, "{line:?}");
        stage.hears("b", &[]);
    }
}

#[test]
fn a_conversation_in_the_lobby() {
    let mut stage = Stage::new(&[]);
    stage.connects("a", "127.0.0.1:37994");
    stage.hears("a", &[WELCOME]);
    stage.connects("b", "[::ffff:127.0.0.1]:37995");
    stage.hears("b", &[WELCOME]);
    stage.hears("a", &["Client joined 127.0.0.1:37995"]);
    stage.connects("c", "[::1]:37996");
    stage.hears("a", &["Client joined [::1]:37996"]);
    stage.hears("b", &["Client joined [::1]:37996"]);
    stage.hears("c", &[WELCOME]);

    stage.says("a", "Hello, is anyone there?");
    stage.says("b", "");
    stage.hears("a", &[]);
    stage.hears("b", &["[127.0.0.1:37994] Hello, is anyone there?"]);
    stage.hears("c", &["[127.0.0.1:37994] Hello, is anyone there?"]);

    stage.says("b", "/nick plato");
    stage.says("b", "//nick is a command");
    stage.hears("b", &["You are plato"]);
    let read = ["127.0.0.1:37995 is now plato", "[plato] /nick is a command"];
    stage.hears("a", &read);
    stage.hears("c", &read);

    stage.says("c", "/nick socrates");
    stage.hears("a", &["Client [::1]:37996 is now socrates"]);
    stage.hears("b", &["Client [::1]:37996 is now socrates"]);
    stage.hears("c", &["You are socrates"]);

    stage.disconnects("b");
    stage.hears("a", &["Client left plato"]);
    stage.hears("c", &["Client left plato"]);
    stage.ends();
}

#[test]
fn answers_to_the_asker_only() {
    let mut stage = two();
    let long = "é".repeat(200);
    let echo = &long[..ECHO_LEN_MAX - 1];
    let unknown = format!("Unknown command: {echo}");
    let slash = "A command follows its slash at once: /help lists them. To say a slash, write two";
    let told_of_me = "/me TEXT: tells the others in your room what you do: \
                      /me waves comes out as * plato waves";
    let told_of_rooms = "/ROOM: with the name of a room that is always there, as in /lobby, takes \
                         you to it. /join shows its last lines too";
    answers(
        &mut stage,
        &[
            ("/help", &["(help)"]),
            ("/HELP", &["(help)"]),
            ("/help me", &[told_of_me]),
            ("/help /ME", &[told_of_me]),
            ("/help a b", &["Usage: /help [COMMAND]"]),
            ("/help what", &["Unknown command: what"]),
            ("/help /Python", &[told_of_rooms]),
            ("/help lobby", &[told_of_rooms]),
            ("/help room", &[told_of_rooms]),
            ("/motd", &["There is no message of the day"]),
            ("/foo bar", &["Unknown command: foo"]),
            ("/", &[slash]),
            ("/ help", &[slash]),
            (&format!("/{long}"), &[&unknown]),
            ("/nick", &["Usage: /nick NAME"]),
            ("/nick x y", &["Usage: /nick NAME"]),
            ("/nick B", &["Somebody else is called B; B2 is free"]),
            ("/nick a", &["You are a"]),
            ("/login a", &["You are a", "(help)"]),
            ("/login b", &["Somebody else is called b; b2 is free"]),
            ("/join", &["Usage: /join ROOM"]),
            ("/join LOBBY", &["You are in lobby already"]),
            ("/leave", &["You are in lobby already"]),
            ("/back", &["You are in lobby already"]),
            ("/lobby", &["You are in lobby already"]),
            ("/python x", &["Usage: /ROOM"]),
            ("/rooms", &["2 rooms:", "  lobby (2)", "  python (0)"]),
            ("/who", &["2 in lobby:", "  a", "  b"]),
            ("/online", &["2 in lobby:", "  a", "  b"]),
            ("/who PYTHON", &["0 in python:"]),
            ("/who nowhere", &["There is no room nowhere"]),
            ("/who a b", &["Usage: /who [ROOM]"]),
            ("/msg", &["Usage: /msg NAME TEXT"]),
            ("/msg b", &["Usage: /msg NAME TEXT"]),
            ("/msg c hi", &["Nobody here is called c"]),
            ("/msg 127.0.0.1:2 hi", &["Nobody here is called 127.0.0.1:2"]),
            ("/msg A hi", &["[a -> you] hi", "[you -> a] hi"]),
        ],
    );
    let conn = stage.conn("a");
    stage.handle(Event::LineTooLong { conn });
    stage.hears("a", &["That line was over 1024 bytes and was not sent"]);
    stage.ends();
}

#[test]
fn what_is_not_a_name() {
    let mut stage = two();
    let rule = "A name is 1 to 20 letters, digits, - or _, \
                and no nickname is all, chatd, server, system or you";
    for name in ["a.b", "127.0.0.1:9", "aaaaaaaaaaaaaaaaaaaaa", "é", "ALL", "Server", "system"] {
        stage.says("a", &format!("/nick {name}"));
        stage.hears("a", &[&format!("Not a name: {name}. {rule}")]);
    }
    stage.says("a", "/join a.b");
    stage.hears("a", &[&format!("Not a name: a.b. {rule}")]);
    stage.ends();
}

#[test]
fn nicknames_are_told_apart_without_regard_to_case() {
    let mut stage = two();
    stage.says("a", "/nick Plato");
    stage.says("a", "/nick PLATO");
    stage.hears("a", &["You are Plato", "You are PLATO"]);
    stage.hears("b", &["a is now Plato", "Plato is now PLATO"]);
    stage.says("b", "/nick plato");
    stage.says("b", "/msg plato hi");
    stage.hears("b", &["Somebody else is called plato; plato2 is free", "[you -> PLATO] hi"]);
    stage.hears("a", &["[b -> you] hi"]);
    // The names given up are free, and so is that of one who left.
    stage.says("b", "/nick A");
    stage.hears("b", &["You are A"]);
    stage.hears("a", &["b is now A"]);
    stage.disconnects("a");
    stage.says("b", "/nick plato");
    stage.hears("b", &["Client left PLATO", "You are plato"]);
    stage.ends();
}

#[test]
fn direct_messages_cross_rooms_and_find_addresses() {
    let mut stage = two();
    stage.connects("c", "[::1]:3");
    stage.says("c", "/join elsewhere");
    stage.forget_the_rest();
    stage.says("a", "/msg [::1]:3 are  you there? ");
    stage.hears("a", &["[you -> [::1]:3] are  you there?"]);
    stage.hears("c", &["[a -> you] are  you there?"]);
    stage.hears("b", &[]);
    stage.ends();
}

#[test]
fn one_room_at_a_time() {
    let mut stage = two();
    stage.says("a", "/join Agora");
    stage.hears("a", &["You are alone in Agora"]);
    stage.hears("b", &["Client left a"]);
    stage.says("b", "/join agora");
    stage.hears("b", &["You are in Agora with 1 other"]);
    stage.hears("a", &["Client joined b"]);
    stage.connects("c", "127.0.0.1:3");
    stage.says("c", "/nick c");
    stage.says("c", "/join AGORA");
    stage.hears("c", &[WELCOME, "You are c", "You are in Agora with 2 others"]);
    stage.says("c", "here");
    stage.hears("a", &["Client joined c", "[c] here"]);
    stage.hears("b", &["Client joined c", "[c] here"]);
    stage.says("c", "/rooms");
    stage.hears("c", &["3 rooms:", "  lobby (0)", "  python (0)", "  Agora (3)"]);
    stage.says("a", "/join agora");
    stage.hears("a", &["You are in Agora already"]);

    // The room goes with its last member, and is made anew under the name then written.
    for user in ["a", "b", "c"] {
        stage.says(user, "/leave");
    }
    stage.hears("a", &["You are alone in lobby", "Client joined b", "Client joined c"]);
    stage.hears("b", &["Client left a", "You are in lobby with 1 other", "Client joined c"]);
    stage.hears("c", &["Client left a", "Client left b", "You are in lobby with 2 others"]);
    assert_eq!(stage.chat.room_count(), 2);
    stage.says("a", "/join aGORA");
    stage.hears("a", &["You are alone in aGORA"]);
    stage.hears("b", &["Client left a"]);
    stage.hears("c", &["Client left a"]);
    stage.ends();
}

#[test]
fn rooms_made_at_start_have_a_command_and_stay() {
    let mut stage = two();
    stage.says("a", "/PYTHON");
    stage.says("a", "/python");
    stage.hears("a", &["You are alone in python", "You are in python already"]);
    stage.hears("b", &["Client left a"]);
    stage.says("b", "/join other");
    stage.says("a", "/other");
    stage.says("a", "/back");
    stage.hears("a", &["Unknown command: other", "You are alone in lobby"]);
    stage.hears("b", &["You are alone in other"]);
    stage.says("a", "/rooms");
    stage.hears("a", &["3 rooms:", "  lobby (1)", "  python (0)", "  other (1)"]);
    stage.ends();
}

#[test]
fn quitting_and_what_comes_too_late() {
    let mut stage = two();
    let old = stage.conn("a");
    stage.says("a", "/quit");
    assert_eq!(stage.chat.client_count(), 1);
    stage.hears("b", &["Client left a"]);

    // The slot's next occupant hears nothing of it, and is not thrown out.
    let new = stage.connects_to(PeerId(0), "c", "127.0.0.1:3");
    assert_eq!((old.index, old.generation + 1), (new.index, new.generation));
    stage.hears("b", &["Client joined 127.0.0.1:3"]);
    stage.handle(Event::Line { conn: old, text: "late" });
    stage.handle(Event::LineTooLong { conn: old });
    stage.handle(Event::Disconnected { conn: old });
    stage.hears("b", &[]);
    stage.hears("c", &[WELCOME]);
    assert_eq!(stage.chat.stale_count(), 3);

    stage.says("c", "/logout");
    stage.hears("b", &["Client left 127.0.0.1:3"]);
    stage.ends();
}

#[test]
fn goodbye_comes_before_leaving_and_closing() {
    let mut stage = two();
    let conn = stage.conn("a");
    stage.wire.log = Some(Vec::new());
    stage.handle(Event::Line { conn, text: "/quit" });
    let log = stage.wire.log.take().expect("it was asked for");
    let kinds: Vec<_> = log
        .iter()
        .map(|action| ["Goodbye", "Leave {", "Say", "Close"].map(|kind| action.contains(kind)))
        .map(|kinds| kinds.iter().position(|is_it| *is_it))
        .collect();
    assert_eq!(kinds, [Some(0), Some(1), Some(2), Some(3)], "{log:?}");
    stage.hears("a", &["Goodbye"]);
    stage.hears("b", &["Client left a"]);
    stage.says("a", "more");
    assert_eq!(stage.chat.stale_count(), 1);
}

#[test]
fn strange_connections_are_not_believed() {
    let mut stage = two();
    let conn = stage.conn("a");
    let addr = "127.0.0.1:9".parse().expect("an address");
    stage.handle(Event::Connected { conn, addr, start: Start::Lobby });
    let elsewhere = crate::chat::ConnId { peer: PeerId(60), ..conn };
    stage.handle(Event::Connected { conn: elsewhere, addr, start: Start::Lobby });
    stage.handle(Event::Disconnected { conn: elsewhere });
    let far = crate::chat::ConnId { index: 1_000_000, ..conn };
    stage.handle(Event::Disconnected { conn: far });
    assert_eq!((stage.chat.stale_count(), stage.chat.client_count()), (4, 2));

    // A slot taken anew, its last occupant's end untold.
    stage.disconnects("b");
    stage.hears("a", &["Client left b"]);
    let kept = stage.connects_to(PeerId(1), "b", "127.0.0.1:2");
    stage.forget_the_rest();
    stage.wire.seats.retain(|seat| seat.0 != kept);
    stage.wire.members.values_mut().for_each(|members| _ = members.remove(&kept));
    let next = crate::chat::ConnId { generation: kept.generation + 1, ..kept };
    stage.wire.heard.insert(next, Vec::new());
    stage.handle(Event::Connected { conn: next, addr, start: Start::Lobby });
    stage.hears("a", &["Client left 127.0.0.1:2", "Client joined 127.0.0.1:9"]);
    assert_eq!(stage.chat.client_count(), 2);
}

#[test]
fn lists_stop_and_say_how_many_more() {
    let mut stage = Stage::new(&[]);
    let count = LIST_LEN_MAX + 3;
    for number in 0..count {
        let user = number.to_string();
        stage.connects(&user, "127.0.0.1:1");
        stage.says(&user, &format!("/join room{number}"));
    }
    stage.forget_the_rest();
    stage.says("0", "/rooms");
    let read = stage.reads("0");
    assert_eq!(read.len(), 1 + LIST_LEN_MAX + 1);
    assert_eq!(read[0], format!("{} rooms:", count + 1));
    assert_eq!(read[1..4], ["  lobby (0)", "  room0 (1)", "  room1 (1)"]);
    assert_eq!(read[LIST_LEN_MAX + 1], "  and 4 more");

    for number in 0..count {
        stage.says(&number.to_string(), "/leave");
    }
    stage.forget_the_rest();
    stage.says("0", "/who");
    let read = stage.reads("0");
    assert_eq!(read.len(), 1 + LIST_LEN_MAX + 1);
    assert_eq!(read[0], format!("{count} in lobby:"));
    assert_eq!(read[LIST_LEN_MAX + 1], "  and 3 more");
    stage.ends();
}

#[test]
fn rooms_are_bounded() {
    let mut stage = Stage::new(&[]);
    for number in 1..ROOMS_MAX {
        let user = number.to_string();
        stage.connects(&user, &format!("127.0.0.2:{number}"));
        stage.says(&user, &format!("/join room{number}"));
    }
    assert_eq!(stage.chat.room_count(), ROOMS_MAX);
    stage.forget_the_rest();
    stage.connects("a", "127.0.0.1:2");
    stage.says("a", "/join more");
    stage.hears("a", &[WELCOME, "There are 65536 rooms already: no more can be made"]);
    stage.says("a", "/who");
    stage.hears("a", &["1 in lobby:", "  127.0.0.1:2"]);
    stage.says("a", "/join ROOM1");
    stage.hears("a", &["You are in room1 with 1 other"]);
    stage.hears("1", &["Client joined 127.0.0.1:2"]);
    stage.ends();
}

#[test]
fn observers_are_told_of_every_room_and_everything_said() {
    let mut stage = Stage::with_observers(&["python", "Python"], PeerSet::one(OBSERVER));
    stage.connects("a", "127.0.0.1:1");
    stage.says("a", "alone");
    stage.says("a", "/join x");
    stage.says("a", "/join y");
    stage.disconnects("a");
    let read = [
        "0 is lobby",
        "1 is python",
        "0: Client joined 127.0.0.1:1",
        "0: [127.0.0.1:1] alone",
        "2 is x",
        "0: Client left 127.0.0.1:1",
        "2: Client joined 127.0.0.1:1",
        "3 is y",
        "2: Client left 127.0.0.1:1",
        "3: Client joined 127.0.0.1:1",
        "3: Client left 127.0.0.1:1",
    ];
    assert_eq!(stage.wire.observed, read);
    stage.ends();
}

#[test]
fn a_room_is_held_while_a_peer_is_behind() {
    let mut stage = Stage::new(&["python"]);
    let both = PeerSet::first(2);
    for (peer, user) in [(0, "a"), (1, "b"), (0, "c")] {
        stage.connects_to(PeerId(peer), user, "127.0.0.1:1");
    }
    let behind = |peer, on| Event::Congested { peer: PeerId(peer), room: RoomId(0), on };
    let held = |stage: &mut Stage| std::mem::take(&mut stage.wire.holds);
    stage.handle(behind(0, true));
    assert_eq!(held(&mut stage), [(both, RoomId(0), true)]);
    stage.handle(behind(0, true));
    stage.handle(behind(1, true));
    stage.handle(behind(0, false));
    assert_eq!(held(&mut stage), []);

    // Who leaves is not held elsewhere; who enters is.
    stage.says("a", "/python");
    assert_eq!(held(&mut stage), []);
    stage.says("a", "/leave");
    assert_eq!(held(&mut stage), [(PeerSet::one(PeerId(0)), RoomId(0), true)]);

    // The last one behind catches up, or has no members any more.
    stage.handle(behind(1, false));
    assert_eq!(held(&mut stage), [(both, RoomId(0), false)]);
    stage.handle(behind(1, true));
    held(&mut stage);
    stage.disconnects("b");
    assert_eq!(held(&mut stage), [(PeerSet::one(PeerId(0)), RoomId(0), false)]);
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn congestion_dies_with_its_room() {
    let mut stage = Stage::new(&[]);
    stage.connects_to(PeerId(0), "a", "127.0.0.1:1");
    stage.connects_to(PeerId(1), "b", "127.0.0.1:2");
    stage.says("a", "/join x");
    let room = stage.room_of("a");
    stage.handle(Event::Congested { peer: PeerId(0), room, on: true });
    assert_eq!(stage.wire.holds.len(), 1);
    stage.says("a", "/leave");
    stage.handle(Event::Congested { peer: PeerId(0), room, on: true });
    stage.handle(Event::Congested { peer: PeerId(0), room, on: false });
    assert_eq!(stage.chat.stale_count(), 2);

    // The number's next room is not held, and a peer that is not in it cannot hold it.
    stage.says("b", "/join y");
    assert_eq!(stage.room_of("b"), room);
    stage.handle(Event::Congested { peer: PeerId(0), room, on: true });
    assert_eq!((stage.wire.holds.len(), stage.chat.stale_count()), (1, 3));
    stage.forget_the_rest();
    stage.ends();
}

#[test]
fn stopping_is_told_to_every_peer() {
    let mut stage = two();
    stage.handle(Event::Stop);
    assert_eq!(stage.wire.stops, [PeerSet::first(3)]);
    assert_eq!(stage.chat.deadline(), Time::NEVER);
    stage.ends();
}

#[test]
fn nicknames_of_all_scripts_never_look_alike() {
    let mut stage = Stage::of_all_scripts();
    stage.connects("one", "127.0.0.1:1");
    stage.connects("two", "127.0.0.1:2");
    stage.forget_the_rest();
    stage.says("one", "/nick Платон");
    stage.hears("one", &["You are Платон"]);
    stage.hears("two", &["127.0.0.1:1 is now Платон"]);
    stage.says("two", "/nick платон");
    stage.hears("two", &["Somebody else is called платон; платон2 is free"]);
    stage.says("two", "/msg ПЛАТОН hi");
    stage.hears("one", &["[127.0.0.1:2 -> you] hi"]);
    stage.hears("two", &["[you -> Платон] hi"]);
    // Latin and Cyrillic letters of one look.
    stage.says("one", "/nick сор");
    stage.hears("one", &["You are сор"]);
    stage.hears("two", &["Платон is now сор"]);
    stage.says("two", "/nick cop");
    stage.hears("two", &["Somebody else is called cop; cop2 is free"]);
    stage.says("one", "/nick cop");
    stage.hears("one", &["You are cop"]);
    stage.hears("two", &["сор is now cop"]);
    stage.says("two", "/nick аӏӏ");
    assert!(stage.reads("two")[0].starts_with("Not a name: аӏӏ. "));
    stage.says("two", "/nick платон");
    stage.hears("two", &["You are платон"]);
    stage.hears("one", &["127.0.0.1:2 is now платон"]);
    stage.ends();
}
