//! The transcript.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::harness::{Server, chatd};

/// A file of this test's own, gone afterwards.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Holds a conversation, and returns what of it belongs in a transcript, without the times.
fn converse(server: &Server) -> Vec<String> {
    let mut plato = server.connect();
    let address = plato.name.clone();
    plato.take_name("plato");
    let mut solon = server.connect();
    plato.expect_line(format!("Client joined {}", solon.name));
    plato.say("hi [there]", &mut [&mut solon]);
    plato.send("/msg plato a secret\n/who\n/dance\n");
    plato.expect("[plato -> you] a secret\r\n[you -> plato] a secret\r\n");
    plato.expect(format!("2 in lobby:\r\n  plato\r\n  {}\r\n", solon.name));
    plato.expect_line("Unknown command: dance");
    plato.send("/join garden\n");
    plato.expect_line("You are alone in garden");
    solon.expect_line("Client left plato");
    plato.send("al\u{1b}one\n/quit\n");
    plato.expect_line("Goodbye");
    plato.expect_end();
    solon.send("/who garden\n");
    solon.expect_line("There is no room garden");
    vec![
        format!("lobby Client joined {address}"),
        format!("lobby {address} is now plato"),
        format!("lobby Client joined {}", solon.name),
        "lobby [plato] hi [there]".to_owned(),
        "lobby Client left plato".to_owned(),
        "garden Client joined plato".to_owned(),
        "garden [plato] alone".to_owned(),
        "garden Client left plato".to_owned(),
    ]
}

/// Takes the times off: `2026-11-21T13:00:00Z lobby ...`.
#[track_caller]
fn without_times(transcript: &str) -> Vec<String> {
    let line = |line: &str| {
        let (time, rest) = line.split_once(' ').expect("a time and the rest");
        let shape: String =
            time.chars().map(|mark| if mark.is_ascii_digit() { '0' } else { mark }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00Z");
        rest.to_owned()
    };
    transcript.split_terminator('\n').map(line).collect()
}

#[test]
fn a_file_gets_what_is_said_in_all_rooms_at_its_end() {
    let place = Place::new("transcript");
    fs::write(&place.0, "2026-01-01T00:00:00Z lobby before\n").expect("a writable directory");
    let path = place.0.to_str().expect("a path in ASCII");
    let server = Server::start(&format!("--workers 2 --transcript {path}"));
    let mut expected = converse(&server);
    expected.insert(0, "lobby before".to_owned());
    assert_eq!(server.stop().code, Some(0));
    let transcript = fs::read_to_string(&place.0).expect("a file of text");
    let lines = without_times(&transcript);
    assert_eq!(lines[..expected.len()], expected, "{transcript}");
    let later = &lines[expected.len()..];
    assert!(later.iter().all(|line| line.starts_with("lobby Client left ")), "{transcript}");
    assert!(!transcript.contains("secret"), "{transcript}");
}

#[test]
fn stdout_gets_it_for_a_dash() {
    let server = Server::spawn(chatd().args(["--transcript", "-"]).stdout(Stdio::piped()));
    let expected = converse(&server);
    let ended = server.stop();
    let transcript = String::from_utf8(ended.stdout).expect("lines are text");
    assert_eq!(without_times(&transcript)[..expected.len()], expected, "{transcript}");
}

#[test]
fn a_full_disk_stops_nobody_and_is_counted() {
    let server = Server::start("--transcript /dev/full --admin 127.0.0.1:0");
    let expected = converse(&server);
    let lost = expected.len() as u64;
    server.wait_for_metric("chatd_transcript_dropped_lines_total", |count| count >= lost);
    let ended = server.stop();
    assert_eq!(ended.code, Some(0));
    assert!(ended.log.contains("lines are missing in the transcript"), "{}", ended.log);
}

#[test]
fn a_transcript_that_nobody_reads_stops_nobody() {
    let server =
        Server::spawn(chatd().args(["--transcript", "-", "--drain", "1"]).stdout(Stdio::piped()));
    let [mut plato, mut solon] = server.lobby(["plato", "solon"]);
    let text = "x".repeat(1_000);
    (0..200).for_each(|_| plato.say(&text, &mut [&mut solon]));
    assert_eq!(server.stop().code, Some(0));
}
