//! People of several dialects, in the same rooms.

use super::stage::Stage;
use crate::chat::Event;
use crate::dialect::Dialect;
use crate::limits::ROOMS_PER_CLIENT_MAX;

/// A telnet user `plato` and a p2p user `solon` in the lobby, and a rid user nowhere; everything so
/// far read.
fn three() -> Stage {
    let mut stage = Stage::new(&[]);
    stage.connects("plato", "127.0.0.1:1");
    stage.says("plato", "/nick plato");
    stage.connects_as(Dialect::P2p, "solon", "127.0.0.1:2");
    stage.is_called("solon", "solon");
    stage.connects_as(Dialect::Rid, "rid", "127.0.0.1:3");
    stage.forget_the_rest();
    stage
}

#[test]
fn a_frame_for_another_room_enters_it_and_is_dropped() {
    let mut stage = three();
    stage.connects_as(Dialect::Rid, "other", "[::1]:4");
    stage.hears("other", &[]);
    stage.frames("rid", "111", "dropped");
    stage.frames("other", "111", "dropped too");
    stage.hears("rid", &["\n[[::1]:4] entered room.\n"]);
    stage.says("plato", "/join 111");
    stage.hears("plato", &["You are in 111 with 2 others"]);
    stage.hears("rid", &["\n[plato] entered room.\n"]);
    stage.hears("other", &["\n[plato] entered room.\n"]);

    stage.frames("rid", "111", "hello\n");
    stage.hears("other", &["\n<('127.0.0.1', 3)>hello\n"]);
    stage.hears("plato", &["[127.0.0.1:3] hello"]);
    stage.frames("other", "111", "two\nlines");
    stage.hears("rid", &["\n<('::1', 4)>two\nlines"]);
    stage.hears("plato", &["[[::1]:4] two", "[[::1]:4] lines"]);
    stage.says("plato", "hi");
    stage.hears("rid", &["\n<plato>hi\n"]);
    stage.hears("other", &["\n<plato>hi\n"]);

    stage.disconnects("other");
    stage.hears("rid", &["\n[[::1]:4] left room.\n"]);
    stage.hears("plato", &["Client left [::1]:4"]);
    stage.says("plato", "/leave");
    stage.hears("rid", &["\n[plato] left room.\n"]);
    stage.hears("plato", &["You are in lobby with 1 other"]);
    // Who comes and goes in the lobby is not told in p2p, and rid users are not there.
    stage.hears("solon", &[]);
    stage.ends();
}

#[test]
fn several_rooms_at_once_up_to_a_bound() {
    let mut stage = three();
    for room in 0..ROOMS_PER_CLIENT_MAX {
        stage.frames("rid", &room.to_string(), "");
    }
    assert_eq!(stage.chat.room_count(), 1 + ROOMS_PER_CLIENT_MAX);
    stage.frames("rid", "999", "");
    stage.hears("rid", &["\nYou are in 20 rooms already: one cannot be in more\n"]);
    assert_eq!(stage.chat.room_count(), 1 + ROOMS_PER_CLIENT_MAX);

    // What is said in one is not heard in another.
    stage.connects_as(Dialect::Rid, "first", "127.0.0.1:4");
    stage.connects_as(Dialect::Rid, "last", "127.0.0.1:5");
    stage.frames("first", "0", "");
    stage.frames("last", "19", "");
    stage.hears("rid", &["\n[127.0.0.1:4] entered room.\n", "\n[127.0.0.1:5] entered room.\n"]);
    stage.frames("rid", "19", "to the last");
    stage.frames("rid", "0", "to the first");
    stage.frames("first", "0", "back");
    stage.hears("first", &["\n<('127.0.0.1', 3)>to the first"]);
    stage.hears("last", &["\n<('127.0.0.1', 3)>to the last"]);
    stage.hears("rid", &["\n<('127.0.0.1', 4)>back"]);

    // It leaves all of them, and those without others are gone.
    stage.disconnects("rid");
    stage.hears("first", &["\n[127.0.0.1:3] left room.\n"]);
    stage.hears("last", &["\n[127.0.0.1:3] left room.\n"]);
    assert_eq!(stage.chat.room_count(), 3);
    stage.ends();
}

