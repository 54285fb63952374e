//! What protocols of frames have in common: cutting a stream into them. Where a frame ends, and
//! what it is, each protocol says by a function of the bytes.

use crate::limits::FRAME_LEN_MAX;
use crate::protocol::Item;

/// Bytes added at once to a frame whose beginning is kept: more than most frames are long, and
/// little of what follows is copied for nothing.
const STEP: usize = 512;

/// What some bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// Its end has not come.
    Partial,
    /// A frame of this length, and what it is, if it matters.
    Whole(usize, Option<Item<'a>>),
    /// No frame of the protocol.
    Broken,
}

/// Cuts a stream into frames; keeps the beginning of one whose end has not come.
#[derive(Default)]
pub(crate) struct Frames {
    /// Less than one frame.
    pending: Vec<u8>,
    /// After bytes that were no frame nothing tells where the next one begins.
    broken: bool,
}

impl Frames {
    /// Calls `on_item` for each frame that ends in `chunk`.
    pub(crate) fn feed(
        &mut self,
        mut chunk: &[u8],
        frame: fn(&[u8]) -> Frame<'_>,
        mut on_item: impl FnMut(Item<'_>),
    ) {
        while !chunk.is_empty() && !self.broken {
            let before = self.pending.len();
            let (step, read) = if before == 0 {
                (chunk.len(), frame(chunk))
            } else {
                let step = chunk.len().min(STEP);
                self.pending.extend_from_slice(&chunk[..step]);
                (step, frame(&self.pending))
            };
            match read {
                Frame::Whole(len, item) => {
                    item.into_iter().for_each(&mut on_item);
                    chunk = &chunk[len - before..];
                    self.pending.clear();
                }
                Frame::Partial if before.max(step) <= FRAME_LEN_MAX => {
                    if before == 0 {
                        self.pending.extend_from_slice(chunk);
                    }
                    chunk = &chunk[step..];
                }
                Frame::Partial | Frame::Broken => {
                    self.broken = true;
                    on_item(Item::Corrupted);
                    on_item(Item::Refused(b"what it says is not of this protocol"));
                }
            }
        }
    }
}

/// The number that ASCII digits write.
pub(crate) fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte of length, then as many bytes.
    fn counted(bytes: &[u8]) -> Frame<'_> {
        let Some((&len, rest)) = bytes.split_first() else { return Frame::Partial };
        match rest.get(..usize::from(len)) {
            None => Frame::Partial,
            Some(b"?") => Frame::Broken,
            Some(text) => Frame::Whole(1 + text.len(), Some(Item::Text(text))),
        }
    }

    fn texts(chunks: &[&[u8]]) -> Vec<String> {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for chunk in chunks {
            frames.feed(chunk, counted, |item| seen.push(format!("{item:?}")));
        }
        seen
    }

    #[test]
    fn long_frames_and_what_follows_them_are_cut_alike_everywhere() {
        let long = [vec![255], vec![b'x'; 255]].concat();
        let stream = [&long[..], &long, b"\x02hi", &long, &long, b"\0\x01a"].concat();
        let whole = texts(&[&stream]);
        assert_eq!(whole.len(), 7);
        for first in 0..stream.len() {
            let second = first + (stream.len() - first) / 2;
            let chunks = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(texts(&chunks), whole, "split at {first} and {second}");
        }
    }

    #[test]
    fn what_is_no_frame_ends_the_reading() {
        let seen = texts(&[b"\x01a\x01?\x01b", b"\x01c"]);
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen[1].contains("Corrupted") && seen[2].contains("Refused"), "{seen:?}");
    }

    #[test]
    fn an_endless_frame_is_bounded() {
        let mut frames = Frames::default();
        let mut seen = 0;
        for _ in 0..FRAME_LEN_MAX {
            frames.feed(&[b'x'; 1000], |_| Frame::Partial, |_| seen += 1);
        }
        assert_eq!(seen, 2);
        assert!(frames.pending.len() <= FRAME_LEN_MAX + 2 * STEP);
    }
}
