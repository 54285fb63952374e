//! Tables of bytes and the inputs they make, each read whole, in pieces, and with a sink that
//! breaks after each input.

use proptest::prelude::*;

use super::*;
use crate::dialect::telnet::code::CHARSET;

/// An input that outlives its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Line(String),
    LineTooLong,
    AreYouThere,
    Answer(Vec<u8>),
    Rich(RichMode, Vec<u8>),
    EndlessLine,
    Foreign,
}
use Seen::{AreYouThere, EndlessLine, Foreign, LineTooLong};

impl From<Input<'_>> for Seen {
    fn from(input: Input<'_>) -> Self {
        match input {
            Input::Line(text) => Self::Line(text.to_owned()),
            Input::LineTooLong => LineTooLong,
            Input::AreYouThere => AreYouThere,
            Input::Answer(bytes) => Self::Answer(bytes.to_vec()),
            Input::Rich { mode, answer } => Self::Rich(mode, answer.to_vec()),
            Input::EndlessLine => EndlessLine,
            Input::Foreign => Foreign,
            other => panic!("no input of telnet: {other:?}"),
        }
    }
}

fn line(text: &str) -> Seen {
    Seen::Line(text.to_owned())
}

fn lines(texts: &[&str]) -> Vec<Seen> {
    texts.iter().map(|text| line(text)).collect()
}

/// The inputs of one connection that reads the pieces in turn.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut decoder = Decoder::default();
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
fn read_with_breaks<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = seen.len();
            let taken = decoder.decode(piece, &mut |input| {
                seen.push(Seen::from(input));
                ControlFlow::Break(())
            });
            assert!(seen.len() <= before + 1, "an input after a break");
            assert!(taken == piece.len() || seen.len() > before, "stopped without an input");
            piece = &piece[taken..];
        }
    }
    seen
}

/// What the bytes make, in one piece and in all others.
fn inputs(bytes: &[u8]) -> Vec<Seen> {
    let whole = read([bytes]);
    assert_eq!(read(bytes.chunks(1)), whole, "byte by byte: {}", bytes.escape_ascii());
    assert_eq!(read_with_breaks([bytes]), whole, "with breaks: {}", bytes.escape_ascii());
    assert_eq!(read_with_breaks(bytes.chunks(1)), whole, "both: {}", bytes.escape_ascii());
    for split in 0..=bytes.len() {
        let (first, second) = bytes.split_at(split);
        assert_eq!(read([first, second]), whole, "at {split}: {}", bytes.escape_ascii());
        assert_eq!(read_with_breaks([first, second]), whole, "breaks, at {split}");
    }
    whole
}

