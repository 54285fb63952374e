//! How bytes become lines, telnet's commands, and what a reader's terminal is spared.

use crate::harness::{Client, Server};

/// What is sent, and the lines that others read.
type Case<'a> = (&'a [u8], &'a [&'a str]);

/// Sends each input whole, byte by byte, and cut in two at every place where that is feasible.
#[track_caller]
fn check(cases: &[Case<'_>]) {
    let server = Server::start("");
    let [mut author, mut reader] = server.lobby(["author", "reader"]);
    for (input, lines) in cases {
        author.send(input);
        expect_said(&mut reader, lines);
        author.send_bytewise(input);
        expect_said(&mut reader, lines);
        for cut in (1..input.len()).take(40) {
            author.send(&input[..cut]);
            author.send(&input[cut..]);
            expect_said(&mut reader, lines);
        }
    }
    // Nothing is left over, on either side.
    author.catch_up();
    author.say("done", &mut [&mut reader]);
}

#[track_caller]
fn expect_said(reader: &mut Client, lines: &[&str]) {
    for line in lines {
        reader.expect_line(format!("[author] {line}"));
    }
}

#[test]
fn a_line_ends_in_each_way_that_clients_end_it() {
    check(&[
        (b"line feed\n", &["line feed"]),
        (b"both\r\n", &["both"]),
        (b"carriage return and NUL\r\0", &["carriage return and NUL"]),
        (b"carriage return\r", &["carriage return"]),
        (b"one\ntwo\r\nthree\rfour\r\0five\n", &["one", "two", "three", "four", "five"]),
        (b"\r\n\n\r\r\0not empty\n\n", &["not empty"]),
        (b"\n\rreversed\n\r", &["reversed"]),
    ]);
}

#[test]
fn keys_that_erase_do() {
    check(&[
        (b"ab\x08c\n", &["ac"]),
        (b"ab\x7fc\n", &["ac"]),
        ("aé\u{7f}b\n".as_bytes(), &["ab"]),
        ("a世😀\u{8}\u{8}b\n".as_bytes(), &["ab"]),
        ("ae\u{301}\u{7f}b\n".as_bytes(), &["ab"]),
        (b"\x7f\x08\x08empty before\n", &["empty before"]),
        (b"all of it\x15rest\n", &["rest"]),
        (b"two words\x17lines\n", &["two lines"]),
        (b"ab\xff\xf7c\n", &["ac"]),
        (b"\xff\xf7nothing to erase\n", &["nothing to erase"]),
        (b"forget\xff\xf8keep\n", &["keep"]),
        (b"interrupted\xff\xf4keep\n", &["keep"]),
    ]);
}

#[test]
fn a_terminal_is_spared_what_is_not_text() {
    check(&[
        (b"\x1b[31mred\x1b]0;title\x07\n", &["[31mred]0;title"]),
        (b"a trailing escape\x1b\n", &["a trailing escape"]),
        ("\u{9b}31mred\u{9d}0;t\u{9c}\n".as_bytes(), &["31mred0;t"]),
        ("a\u{85}b\u{2028}c\u{2029}d\n".as_bytes(), &["abcd"]),
        ("\u{202e}desrever\u{2066}\u{200f}\n".as_bytes(), &["desrever"]),
        ("zero\u{200b}width\u{feff}\u{ad}\n".as_bytes(), &["zerowidth"]),
        ("\u{e0041}tag\u{e007f}\n".as_bytes(), &["tag"]),
        (b"bell\x07 tab\tform\x0c vertical\x0b\n", &["bell tab form vertical"]),
        (b"nul\0nul\n", &["nulnul"]),
        ("Grüße, 世界 👋\n".as_bytes(), &["Grüße, 世界 👋"]),
        (
            "x\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}y\n".as_bytes(),
            &["x\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}y"],
        ),
        ("\u{301}first\n".as_bytes(), &["first"]),
    ]);
}

#[test]
fn what_is_not_utf_8_becomes_a_replacement_character() {
    check(&[
        (b"\x80\n", &["\u{fffd}"]),
        (b"a\xc3\n", &["a\u{fffd}"]),
        (b"caf\xe9 cr\xe8me\n", &["caf\u{fffd} cr\u{fffd}me"]),
        (b"a\xff\xffb\n", &["a\u{fffd}b"]),
        (b"overlong \xc0\x80\n", &["overlong \u{fffd}\u{fffd}"]),
        (b"surrogate \xed\xa0\x80\n", &["surrogate \u{fffd}\u{fffd}\u{fffd}"]),
    ]);
}

#[test]
fn telnet_commands_are_no_text() {
    check(&[
        (b"no\xff\xf1 operation\n", &["no operation"]),
        (b"won't\xff\xfc\x01 and don't\xff\xfe\x01\n", &["won't and don't"]),
        (b"sub\xff\xfa\x18\0xterm\xff\xf0negotiation\n", &["subnegotiation"]),
        (
            b"with\xff\xfa\x1f\0\xff\xff\0\x18\r\n\xff\xf0 a doubled byte\n",
            &["with a doubled byte"],
        ),
        (b"\xff\xf7\xff\xf8 the two that crash others\n", &[" the two that crash others"]),
    ]);
}

#[test]
fn each_option_is_refused_once() {
    let server = Server::start("");
    let [mut asker, mut reader] = server.lobby(["asker", "reader"]);
    // All but CHARSET.
    for option in (0..=255).filter(|option| *option != 42) {
        for (request, refusal) in [(0xfd, 0xfc), (0xfb, 0xfe)] {
            asker.send([0xff, request, option]);
            asker.expect([0xff, refusal, option]);
            asker.send([0xff, request, option].repeat(3));
        }
        asker.send([0xff, 0xfc, option, 0xff, 0xfe, option]);
    }
    asker.catch_up();
    asker.say("still here", &mut [&mut reader]);
}

#[test]
fn utf_8_is_the_character_set() {
    let server = Server::start("");
    let mut client = server.connect();
    client.send(b"\xff\xfb\x2a");
    client.expect(b"\xff\xfd\x2a");
    client.send(b"\xff\xfa\x2a\x01 LATIN1 UTF-8\xff\xf0");
    client.expect(b"\xff\xfa\x2a\x02UTF-8\xff\xf0");
    client.send(b"\xff\xfa\x2a\x01 LATIN1\xff\xf0");
    client.expect(b"\xff\xfa\x2a\x03\xff\xf0");
    client.send(b"\xff\xfd\x2a");
    client.expect(b"\xff\xfb\x2a\xff\xfa\x2a\x01;UTF-8\xff\xf0");
}

#[test]
fn are_you_there_is_answered() {
    let server = Server::start("");
    let [mut asker, mut reader] = server.lobby(["asker", "reader"]);
    asker.send(b"half \xff\xf6of a line\n");
    asker.expect_line("Yes, chatd is here");
    reader.expect_line("[asker] half of a line");
    asker.send([0xff, 0xf6].repeat(100));
    asker.expect("Yes, chatd is here\r\n".repeat(100));
}

#[test]
fn the_byte_255_is_sent_to_nobody_who_does_not_negotiate() {
    let server = Server::start("--room python");
    let [mut author, mut reader] = server.lobby(["author", "reader"]);
    let mut bytes: Vec<u8> = Vec::new();
    for before in ["", "/nick ", "/join ", "/who ", "/msg ", "/msg reader ", "/python ", "/"] {
        for word in [&b"\xff\xff"[..], b"\xff\xff\xff\xff x", b"\xff\xf1x\xff\xff", b"\xc3\xff\xff"]
        {
            bytes.extend([before.as_bytes(), word, b"\n"].concat());
        }
    }
    author.send(bytes);
    author.send("/quit\n");
    let replies = author.read_to_end();
    assert!(replies.ends_with(b"Goodbye\r\n"), "{}", replies.escape_ascii());
    let heard = reader.lines_before("Client left author");
    assert!(heard.iter().any(|line| line == "[author] \u{fffd}"), "{heard:?}");
    assert!(!replies.contains(&0xff), "{}", replies.escape_ascii());
}

#[test]
fn a_line_of_1024_bytes_passes_and_one_more_is_refused_whole() {
    let server = Server::start("");
    let [mut author, mut reader] = server.lobby(["author", "reader"]);
    for (longest, filling) in [("x".repeat(1024), "x"), ("x".repeat(1020) + "😀", "y")] {
        author.say(&longest, &mut [&mut reader]);
        author.send(format!("{filling}{longest}\n"));
        author.expect_line("That line was over 1024 bytes and was not sent");
        author.send_bytewise(format!("{longest}\n"));
        reader.expect_line(format!("[author] {longest}"));
    }
    // As it would be relayed, three bytes for one, it is over the limit too.
    author.send([&[0xfe; 342][..], b"\n"].concat());
    author.expect_line("That line was over 1024 bytes and was not sent");
    author.say(&"\u{fffd}".repeat(341), &mut [&mut reader]);
    author.send([&b"x".repeat(4096)[..], b"\n"].concat());
    author.expect_line("That line was over 1024 bytes and was not sent");
    // Telnet's commands do not count.
    author.send([&b"\xff\xf1".repeat(4096)[..], b"short\n"].concat());
    reader.expect_line("[author] short");
}

#[test]
fn more_than_4096_bytes_without_a_line_end_close_the_connection() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut reader] = server.lobby(["reader"]);
    for bytewise in [false, true] {
        let mut endless = server.connect();
        reader.expect_line(format!("Client joined {}", endless.name));
        endless.send("x".repeat(4096));
        match bytewise {
            true => endless.send_bytewise("x"),
            false => endless.send("x"),
        }
        endless.expect_line("You sent 4096 bytes without ending a line. Goodbye");
        endless.expect_end();
        reader.expect_line(format!("Client left {}", endless.name));
    }
    server.wait_for_metric("chatd_closed_total{reason=\"endless_line\"}", |count| count == 2);
}

