//! MQTT 3.1.1 with QoS 0: a room is a topic. A packet is a byte of its kind, the length of what
//! follows in 1 to 4 bytes of 7 bits, lowest first, and that. The author hears itself. No
//! keep-alive is asked for.

use crate::protocol::Item;
use crate::protocol::frames::Frame;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 9;
const UNSUBSCRIBE: u8 = 0xa2;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;

/// A clean session, without a name or password.
const CLEAN: u8 = 2;
/// One request is under way at most, so all have one number.
const REQUEST: [u8; 2] = [0, 1];
/// A SUBACK with this instead of a QoS is a refusal.
const FAILURE: u8 = 0x80;

pub(crate) fn hello(out: &mut Vec<u8>, name: &str) {
    let body = [b"\0\x04MQTT\x04", &[CLEAN, 0, 0][..], &string(name)].concat();
    packet(out, CONNECT, &[&body]);
}

pub(crate) fn enter(out: &mut Vec<u8>, room: &str) {
    packet(out, SUBSCRIBE, &[&REQUEST, &string(room), &[0]]);
}

pub(crate) fn leave(out: &mut Vec<u8>, room: &str) {
    packet(out, UNSUBSCRIBE, &[&REQUEST, &string(room)]);
}

pub(crate) fn say(out: &mut Vec<u8>, room: &str, text: &[u8]) {
    packet(out, PUBLISH << 4, &[&string(room), text]);
}

fn string(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).expect("names of ours are short");
    [&len.to_be_bytes()[..], text.as_bytes()].concat()
}

fn packet(out: &mut Vec<u8>, first: u8, parts: &[&[u8]]) {
    out.push(first);
    let mut len = parts.iter().map(|part| part.len()).sum::<usize>();
    while len > 0x7f {
        out.push(u8::try_from(len & 0x7f).expect("7 bits") | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).expect("7 bits"));
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// A packet.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    let (body_at, body_len) = match lengths(bytes) {
        Ok(Some(lengths)) => lengths,
        Ok(None) => return Frame::Partial,
        Err(()) => return Frame::Broken,
    };
    let Some(body) = bytes.get(body_at..body_at + body_len) else { return Frame::Partial };
    match item(bytes[0], body) {
        Ok(item) => Frame::Whole(body_at + body_len, item),
        Err(()) => Frame::Broken,
    }
}

/// Where the body begins, and how long it is.
fn lengths(bytes: &[u8]) -> Result<Option<(usize, usize)>, ()> {
    let mut len = 0;
    for place in 0..4 {
        let Some(&byte) = bytes.get(1 + place) else { return Ok(None) };
        len |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + place, len)));
        }
    }
    Err(())
}

fn item(first: u8, body: &[u8]) -> Result<Option<Item<'_>>, ()> {
    match (first >> 4, body) {
        (PUBLISH, [high, low, rest @ ..]) => {
            let topic_len = usize::from(u16::from_be_bytes([*high, *low]));
            // Above QoS 0 a number stands between topic and text; we subscribe with QoS 0.
            if first & 0b110 != 0 {
                return Err(());
            }
            rest.get(topic_len..).map(|text| Some(Item::Text(text))).ok_or(())
        }
        (CONNACK, [_, 0]) | (SUBACK, [_, _, 0..=2]) | (UNSUBACK, [_, _]) => Ok(Some(Item::Done)),
        (CONNACK, [_, why]) => Ok(Some(Item::Refused(refusal(*why)))),
        (SUBACK, [_, _, FAILURE]) => Ok(Some(Item::Refused(b"the subscription was refused"))),
        (PINGRESP, []) => Ok(None),
        _ => Err(()),
    }
}

/// What the return code of a CONNACK means.
fn refusal(code: u8) -> &'static [u8] {
    match code {
        1 => b"it does not speak MQTT 3.1.1",
        2 => b"it does not take the client's name",
        3 => b"it is unavailable",
        4 => b"it wants another name and password",
        5 => b"it lets nobody in without a password",
        _ => b"it refused the connection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;
    use crate::protocol::streams::{items, written};

    #[test]
    fn what_is_said_is_packets() {
        let connect = "\\x10\\x0e\\x00\\x04MQTT\\x04\\x02\\x00\\x00\\x00\\x02l1";
        assert_eq!(written(|out| hello(out, "l1")), connect);
        assert_eq!(written(|out| enter(out, "r")), "\\x82\\x06\\x00\\x01\\x00\\x01r\\x00");
        assert_eq!(written(|out| leave(out, "r")), "\\xa2\\x05\\x00\\x01\\x00\\x01r");
        assert_eq!(written(|out| say(out, "r", b"@text")), "0\\x08\\x00\\x01r@text");
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for (len, bytes) in [(0, 2), (127, 2), (128, 3), (300, 3), (16_383, 3), (16_384, 4)] {
            let mut out = Vec::new();
            packet(&mut out, 0xd0, &[&vec![b'x'; len]]);
            assert_eq!(lengths(&out), Ok(Some((bytes, len))));
            assert_eq!(out.len(), bytes + len);
        }
        assert_eq!(lengths(b"\xd0\xff\xff\xff\xff"), Err(()));
    }

    #[test]
    fn what_arrives_is_packets() {
        let mut stream = b"\x20\x02\0\0\x90\x03\0\x01\0\xd0\0".to_vec();
        say(&mut stream, "r", b"@text");
        say(&mut stream, "room", &[b'@'; 130]);
        stream.extend_from_slice(b"\xb0\x02\0\x01\x20\x02\0\x05\x90\x03\0\x01\x80");
        let long = format!("text {}", "@".repeat(130));
        let expected = [
            "done",
            "done",
            "text @text",
            &long,
            "done",
            "refused it lets nobody in without a password",
            "refused the subscription was refused",
        ];
        assert_eq!(items(Protocol::Mqtt, &stream), expected);
    }

    #[test]
    fn what_is_no_packet_shows() {
        let wrong: [&[u8]; 5] =
            [b"\0\0", b"0\x01\0", b"0\x03\0\x02r", b"2\x05\0\x01r\0\x01", b"\x20\x01\0"];
        for wrong in wrong {
            let seen = items(Protocol::Mqtt, &[wrong, b"\xd0\0"].concat());
            assert_eq!(seen[0], "corrupted", "{wrong:?}");
            assert_eq!(seen.len(), 2);
        }
    }
}