#[test]
fn line_ends() {
    for (bytes, texts) in [
        (&b""[..], &[][..]),
        (b"half", &[]),
        (b"a\nb\n", &["a", "b"]),
        (b"a\r\nb\r\n", &["a", "b"]),
        (b"a\r\0b\r\0", &["a", "b"]),
        (b"a\rb\r", &["a", "b"]),
        (b"a\r\r\nb", &["a", ""]),
        (b"\n\r\n\r\0\r\r\n", &["", "", "", "", ""]),
        (b"a\n\rb\n", &["a", "", "b"]),
        (b"a\r\n\0b\n", &["a", "b"]),
        (b"a\r\0\0\nb\n", &["a", "", "b"]),
        (b"\0a\0b\0\n", &["ab"]),
        (b"\xef\xbb\xbf/nick a\n", &["/nick a"]),
    ] {
        assert_eq!(inputs(bytes), lines(texts), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_line_is_given_out_at_its_cr() {
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    decoder.decode(b"a\r", &mut |input| {
        seen.push(Seen::from(input));
        ControlFlow::Continue(())
    });
    assert_eq!(seen, [line("a")]);
}

#[test]
fn a_whole_line_is_borrowed() {
    let bytes = b"hello there\r\nand\r\n";
    let mut starts = Vec::new();
    Decoder::default().decode(bytes, &mut |input| {
        let Input::Line(text) = input else { panic!("{input:?}") };
        starts.push(text.as_ptr().addr() - bytes.as_ptr().addr());
        ControlFlow::Continue(())
    });
    assert_eq!(starts, [0, 13]);
}

#[test]
fn a_break_takes_the_whole_line_end() {
    for bytes in [&b"a\r\nb\n"[..], b"a\r\0b\n"] {
        let taken = Decoder::default().decode(bytes, &mut |_| ControlFlow::Break(()));
        assert_eq!(taken, 3);
    }
}

#[test]
fn nothing_is_allocated_between_lines() {
    let mut decoder = Decoder::default();
    for bytes in
        [&b"whole\n"[..], b"in ", b"two\n", "grüße\r".as_bytes(), b"\n", &[b'x'; 2000], b"\n"]
    {
        decoder.decode(bytes, &mut |_| ControlFlow::Continue(()));
        if bytes.ends_with(b"\n") {
            assert!(matches!(&decoder.line, TypedLine::Held(bytes) if bytes.capacity() == 0));
            assert!(decoder.negotiation.is_none());
        }
    }
}

#[test]
fn nothing_is_held_after_the_last_input() {
    let mut decoder = Decoder::default();
    let endless = [&[IAC, WILL, 1, b'a', IAC, SB][..], &[0; SUBNEGOTIATION_LEN_MAX + 1]].concat();
    decoder.decode(&endless, &mut |_| ControlFlow::Continue(()));
    assert_eq!(decoder.state, State::Closed);
    assert!(matches!(&decoder.line, TypedLine::Held(bytes) if bytes.capacity() == 0));
    assert!(decoder.negotiation.is_none());
}

/// What `x IAC command y LF` makes.
fn inputs_around(command: u8) -> Vec<Seen> {
    match command {
        WILL | DO => {
            let refusal = if command == WILL { DONT } else { WONT };
            vec![Seen::Answer(vec![IAC, refusal, b'y']), line("x")]
        }
        WONT | DONT => lines(&["x"]),
        SB => Vec::new(),
        AYT => vec![AreYouThere, line("xy")],
        EC | EL | IP | BRK => lines(&["y"]),
        IAC => lines(&["x\u{fffd}y"]),
        LF | CR => lines(&["x", "y"]),
        _ => lines(&["xy"]),
    }
}

#[test]
fn every_command() {
    for command in 0..=u8::MAX {
        let bytes = [b'x', IAC, command, b'y', LF];
        assert_eq!(inputs(&bytes), inputs_around(command), "IAC {command}");
    }
    assert_eq!(inputs(b"a\xff"), []);
    assert_eq!(inputs(b"a\xff\r\nb\n"), lines(&["a", "b"]));
    assert_eq!(inputs(b"/nick a\xff\xffb\n"), lines(&["/nick a\u{fffd}b"]));
    assert_eq!(inputs(b"\xff\xf6\xff\xf6"), [AreYouThere, AreYouThere]);
}

#[test]
fn every_request_is_refused_once() {
    for (request, refusal) in [(WILL, Some(DONT)), (DO, Some(WONT)), (WONT, None), (DONT, None)] {
        let mut all = Vec::new();
        // All but CHARSET, which is agreed to.
        for option in (0..=u8::MAX).filter(|option| *option != CHARSET) {
            let bytes = [IAC, request, option, IAC, request, option, b'a', LF];
            let answer = refusal.map(|refusal| Seen::Answer(vec![IAC, refusal, option]));
            let expected: Vec<Seen> = answer.into_iter().chain([line("a")]).collect();
            assert_eq!(inputs(&bytes), expected, "IAC {request} {option}");
            all.extend([IAC, request, option]);
        }
        let answers = read([&all.repeat(100)[..]]);
        assert_eq!(answers.len(), refusal.map_or(0, |_| 255), "IAC {request}");
    }
    let mixed = [IAC, WILL, 1, IAC, DO, 1, IAC, WONT, 1, IAC, WILL, 1, IAC, DONT, 1, IAC, DO, 1];
    let once = [Seen::Answer(vec![IAC, DONT, 1]), Seen::Answer(vec![IAC, WONT, 1])];
    assert_eq!(inputs(&mixed), once);
}

#[test]
fn utf_8_is_asked_for_once() {
    let agreed = [&[IAC, WILL, CHARSET][..], b"\xff\xfa\x2a\x01;UTF-8\xff\xf0"].concat();
    let again = [[IAC, WONT, CHARSET], [IAC, WILL, CHARSET]].map(|word| Seen::Answer(word.into()));
    let bytes = [[IAC, DO, CHARSET], [IAC, DONT, CHARSET], [IAC, DO, CHARSET]].concat();
    let [off, on] = again;
    assert_eq!(inputs(&bytes), [Seen::Answer(agreed), off, on]);
}

#[test]
fn subnegotiations_are_skipped() {
    let triplets = [b"a\xff\xfa\x22\x03".to_vec(), [1, 2, 3].repeat(1000), b"\xff\xf0b\n".to_vec()];
    for (bytes, expected) in [
        (&b"a\xff\xfa\x18\x01\xff\xf0b\n"[..], lines(&["ab"])),
        (b"a\xff\xfa\xff\xf0b\n", lines(&["ab"])),
        // A window 255 wide: IAC doubled.
        (b"a\xff\xfa\x1f\x00\xff\xff\x00\x18\xff\xf0b\n", lines(&["ab"])),
        (b"a\xff\xfa\x18\r\n\xff\xf0b\n", lines(&["ab"])),
        (b"\xff\xfa\x27\x00\x00USER\x01-f root\xff\xf0b\n", lines(&["b"])),
        // Another command ends it.
        (b"a\xff\xfa\x18\x01\xff\xf1b\n", lines(&["ab"])),
        (b"a\xff\xfa\x18\xff\xf6b\n", vec![AreYouThere, line("ab")]),
        (b"a\xff\xfa\x18\xff\xfa\x18\xff\xf0b\n", lines(&["ab"])),
        (b"\xff\xfa\x18\xff\xfd\x01b\n", vec![Seen::Answer(vec![IAC, WONT, 1]), line("b")]),
        (b"a\xff\xfa\x18\xff\nb\n", lines(&["a", "b"])),
        (&triplets.concat(), lines(&["ab"])),
    ] {
        assert_eq!(inputs(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_endless_subnegotiation_ends_the_input() {
    let begin = [IAC, SB];
    let end = [IAC, SE, b'a', LF];
    let fits = [&begin, &[7; SUBNEGOTIATION_LEN_MAX][..], &end].concat();
    assert_eq!(read([&fits[..]]), lines(&["a"]));
    assert_eq!(read(fits.chunks(1)), lines(&["a"]));
    let over = [&begin, &[7; SUBNEGOTIATION_LEN_MAX + 1][..], &end].concat();
    assert_eq!(read([&over[..]]), [EndlessLine]);
    assert_eq!(read(over.chunks(1)), [EndlessLine]);
    assert_eq!(read_with_breaks(over.chunks(100)), [EndlessLine]);
}

#[test]
fn endless_commands_end_the_input() {
    // Each with the bytes of one round.
    for round in [&[IAC, 241][..], &[IAC, WILL, 1], &[IAC, EC], &[NUL], &[IAC, SB, IAC, SE]] {
        let count = COMMANDS_LEN_MAX / round.len();
        let is_answer = |seen: &Seen| matches!(seen, Seen::Answer(_));
        let mut within = round.repeat(count);
        within.extend(b"a\n");
        let mut seen = read([&within[..]]);
        seen.retain(|seen| !is_answer(seen));
        assert_eq!(seen, lines(&["a"]), "{round:?}");
        let mut seen = read([&within[..], &within[..]]);
        seen.retain(|seen| !is_answer(seen));
        assert_eq!(seen, lines(&["a", "a"]), "{round:?} counts from the last line end");
        let over = round.repeat(count + 1);
        for piece_len in [over.len(), 1001] {
            let mut seen = read(over.chunks(piece_len));
            seen.retain(|seen| !is_answer(seen));
            assert_eq!(seen, [EndlessLine], "{round:?}");
        }
    }
}

#[test]
fn keys_that_erase() {
    for (bytes, texts) in [
        (&b"ab\x08c\n"[..], &["ac"][..]),
        (b"ab\x7fc\n", &["ac"]),
        (b"ab\xff\xf7c\n", &["ac"]),
        (b"\x08\x7f\xff\xf7a\n", &["a"]),
        (b"a\n\x08\x08b\n", &["a", "b"]),
        (b"a\r\x08b\n", &["a", "b"]),
        ("aé\x08b\n".as_bytes(), &["ab"]),
        ("a世\x7fb\n".as_bytes(), &["ab"]),
        ("a😀\x08b\n".as_bytes(), &["ab"]),
        ("xe\u{301}\x08b\n".as_bytes(), &["xb"]),
        (b"a\xe4\xb8\x08\x08b\n", &["ab"]),
        (b"abc\x15d\n", &["d"]),
        (b"abc\xff\xf8d\n", &["d"]),
        (b"abc\xff\xf4d\n", &["d"]),
        (b"abc\xff\xf3d\n", &["d"]),
        (b"one two \x17three\n", &["one three"]),
        (b"\x15\x17a\n", &["a"]),
        (b"a\x08\n", &[""]),
    ] {
        assert_eq!(inputs(bytes), lines(texts), "{}", bytes.escape_ascii());
    }
}

/// `len` times `x`, then `rest`.
fn long(len: usize, rest: &[u8]) -> Vec<u8> {
    [&vec![b'x'; len], rest].concat()
}

#[test]
fn length_of_a_line() {
    let max = LINE_LEN_MAX;
    let full = line(&"x".repeat(max));
    for (bytes, expected) in [
        (long(max, b"\nb\n"), vec![full.clone(), line("b")]),
        (long(max + 1, b"\nb\n"), vec![LineTooLong, line("b")]),
        (long(max, b"\r\nb\n"), vec![full.clone(), line("b")]),
        (long(max - 1, "😀\nb\n".as_bytes()), vec![LineTooLong, line("b")]),
        (long(max - 4, "😀\n".as_bytes()), vec![line(&format!("{}😀", "x".repeat(max - 4)))]),
        // Erased before it went over, and after.
        (long(max, b"\x08\x08xx\n"), vec![full.clone()]),
        (long(max + 1, b"\x08\nb\n"), vec![LineTooLong, line("b")]),
        (long(max + 1, b"\x15b\n"), vec![line("b")]),
        // Commands do not count.
        (long(max, b"\xff\xf1\0\n"), vec![full]),
        // It would grow past the limit in the gate.
        (long(max - 2, b"\x80\nb\n"), vec![LineTooLong, line("b")]),
        (long(max - 3, b"\x80\n"), vec![line(&format!("{}\u{fffd}", "x".repeat(max - 3)))]),
        // It would shrink to fit: refused all the same, by the bytes that were sent.
        (long(max, b"\x07\n"), vec![LineTooLong]),
    ] {
        assert_eq!(inputs(&bytes), expected, "{} bytes", bytes.len());
    }
}

#[test]
fn an_endless_line_ends_the_input() {
    let max = INPUT_LEN_MAX;
    assert_eq!(inputs(&long(max, b"\na\n")), [LineTooLong, line("a")]);
    assert_eq!(inputs(&long(max + 1, b"\na\n")), [EndlessLine]);
    assert_eq!(inputs(&long(max, b"\xff\xffa\na\n")), [EndlessLine]);
    // What is erased counts too.
    assert_eq!(read([&b"a\x08".repeat(max / 2 + 1)[..], b"\n"]), [EndlessLine]);
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    for _ in 0..160 {
        decoder.decode(&[b'x'; 65_536], &mut |input| {
            seen.push(Seen::from(input));
            ControlFlow::Continue(())
        });
    }
    assert_eq!(seen, [EndlessLine]);
    assert!(matches!(&decoder.line, TypedLine::Held(bytes) if bytes.capacity() == 0));
}

#[test]
fn unsafe_text_comes_out_safe() {
    for (bytes, texts) in [
        (&b"\x1b[2Jhi\x07\n"[..], &["[2Jhi"][..]),
        (b"\x1b]0;t\x1b\\x\x1b\n", &["]0;t\\x"]),
        (b"a\tb\n", &["a b"]),
        (b"\x01\x02\x03\n", &[""]),
        ("\u{9b}31m\u{202e}x\u{200b}\n".as_bytes(), &["31mx"]),
        (b"\x80 \xc0\xaf\n", &["\u{fffd} \u{fffd}\u{fffd}"]),
        (b"\xed\xa0\x80\n", &["\u{fffd}\u{fffd}\u{fffd}"]),
        (b"\xf5\n\xe4\xb8\n", &["\u{fffd}", "\u{fffd}"]),
        ("grüße, 世界 😀\r\n".as_bytes(), &["grüße, 世界 😀"]),
    ] {
        assert_eq!(inputs(bytes), lines(texts), "{}", bytes.escape_ascii());
    }
    let marked = format!("e{}\n", "\u{301}".repeat(200));
    assert_eq!(inputs(marked.as_bytes()), lines(&[&format!("e{}", "\u{301}".repeat(6))]));
}

#[test]
fn other_protocols_end_the_input() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET /",
        b"OPTIONS * HTTP/1.1\n",
        b"POST http://a.example/ HTTP/1.1\r\n\r\nbody\n",
        b"CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n\xff\xfd\x01",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nhello\r\n",
        b"\x05\x01\0",
        b"\x04\x01\0\x50\x7f\0\0\x01\0",
        b"\0\0\0\x85\xffSMBr\0",
    ] {
        assert_eq!(inputs(bytes), [Foreign], "{}", bytes.escape_ascii());
    }
}

#[test]
fn people_may_begin_alike() {
    for (bytes, texts) in [
        (&b"GET well soon\r\n"[..], &["GET well soon"][..]),
        (b"SSH is nice\n", &["SSH is nice"]),
        (b"CONNECT the dots\n", &["CONNECT the dots"]),
        (b"hi\nGET / HTTP/1.1\n", &["hi", "GET / HTTP/1.1"]),
        (b"\nSSH-2.0-x\n", &["", "SSH-2.0-x"]),
        (b"GET \x08 /x\n", &["GET /x"]),
    ] {
        assert_eq!(inputs(bytes), lines(texts), "{}", bytes.escape_ascii());
    }
}

/// Bytes that lead into the decoder's corners more often than chance would.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(vec![
        LF, CR, NUL, BACKSPACE, DELETE, CTRL_U, CTRL_W, IAC, IAC, SB, SE, WILL, WONT, DO, DONT,
        AYT, EC, EL, IP, b' ', b'a', 0x1b, 0x80, 0xc3, 0xa9,
    ]);
    let piece = prop_oneof![
        6 => special.prop_map(|byte| vec![byte]),
        2 => any::<u8>().prop_map(|byte| vec![byte]),
        2 => "\\PC{1,8}".prop_map(String::into_bytes),
        1 => "[\u{300}-\u{303}\u{200b}-\u{200f}\u{202e}\u{fe0f}]{1,9}".prop_map(String::into_bytes),
        1 => (0..1100_usize).prop_map(|len| vec![b'y'; len]),
        1 => proptest::sample::select(vec!["GET ", "/", "SSH-", "2.", "CONNECT a:1 ", "HTTP/"])
            .prop_map(|word| word.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Cuts the bytes into pieces of these lengths, over and over.
fn cut<'a>(mut bytes: &'a [u8], lens: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lens.iter().cycle().map_while(move |&len| {
        let piece = bytes.split_off(..len.min(bytes.len()))?;
        (!piece.is_empty()).then_some(piece)
    })
}

/// What is promised of a line, told in other words than the gate's.
fn is_safe(text: &str) -> bool {
    let is_bad = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let is_mark = |c: char| matches!(c, '\u{300}'..='\u{36f}');
    let marks_len_max = text.split(|c| !is_mark(c)).map(|run| run.chars().count()).max();
    text.len() <= LINE_LEN_MAX
        && !text.as_bytes().contains(&0xff)
        && !text.chars().any(is_bad)
        && marks_len_max.unwrap_or(0) <= 6
        && !text.starts_with(is_mark)
}

proptest! {
    #[test]
    fn the_cuts_do_not_matter(
        bytes in wire(),
        lens in proptest::collection::vec(1..50_usize, 1..10),
    ) {
        let whole = read([&bytes[..]]);
        prop_assert_eq!(&read(cut(&bytes, &lens)), &whole);
        prop_assert_eq!(&read(bytes.chunks(1)), &whole);
        prop_assert_eq!(&read_with_breaks([&bytes[..]]), &whole);
        prop_assert_eq!(&read_with_breaks(cut(&bytes, &lens)), &whole);
    }

    #[test]
    fn what_comes_out_is_safe(bytes in wire()) {
        let seen = read([&bytes[..]]);
        let mut answers = Vec::new();
        for (index, input) in seen.iter().enumerate() {
            match input {
                Seen::Line(text) => prop_assert!(is_safe(text), "{text:?}"),
                Seen::Answer(answer) => {
                    match answer[..] {
                        // It goes on and off as the other end will have it.
                        [IAC, SB | WILL | WONT | DO | DONT, CHARSET, ..] => continue,
                        [IAC, verb, _] => prop_assert!(matches!(verb, DONT | WONT)),
                        _ => panic!("no answer: {answer:?}"),
                    }
                    prop_assert!(!answers.contains(&answer), "{answer:?} twice");
                    answers.push(answer);
                }
                Seen::Rich(..) => panic!("nobody asked for it"),
                EndlessLine | Foreign => prop_assert_eq!(index, seen.len() - 1),
                LineTooLong | AreYouThere => {}
            }
        }
    }
}
