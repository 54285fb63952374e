//! Tables of bytes and the inputs they make, each read whole, at every split, byte by byte, and
//! with a sink that breaks after each input. The first read, with the id, stands apart.

use proptest::prelude::*;

use super::*;
use crate::dialect::Dialect::P2p;
use crate::dialect::tests::Seen::{EndlessLine, Invalid, LineTooLong};
use crate::dialect::tests::{Seen, cut, is_clean, read, read_with_breaks};

fn id(name: &str) -> Seen {
    Seen::Id(name.to_owned())
}

fn to(name: &str, text: &str) -> Seen {
    Seen::To(name.to_owned(), text.to_owned())
}

/// The pieces, after a first read that is an id.
fn after_id<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    std::iter::once(&b"1"[..]).chain(pieces)
}

/// What the bytes make after the id, the same however they are cut.
#[track_caller]
fn inputs(bytes: &[u8]) -> Vec<Seen> {
    let whole = read(P2p, after_id([bytes]));
    assert_eq!(read(P2p, after_id(bytes.chunks(1))), whole, "byte by byte");
    assert_eq!(read_with_breaks(P2p, after_id([bytes])), whole, "with breaks");
    for split in (0..=bytes.len()).take(300) {
        let (first, second) = bytes.split_at(split);
        assert_eq!(read(P2p, after_id([first, second])), whole, "at {split}");
        assert_eq!(read_with_breaks(P2p, after_id([first, second])), whole, "breaks, at {split}");
    }
    assert_eq!(whole[0], id("1"));
    whole[1..].to_vec()
}

#[test]
fn the_id_is_the_first_read_or_its_first_line() {
    let long = "x".repeat(200);
    let cut_off = &long[..ID_READ_LEN_MAX];
    for (reads, expected) in [
        (&["1"][..], vec![id("1")]),
        (&["plato", "2||hi\n"], vec![id("plato"), to("2", "hi")]),
        (&["1\n", "2||hi\n"], vec![id("1"), to("2", "hi")]),
        (&["1\r\n2||hi\r\n"], vec![id("1"), to("2", "hi")]),
        // The line end came late.
        (&["1", "\n2||hi\n"], vec![id("1"), to("2", "hi")]),
        (&["1", "\r\n2||hi\n"], vec![id("1"), to("2", "hi")]),
        (&["1\r", "\n2||hi\n"], vec![id("1"), to("2", "hi")]),
        (&["pla", "to", "\n"], vec![id("pla"), Invalid]),
        // What cannot be a name is the core's to refuse.
        (&["\n"], vec![id("")]),
        (&[" 1 \n"], vec![id("1")]),
        (&["1||hi"], vec![id("1||hi")]),
        (&["GET / HTTP/1.1\r\n"], vec![id("GET / HTTP/1.1")]),
        (&["\u{1b}[2J\u{0}1"], vec![id("[2J1")]),
        (&[&long], vec![id(cut_off)]),
        (&[&long, "2||hi\n"], vec![id(cut_off), to("2", "hi")]),
    ] {
        let reads = || reads.iter().map(|read| read.as_bytes());
        assert_eq!(read(P2p, reads()), expected);
        assert_eq!(read_with_breaks(P2p, reads()), expected);
    }
}

#[test]
fn lines() {
    for (bytes, expected) in [
        (&b""[..], vec![]),
        (b"2||half", vec![]),
        (b"2||hi\n", vec![to("2", "hi")]),
        (b"2||hi\r\n3||ho\n", vec![to("2", "hi"), to("3", "ho")]),
        (b"\n\r\n\n2||hi\n", vec![to("2", "hi")]),
        (b" 2 || hi \n", vec![to("2", " hi ")]),
        (b"2||\n", vec![to("2", "")]),
        (b"||hi\n", vec![to("", "hi")]),
        (b"2||a||b\n", vec![to("2", "a||b")]),
        (b"2|||b\n", vec![to("2", "|b")]),
        (b"2|hi\n", vec![Invalid]),
        (b"hi\nho\n", vec![Invalid, Invalid]),
        // A mark needs something to stand on, in the name and in the text.
        (b"\n \xe0\xb2\xbe||\n", vec![to("", "")]),
        (b"2||\xcc\x81hi\n", vec![to("2", "hi")]),
        (b"2||a\rb\n", vec![to("2", "ab")]),
        (b"2||\x1b[2Jhi\x07\t\xff\n", vec![to("2", "[2Jhi \u{fffd}")]),
        (b"\x072||\xc3\n\xa9||\n", vec![to("2", "\u{fffd}"), to("\u{fffd}", "")]),
    ] {
        assert_eq!(inputs(bytes), expected, "{}", bytes.escape_ascii());
    }
}

