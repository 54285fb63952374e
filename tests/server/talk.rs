//! Rooms, names, commands and their words.

use crate::harness::{Client, Server};

const HELP: &str = "\
Commands:\r
  /help [COMMAND]  this list, or more about a command\r
  /nick NAME       take a nickname (also /login NAME)\r
  /join ROOM       go to a room; it is made if there is none of that name\r
  /leave           go back to the lobby (also /back)\r
  /ROOM            go to a room that is always there, such as /lobby\r
  /rooms           list the rooms\r
  /who [ROOM]      list who is in your room, or in another (also /online)\r
  /whois NAME      tell where somebody is\r
  /msg NAME TEXT   write to one person only\r
  /reply TEXT      write to the one who wrote to you last\r
  /ignore [NAME]   hear nothing of somebody (undo: /unignore), or list whom\r
  /me TEXT         tell what you do: * plato TEXT\r
  /topic [TEXT]    tell what your room is about, or say what from now on\r
  /history         show the last lines of your room\r
  /time on|off     begin each line you get with the time\r
  /away [TEXT]     be marked away until you say something (or /here)\r
  /motd            show the message of the day\r
  /rich on|off     edit your line on the server, under what arrives\r
  /quit            end the connection (also /logout)\r
Everything else goes to the others in your room.\r
To begin a line with a slash, write two: //like this\r
";

#[test]
fn the_lobby_of_the_first_origin() {
    let server = Server::start("");
    let mut one = server.connect_unread();
    one.expect("You're connected to the chatd chatserver\r\n");
    let mut two = server.connect_unread();
    two.expect("You're connected to the chatd chatserver\r\n");
    one.expect(format!("Client joined {}\r\n", two.name));
    let mut three = server.connect_unread();
    three.expect("You're connected to the chatd chatserver\r\n");
    for reader in [&mut one, &mut two] {
        reader.expect(format!("Client joined {}\r\n", three.name));
    }

    one.send("Hello, is anyone there?\r\n");
    for reader in [&mut two, &mut three] {
        reader.expect(format!("[{}] Hello, is anyone there?\r\n", one.name));
    }
    two.send("/nick plato\r\n");
    two.expect("You are plato\r\n");
    for reader in [&mut one, &mut three] {
        reader.expect(format!("{} is now plato\r\n", two.name));
    }
    two.send("Yes, I'm here.\r\n");
    for reader in [&mut one, &mut three] {
        reader.expect("[plato] Yes, I'm here.\r\n");
    }

    drop(two);
    for reader in [&mut one, &mut three] {
        reader.expect("Client left plato\r\n");
    }
    let gone = three.name.clone();
    drop(three);
    one.expect(format!("Client left {gone}\r\n"));
}

#[test]
fn the_hall_and_the_rooms_of_the_fifth_origin() {
    let server = Server::start("--room python --room write --room pm");
    let [mut guide] = server.lobby(["guide"]);
    let mut guest = server.connect();
    guide.expect_line(format!("Client joined {}", guest.name));
    guest.send("/login plato\r\n");
    guest.expect(format!("You are plato\r\n{HELP}"));
    guide.expect_line(format!("{} is now plato", guest.name));

    guest.send("/python\r\n");
    guest.expect_line("You are alone in python");
    guide.expect_line("Client left plato");
    guide.send("/python\r\n");
    guide.expect_line("You are in python with 1 other");
    guest.expect_line("Client joined guide");
    guide.send("\r\nwelcome\r\n");
    guest.expect_line("[guide] welcome");
    guest.send("/online\r\n");
    guest.expect("2 in python:\r\n  plato\r\n  guide\r\n");

    guest.send("/write\r\n");
    guest.expect_line("You are alone in write");
    guide.expect_line("Client left plato");
    guest.send("/back\r\n/pm\r\n/rooms\r\n");
    guest.expect("You are alone in lobby\r\nYou are alone in pm\r\n");
    guest.expect("4 rooms:\r\n  lobby (0)\r\n  python (1)\r\n  write (0)\r\n  pm (1)\r\n");
    guest.send("/garden\r\n");
    guest.expect_line("Unknown command: garden");
    guest.send("/logout\r\n");
    guest.expect_line("Goodbye");
    guest.expect_end();
}

#[test]
fn a_room_hears_its_members_only() {
    let server = Server::start("");
    let [mut plato, mut solon, mut zeno] = server.lobby(["plato", "solon", "zeno"]);
    plato.send("/join garden\n");
    plato.expect_line("You are alone in garden");
    solon.expect_line("Client left plato");
    zeno.expect_line("Client left plato");
    solon.send("/join garden\n");
    solon.expect_line("You are in garden with 1 other");
    plato.expect_line("Client joined solon");
    zeno.expect_line("Client left solon");

    plato.say("among olives", &mut [&mut solon]);
    zeno.send("alone\n");
    zeno.catch_up();
    zeno.send("/join garden\n");
    zeno.expect_line("You are in garden with 2 others");
    plato.expect_line("Client joined zeno");
    solon.expect_line("Client joined zeno");
    zeno.say("now I hear you", &mut [&mut plato, &mut solon]);
}

