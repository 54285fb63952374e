//! What protocols of lines have in common: cutting a stream into them, and writing one.

use crate::limits::LINE_LEN_MAX;
use memchr::memchr;

/// Cuts a stream into lines; keeps the beginning of one whose end has not come.
#[derive(Default)]
pub(crate) struct Lines {
    /// No line feed in it, `LINE_LEN_MAX` bytes at most: of a longer line the rest is dropped.
    pending: Vec<u8>,
}

impl Lines {
    /// Calls `on_line` for each line that ends in `chunk`, without its line feed or CR LF.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], mut on_line: impl FnMut(&[u8])) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (head, rest) = chunk.split_at(end);
            if self.pending.is_empty() {
                on_line(without_carriage_return(head));
            } else {
                self.keep(head);
                on_line(without_carriage_return(&self.pending));
                self.pending.clear();
            }
            chunk = &rest[1..];
        }
        self.keep(chunk);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LEN_MAX - self.pending.len();
        self.pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Appends a line and its end.
pub(crate) fn write(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_alike_at_every_position() {
        let stream = b"one\r\ntwo\n\r\n\nlonger line\r\nrest";
        let expected: [&[u8]; 5] = [b"one", b"two", b"", b"", b"longer line"];
        for first in 0..=stream.len() {
            for second in first..=stream.len() {
                let mut splitter = Lines::default();
                let mut lines = Vec::new();
                for chunk in [&stream[..first], &stream[first..second], &stream[second..]] {
                    splitter.feed(chunk, |line| lines.push(line.to_vec()));
                }
                assert_eq!(lines, expected, "split at {first} and {second}");
                assert_eq!(splitter.pending, b"rest");
            }
        }
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut splitter = Lines::default();
        for _ in 0..10 {
            splitter.feed(&[b'x'; 1000], |_| panic!("no line has ended"));
        }
        let mut lines = Vec::new();
        splitter.feed(b"\nnext\n", |line| lines.push(line.len()));
        assert_eq!(lines, [LINE_LEN_MAX, 4]);
    }
}
