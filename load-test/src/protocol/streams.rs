//! For tests: what a decoder makes of a stream, whole and cut at every byte.

use super::{Item, Protocol};

/// What the stream is, as text; the same wherever it is cut.
pub(crate) fn items(protocol: Protocol, stream: &[u8]) -> Vec<String> {
    let whole = of_chunks(protocol, &[stream]);
    for at in 0..=stream.len() {
        let cut = of_chunks(protocol, &[&stream[..at], &stream[at..]]);
        assert_eq!(cut, whole, "{} cut at {at}", protocol.name());
    }
    let bytes: Vec<_> = stream.chunks(1).collect();
    assert_eq!(of_chunks(protocol, &bytes), whole, "{} byte by byte", protocol.name());
    whole
}

fn of_chunks(protocol: Protocol, chunks: &[&[u8]]) -> Vec<String> {
    let (mut decoder, mut seen) = (protocol.decoder(), Vec::new());
    for chunk in chunks {
        decoder.feed(chunk, |item| seen.push(text(item)));
    }
    seen
}

fn text(item: Item<'_>) -> String {
    let with = |name: &str, bytes: &[u8]| format!("{name} {}", bytes.escape_ascii());
    match item {
        Item::Done => "done".into(),
        Item::Corrupted => "corrupted".into(),
        Item::Refused(why) => with("refused", why),
        Item::Text(text) => with("text", text),
        Item::Answer(words) => with("answer", words),
        Item::Notice(words) => with("notice", words),
    }
}

/// What a function appends.
pub(crate) fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    out.escape_ascii().to_string()
}
