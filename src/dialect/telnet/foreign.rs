//! Other protocols, recognised by the first bytes of a connection: browsers and scanners for HTTP,
//! TLS, SSH, SMB and SOCKS come to any port, and so does a load balancer's PROXY header where that
//! was turned on by mistake.
//!
//! A protocol is known by more than its first word, so that a person may begin with `GET well soon`
//! or `SSH is nice`. Works on raw bytes, in pieces of any length. It settles before the first line
//! that is not empty: of what it looks for, only the second PROXY header and the length in SMB's
//! first bytes may hold a line end, and nothing to read stands before it.

use serde::{Deserialize, Serialize};

use crate::dialect::is_default;
use Stage::{
    Foreign, Head, Host, Person, Port, Pr, ProxyFamily, SmbLength, SmbMark, Socks4, Socks5,
    SshVersion, Target, TlsVersion, Version,
};

/// How far the first bytes of a connection agree with another protocol's.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Opening {
    stage: Stage,
    /// Bytes read in this stage; in `Port`, those of the host too.
    #[serde(skip_serializing_if = "is_default")]
    position: u8,
    /// One bit for each word of this stage's table.
    #[serde(skip_serializing_if = "is_default")]
    ruled_out: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    #[default]
    Head,
    TlsVersion,
    SshVersion,
    /// What an HTTP request asks for.
    Target,
    /// The host and the port of `CONNECT host:port HTTP/1.1`.
    Host,
    Port,
    Version,
    /// What begins with these two letters.
    Pr,
    /// What a PROXY header of the first version tells of.
    ProxyFamily,
    /// A command of SOCKS 4, and how many ways of SOCKS 5.
    Socks4,
    Socks5,
    /// The three bytes of length before SMB's mark, of which the first is 0, and the mark.
    SmbLength,
    SmbMark,
    /// Settled: nothing known, so it is for people.
    Person,
    /// Settled: another protocol.
    Foreign,
}

