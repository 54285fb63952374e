//! What this end and the other agree on, and the way into rich mode and out of it.
//!
//! Nothing is asked before the person asks for rich mode. What the other end asks for is refused,
//! each request once, but for CHARSET, which is agreed to, and by which UTF-8 is (RFC 2066). Into
//! rich mode:
//!
//! ```text
//! Line ──▶ Identify ──▶ Agree ──▶ Rich        Identify: TTYPE, three times, and NAWS
//!   ▲          │           │        │         Agree:    ECHO and SGA, both or nothing
//!   └──────────┴───────────┴────────┘
//! ```
//! The client is asked who it is first, because a MUD client that is told of ECHO hides what is
//! typed. Who never answers stays where it is, in line mode.

use serde::{Deserialize, Serialize};

use super::code::{
    CHARSET, DO, DONT, ECHO, IAC, MUD_OPTIONS, NAWS, SB, SE, SGA, TTYPE, WILL, WONT,
};
use super::line::TypedLine;
use super::option::Side;
use super::rich::Rich;
use crate::chat::RichMode;
use crate::dialect::is_default;
use crate::limits::{SUBNEGOTIATION_KEPT_LEN_MAX, TERMINAL_ASKS};

/// Names by which MUD clients go, in TTYPE's answers; in capitals, and only how they begin. Newer
/// ones say MTTS.
const MUD_CLIENTS: [&[u8]; 11] = [
    b"MTTS ",
    b"ATLANTIS",
    b"BLIGHTMUD",
    b"CMUD",
    b"KBTIN",
    b"MUDLET",
    b"MUSHCLIENT",
    b"POTATO",
    b"TINTIN",
    b"TINYFUGUE",
    b"ZMUD",
];

/// First byte of TTYPE's subnegotiations.
const IS: u8 = 0;
const SEND: u8 = 1;
/// First byte of CHARSET's.
const REQUEST: u8 = 1;
const ACCEPTED: u8 = 2;
const REJECTED: u8 = 3;

const UTF_8: &[u8] = b"UTF-8";

/// What the other end says about an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    Will,
    Wont,
    Do,
    Dont,
}

/// Where a connection stands that has negotiated, or was asked to.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Negotiation {
    #[serde(skip_serializing_if = "is_default")]
    requests: Requests,
    stage: Stage,
    /// Ours: these make a client send each key.
    echo: Side,
    go_ahead: Side,
    our_charset: Side,
    /// The other end's.
    window: Side,
    terminal: Side,
    their_charset: Side,
    /// It said all it had to say of itself.
    identified: bool,
    /// It said that it is a MUD client.
    is_mud: bool,
    /// 0 if not known.
    width: u16,
    /// The subnegotiation under way, its option first; at most one byte over the limit.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    kept: Vec<u8>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
enum Stage {
    #[default]
    Line,
    /// It was asked what it is, so many times.
    Identify(u8),
    Agree,
    Rich(Box<Rich>),
}

/// A bit for each request and option. A request is answered once, so there can be no loop.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Requests {
    bits: [[u64; 4]; 2],
}

impl Negotiation {
    /// The editor, in rich mode.
    pub(super) fn rich(&mut self) -> Option<&mut Rich> {
        match &mut self.stage {
            Stage::Rich(rich) => Some(rich),
            _ => None,
        }
    }

    pub(super) fn is_rich(&self) -> bool {
        matches!(self.stage, Stage::Rich(_))
    }

    /// Whether these words end rich mode.
    pub(super) fn would_end(&self, word: Word, option: u8) -> bool {
        self.is_rich() && word == Word::Dont && matches!(option, ECHO | SGA)
    }

