//! At every split, a recording makes the same lines and the same answers.

use std::ops::ControlFlow;

use chatd::dialect::{Decoder, Dialect, Input};

use crate::negotiation::{Stream, judge};
use crate::recordings;

/// What the codec made of a connection's bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Made {
    lines: Vec<String>,
    are_you_there: usize,
    /// What goes back.
    answers: Vec<u8>,
}

impl Made {
    fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self::through(pieces, |decoder| decoder)
    }

    /// The same, where between two pieces something is done with the decoder.
    fn through<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        between: fn(Decoder) -> Decoder,
    ) -> Self {
        let mut made = Self::default();
        let mut decoder = Dialect::Telnet.decoder();
        for piece in pieces {
            decoder = between(decoder);
            let taken = decoder.decode(piece, &mut |input| {
                match input {
                    Input::Line(line) => made.lines.push(line.to_owned()),
                    Input::AreYouThere => made.are_you_there += 1,
                    Input::Answer(bytes) => made.answers.extend_from_slice(bytes),
                    Input::LineTooLong | Input::EndlessLine | Input::Foreign | Input::Invalid => {
                        panic!("nothing that a person types: {input:?}")
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            });
            assert_eq!(taken, piece.len());
        }
        made
    }
}

#[test]
fn recordings_mean_what_was_meant_however_they_are_cut() {
    for file in recordings() {
        let (name, bytes) = (&file.name, file.bytes());
        let whole = Made::of([&bytes[..]]);
        assert_eq!(whole.lines, file.lines, "{name}");
        assert_eq!(whole.are_you_there, file.are_you_there, "{name}");
        let judged = judge(&Stream::of(&bytes), &Stream::of(&whole.answers));
        assert_eq!(judged, Ok(()), "{name}");

        assert_eq!(Made::of(file.reads().iter().map(Vec::as_slice)), whole, "{name}: as read");
        assert_eq!(Made::of(bytes.chunks(1)), whole, "{name}: byte by byte");
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(Made::of(pieces), whole, "{name}: at {first} and {second}");
            }
        }
    }
}

/// As it comes out in another process.
fn carried(decoder: Decoder) -> Decoder {
    let bytes = rmp_serde::to_vec_named(&decoder).expect("it can be written");
    rmp_serde::from_slice(&bytes).expect("it can be read")
}

#[test]
fn another_process_can_go_on_at_any_byte() {
    for file in recordings() {
        let (name, bytes) = (&file.name, file.bytes());
        let whole = Made::of([&bytes[..]]);
        assert_eq!(Made::through(bytes.chunks(1), carried), whole, "{name}: at each byte");
        for cut in 0..bytes.len() {
            let pieces = [&bytes[..cut], &bytes[cut..]];
            assert_eq!(Made::through(pieces, carried), whole, "{name}: at {cut}");
        }
    }
}

#[test]
fn each_read_is_answered_before_the_next() {
    for file in recordings() {
        let reads = file.reads();
        for count in 0..=reads.len() {
            let bytes = reads[..count].concat();
            let answers = Made::of([&bytes[..]]).answers;
            let judged = judge(&Stream::of(&bytes), &Stream::of(&answers));
            assert_eq!(judged, Ok(()), "{}, {count} reads", file.name);
        }
    }
}
