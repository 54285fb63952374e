//! What holds for every dialect.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::*;
use crate::chat::{CloseReason, Nicknames, What};
use crate::limits::{
    ECHO_LEN_MAX, FRAME_LEN_MAX, FRAME_LINES_MAX, FRAME_RENDERED_LEN_MAX, LINE_LEN_MAX,
    REMARK_LEN_MAX, RENDERED_LEN_MAX, SHOWN_NAME_LEN_MAX,
};

/// An input of the dialects for programs that outlives its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Frame(String, String),
    Id(String),
    To(String, String),
    Invalid,
    LineTooLong,
    EndlessLine,
}

impl From<Input<'_>> for Seen {
    fn from(input: Input<'_>) -> Self {
        match input {
            Input::Frame { room, text } => Self::Frame(room.to_owned(), text.to_owned()),
            Input::Id(name) => Self::Id(name.to_owned()),
            Input::To { name, text } => Self::To(name.to_owned(), text.to_owned()),
            Input::Invalid => Self::Invalid,
            Input::LineTooLong => Self::LineTooLong,
            Input::EndlessLine => Self::EndlessLine,
            other => panic!("an input of telnet: {other:?}"),
        }
    }
}

/// The inputs of one connection that reads the pieces in turn.
pub(super) fn read<'a>(dialect: Dialect, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut decoder = dialect.decoder();
    let mut seen = Vec::new();
    for piece in pieces {
        let taken = decoder.decode(piece, &mut |input| {
            seen.push(Seen::from(input));
            ControlFlow::Continue(())
        });
        assert_eq!(taken, piece.len());
    }
    seen
}

/// The same, with a sink that breaks at each input.
pub(super) fn read_with_breaks<'a>(
    dialect: Dialect,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Seen> {
    let mut decoder = dialect.decoder();
    let mut seen = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = seen.len();
            let taken = decoder.decode(piece, &mut |input| {
                seen.push(Seen::from(input));
                ControlFlow::Break(())
            });
            assert!(taken > 0 || seen.len() > before, "it goes on");
            piece = &piece[taken..];
        }
    }
    seen
}

