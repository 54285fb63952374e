//! The floor: a first line of any kind, then raw bytes from everyone to everyone else. No rooms.

use crate::protocol::{Item, Lines};
use memchr::memchr;

#[derive(Default)]
pub(crate) struct Decoder {
    lines: Lines,
    greeted: bool,
}

impl Decoder {
    pub(crate) fn feed(&mut self, chunk: &[u8], mut on_item: impl FnMut(Item<'_>)) {
        let Self { lines, greeted } = self;
        lines.feed(chunk, |line| on_item(if *greeted { item(line) } else { greet(greeted) }));
    }
}

fn greet(greeted: &mut bool) -> Item<'static> {
    *greeted = true;
    Item::Done
}

fn item(line: &[u8]) -> Item<'_> {
    match memchr(b'@', line) {
        None => Item::Notice(line),
        Some(0) => Item::Text(line),
        Some(_) => Item::Corrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_line_greets_and_lines_come_bare() {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        decoder.feed(b"hi\r\n@text\r\nhi\r\n[a] @text\r\n", |item| seen.push(format!("{item:?}")));
        let expected = [Item::Done, Item::Text(b"@text"), Item::Notice(b"hi"), Item::Corrupted];
        assert_eq!(seen, expected.map(|item| format!("{item:?}")));
    }
}
