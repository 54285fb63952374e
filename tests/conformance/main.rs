//! What real clients send, recorded: each file of this folder is one client, and its bytes must
//! make the lines that were meant, however they are cut, in the codec and over a socket; and what
//! it is answered must be what a telnet peer may be answered (RFC 854, RFC 1143).

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::negotiation::{Stream, judge};

/// The server, and clients of it. This target needs a part of it.
#[allow(dead_code)]
#[path = "../server/harness.rs"]
mod harness;

/// The recordings through the codec.
mod codec;
/// What a telnet peer may be answered.
mod negotiation;
/// The recordings through a server.
mod socket;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recording {
    #[serde(skip)]
    name: String,
    /// What it is a recording of.
    program: String,
    command: String,
    mode: String,
    typed: String,
    /// How it was recorded; or else where it is documented.
    made: Option<String>,
    source: Option<String>,
    date: toml::value::Datetime,
    /// The lines that were meant.
    lines: Vec<String>,
    /// How often the client asks whether the server is there.
    are_you_there: usize,
    exchange: Vec<Part>,
}

/// What one side sent at a time, escaped.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Part {
    Server(String),
    Client(String),
}

impl Recording {
    /// What the client sent, read by read.
    fn reads(&self) -> Vec<Vec<u8>> {
        let of_client = |part: &Part| match part {
            Part::Client(text) => Some(unescaped(text)),
            Part::Server(_) => None,
        };
        self.exchange.iter().filter_map(of_client).collect()
    }

    /// What the server sent with which it was recorded.
    fn server(&self) -> Vec<u8> {
        let of_server = |part: &Part| match part {
            Part::Server(text) => unescaped(text),
            Part::Client(_) => Vec::new(),
        };
        self.exchange.iter().flat_map(of_server).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        self.reads().concat()
    }
}

/// All files, which are as many as there are clients to know.
fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut recordings = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("a file of the project").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            let mut recording: Recording =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            recording.name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            recordings.push(recording);
        }
    }
    recordings
}

/// The bytes that a text with `\xNN`, `\r`, `\n`, `\t` and `\\` stands for.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, len) = match escape.as_bytes().first() {
            Some(b'x') => (u8::from_str_radix(&escape[1..3], 16).expect("two hex digits"), 3),
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'\\') => (b'\\', 1),
            _ => panic!("not an escape: {text}"),
        };
        bytes.push(byte);
        rest = &escape[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn every_client_is_there_and_says_where_it_is_from() {
    let recordings = recordings();
    for program in ["telnet", "nc", "busybox", "plink", "socat", "tintin", "windows"] {
        assert!(recordings.iter().any(|file| file.name.starts_with(program)), "no {program}");
    }
    for file in recordings {
        for words in [&file.program, &file.command, &file.mode, &file.typed] {
            assert!(!words.is_empty(), "{}", file.name);
        }
        assert!(file.made.is_some() != file.source.is_some(), "{}", file.name);
        assert!(file.date.date.is_some(), "{}", file.name);
        assert!(!file.lines.is_empty() && !file.bytes().is_empty(), "{}", file.name);
        // The client would have sent something else to a server that breaks the rules.
        let (client, server) = (Stream::of(&file.bytes()), Stream::of(&file.server()));
        assert_eq!(judge(&client, &server), Ok(()), "{}", file.name);
    }
}

#[test]
fn escapes_are_read() {
    assert_eq!(unescaped(r"a\r\n\t\\\xff\x27b"), b"a\r\n\t\\\xff\x27b");
}