    /// The person wants rich mode: what becomes of that, and what to send for it.
    pub(super) fn ask(&mut self, out: &mut Vec<u8>) -> RichMode {
        match self.stage {
            Stage::Rich(_) => return RichMode::On,
            Stage::Identify(_) | Stage::Agree => return RichMode::Asked,
            Stage::Line => {}
        }
        self.is_mud |= MUD_OPTIONS.iter().any(|option| self.requests.has(*option));
        if self.is_mud {
            return RichMode::MudClient;
        }
        put(out, self.window.want(true), Word::Do, NAWS);
        if self.identified {
            self.offer(out);
        } else {
            self.stage = Stage::Identify(0);
            put(out, self.terminal.want(true), Word::Do, TTYPE);
            // It may be on from the last time.
            self.go_on(out);
        }
        RichMode::Asked
    }

    /// Back to line mode, or on in it; returns what was typed in rich mode and not ended.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Option<TypedLine> {
        put(out, self.echo.want(false), Word::Will, ECHO);
        put(out, self.go_ahead.want(false), Word::Will, SGA);
        put(out, self.window.want(false), Word::Do, NAWS);
        match std::mem::take(&mut self.stage) {
            Stage::Rich(rich) => Some(rich.into_typed()),
            _ => None,
        }
    }

    /// The other end says a word about an option. When it brings rich mode's end, `end` follows.
    pub(super) fn hear(&mut self, word: Word, option: u8, out: &mut Vec<u8>) -> Option<RichMode> {
        let yes = matches!(word, Word::Will | Word::Do);
        let side = match (word, option) {
            (Word::Do | Word::Dont, ECHO) => Some(&mut self.echo),
            (Word::Do | Word::Dont, SGA) => Some(&mut self.go_ahead),
            (Word::Will | Word::Wont, NAWS) => Some(&mut self.window),
            (Word::Will | Word::Wont, TTYPE) => Some(&mut self.terminal),
            (Word::Do | Word::Dont, CHARSET) => Some(&mut self.our_charset),
            (Word::Will | Word::Wont, CHARSET) => Some(&mut self.their_charset),
            _ => None,
        };
        match side {
            Some(side) if !(yes && side.is_off()) => {
                put(out, side.hear(yes), word.answer(), option);
                return self.go_on(out);
            }
            Some(side) if option == CHARSET => {
                side.agree();
                put(out, Some(true), word.answer(), option);
                if word == Word::Do && self.requests.insert(word, option) {
                    // Once, however often it is agreed on. The first byte of the list separates it.
                    put_subnegotiation(out, CHARSET, REQUEST, &[b";", UTF_8].concat());
                }
            }
            _ if yes && self.requests.insert(word, option) => {
                put(out, Some(false), word.answer(), option);
            }
            _ => {}
        }
        None
    }

    /// Something was agreed on or refused.
    fn go_on(&mut self, out: &mut Vec<u8>) -> Option<RichMode> {
        match self.stage {
            Stage::Identify(0) if self.terminal.is_on() => {
                self.ask_terminal(1, out);
                None
            }
            Stage::Identify(_) if self.terminal.is_off() => {
                self.offer(out);
                None
            }
            Stage::Agree if self.echo.is_on() && self.go_ahead.is_on() => {
                self.stage = Stage::Rich(Box::new(Rich::new(self.width)));
                Some(RichMode::On)
            }
            Stage::Agree if self.echo.is_off() || self.go_ahead.is_off() => {
                self.end(out);
                Some(RichMode::Refused)
            }
            Stage::Rich(_) if self.echo.is_off() || self.go_ahead.is_off() => Some(RichMode::Off),
            _ => None,
        }
    }

    fn ask_terminal(&mut self, count: u8, out: &mut Vec<u8>) {
        self.stage = Stage::Identify(count);
        put_subnegotiation(out, TTYPE, SEND, &[]);
    }

    fn offer(&mut self, out: &mut Vec<u8>) {
        self.identified = true;
        self.stage = Stage::Agree;
        put(out, self.echo.want(true), Word::Will, ECHO);
        put(out, self.go_ahead.want(true), Word::Will, SGA);
    }

    /// A subnegotiation begins.
    pub(super) fn begin_subnegotiation(&mut self) {
        self.kept.clear();
    }

    /// Its next byte, the option first.
    pub(super) fn keep(&mut self, byte: u8) {
        let option = self.kept.first().copied().unwrap_or(byte);
        let is_read = matches!(option, TTYPE | NAWS | CHARSET);
        if is_read && self.kept.len() <= SUBNEGOTIATION_KEPT_LEN_MAX {
            self.kept.push(byte);
        }
    }

    /// It ends. What rich mode draws for that goes to `drawn`.
    pub(super) fn end_subnegotiation(
        &mut self,
        out: &mut Vec<u8>,
        drawn: &mut String,
    ) -> Option<RichMode> {
        let kept = std::mem::take(&mut self.kept);
        match *kept.as_slice() {
            [NAWS, high, low, _, _] => {
                self.width = u16::from_be_bytes([high, low]);
                let width = self.width;
                if let Some(rich) = self.rich() {
                    rich.resize(width, drawn);
                }
                None
            }
            [TTYPE, IS, ref name @ ..] => self.identify(name, out),
            [CHARSET, REQUEST, ref list @ ..]
                if self.our_charset.is_on() || self.their_charset.is_on() =>
            {
                match utf_8_in(list).filter(|_| kept.len() <= SUBNEGOTIATION_KEPT_LEN_MAX) {
                    Some(name) => put_subnegotiation(out, CHARSET, ACCEPTED, name),
                    None => put_subnegotiation(out, CHARSET, REJECTED, &[]),
                }
                None
            }
            _ => None,
        }
    }

    fn identify(&mut self, name: &[u8], out: &mut Vec<u8>) -> Option<RichMode> {
        let Stage::Identify(count @ 1..) = self.stage else { return None };
        let name = name.to_ascii_uppercase();
        if MUD_CLIENTS.iter().any(|mud| name.starts_with(mud)) {
            self.is_mud = true;
            self.end(out);
            return Some(RichMode::MudClient);
        }
        if count < TERMINAL_ASKS {
            self.ask_terminal(count + 1, out);
        } else {
            self.offer(out);
        }
        None
    }
}