/// A word, and the stage it leads to. No word of a table begins another of it.
type Word = (&'static [u8], Stage);

const HEADS: &[Word] = &[
    (b"GET ", Target),
    (b"HEAD ", Target),
    (b"POST ", Target),
    (b"PUT ", Target),
    (b"DELETE ", Target),
    (b"OPTIONS ", Target),
    (b"PATCH ", Target),
    (b"TRACE ", Target),
    (b"CONNECT ", Host),
    (b"PR", Pr),
    // A TLS record that holds a handshake.
    (b"\x16\x03", TlsVersion),
    (b"SSH-", SshVersion),
    // The PROXY protocol's second header.
    (b"\r\n\r\n\0\r\nQUIT\n", Foreign),
    (&[4], Socks4),
    (&[5], Socks5),
    // A NetBIOS session's message.
    (&[0, 0], SmbLength),
];
const TARGETS: &[Word] =
    &[(b"/", Foreign), (b"*", Foreign), (b"http://", Foreign), (b"https://", Foreign)];
const TLS_VERSIONS: &[Word] =
    &[(&[0], Foreign), (&[1], Foreign), (&[2], Foreign), (&[3], Foreign), (&[4], Foreign)];
const SSH_VERSIONS: &[Word] = &[(b"1.", Foreign), (b"2.", Foreign)];
const VERSIONS: &[Word] = &[(b"HTTP/", Foreign)];
// The preface of HTTP/2, and the PROXY protocol's first header.
const PRS: &[Word] = &[(b"I * HTTP/2", Foreign), (b"OXY ", ProxyFamily)];
const PROXY_FAMILIES: &[Word] =
    &[(b"TCP4 ", Foreign), (b"TCP6 ", Foreign), (b"UNKNOWN\r\n", Foreign)];
// Connect and bind.
const SOCKS4_COMMANDS: &[Word] = &[(&[1], Foreign), (&[2], Foreign)];
// Up to four ways to prove who one is, the first of them none, GSSAPI or a password.
const SOCKS5_WAYS: &[Word] = &[
    (&[1, 0], Foreign),
    (&[1, 2], Foreign),
    (&[2, 0], Foreign),
    (&[3, 0], Foreign),
    (&[4, 0], Foreign),
];
const SMB_MARKS: &[Word] = &[(b"\xffSMB", Foreign), (b"\xfeSMB", Foreign)];

const _: () = assert!(HEADS.len() <= u16::BITS as usize);

impl Opening {
    /// Reads the connection's next bytes. `Some` tells at which length another protocol was
    /// recognised; it comes once at most.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, &byte) in bytes.iter().enumerate() {
            if matches!(self.stage, Person | Foreign) {
                return None;
            }
            self.read_byte(byte);
            if self.stage == Foreign {
                return Some(index + 1);
            }
        }
        None
    }

    fn read_byte(&mut self, byte: u8) {
        match self.stage {
            Head => self.read_word(HEADS, byte),
            TlsVersion => self.read_word(TLS_VERSIONS, byte),
            SshVersion => self.read_word(SSH_VERSIONS, byte),
            Target => self.read_word(TARGETS, byte),
            Version => self.read_word(VERSIONS, byte),
            Pr => self.read_word(PRS, byte),
            ProxyFamily => self.read_word(PROXY_FAMILIES, byte),
            Socks4 => self.read_word(SOCKS4_COMMANDS, byte),
            Socks5 => self.read_word(SOCKS5_WAYS, byte),
            SmbLength if self.position >= 1 => self.enter(SmbMark),
            SmbLength => self.position += 1,
            SmbMark => self.read_word(SMB_MARKS, byte),
            Host | Port => self.read_authority(byte),
            Person | Foreign => {}
        }
    }

    fn read_word(&mut self, words: &[Word], byte: u8) {
        let position = usize::from(self.position);
        let mut possible = false;
        for (index, (word, next)) in words.iter().enumerate() {
            let bit = 1 << index;
            if self.ruled_out & bit != 0 {
                continue;
            }
            match word.get(position..) {
                Some([expected]) if *expected == byte => return self.enter(*next),
                Some([expected, ..]) if *expected == byte => possible = true,
                _ => self.ruled_out |= bit,
            }
        }
        if possible {
            self.position += 1;
        } else {
            self.enter(Person);
        }
    }

    fn read_authority(&mut self, byte: u8) {
        match (self.stage, byte) {
            (Port, b' ') => self.enter(Version),
            // A name longer than any host's is left to people: the search stays within one line.
            (_, b'!'..=b'~') if self.position < u8::MAX => {
                self.position += 1;
                if byte == b':' {
                    self.stage = Port;
                }
            }
            _ => self.enter(Person),
        }
    }

    fn enter(&mut self, stage: Stage) {
        *self = Self { stage, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length at which `bytes` is recognised, the same at every split.
    fn recognised(bytes: &[u8]) -> Option<usize> {
        let whole = Opening::default().read(bytes);
        for split in 0..=bytes.len() {
            let mut opening = Opening::default();
            let first = opening.read(&bytes[..split]);
            let second = opening.read(&bytes[split..]).map(|len| split + len);
            assert_eq!(first.or(second), whole, "{bytes:?} at {split}");
            assert!(first.is_none() || second.is_none(), "twice: {bytes:?} at {split}");
        }
        whole
    }

    #[test]
    fn other_protocols() {
        for (bytes, len) in [
            (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], 5),
            (b"HEAD /x", 6),
            (b"POST /api", 6),
            (b"PUT /", 5),
            (b"DELETE /", 8),
            (b"OPTIONS * HTTP/1.1\r\n", 9),
            (b"OPTIONS / HTTP/1.1\r\n", 9),
            (b"PATCH /", 7),
            (b"TRACE /", 7),
            (b"GET http://a.example/ HTTP/1.1", 11),
            (b"GET https://a.example/ HTTP/1.1", 12),
            (b"CONNECT a.example:443 HTTP/1.1\r\n", 27),
            (b"CONNECT [::1]:443 HTTP/1.1\r\n", 23),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 12),
            (b"\x16\x03\x01\x02\x00\x01", 3),
            (b"\x16\x03\x00", 3),
            (b"\x16\x03\x04", 3),
            (b"SSH-2.0-OpenSSH_9.9\r\n", 6),
            (b"SSH-1.99-x", 6),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", 11),
            (b"PROXY TCP6 ::1 ::1 1 2\r\n", 11),
            (b"PROXY UNKNOWN\r\n", 15),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 12),
            (b"\x04\x01\0\x50\x7f\0\0\x01\0", 2),
            (b"\x05\x01\0", 3),
            (b"\x05\x02\0\x02", 3),
            (b"\0\0\0\x85\xffSMBr", 8),
            (b"\0\0\n\n\xfeSMB@", 8),
        ] {
            assert_eq!(recognised(bytes), Some(len), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn people() {
        for bytes in [
            &b""[..],
            b"GET",
            b"GET well soon\r\n",
            b"GET http is a protocol\n",
            b"get / of it\n",
            b"GETTING /there\n",
            b"POST the letter /now\n",
            b"POSTER /\n",
            b" GET /\n",
            b"PRI * HTTP/1\n",
            b"CONNECT the dots HTTP/ ok\n",
            b"CONNECT four HTTP/1 servers\n",
            b"CONNECT a:1\r\n HTTP/1.1",
            b"CONNECT a:1 HTTPS\r\n",
            b"SSH is nice\n",
            b"SSH-keys are nice\n",
            b"SSH-3.0\n",
            b"PROXY TCP is fine\n",
            b"PROXY UNKNOWN to me\n",
            b"\r\n\r\nQUIT\n",
            b"\x04\x03",
            b"\x05\x05\0",
            b"\0\0\0\x85\xffSMX",
            b"\0hello\n",
            b"\x16\x03\x05",
            b"\x16\x16\x03\x01",
            b"hello\r\nGET / HTTP/1.1\r\n",
        ] {
            assert_eq!(recognised(bytes), None, "{}", bytes.escape_ascii());
        }
        let endless = [b"CONNECT ".to_vec(), vec![b'a'; 300], b":1 HTTP/1.1".to_vec()].concat();
        assert_eq!(recognised(&endless), None);
    }
}