#[test]
fn an_id_is_a_nickname_and_leads_to_the_lobby() {
    let mut stage = three();
    stage.connects_as(Dialect::P2p, "one", "127.0.0.1:4");
    stage.hears("one", &[]);
    stage.hears("plato", &[]);
    stage.is_called("one", "1");
    stage.hears("one", &["hello 1,you login successed\n"]);
    stage.hears("plato", &["Client joined 1"]);
    stage.hears("solon", &[]);
    stage.says("plato", "/who");
    stage.hears("plato", &["3 in lobby:", "  plato", "  solon", "  1"]);
    stage.ends();
}

#[test]
fn an_id_that_cannot_be_is_told_so_and_closed() {
    let rule = "That cannot be an id. An id is 1 to 20 letters, digits, - or _, \
                and no nickname is all, chatd, server, system or you\n";
    let taken = "That id is taken. Choose another\n";
    for (id, answer) in
        [("", rule), ("a b", rule), ("all", rule), ("127.0.0.1:4", rule), ("PLATO", taken)]
    {
        let mut stage = three();
        let conn = stage.connects_as(Dialect::P2p, "one", "127.0.0.1:4");
        stage.wire.log = Some(Vec::new());
        stage.handle(Event::Id { conn, name: id });
        assert_eq!(stage.wire.closed, [conn], "{id:?}");
        stage.hears("one", &[answer]);
        assert_eq!(stage.wire.log.as_ref().map(Vec::len), Some(2), "told and closed, no more");
        assert_eq!(stage.chat.client_count(), 3);
        // What came with it is too late.
        stage.writes("one", "all", "hi");
        stage.handle(Event::Disconnected { conn });
        assert_eq!(stage.chat.stale_count(), 2);
        stage.hears("plato", &[]);
    }
}

#[test]
fn lines_with_an_address_reach_everybody_and_no_one_else() {
    let mut stage = three();
    stage.writes("solon", "PLATO", "hi");
    stage.hears("plato", &["[solon -> you] hi"]);
    stage.writes("solon", "127.0.0.1:3", "hi");
    stage.hears("rid", &["\n<solon -> you>hi\n"]);
    stage.says("plato", "/msg solon hi");
    stage.hears("plato", &["[you -> solon] hi"]);
    stage.hears("solon", &["plato said : hi\n"]);
    stage.writes("solon", "solon", "to myself");
    stage.hears("solon", &["solon said : to myself\n"]);
    stage.writes("solon", "nobody", "hi");
    stage.hears("solon", &["remote is offline\n"]);
    stage.disconnects("plato");
    stage.writes("solon", "plato", "hi");
    stage.hears("solon", &["remote is offline\n"]);
    stage.ends();
}

#[test]
fn all_is_the_lobby_its_author_too() {
    let mut stage = three();
    stage.writes("solon", "all", "hi");
    stage.hears("plato", &["[solon] hi"]);
    stage.hears("solon", &["solon said : hi\n"]);
    stage.says("plato", "and hi to you");
    stage.hears("solon", &["plato said : and hi to you\n"]);
    stage.hears("rid", &[]);
    stage.ends();
}

#[test]
fn what_is_nothing_is_answered() {
    let mut stage = three();
    for (user, answers) in [
        (
            "rid",
            [
                "\nInvalid format message\n",
                "\nThat frame was over 4096 bytes or 64 lines and was not sent\n",
            ],
        ),
        (
            "solon",
            [
                "Not a message. Write ID||TEXT, or all||TEXT\n",
                "That line was over 1024 bytes and was not sent\n",
            ],
        ),
    ] {
        let conn = stage.conn(user);
        stage.handle(Event::Invalid { conn });
        stage.handle(Event::LineTooLong { conn });
        stage.hears(user, &answers);
    }
    stage.ends();
}
