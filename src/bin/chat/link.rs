//! The way to the server: connecting, and cutting what arrives into lines that are safe to print.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::args::Target;
use crate::dialect::Dialect;
use crate::limits::{
    CONNECT_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, LINE_LEN_MAX, READ_LEN,
    SEND_TIMEOUT, UNENDED_PAUSE,
};

/// Connects to the first address of the target that answers.
///
/// # Errors
/// Those of the last address tried.
pub(crate) fn connect(target: &Target) -> io::Result<TcpStream> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (target.host.as_str(), target.port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"));
        }
        match TcpStream::connect_timeout(&address, left).and_then(prepared) {
            Ok(stream) => return Ok(stream),
            Err(this) => error = this,
        }
    }
    Err(error)
}

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SEND_TIMEOUT))?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// The reason without the number of the error, for people.
pub(crate) fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut {
        return "no answer".to_owned();
    }
    let words = error.to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Reads until the end of the connection and hands each line on, clean.
///
/// # Errors
/// If it ended otherwise than by the server's closing it.
pub(crate) fn read_lines(
    mut stream: &TcpStream,
    dialect: &Dialect,
    mut each: impl FnMut(&str),
) -> io::Result<()> {
    let mut cutter = Cutter { has_lines: dialect.has_lines(), ..Cutter::default() };
    let mut bytes = vec![0; READ_LEN];
    let end = loop {
        stream.set_read_timeout(cutter.patience())?;
        match stream.read(&mut bytes) {
            Ok(0) => break Ok(()),
            Ok(len) => cutter.push(&bytes[..len], &mut each),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => cutter.end(&mut each),
            Err(error) => break Err(error),
        }
    };
    cutter.end(&mut each);
    end
}

/// Cuts bytes into lines: LF ends one, CR is dropped with the other control characters.
#[derive(Debug, Default)]
struct Cutter {
    /// See `Dialect::has_lines`. Otherwise empty lines only part messages, and one without its end
    /// is whole when nothing follows it.
    has_lines: bool,
    /// The line so far, without its end.
    line: Vec<u8>,
    options: Options,
}

impl Cutter {
    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(&str)) {
        for &byte in bytes {
            match self.options.take(byte) {
                Some(b'\n') => self.end_line(each),
                Some(byte) => self.line.push(byte),
                None => {}
            }
            if self.line.len() >= LINE_LEN_MAX {
                self.end_line(each);
            }
        }
    }

    /// How long the rest of a line is waited for.
    fn patience(&self) -> Option<Duration> {
        (!self.has_lines && !self.line.is_empty()).then_some(UNENDED_PAUSE)
    }

    fn end_line(&mut self, each: &mut impl FnMut(&str)) {
        if self.line.is_empty() && !self.has_lines {
            return;
        }
        each(&clean(&String::from_utf8_lossy(&self.line)));
        self.line.clear();
    }

    fn end(&mut self, each: &mut impl FnMut(&str)) {
        if !self.line.is_empty() {
            self.end_line(each);
        }
    }
}

/// Takes telnet's options (RFC 854) out of a stream. They go unanswered, which declines them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Options {
    #[default]
    Text,
    /// After IAC.
    Command,
    /// After WILL, WONT, DO or DONT: the option follows.
    Option,
    /// Between SB and SE.
    Sub,
    /// After IAC in there.
    SubCommand,
}

impl Options {
    const IAC: u8 = 255;
    const SB: u8 = 250;
    const SE: u8 = 240;

    /// The byte, if it is text.
    fn take(&mut self, byte: u8) -> Option<u8> {
        *self = match (*self, byte) {
            (Self::Text, Self::IAC) => Self::Command,
            (Self::Text, byte) => return Some(byte),
            (Self::Command, Self::SB) => Self::Sub,
            (Self::Command, 251..=254) => Self::Option,
            (Self::Command, _) | (Self::Option, _) | (Self::SubCommand, Self::SE) => Self::Text,
            (Self::Sub, Self::IAC) => Self::SubCommand,
            (Self::Sub | Self::SubCommand, _) => Self::Sub,
        };
        None
    }
}

/// `text` without what would move the cursor, ring, reorder or start an escape; TAB is a space.
/// The server may be anybody's.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|&c| is_harmless(c)).collect()
}

fn is_harmless(character: char) -> bool {
    use GeneralCategory as G;
    match character {
        ' '..='~' => true,
        // ZWNJ and ZWJ: Persian, the scripts of India and composed emoji need them.
        '\u{200c}' | '\u{200d}' => true,
        _ => !matches!(
            character.general_category(),
            G::Control | G::Format | G::LineSeparator | G::ParagraphSeparator
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        lines_by(Cutter { has_lines: true, ..Cutter::default() }, pieces)
    }

    fn lines_by(mut cutter: Cutter, pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut each = |line: &str| lines.push(line.to_owned());
        pieces.iter().for_each(|piece| cutter.push(piece, &mut each));
        cutter.end(&mut each);
        lines
    }

    #[test]
    fn lines_whatever_the_cuts() {
        let bytes = "a\r\nb\n\n\u{1b}[2J\u{9b}31mc\u{7}\r\r\nt\tt\n语\u{202e}x\nrest".as_bytes();
        let expected = ["a", "b", "", "[2J31mc", "t t", "语x", "rest"];
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            assert_eq!(lines(&[left, right]), expected, "{at}");
        }
    }

    #[test]
    fn messages_without_ends_are_lines_too() {
        let mut cutter = Cutter::default();
        assert_eq!(cutter.patience(), None);
        cutter.push(b"\n<a>one", &mut |line| panic!("{line}"));
        assert_eq!(cutter.patience(), Some(UNENDED_PAUSE));
        assert_eq!(lines_by(cutter, &[b"\n<a>two\n\n<a>three"]), ["<a>one", "<a>two", "<a>three"]);
    }

    #[test]
    fn options_are_taken_out() {
        let bytes = b"\xff\xfb\x01a\xff\xfa\x18\x01\nx\xff\xff\xff\xf0b\xff\xf1\n";
        assert_eq!(lines(&[bytes]), ["ab"]);
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces() {
        let lines = lines(&[&vec![b'x'; LINE_LEN_MAX + 1]]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_LEN_MAX, 1]);
    }

    #[test]
    fn reasons_have_no_numbers() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(reason(&refused), "Connection refused");
        assert_eq!(reason(&io::Error::from(io::ErrorKind::TimedOut)), "no answer");
    }
}