/// Cuts the bytes into pieces of these lengths, over and over.
pub(super) fn cut<'a>(
    mut bytes: &'a [u8],
    lens: &'a [usize],
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    lens.iter().cycle().map_while(move |&len| {
        let piece = bytes.split_off(..len.min(bytes.len()))?;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Whether the gate lets the text through as it is.
pub(super) fn is_clean(text: &str) -> bool {
    crate::text::clean(text.as_bytes(), &mut String::new()) == text
}

/// Every kind of message, with these texts and numbers in it.
pub(super) fn every_message<'a>(name: &'a str, text: &'a str, count: u32) -> Vec<Message<&'a str>> {
    use Message::*;
    let echo = &name[..name.floor_char_boundary(ECHO_LEN_MAX)];
    let remark = &text[..text.floor_char_boundary(REMARK_LEN_MAX)];
    let mut messages = vec![
        Welcome,
        Joined { name },
        Left { name },
        Presence { joined: count, left: count, renamed: count, members: count },
        Said { author: name, text },
        Acted { author: name, text },
        Framed { author: name, text },
        Renamed { old: name, new: name },
        Direct { author: name, text },
        DirectSent { to: name, text },
        Help,
        HelpOn { form: "/topic [TEXT]" },
        Motd,
        YouAre { name },
        YouAreIn { room: name, members: count },
        Who { room: name, members: count },
        WhoEntry { name, away: true },
        IsIn { name, room: name },
        IsNowhere { name },
        IsAway { name, text: remark },
        YouAreAway { text: remark },
        YouAreBack,
        YouAreHere,
        Topic { room: name, topic: remark },
        Topic { room: name, topic: "" },
        TopicSet { name, topic: remark },
        TopicSet { name, topic: "" },
        Rooms { count },
        RoomsEntry { room: name, members: count, topic: remark },
        PastHead { room: name, lines: count },
        Past { minute: 0, author: name, what: What::Said, text },
        HistoryIs { on: false },
        TimeIs { on: true },
        AndMore { count },
        Goodbye,
        Here,
        Stopping,
        UnknownCommand { name: echo },
        Usage { form: "/msg NAME TEXT" },
        BadName { name: echo, letters: Nicknames::Unicode },
        NameTaken { name, free: Some(name) },
        NobodyToReplyTo,
        IgnoreIs { name, on: true },
        IgnoreIs { name, on: false },
        Ignored { count },
        IgnoredEntry { name },
        IgnoresYou { name },
        CannotIgnore,
        TooManyIgnored,
        RemarkTooLong,
        NoCommand,
        NoSuchUser { name: echo },
        NoSuchRoom { name: echo },
        AlreadyIn { room: name },
        TooManyRooms,
        TooManyJoined,
        LineTooLong,
        Invalid,
        Skipped { lines: u64::MAX },
    ];
    use RichMode::*;
    messages.extend([Asked, On, Off, Refused, MudClient].map(|mode| Rich { mode }));
    messages.extend(CloseReason::ALL.map(|reason| Closing { reason }));
    messages
}

fn rendered(dialect: Dialect, message: &Message<&str>) -> String {
    let mut out = Vec::new();
    dialect.render(message, &mut out);
    String::from_utf8(out).expect("messages are text")
}

/// The line as the dialect frames it, without that.
fn body(dialect: Dialect, words: &str) -> Option<&str> {
    match dialect {
        Dialect::Telnet => words.strip_suffix("\r\n"),
        Dialect::Rid => words.strip_prefix('\n')?.strip_suffix('\n'),
        Dialect::P2p => words.strip_suffix('\n'),
    }
}

#[test]
fn every_message_is_one_line_of_bounded_length() {
    let name = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535";
    assert_eq!(name.len(), SHOWN_NAME_LEN_MAX);
    let text = "x".repeat(LINE_LEN_MAX);
    for dialect in Dialect::ALL {
        for message in every_message(name, &text, u32::MAX) {
            let words = rendered(dialect, &message);
            assert!(words.len() <= RENDERED_LEN_MAX, "{dialect} {message:?}: {}", words.len());
            // A telnet user's list of commands has lines; a framed text has no end of its own; and
            // those who speak p2p are not told who comes and goes.
            let is_special = match (dialect, message) {
                (Dialect::Telnet, Message::Help) | (Dialect::Rid, Message::Framed { .. }) => true,
                (Dialect::P2p, _) => words.is_empty(),
                _ => false,
            };
            let body = body(dialect, &words);
            let is_line = body.is_some_and(|body| !body.contains(['\r', '\n']));
            assert!(is_line || is_special, "{dialect} {message:?}: {words:?}");
        }
    }
}

#[test]
fn the_longest_frame_stays_within_its_bound() {
    let author = "[1111:2222:3333:4444:5555:6666:7777:8888]:65535";
    let line = "x".repeat(FRAME_LEN_MAX / FRAME_LINES_MAX - 1) + "\n";
    let text = line.repeat(FRAME_LINES_MAX);
    assert_eq!(text.len(), FRAME_LEN_MAX);
    for dialect in Dialect::ALL {
        let len = rendered(dialect, &Message::Framed { author, text: &text }).len();
        assert!((FRAME_LEN_MAX..=FRAME_RENDERED_LEN_MAX).contains(&len), "{dialect}: {len}");
    }
}

#[test]
fn a_dialect_is_known_by_its_word() {
    for dialect in Dialect::ALL {
        assert_eq!(dialect.to_string().parse(), Ok(dialect));
        assert_eq!(Dialect::ALL[dialect.index()], dialect);
    }
    assert!("irc".parse::<Dialect>().is_err());
}

fn feed(decoder: &mut Decoder, bytes: &[u8]) {
    for piece in bytes.chunks(3) {
        decoder.decode(piece, &mut |_| ControlFlow::Continue(()));
    }
}

/// The numbers and texts of what was written.
fn leaves(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(all) => all.iter_mut().flat_map(leaves).collect(),
        Value::Object(all) => all.values_mut().flat_map(leaves).collect(),
        leaf => vec![leaf],
    }
}

fn odd_values() -> Vec<Value> {
    let numbers = [0, 1, 2, 3, 4, 7, 9, 26, 254, 255, 4_096, 65_535, u64::MAX].map(Value::from);
    let texts = ["", "é", "e\u{301}"].map(Value::from);
    let long = [1_025, 70_000].map(|len| Value::from("x".repeat(len)));
    numbers.into_iter().chain(texts).chain(long).collect()
}

/// What clients send that matters to a decoder, and anything else.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        "[a-c é世\u{301}]{1,9}".prop_map(String::into_bytes),
        prop::sample::select(vec![
            &b"\r\n"[..],
            b"\x1b[A",
            b"\x1b[B",
            b"\x1b[D",
            b"\x7f",
            b"\x17",
            b"GET ",
            b"CONNECT a:",
            &[0, 0, 0],
            b"<RID:1",
            b"<RID:12>",
            b"</RID:12>",
            b"||",
            &[255, 250, 24, 0, 65],
            &[255, 240],
            &[255, 250, 31, 0, 20, 0, 20, 255, 240],
            &[255, 254, 1],
            &[255, 246],
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// In rich mode: WONT TTYPE, DO ECHO, DO SGA.
fn rich() -> Decoder {
    let mut decoder = Dialect::Telnet.decoder();
    decoder.set_rich(true, &mut Vec::new());
    feed(&mut decoder, &[255, 252, 24, 255, 253, 1, 255, 253, 3]);
    decoder.draw(&mut Vec::new());
    decoder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_torn_decoder_ends_the_server(
        kind in 0..4_usize,
        before in bytes(),
        changes in vec((any::<Index>(), any::<Option<Index>>(), 0..18_usize), 0..4),
        after in bytes(),
    ) {
        let mut decoder = Dialect::ALL.get(kind).map_or_else(rich, |dialect| dialect.decoder());
        feed(&mut decoder, &before);
        let mut value = serde_json::to_value(&decoder).expect("it can be written");
        let mut leaves = leaves(&mut value);
        // Who is idle may have none.
        let count = if leaves.is_empty() { 0 } else { changes.len() };
        for (place, source, odd) in &changes[..count] {
            let other = source.map(|source| (**source.get(&leaves)).clone());
            **place.get_mut(&mut leaves) = other.unwrap_or_else(|| odd_values()[*odd].clone());
        }
        let read = serde_json::from_value::<Decoder>(value);
        prop_assert!(read.is_ok() || !changes.is_empty(), "{:?}", read);
        let Ok(mut decoder) = read else { return Ok(()) };
        decoder.draw(&mut Vec::new());
        feed(&mut decoder, &after);
        decoder.clear(&mut Vec::new());
        decoder.draw(&mut Vec::new());
        feed(&mut decoder, b"\x1b[A\x1b[B\r\n");
        decoder.set_rich(false, &mut Vec::new());
        feed(&mut decoder, &after);
    }
}

#[test]
fn a_torn_decoder_is_refused() {
    let rich_of = |bytes: &[u8]| {
        let mut decoder = rich();
        feed(&mut decoder, bytes);
        decoder
    };
    let rid_of = |bytes: &[u8]| {
        let mut decoder = Dialect::Rid.decoder();
        feed(&mut decoder, bytes);
        decoder
    };
    let long = "x".repeat(LINE_LEN_MAX + 1);
    let editor = "/Telnet/negotiation/stage/Rich";
    for (decoder, place, odd) in [
        (rid_of(b"<RI"), "/Rid/held/1", Value::from(b'x')),
        (rid_of(b"<RID:1>ab"), "/Rid/state/Text/tag_len", Value::from(200)),
        (rid_of(b"<RID:1>ab"), "/Rid/state", Value::from("Between")),
        (rich_of(b"ab\r\n\x1b[A"), &format!("{editor}/edit/recalled/0"), Value::from(1)),
        (rich_of(b"ab\r\n\x1b[A"), &format!("{editor}/edit/recalled/1"), Value::from(&*long)),
        (rich_of(b"ab\r\n"), &format!("{editor}/edit/history/0"), Value::from(&*long)),
        (rich_of(b"ab"), &format!("{editor}/edit/line"), Value::from(&*long)),
        (rich_of("é".as_bytes()), &format!("{editor}/edit/cursor"), Value::from(1)),
        (rich_of("é".as_bytes()), &format!("{editor}/screen/drawn/cursor"), Value::from(3)),
        (rich_of(b"\xe8\xaf"), &format!("{editor}/keys/state/Utf8/len"), Value::from(5)),
        (rich_of(b"\xe8\xaf"), &format!("{editor}/keys/state/Utf8/bytes/0"), Value::from(b'a')),
        (
            rich_of(b"\xe8\xaf"),
            &format!("{editor}/keys/state/Utf8/bytes"),
            Value::from(&[b'a', 0xe8, 0, 0][..]),
        ),
    ] {
        let mut value = serde_json::to_value(&decoder).expect("it can be written");
        assert!(serde_json::from_value::<Decoder>(value.clone()).is_ok(), "{place}");
        *value.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = odd;
        assert!(serde_json::from_value::<Decoder>(value).is_err(), "{place}");
    }
}

#[test]
fn an_opening_torn_off_its_words_is_a_persons() {
    for first in [&b"GE"[..], &[0, 0, 0]] {
        let mut decoder = Dialect::Telnet.decoder();
        feed(&mut decoder, first);
        let mut value = serde_json::to_value(&decoder).expect("it can be written");
        *value.pointer_mut("/Telnet/opening/position").expect("it is not 0") = Value::from(255);
        let mut decoder = serde_json::from_value(value).expect("it has its form");
        feed(&mut decoder, b"T / HTTP/1.1\r\n");
    }
}

/// As it comes out in another process.
fn carried(decoder: &Decoder) -> Decoder {
    let bytes = rmp_serde::to_vec_named(decoder).expect("it can be written");
    rmp_serde::from_slice(&bytes).expect("it can be read")
}

#[test]
fn what_is_settled_stays_settled_in_another_process() {
    // It could be POST for who forgets that it is not.
    let mut decoder = Dialect::Telnet.decoder();
    let mut seen = Vec::new();
    for byte in b"PUST /x\n" {
        decoder = carried(&decoder);
        decoder.decode(&[*byte], &mut |input| {
            seen.push(format!("{input:?}"));
            ControlFlow::Continue(())
        });
    }
    assert_eq!(seen, ["Line(\"PUST /x\")"]);
    // A client that said who it is is not asked again.
    let mut asked = Vec::new();
    let mut decoder = carried(&rich());
    decoder.set_rich(false, &mut asked);
    assert_eq!(decoder.set_rich(true, &mut asked), Some(RichMode::Asked));
    assert!(!asked.contains(&24), "TTYPE: {asked:?}");
    // The screen is still to be wiped, once something is drawn again.
    let mut decoder = rich();
    decoder.clear(&mut Vec::new());
    feed(&mut decoder, b"\x0c");
    let mut drawn = Vec::new();
    carried(&decoder).draw(&mut drawn);
    assert_eq!(drawn, b"\x1b[H\x1b[2J> ");
}

#[test]
fn an_idle_decoder_is_written_small() {
    for dialect in Dialect::ALL {
        let mut decoder = dialect.decoder();
        feed(&mut decoder, b"<RID:1>hello||hello</RID:1>\n");
        let bytes = rmp_serde::to_vec_named(&decoder).expect("it can be written");
        assert!(bytes.len() <= 32, "{dialect}: {}", bytes.len());
    }
}
