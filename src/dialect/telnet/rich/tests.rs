//! Rich mode through the decoder: what is negotiated, byte for byte, and what is drawn.

use std::ops::ControlFlow;

use proptest::prelude::*;

use crate::chat::RichMode::{self, Asked, MudClient, Off, On, Refused};
use crate::dialect::Input;
use crate::dialect::telnet::Decoder;
use crate::dialect::tests::is_clean;
use crate::limits::LINE_LEN_MAX;

/// One end of a connection, as the engine holds it: what it sends, in order, and what it reads.
#[derive(Debug, Default)]
struct End {
    decoder: Decoder,
    sent: Vec<u8>,
    lines: Vec<Option<String>>,
    modes: Vec<RichMode>,
}

impl End {
    /// An end whose other end has agreed to everything. What was sent till then is let go.
    fn rich(width: u8) -> Self {
        let mut end = Self::default();
        assert_eq!(end.set_rich(true), Asked);
        end.read(b"\xff\xfb\x1f\xff\xfc\x18");
        end.read(&[255, 250, 31, 0, width, 0, 24, 255, 240]);
        end.read(b"\xff\xfd\x01\xff\xfd\x03");
        assert_eq!(std::mem::take(&mut end.modes), [On]);
        end.sent.clear();
        end
    }

    fn set_rich(&mut self, on: bool) -> RichMode {
        self.decoder.clear(&mut self.sent);
        self.decoder.set_rich(on, &mut self.sent)
    }

    fn read(&mut self, bytes: &[u8]) {
        let Self { decoder, sent, lines, modes } = self;
        let taken = decoder.decode(bytes, &mut |input| {
            match input {
                Input::Line(text) => lines.push(Some(text.to_owned())),
                Input::LineTooLong => lines.push(None),
                Input::Answer(bytes) => sent.extend_from_slice(bytes),
                Input::Rich { mode, answer } => {
                    modes.push(mode);
                    sent.extend_from_slice(answer);
                }
                Input::AreYouThere => sent.extend_from_slice(b"[here]\r\n"),
                other => panic!("{other:?}"),
            }
            ControlFlow::Continue(())
        });
        assert_eq!(taken, bytes.len());
    }

    /// Everything is sent: the line is drawn.
    fn rests(&mut self) {
        self.decoder.draw(&mut self.sent);
    }

    /// Something else is sent.
    fn message(&mut self, text: &str) {
        self.decoder.clear(&mut self.sent);
        self.sent.extend_from_slice(text.as_bytes());
    }