#[test]
fn a_room_that_nobody_is_in_is_gone() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    plato.send("/join garden\n/rooms\n/leave\n/rooms\n/who garden\n");
    plato.expect("You are alone in garden\r\n2 rooms:\r\n  lobby (0)\r\n  garden (1)\r\n");
    plato.expect("You are alone in lobby\r\n1 room:\r\n  lobby (1)\r\n");
    plato.expect_line("There is no room garden");
}

#[test]
fn direct_messages_reach_one_reader_in_any_room() {
    let server = Server::start("");
    let [mut plato, mut solon, mut zeno] = server.lobby(["plato", "solon", "zeno"]);
    solon.send("/join garden\n");
    solon.expect_line("You are alone in garden");
    for other in [&mut plato, &mut zeno] {
        other.expect_line("Client left solon");
    }
    plato.send("/msg SOLON  meet me  at noon \n");
    plato.expect_line("[you -> solon] meet me  at noon");
    solon.expect_line("[plato -> you] meet me  at noon");
    solon.send("/msg plato //yes\n");
    solon.expect_line("[you -> plato] //yes");
    plato.expect_line("[solon -> you] //yes");
    plato.send("/msg plato note\n");
    plato.expect("[plato -> you] note\r\n[you -> plato] note\r\n");
    plato.say("nobody else heard", &mut [&mut zeno]);
}

#[test]
fn those_without_a_nickname_are_written_to_by_their_address() {
    let server = Server::start("");
    let mut one = server.connect();
    let mut two = server.connect();
    one.expect_line(format!("Client joined {}", two.name));
    one.send(format!("/msg {} hi\n", two.name));
    one.expect_line(format!("[you -> {}] hi", two.name));
    two.expect_line(format!("[{} -> you] hi", one.name));
}

#[test]
fn each_command_and_each_error_has_its_reply() {
    let server = Server::start("--room python");
    let [mut plato] = server.lobby(["plato"]);
    let rule = "A name is 1 to 20 letters, digits, - or _, \
                and no nickname is all, chatd, server, system or you";
    let told_of_rooms = "/rooms: lists the rooms, with how many are in each and what it is about";
    let slash = "A command follows its slash at once: /help lists them. To say a slash, write two";
    for (typed, reply) in [
        ("/help", HELP.trim_end()),
        ("/HELP ", HELP.trim_end()),
        ("/help me now", "Usage: /help [COMMAND]"),
        ("/help what", "Unknown command: what"),
        ("/help /rooms", told_of_rooms),
        ("/nick plato", "You are plato"),
        ("/nick", "Usage: /nick NAME"),
        ("/nick two words", "Usage: /nick NAME"),
        ("/login", "Usage: /login NAME"),
        ("/nick a/b", &format!("Not a name: a/b. {rule}")),
        ("/nick Server", &format!("Not a name: Server. {rule}")),
        ("/login all", &format!("Not a name: all. {rule}")),
        ("/nick ånd", &format!("Not a name: ånd. {rule}")),
        ("/nick aaaaaaaaaabbbbbbbbbb", "You are aaaaaaaaaabbbbbbbbbb"),
        ("/nick aaaaaaaaaabbbbbbbbbbc", &format!("Not a name: aaaaaaaaaabbbbbbbbbbc. {rule}")),
        ("/nick plato", "You are plato"),
        ("/join", "Usage: /join ROOM"),
        ("/join a b", "Usage: /join ROOM"),
        ("/join a:b", &format!("Not a name: a:b. {rule}")),
        ("/join lobby", "You are in lobby already"),
        ("/leave", "You are in lobby already"),
        ("/back", "You are in lobby already"),
        ("/lobby", "You are in lobby already"),
        ("/leave now", "Usage: /leave"),
        ("/back now", "Usage: /back"),
        ("/python now", "Usage: /ROOM"),
        ("/PYTHON", "You are alone in python"),
        ("/Lobby", "You are alone in lobby"),
        ("/rooms", "2 rooms:\r\n  lobby (1)\r\n  python (0)"),
        ("/rooms all", "Usage: /rooms"),
        ("/who", "1 in lobby:\r\n  plato"),
        ("/who PYTHON", "0 in python:"),
        ("/who nowhere", "There is no room nowhere"),
        ("/who a b", "Usage: /who [ROOM]"),
        ("/online a b", "Usage: /online [ROOM]"),
        ("/msg", "Usage: /msg NAME TEXT"),
        ("/msg plato", "Usage: /msg NAME TEXT"),
        ("/msg nobody hi", "Nobody here is called nobody"),
        ("/quit now", "Usage: /quit"),
        ("/logout now", "Usage: /logout"),
        ("/dance", "Unknown command: dance"),
        ("/", slash),
        ("/ help", slash),
    ] {
        plato.send(format!("{typed}\r\n"));
        plato.expect_line(reply);
    }
}