#[test]
fn endless_input_costs_the_others_nothing() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut author, mut reader] = server.lobby(["author", "reader"]);
    let mut endless = server.connect();
    for other in [&mut author, &mut reader] {
        other.expect_line(format!("Client joined {}", endless.name));
    }
    let taken = (0..160).take_while(|_| endless.try_send([b'x'; 64 << 10]).is_ok()).count();
    assert!(taken < 160, "10 MiB were taken");
    for other in [&mut author, &mut reader] {
        other.expect_line(format!("Client left {}", endless.name));
    }
    author.say("quiet again", &mut [&mut reader]);
    server.wait_for_metric("chatd_closed_total{reason=\"endless_line\"}", |count| count == 1);
    server.wait_for_metric("chatd_connections", |count| count == 2);
}

#[test]
fn other_protocols_are_told_so_and_never_relayed() {
    let server = Server::start("--admin 127.0.0.1:0");
    let [mut reader] = server.lobby(["reader"]);
    let greetings: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: chat.example\r\nUser-Agent: x\r\n\r\n",
        b"POST /wp-login.php HTTP/1.1\r\nContent-Length: 3\r\n\r\n/who",
        b"OPTIONS * HTTP/1.0\r\n\r\n",
        b"CONNECT chat.example:443 HTTP/1.1\r\n\r\n",
        b"GET /",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x0a\r\n\x0a\xff\xfd\x01",
        b"\x16\x03\x01\x02\x00",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"SSH-2.0",
    ];
    for greeting in greetings {
        let mut stranger = server.connect();
        stranger.send(greeting);
        stranger.expect_line("This is a chat server: telnet or nc, please");
        stranger.expect_end();
        reader.expect_line(format!("Client joined {}", stranger.name));
        reader.expect_line(format!("Client left {}", stranger.name));
    }
    let count = greetings.len() as u64;
    server.wait_for_metric("chatd_closed_total{reason=\"foreign\"}", |closed| closed == count);
}

#[test]
fn people_may_begin_as_other_protocols_do() {
    let server = Server::start("");
    let [mut reader] = server.lobby(["reader"]);
    for line in ["GET well soon", "SSH is nice", "POST", "CONNECT the dots"] {
        let mut person = server.connect();
        reader.expect_line(format!("Client joined {}", person.name));
        person.say(line, &mut [&mut reader]);
        let name = person.name.clone();
        drop(person);
        reader.expect_line(format!("Client left {name}"));
    }
}