    #[track_caller]
    fn sends(&mut self, expected: &[u8]) {
        let sent = std::mem::take(&mut self.sent);
        assert_eq!(sent.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[track_caller]
    fn wrote(&mut self, expected: &[&str]) {
        let lines: Vec<_> = std::mem::take(&mut self.lines).into_iter().flatten().collect();
        assert_eq!(lines, expected);
    }

    #[track_caller]
    fn is_told(&mut self, expected: &[RichMode]) {
        assert_eq!(std::mem::take(&mut self.modes), expected);
    }
}

#[test]
fn telnet_agrees() {
    let mut end = End::default();
    assert_eq!(end.set_rich(true), Asked);
    end.sends(b"\xff\xfd\x1f\xff\xfd\x18");
    assert_eq!(end.set_rich(true), Asked);
    end.sends(b"");
    end.read(b"\xff\xfb\x18");
    end.sends(b"\xff\xfa\x18\x01\xff\xf0");
    end.read(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x32\x00\x14\xff\xf0");
    end.sends(b"");
    for _ in 0..2 {
        end.read(b"\xff\xfa\x18\x00XTERM-256COLOR\xff\xf0");
        end.sends(b"\xff\xfa\x18\x01\xff\xf0");
    }
    end.read(b"\xff\xfa\x18\x00XTERM-256COLOR\xff\xf0");
    end.sends(b"\xff\xfb\x01\xff\xfb\x03");
    end.read(b"\xff\xfd\x01");
    end.is_told(&[]);
    end.read(b"\xff\xfd\x03");
    end.is_told(&[On]);
    end.sends(b"");
    end.rests();
    end.sends(b"> ");
    assert_eq!(end.set_rich(true), On);
    end.sends(b"\r\x1b[J");
    end.rests();
    end.sends(b"> ");
    assert_eq!(end.set_rich(false), Off);
    end.sends(b"\r\x1b[J\xff\xfc\x01\xff\xfc\x03\xff\xfe\x1f");
    end.read(b"\xff\xfe\x01\xff\xfe\x03\xff\xfc\x1f");
    end.is_told(&[]);
    end.rests();
    end.sends(b"");
    // Who has said once what it is, is not asked again.
    assert_eq!(end.set_rich(true), Asked);
    end.sends(b"\xff\xfd\x1f\xff\xfb\x01\xff\xfb\x03");
}

#[test]
fn some_do_not_agree() {
    // Each: what arrives after the question who it is, and what is sent in the end.
    for (answers, sent) in [
        (&[&b"\xff\xfc\x18\xff\xfe\x01"[..]][..], &b"\xff\xfb\x01\xff\xfb\x03\xff\xfe\x1f"[..]),
        (
            &[b"\xff\xfc\x18\xff\xfd\x01\xff\xfe\x03"],
            b"\xff\xfb\x01\xff\xfb\x03\xff\xfc\x01\xff\xfe\x1f",
        ),
        (
            &[b"\xff\xfc\x18", b"\xff\xfe\x03", b"\xff\xfd\x01"],
            b"\xff\xfb\x01\xff\xfb\x03\xff\xfe\x1f\xff\xfc\x01",
        ),
    ] {
        let mut end = End::default();
        end.set_rich(true);
        end.read(b"\xff\xfb\x1f");
        end.sent.clear();
        answers.iter().for_each(|bytes| end.read(bytes));
        end.is_told(&[Refused]);
        end.sends(sent);
        end.read(b"still\r\n");
        end.wrote(&["still"]);
        end.sends(b"");
    }
}

#[test]
fn who_does_not_answer_stays_in_line_mode() {
    let mut end = End::default();
    end.set_rich(true);
    end.sent.clear();
    end.read(b"on\nwe\x08e go\r\n");
    end.wrote(&["on", "we go"]);
    end.sends(b"");
    assert_eq!(end.set_rich(false), Off);
    // The answer to DO NAWS is still to come.
    end.sends(b"");
    end.read(b"\xff\xfb\x1f");
    end.sends(b"\xff\xfe\x1f");
}

#[test]
fn mud_clients_say_so() {
    // By a name, by the third answer, and by what they offered.
    for answers in [
        &[&b"\xff\xfa\x18\x00Mudlet 4.17\xff\xf0"[..]][..],
        &[b"\xff\xfa\x18\x00TINTIN++\xff\xf0"],
        &[
            b"\xff\xfa\x18\x00NEWER\xff\xf0",
            b"\xff\xfa\x18\x00XTERM\xff\xf0",
            b"\xff\xfa\x18\x00MTTS 271\xff\xf0",
        ],
    ] {
        let mut end = End::default();
        end.set_rich(true);
        end.read(b"\xff\xfb\x18\xff\xfb\x1f");
        answers.iter().for_each(|bytes| end.read(bytes));
        end.is_told(&[MudClient]);
        assert!(end.sent.ends_with(b"\xff\xfe\x1f"), "no window any more");
        assert!(!end.sent.windows(2).any(|pair| pair == b"\xff\xfb"), "ECHO hides what is typed");
        end.sent.clear();
        assert_eq!(end.set_rich(true), MudClient);
        end.sends(b"");
    }
    for offer in [b"\xff\xfd\xc9", b"\xff\xfb\xc9", b"\xff\xfd\x56", b"\xff\xfd\x45"] {
        let mut end = End::default();
        end.read(offer);
        end.sent.clear();
        assert_eq!(end.set_rich(true), MudClient);
        end.sends(b"");
    }
}

/// What a client was refused before, as PuTTY's, does not stand in the way.
#[test]
fn options_refused_before_are_asked_for() {
    let mut end = End::default();
    end.read(b"\xff\xfb\x1f\xff\xfb\x18\xff\xfd\x01\xff\xfb\x03\xff\xfd\x03");
    end.sends(b"\xff\xfe\x1f\xff\xfe\x18\xff\xfc\x01\xff\xfe\x03\xff\xfc\x03");
    end.set_rich(true);
    end.sends(b"\xff\xfd\x1f\xff\xfd\x18");
    end.read(b"\xff\xfb\x18\xff\xfb\x1f");
    for _ in 0..3 {
        end.read(b"\xff\xfa\x18\x00XTERM\xff\xf0");
    }
    end.read(b"\xff\xfd\x01\xff\xfd\x03");
    end.is_told(&[On]);
}

#[test]
fn the_other_end_ends_it() {
    let mut end = End::rich(80);
    end.rests();
    end.read(b"half\xff\xfe\x01");
    end.is_told(&[Off]);
    end.sends(b"> \r\x1b[J\xff\xfc\x01\xff\xfc\x03\xff\xfe\x1f");
    end.read(b" a line\r\n");
    end.wrote(&["half a line"]);
    end.read(b"\xff\xfe\x03\xff\xfc\x1f");
    end.sends(b"");
}

#[test]
fn utf_8_is_agreed_on() {
    for (read, sent) in [
        (&b"\xff\xfb\x2a"[..], &b"\xff\xfd\x2a"[..]),
        (b"\xff\xfd\x2a", b"\xff\xfb\x2a\xff\xfa\x2a\x01;UTF-8\xff\xf0"),
        (b"\xff\xfd\x2a\xff\xfd\x2a", b"\xff\xfb\x2a\xff\xfa\x2a\x01;UTF-8\xff\xf0"),
        (
            b"\xff\xfb\x2a\xff\xfa\x2a\x01;ISO-8859-1;utf-8\xff\xf0",
            b"\xff\xfd\x2a\xff\xfa\x2a\x02utf-8\xff\xf0",
        ),
        (
            b"\xff\xfb\x2a\xff\xfa\x2a\x01[TTABLE]\x01 UTF-8\xff\xf0",
            b"\xff\xfd\x2a\xff\xfa\x2a\x02UTF-8\xff\xf0",
        ),
        (
            b"\xff\xfb\x2a\xff\xfa\x2a\x01;KOI8-R;UTF-16\xff\xf0",
            b"\xff\xfd\x2a\xff\xfa\x2a\x03\xff\xf0",
        ),
        (
            b"\xff\xfd\x2a\xff\xfa\x2a\x02UTF-8\xff\xf0",
            b"\xff\xfb\x2a\xff\xfa\x2a\x01;UTF-8\xff\xf0",
        ),
        (b"\xff\xfb\x2a\xff\xfc\x2a\xff\xfc\x2a", b"\xff\xfd\x2a\xff\xfe\x2a"),
        // Nobody agreed on it, and nothing was said.
        (b"\xff\xfa\x2a\x01;UTF-8\xff\xf0\xff\xfa\x2a\xff\xf0", b""),
    ] {
        let mut end = End::default();
        end.read(read);
        end.sends(sent);
    }
    let long = [b"\xff\xfa\x2a\x01", &b";UTF-8".repeat(1_000)[..], b"\xff\xf0"].concat();
    let mut end = End::default();
    end.read(b"\xff\xfb\x2a");
    end.read(&long);
    end.sends(b"\xff\xfd\x2a\xff\xfa\x2a\x03\xff\xf0");
}

#[test]
fn messages_come_above_the_line() {
    let mut end = End::rich(10);
    end.rests();
    end.read("half a 语 li".as_bytes());
    end.sends("> half a 语 li".as_bytes());
    end.message("[zeno] hi\r\n");
    end.message("[zeno] ho\r\n");
    end.read(b"ne");
    end.rests();
    end.rests();
    end.sends("\x1b[A\r\x1b[J[zeno] hi\r\n[zeno] ho\r\n> half a 语 line".as_bytes());
    end.read(b"\r\n");
    end.wrote(&["half a 语 line"]);
    end.sends(b"\r\n");
    end.rests();
    end.sends(b"> ");
}

#[test]
fn a_paste_is_shown_line_by_line() {
    let mut end = End::rich(80);
    end.rests();
    end.read(b"one\r\0two\r\n\rthree");
    end.wrote(&["one", "two", ""]);
    end.sends(b"> one\r\n> two\r\n> \r\n");
    end.rests();
    end.sends(b"> three");
}

#[test]
fn keys_are_drawn_once_a_read() {
    let mut end = End::rich(80);
    end.rests();
    end.read(b"abc\x1b[D\x1b[DX\x7f");
    end.sends(b"> abc\x1b[2D");
    end.read(b"\x15");
    end.sends(b"\x1b[D\x1b[Jbc\x1b[2D");
    end.read(b"\x0c");
    end.sends(b"\x1b[H\x1b[2J> bc\x1b[2D");
    end.read(b"\xff\xf4");
    end.sends(b"\x1b[J");
    end.read(b"x\xff\xf7y\xff\xffz");
    end.sends("y\u{fffd}z".as_bytes());
    end.read(b"\xff\xf8\xff\xf6");
    end.sends(b"\r\x1b[J[here]\r\n");
}

#[test]
fn a_new_width_draws_the_line_anew() {
    let mut end = End::rich(80);
    end.rests();
    end.read(b"0123456789");
    end.sends(b"> 0123456789");
    end.read(b"\xff\xfa\x1f\x00\x08\x00\x18\xff\xf0");
    end.sends(b"\x1b[A\r\x1b[J> 0123456789");
    // None, one in pixels, and nonsense.
    for (bytes, up) in [
        (&b"\xff\xfa\x1f\x00\x00\x00\x00\xff\xf0"[..], &b"\r"[..]),
        (b"\xff\xfa\x1f\xff\xff\xff\xff\x00\x00\xff\xf0", b"\r"),
        (b"\xff\xfa\x1f\x00\x01\x00\x01\xff\xf0", b"\x1b[A\r"),
    ] {
        end.read(bytes);
        end.sends(&[up, b"\x1b[J> 0123456789"].concat());
    }
    end.read(b"\xff\xfa\x1f\x00\xff\xf0\xff\xfa\x1f\xff\xf0");
    end.sends(b"");
}

#[test]
fn what_was_typed_before_goes_on() {
    let mut end = End::default();
    end.set_rich(true);
    end.read(b"half\xff\xfc\x18\xff\xfd\x01\xff\xfd\x03 a line");
    end.sent.clear();
    end.rests();
    end.sends(b"> half a line");
    end.read(b"\r");
    end.wrote(&["half a line"]);
}

#[test]
fn a_line_over_the_limit_is_refused() {
    let mut end = End::rich(80);
    end.read(&[b'x'; LINE_LEN_MAX + 1]);
    end.read(b"\r\nnext\r\n");
    assert_eq!(end.lines, [None, Some("next".to_owned())]);
}

#[test]
fn a_line_over_the_limit_stays_so_from_one_mode_to_the_other() {
    let mut end = End::rich(80);
    end.read(&[b'x'; LINE_LEN_MAX + 1]);
    end.set_rich(false);
    end.read(b"y\r\n");
    let mut other = End::default();
    other.set_rich(true);
    other.read(&[b'x'; LINE_LEN_MAX + 1]);
    other.read(b"\xff\xfc\x18\xff\xfd\x01\xff\xfd\x03y\r\n");
    other.is_told(&[On]);
    assert_eq!((end.lines, other.lines), (vec![None], vec![None]));
}

/// Everything that is drawn is text that passed the gate, line ends, and these moves.
fn is_drawn_safely(sent: &[u8]) -> bool {
    let Ok(mut rest) = str::from_utf8(sent) else { return false };
    while let Some(place) = rest.find(|c: char| c.is_control()) {
        if !is_clean(&rest[..place]) {
            return false;
        }
        rest = &rest[place..];
        let moves =
            rest.strip_prefix("\x1b[").map(|rest| rest.trim_start_matches(char::is_numeric));
        rest = match (moves, rest.as_bytes()) {
            (Some(moves), _) if moves.starts_with(['A', 'B', 'C', 'D', 'H', 'J']) => &moves[1..],
            (None, [b'\r' | b'\n', ..]) => &rest[1..],
            _ => return false,
        };
    }
    is_clean(rest)
}

proptest! {
    #[test]
    fn nothing_typed_reaches_the_screen_but_text(
        pieces in proptest::collection::vec(
            (
                prop_oneof![
                    proptest::collection::vec(0_u8..255, 0..20),
                    "\\PC{0,20}".prop_map(String::into_bytes),
                    "(\x1b\\[[A-F]|[\x01-\x17\r]|a){0,9}".prop_map(String::into_bytes),
                ],
                any::<bool>(),
            ),
            0..20,
        ),
        width in 8_u8..100,
    ) {
        let mut end = End::rich(width);
        let mut whole = End::rich(width);
        for (piece, message) in &pieces {
            end.read(piece);
            if *message {
                end.message("hello\r\n");
            }
            end.rests();
        }
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|(piece, _)| piece).collect();
        whole.read(&bytes);
        prop_assert_eq!(&end.lines, &whole.lines);
        prop_assert!(is_drawn_safely(&end.sent), "{}", end.sent.escape_ascii());
        prop_assert!(is_drawn_safely(&whole.sent), "{}", whole.sent.escape_ascii());
    }
}