#[test]
fn two_slashes_say_one() {
    let server = Server::start("");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    for (typed, line) in [("//quit", "/quit"), ("///", "//"), (" /quit", " /quit"), ("[x]", "[x]")]
    {
        plato.send(format!("{typed}\n"));
        solon.expect_line(format!("[plato] {line}"));
    }
}

#[test]
fn replies_to_commands_in_one_segment_keep_their_order() {
    let server = Server::start("");
    let [mut solon] = server.lobby(["solon"]);
    let mut plato = server.connect();
    let address = plato.name.clone();
    plato.send(
        "/nick plato\none\n/join garden\n/who\n/dance\ntwo\n/leave\nthree\n/quit\nfour\n/help\n",
    );
    plato.expect_line("You are plato");
    plato.expect_line("You are alone in garden");
    plato.expect("1 in garden:\r\n  plato\r\n");
    plato.expect_line("Unknown command: dance");
    plato.expect_line("You are in lobby with 1 other");
    plato.expect_line("Goodbye");
    plato.expect_end();
    for line in [
        &format!("Client joined {address}"),
        &format!("{address} is now plato"),
        "[plato] one",
        "Client left plato",
        "Client joined plato",
        "[plato] three",
        "Client left plato",
    ] {
        solon.expect_line(line);
    }
    solon.catch_up();
}

#[test]
fn names_are_told_apart_without_regard_to_case() {
    let server = Server::start("");
    let [mut plato, mut solon] = server.lobby(["Plato", "solon"]);
    for taken in ["plato", "PLATO", "Plato"] {
        solon.send(format!("/nick {taken}\n"));
        solon.expect_line(format!("Somebody else is called {taken}; {taken}2 is free"));
    }
    plato.take_name("pLATO");
    solon.expect_line("Plato is now pLATO");
    plato.send("/join Garden\n");
    plato.expect_line("You are alone in Garden");
    solon.expect_line("Client left pLATO");
    solon.send("/join gARDEN\n");
    solon.expect_line("You are in Garden with 1 other");
    plato.expect_line("Client joined solon");
}

#[test]
fn a_nickname_is_free_at_once_when_its_holder_goes() {
    let server = Server::start("");
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    plato.send("/quit\n");
    plato.expect_line("Goodbye");
    plato.expect_end();
    solon.expect_line("Client left plato");
    solon.take_name("plato");
    let [mut zeno] = server.lobby(["zeno"]);
    zeno.take_name("solon");
}

#[test]
fn one_of_many_gets_a_name_that_all_want() {
    let server = Server::start("--workers 4");
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("/nick plato\n/quit now\n"));
    let replies = clients.iter_mut().map(|client| {
        let lines = client.lines_before("Usage: /quit");
        lines.into_iter().find(|line| line == "You are plato" || line.starts_with("Somebody"))
    });
    let mut replies: Vec<String> = replies.map(|reply| reply.expect("an answer")).collect();
    replies.sort_unstable();
    let loser = "Somebody else is called plato; plato2 is free".to_owned();
    assert_eq!(replies, [vec![loser; 19], vec!["You are plato".to_owned()]].concat());
}

#[test]
fn lists_name_a_hundred_and_say_how_many_more() {
    let server = Server::start("");
    let mut crowd: Vec<Client> = (0..103).map(|_| server.connect()).collect();
    let asker = crowd.last_mut().expect("there are some");
    asker.send("/join garden\n");
    asker.lines_before("You are alone in garden");
    asker.send("/who lobby\n");
    asker.expect_line("102 in lobby:");
    for _ in 0..100 {
        let line = asker.line();
        assert!(line.starts_with("  127.0.0.1:"), "{line}");
    }
    asker.expect_line("  and 2 more");
}

#[test]
fn nicknames_may_be_of_all_scripts_and_none_passes_for_another() {
    let server = Server::start("--nicknames unicode");
    let (mut one, mut two) = (server.connect(), server.connect());
    one.expect_line(format!("Client joined {}", two.name));
    let address = one.name.clone();
    one.send("/nick \u{441}\u{43e}\u{440}\n");
    one.expect_line("You are \u{441}\u{43e}\u{440}");
    two.expect_line(format!("{address} is now \u{441}\u{43e}\u{440}"));
    two.send("/nick cop\n");
    two.expect_line("Somebody else is called cop; cop2 is free");
    two.send("/msg \u{421}\u{41e}\u{420} hello\n");
    one.expect_line(format!("[{} -> you] hello", two.name));
}
