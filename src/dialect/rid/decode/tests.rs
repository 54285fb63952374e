//! Tables of bytes and the inputs they make, each read whole, at every split, byte by byte, and
//! with a sink that breaks after each input.

use proptest::prelude::*;

use super::*;
use crate::dialect::Dialect::Rid;
use crate::dialect::tests::Seen::{EndlessLine, Invalid, LineTooLong};
use crate::dialect::tests::{Seen, cut, is_clean, read, read_with_breaks};

fn frame(room: &str, text: &str) -> Seen {
    Seen::Frame(room.to_owned(), text.to_owned())
}

/// What the bytes make, the same however they are cut.
#[track_caller]
fn inputs(bytes: &[u8]) -> Vec<Seen> {
    let whole = read(Rid, [bytes]);
    assert_eq!(read(Rid, bytes.chunks(1)), whole, "byte by byte");
    assert_eq!(read_with_breaks(Rid, [bytes]), whole, "with breaks");
    for split in (0..=bytes.len()).take(300) {
        let (first, second) = bytes.split_at(split);
        assert_eq!(read(Rid, [first, second]), whole, "at {split}");
        assert_eq!(read_with_breaks(Rid, [first, second]), whole, "breaks, at {split}");
    }
    whole
}

#[test]
fn frames() {
    for (bytes, expected) in [
        (&b""[..], vec![]),
        (b"<RID:111></RID:111>", vec![frame("111", "")]),
        (b"<RID:111>hi\n</RID:111>", vec![frame("111", "hi\n")]),
        (b"<RID:0111>hi</RID:0111>", vec![frame("0111", "hi")]),
        (b"<RID:1>a</RID:1><RID:2>b</RID:2>", vec![frame("1", "a"), frame("2", "b")]),
        (b"<RID:1>a</RID:1>\r\n<RID:2>b</RID:2>\n", vec![frame("1", "a"), frame("2", "b")]),
        (b"<RID:1>a</RID:1", vec![]),
        // The text ends at the first closing tag of its own number.
        (b"<RID:1>a</RID:2>b</RID:11></RID:1>", vec![frame("1", "a</RID:2>b</RID:11>")]),
        (b"<RID:1><RID:2>a</RID:2></RID:1>", vec![frame("1", "<RID:2>a</RID:2>")]),
        (b"<RID:1>a</RID:1</RID:1>", vec![frame("1", "a</RID:1")]),
        (b"<RID:1>>>a></</RID:1>", vec![frame("1", ">>a></")]),
        (b"<RID:1>a\n\nb\r\nc\rd\r</RID:1>", vec![frame("1", "a\n\nb\nc\nd\n")]),
        (
            b"<RID:12345678901234567890>a</RID:12345678901234567890>",
            vec![frame("12345678901234567890", "a")],
        ),
    ] {
        assert_eq!(inputs(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_no_frame_is_reported_once_for_each_run() {
    let one = frame("1", "a");
    for (bytes, expected) in [
        (&b"\n\r\n"[..], vec![]),
        (b"hello", vec![Invalid]),
        (b"hello there\n", vec![Invalid]),
        (b"hello\r\nthere\r\n\r\n", vec![Invalid, Invalid]),
        (b"hello<RID:1>a</RID:1>there", vec![Invalid, one.clone(), Invalid]),
        (b"a<b<<c<RID", vec![Invalid]),
        (b"<<RID:1>a</RID:1>", vec![Invalid, one.clone()]),
        (b"<RI<RID:1>a</RID:1>", vec![Invalid, one.clone()]),
        (b"<rid:1>a</rid:1>", vec![Invalid]),
        (b"</RID:1>", vec![Invalid]),
        (b"<RID:>a</RID:>", vec![Invalid]),
        (b"<RID:x>a</RID:x>\n<RID:1>a</RID:1>", vec![Invalid, one.clone()]),
        (b"<RID:-1>a</RID:-1>", vec![Invalid]),
        (b"<RID: 1>a</RID: 1>", vec![Invalid]),
        (b"<RID:1\n>", vec![Invalid, Invalid]),
        // Each opening ends the run before it.
        (b"<RID:x<RID:y", vec![Invalid, Invalid]),
        (b"x<RID:y", vec![Invalid, Invalid]),
        // Longer than the name of a room.
        (b"<RID:123456789012345678901>a</RID:123456789012345678901>", vec![Invalid]),
    ] {
        assert_eq!(inputs(bytes), expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_run_is_reported_when_it_begins() {
    assert_eq!(read(Rid, [&b"h"[..]]), [Invalid]);
    assert_eq!(read(Rid, [&b"<RID"[..]]), []);
}

/// A frame of `len` bytes.
fn frame_of(len: usize) -> Vec<u8> {
    let text = vec![b'x'; len - b"<RID:1></RID:1>".len()];
    [b"<RID:1>", &text[..], b"</RID:1>"].concat()
}

#[test]
fn the_length_of_a_frame() {
    let text = "x".repeat(FRAME_LEN_MAX - b"<RID:1></RID:1>".len());
    let after = b"<RID:1>a</RID:1>";
    let fits = [frame_of(FRAME_LEN_MAX), after.to_vec()].concat();
    assert_eq!(inputs(&fits), [frame("1", &text), frame("1", "a")]);
    let over = [frame_of(FRAME_LEN_MAX + 1), after.to_vec()].concat();
    assert_eq!(inputs(&over), [LineTooLong, frame("1", "a")]);
    // What is inside of it is dropped with it, closing tags of other numbers too.
    let inside = [b"<RID:1>", &vec![b'x'; 5000][..], b"<RID:2>b</RID:2></RID:1>", after].concat();
    assert_eq!(inputs(&inside), [LineTooLong, frame("1", "a")]);
    for lens in [&[1000][..], &[4095, 1, 7], &[4090], &[1, 4095]] {
        assert_eq!(read(Rid, cut(&over, lens)), [LineTooLong, frame("1", "a")], "{lens:?}");
    }
    // It would grow past the limit in the gate.
    let grows = [b"<RID:1>", &vec![0x80; 2000][..], b"</RID:1>"].concat();
    assert_eq!(inputs(&grows), [LineTooLong]);
}

#[test]
fn the_lines_of_a_frame() {
    let lines = "x\n".repeat(FRAME_LINES_MAX);
    let framed = |text: &str| format!("<RID:1>{text}</RID:1>").into_bytes();
    assert_eq!(inputs(&framed(&lines)), [frame("1", &lines)]);
    assert_eq!(inputs(&framed(&(lines.clone() + "x"))), [LineTooLong]);
    assert_eq!(inputs(&framed(&(lines + "\n"))), [LineTooLong]);
}

#[test]
fn what_never_ends_ends_the_input() {
    let max = DISCARDED_LEN_MAX;
    let dropped = [&b"<RID:1>"[..], &vec![b'x'; max + FRAME_LEN_MAX + 1]].concat();
    let run = vec![b'x'; max + 1];
    for (bytes, first) in [(dropped, LineTooLong), (run, Invalid)] {
        let expected = [first, EndlessLine];
        for piece_len in [1000, 65_536] {
            let pieces = bytes.chunks(piece_len).chain([&b"\n<RID:1>a</RID:1>"[..]]);
            assert_eq!(read(Rid, pieces), expected, "pieces of {piece_len}");
        }
    }
    // Runs and frames that end do not add up.
    let ends = [&vec![b'x'; max][..], b"\n"].concat().repeat(2);
    assert_eq!(read(Rid, ends.chunks(1000)), [Invalid, Invalid]);
}

#[test]
fn unsafe_text_comes_out_safe_line_by_line() {
    for (bytes, text) in [
        (&b"<RID:1>\x1b[2Jhi\x07\n</RID:1>"[..], "[2Jhi\n"),
        (b"<RID:1>a\tb\xff\0</RID:1>", "a b\u{fffd}"),
        ("<RID:1>a\n\u{301}b\n</RID:1>".as_bytes(), "a\nb\n"),
        ("<RID:1>gr\u{fc}\u{df}e \u{202e}x\u{2028}y</RID:1>".as_bytes(), "gr\u{fc}\u{df}e xy"),
        // A character is not cut by a line end.
        (b"<RID:1>\xc3\n\xa9</RID:1>", "\u{fffd}\n\u{fffd}"),
    ] {
        assert_eq!(inputs(bytes), [frame("1", text)], "{}", bytes.escape_ascii());
    }
}

#[test]
fn nothing_is_allocated_between_frames() {
    let mut decoder = Decoder::default();
    let over = frame_of(FRAME_LEN_MAX + 1);
    for bytes in [
        &b"<RID:1>a</RID:1>"[..],
        b"<RID:1>",
        b"a</RID:1>",
        b"<RI",
        b"x",
        b"\n",
        &over[..20],
        &over[20..],
    ] {
        decoder.decode(bytes, &mut |_| ControlFlow::Continue(()));
        assert!(decoder.held.capacity() <= 2 * FRAME_LEN_MAX);
        if matches!(bytes, [.., b'>' | b'\n']) && decoder.state == State::Between {
            assert_eq!(decoder.held.capacity(), 0);
        }
    }
    assert_eq!(decoder.state, State::Between);
}

/// Bytes that lead into the decoder's corners more often than chance would.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let words = ["<RID:", "</RID:", "1", "2", ">", "<RID:1>", "</RID:1>", "</RID:2>", "\n", "\r\n"];
    let piece = prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        2 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => "\\PC{1,8}".prop_map(String::into_bytes),
        1 => (0..3000_usize).prop_map(|len| vec![b'y'; len]),
        1 => (0..70_usize).prop_map(|len| b"z\n".repeat(len)),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_cuts_do_not_matter(
        bytes in wire(),
        lens in proptest::collection::vec(1..50_usize, 1..10),
    ) {
        let whole = read(Rid, [&bytes[..]]);
        prop_assert_eq!(&read(Rid, cut(&bytes, &lens)), &whole);
        prop_assert_eq!(&read(Rid, bytes.chunks(1)), &whole);
        prop_assert_eq!(&read_with_breaks(Rid, [&bytes[..]]), &whole);
        prop_assert_eq!(&read_with_breaks(Rid, cut(&bytes, &lens)), &whole);
    }

    #[test]
    fn what_comes_out_is_safe_and_bounded(bytes in wire(), piece_len in 1..200_usize) {
        let mut decoder = Decoder::default();
        for piece in bytes.chunks(piece_len) {
            decoder.decode(piece, &mut |input| {
                if let Input::Frame { room, text } = input {
                    assert!(room.bytes().all(|byte| byte.is_ascii_digit()));
                    assert!((1..=NAME_LEN_MAX).contains(&room.len()));
                    assert!(text.len() <= FRAME_LEN_MAX);
                    assert!(text.strip_suffix('\n').unwrap_or(text).lines().count() <= 64);
                    assert!(text.split('\n').all(is_clean), "{text:?}");
                }
                ControlFlow::Continue(())
            });
            assert!(decoder.held.capacity() <= 2 * FRAME_LEN_MAX);
        }
    }
}