/// `2||`, then `x` up to `len` bytes, then `rest`.
fn long(len: usize, rest: &[u8]) -> Vec<u8> {
    [b"2||", &vec![b'x'; len - 3][..], rest].concat()
}

#[test]
fn length_of_a_line() {
    let max = LINE_LEN_MAX;
    let full = to("2", &"x".repeat(max - 3));
    for (bytes, expected) in [
        (long(max, b"\n2||b\n"), vec![full.clone(), to("2", "b")]),
        (long(max, b"\r\n2||b\n"), vec![full.clone(), to("2", "b")]),
        (long(max + 1, b"\n2||b\n"), vec![LineTooLong, to("2", "b")]),
        (long(max + 1, b"\r\n2||b\n"), vec![LineTooLong, to("2", "b")]),
        (long(2 * max, b"\n2||b\n"), vec![LineTooLong, to("2", "b")]),
        // It would grow past the limit in the gate.
        (long(max - 2, b"\x80\n2||b\n"), vec![LineTooLong, to("2", "b")]),
    ] {
        assert_eq!(inputs(&bytes), expected, "{} bytes", bytes.len());
    }
    let max = INPUT_LEN_MAX;
    assert_eq!(inputs(&long(max, b"\n2||b\n")), [LineTooLong, to("2", "b")]);
    assert_eq!(inputs(&long(max + 1, b"\n2||b\n")), [EndlessLine]);
}

#[test]
fn nothing_is_allocated_between_lines() {
    let mut decoder = Decoder::default();
    for bytes in [&b"1"[..], b"2||a\n", b"2||", b"a\n", &[b'x'; 2000], b"\n", &[b'x'; 5000]] {
        decoder.decode(bytes, &mut |_| ControlFlow::Continue(()));
        assert!(decoder.held.capacity() <= 2 * LINE_LEN_MAX + 2);
        if bytes != b"2||" {
            assert_eq!(decoder.held.capacity(), 0);
        }
    }
    assert_eq!(decoder.state, State::Closed);
}

/// Bytes that lead into the decoder's corners more often than chance would.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => proptest::sample::select(&["2", "||", "|", "\n", "\r\n", "\r", "all", " "][..])
            .prop_map(|word| word.as_bytes().to_vec()),
        2 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => "\\PC{1,8}".prop_map(String::into_bytes),
        1 => (0..1500_usize).prop_map(|len| vec![b'y'; len]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_cuts_do_not_matter_after_the_id(
        bytes in wire(),
        lens in proptest::collection::vec(1..50_usize, 1..10),
    ) {
        let whole = read(P2p, after_id([&bytes[..]]));
        prop_assert_eq!(&read(P2p, after_id(cut(&bytes, &lens))), &whole);
        prop_assert_eq!(&read(P2p, after_id(bytes.chunks(1))), &whole);
        prop_assert_eq!(&read_with_breaks(P2p, after_id([&bytes[..]])), &whole);
        prop_assert_eq!(&read_with_breaks(P2p, after_id(cut(&bytes, &lens))), &whole);
    }

    #[test]
    fn what_comes_out_is_safe_and_bounded(bytes in wire(), piece_len in 1..2000_usize) {
        let mut decoder = Decoder::default();
        for piece in bytes.chunks(piece_len) {
            decoder.decode(piece, &mut |input| {
                if let Input::To { name, text } = input {
                    assert!(name.len() + MARK.len() + text.len() <= LINE_LEN_MAX);
                    assert!(is_clean(name) && is_clean(text), "{name:?} {text:?}");
                }
                ControlFlow::Continue(())
            });
            assert!(decoder.held.capacity() <= 2 * LINE_LEN_MAX + 2);
        }
    }
}