impl Requests {
    /// Whether the request is a new one.
    fn insert(&mut self, word: Word, option: u8) -> bool {
        let place = &mut self.bits[usize::from(word == Word::Do)][usize::from(option / 64)];
        let bit = 1 << (option % 64);
        let is_new = *place & bit == 0;
        *place |= bit;
        is_new
    }

    /// Whether either request was made for the option.
    fn has(&self, option: u8) -> bool {
        self.bits.iter().any(|bits| bits[usize::from(option / 64)] & 1 << (option % 64) != 0)
    }
}

impl Word {
    /// The word by which this end says yes to it, or to what it denies.
    fn answer(self) -> Self {
        match self {
            Self::Will | Self::Wont => Self::Do,
            Self::Do | Self::Dont => Self::Will,
        }
    }
}

/// Says yes (`word`) or no to an option, or nothing.
fn put(out: &mut Vec<u8>, say: Option<bool>, word: Word, option: u8) {
    let Some(yes) = say else { return };
    let byte = match (word, yes) {
        (Word::Will | Word::Wont, true) => WILL,
        (Word::Will | Word::Wont, false) => WONT,
        (Word::Do | Word::Dont, true) => DO,
        (Word::Do | Word::Dont, false) => DONT,
    };
    out.extend([IAC, byte, option]);
}

/// `data` holds no IAC.
fn put_subnegotiation(out: &mut Vec<u8>, option: u8, first: u8, data: &[u8]) {
    out.extend([IAC, SB, option, first]);
    out.extend(data);
    out.extend([IAC, SE]);
}

/// UTF-8 as it is written in a list of character sets, whose first byte is what separates them.
fn utf_8_in(list: &[u8]) -> Option<&[u8]> {
    // The other end can translate too, with a version in a byte; nothing is to be translated.
    let list = list.strip_prefix(b"[TTABLE]").map_or(list, |rest| rest.get(1..).unwrap_or(&[]));
    let (separator, names) = list.split_first()?;
    names.split(|byte| byte == separator).find(|name| name.eq_ignore_ascii_case(UTF_8))
}
