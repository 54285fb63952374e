//! The fake clients: what they type, how they read, how they go.

use chatd::dialect::Dialect;
use chatd::engine::SlowPolicy;
use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::net::{Net, SocketId};
use crate::options::Options;
use crate::oracle::{Oracle, PersonId};
use crate::person::Said;
use crate::rich::{self, Rich};
use crate::rng::Rng;

const NICKS: [&str; 7] = ["plato", "zeno", "hypatia", "diotima", "a-b_c", "all", "x"];
/// How many kinds of lines there are to draw from.
pub(crate) const WORDS: usize = 67;
/// How many there were at first: seeds kept from then replay with as many.
pub(crate) const FIRST_WORDS: usize = 40;
const ROOMS: [&str; 4] = ["lobby", "stoa", "agora", "garden"];
/// Rooms that frames can be for.
const NUMBERS: [&str; 3] = ["111", "112", "7"];

/// How a client takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// All of it at once.
    Promptly,
    /// So many bytes, then nothing for so long.
    Slowly {
        len: usize,
        pause: u64,
    },
    Never,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) person: PersonId,
    pub(crate) socket: SocketId,
    dialect: Dialect,
    /// It wrote its id; of `p2p`.
    introduced: bool,
    /// It waits for the answer before it writes more: its id has no line end.
    waits: bool,
    /// What becomes of slow readers where it connected.
    pub(crate) policy: SlowPolicy,
    pub(crate) reading: Reading,
    /// It always read promptly.
    pub(crate) always_prompt: bool,
    /// Typed, and not on its way yet.
    typed: VecDeque<u8>,
    read_again_at: u64,
    /// It sends no more, but reads on.
    pub(crate) finished: bool,
    /// It cut itself short, or is gone.
    pub(crate) left: bool,
    /// It did something that the server must close it for.
    pub(crate) is_foul: bool,
    sequence: u64,
    /// It asked for rich mode.
    pub(crate) rich: Option<Rich>,
}

impl Client {
    pub(crate) fn new(
        person: PersonId,
        socket: SocketId,
        dialect: Dialect,
        policy: SlowPolicy,
    ) -> Self {
        Self {
            person,
            socket,
            dialect,
            introduced: false,
            waits: false,
            policy,
            reading: Reading::Promptly,
            always_prompt: true,
            typed: VecDeque::new(),
            read_again_at: 0,
            finished: false,
            left: false,
            is_foul: false,
            sequence: 0,
            rich: None,
        }
    }

    /// Asks for rich mode, first of all.
    pub(crate) fn ask_for_rich_mode(&mut self) {
        self.typed.extend(rich::ASK);
        self.rich = Some(Rich::default());
    }

    /// One thing at random.
    pub(crate) fn act(
        &mut self,
        options: &Options,
        oracle: &mut Oracle,
        net: &mut Net,
        rng: &mut Rng,
    ) {
        if self.left || self.finished {
            return;
        }
        if rng.chance(options.departures) {
            return self.depart(net, rng);
        }
        if rng.chance(options.slow_readers / 20) {
            self.change_reading(rng);
        }
        if self.dialect == Dialect::P2p && !self.introduced {
            return self.introduce(oracle, net, rng);
        }
        self.waits &= !oracle.was_welcomed(self.person);
        if self.typed.len() < 8_000 && !self.waits {
            for _ in 0..=rng.below(4) * rng.below(2) {
                match self.dialect {
                    Dialect::Telnet => self.type_line(options, oracle, rng),
                    Dialect::Rid => self.type_frame(options, oracle, rng),
                    Dialect::P2p => self.type_address(options, oracle, rng),
                }
            }
        }
        let len = match rng.below(4) {
            0 => 1,
            1 => rng.below(30),
            _ => self.typed.len(),
        };
        self.write(len, net);
    }

    fn depart(&mut self, net: &mut Net, rng: &mut Rng) {
        match rng.below(5) {
            0 => {
                net.sockets[self.socket].break_off(libc::ECONNRESET);
                self.left = true;
            }
            1 => {
                net.sockets[self.socket].leave();
                self.left = true;
            }
            // In the middle of a line, perhaps.
            2 => {
                net.sockets[self.socket].finish();
                self.finished = true;
                self.left = !self.typed.is_empty();
                self.always_prompt &= !self.left;
            }
            _ => self.finish(net),
        }
    }

    /// Writes all it typed, and the end.
    pub(crate) fn finish(&mut self, net: &mut Net) {
        self.flush(net);
        net.sockets[self.socket].finish();
        self.finished = true;
    }

    /// Closes, one way or another.
    pub(crate) fn go(&mut self, oracle: &mut Oracle, net: &mut Net, rng: &mut Rng) {
        if self.left || self.finished {
            return;
        }
        if self.dialect == Dialect::Telnet && rng.chance(400) {
            self.enter(Said::Quit, b"/quit".to_vec(), oracle, rng);
            self.flush(net);
        } else if rng.chance(600) {
            self.finish(net);
        } else {
            self.left = true;
            net.sockets[self.socket].leave();
        }
    }

    pub(crate) fn flush(&mut self, net: &mut Net) {
        self.write(self.typed.len(), net);
    }

    fn write(&mut self, len: usize, net: &mut Net) {
        let len = len.min(self.typed.len());
        net.sockets[self.socket].write(self.typed.drain(..len));
    }

    fn change_reading(&mut self, rng: &mut Rng) {
        self.always_prompt = false;
        self.reading = match rng.below(5) {
            0 => Reading::Promptly,
            1 => Reading::Never,
            2 => Reading::Slowly { len: usize::MAX, pause: rng.between(0, 20_000) * 1_000_000 },
            3 => Reading::Slowly { len: 1, pause: rng.between(1, 9_000) * 1_000_000 },
            _ => Reading::Slowly { len: rng.below(400) + 1, pause: rng.between(0, 30) * 1_000_000 },
        };
    }

    /// Takes what there is, its own way; returns what it got.
    pub(crate) fn read(&mut self, net: &mut Net) -> Vec<u8> {
        let now = net.now;
        if self.left || now < self.read_again_at {
            return Vec::new();
        }
        let len = match self.reading {
            Reading::Promptly => usize::MAX,
            Reading::Slowly { len, pause } => {
                self.read_again_at = now + pause;
                len
            }
            Reading::Never => return Vec::new(),
        };
        let bytes: Vec<u8> = net.sockets[self.socket].read(len).collect();
        let Some(rich) = &mut self.rich else { return bytes };
        let messages = rich.read(&bytes);
        if !self.finished {
            // Not within a command that was written half.
            self.typed.extend(rich.answers.drain(..));
            if self.typed.len() < 40 {
                self.flush(net);
            }
        }
        messages
    }

    /// Stops reading slowly; who never reads goes on like that.
    pub(crate) fn settle(&mut self, net: &mut Net) {
        self.read_again_at = 0;
        if self.reading != Reading::Never {
            self.reading = Reading::Promptly;
        }
        if !self.finished && !self.left {
            self.flush(net);
        }
    }

    fn type_line(&mut self, options: &Options, oracle: &mut Oracle, rng: &mut Rng) {
        let id = self.person;
        let sequence = self.sequence;
        self.sequence += 1;
        let (said, bytes) = match rng.below(options.words) {
            0 | 1 => {
                let name = (*rng.pick(&NICKS)).to_owned();
                (Said::Nick(name.clone()), format!("/nick {name}"))
            }
            2..=4 => {
                let room = (*rng.pick(&ROOMS)).to_owned();
                (Said::Join(room.clone()), format!("/join {room}"))
            }
            5 => (Said::Leave, "/leave".to_owned()),
            6..=8 => {
                let to = (*rng.pick(&NICKS)).to_owned();
                let text = format!("d{id}.{sequence}");
                let line = format!("/msg {to} {text}");
                (Said::Msg { to, text }, line)
            }
            9 => (Said::Who, "/who".to_owned()),
            10 => (Said::Rooms, "/rooms".to_owned()),
            11 => (Said::Help, "/help".to_owned()),
            12 => (Said::Unknown("what".to_owned()), "/what".to_owned()),
            13 => (Said::TooLong, "x".repeat(rng.below(2_000) + 1_025)),
            14 => (Said::Empty, String::new()),
            40 | 41 => {
                let text = format!("m{id}.{sequence}");
                (Said::Act(text.clone()), format!("/me {text}"))
            }
            42 => {
                let topic = format!("m{id}.{sequence}");
                (Said::Topic(topic.clone()), format!("/topic {topic}"))
            }
            43 => (Said::Topic(String::new()), "/topic -".to_owned()),
            44 | 45 => {
                let text = format!("d{id}.{sequence}");
                (Said::Reply(text.clone()), format!("/reply {text}"))
            }
            46 => {
                let name = (*rng.pick(&NICKS)).to_owned();
                (Said::Whois(name.clone()), format!("/whois {name}"))
            }
            47 => (Said::Away("lunch".to_owned()), "/away lunch".to_owned()),
            48 => (Said::Away(String::new()), "/away".to_owned()),
            49 => (Said::Here, "/here".to_owned()),
            51 | 52 => (Said::Time(true), "/time on".to_owned()),
            53 => (Said::Time(false), "/time off".to_owned()),
            50 => (Said::HelpOn("/me TEXT"), "/help me".to_owned()),
            54..=56 => {
                let room = (*rng.pick(&NUMBERS)).to_owned();
                (Said::Join(room.clone()), format!("/join {room}"))
            }
            57 => {
                let name = format!("p{}", rng.below(20));
                (Said::Nick(name.clone()), format!("/nick {name}"))
            }
            58..=60 => {
                let to = someone(rng);
                let text = format!("d{id}.{sequence}");
                let line = format!("/msg {to} {text}");
                (Said::Msg { to, text }, line)
            }
            61..=63 => {
                let name = someone(rng);
                (Said::Ignore { name: name.clone(), on: true }, format!("/ignore {name}"))
            }
            64 | 65 => {
                let name = someone(rng);
                (Said::Ignore { name: name.clone(), on: false }, format!("/unignore {name}"))
            }
            66 => (Said::Ignored, "/ignore".to_owned()),
            15 if rng.chance(100) => (Said::Quit, "/quit".to_owned()),
            16 if rng.chance(50) && self.rich.is_none() => {
                self.is_foul = true;
                return self.typed.extend([b'e'; 5_000]);
            }
            _ => {
                let mut line = format!("m{id}.{sequence}");
                if rng.chance(options.long_lines) {
                    line += &format!(" {}", "y".repeat(rng.below(900)));
                }
                (Said::Line(line.clone()), line)
            }
        };
        self.enter(said, bytes.into_bytes(), oracle, rng);
    }

    fn type_frame(&mut self, options: &Options, oracle: &mut Oracle, rng: &mut Rng) {
        let (id, sequence) = (self.person, self.sequence);
        self.sequence += 1;
        let said = match rng.below(20) {
            0 | 1 => {
                let junk =
                    ["hello", "<RID:>", "<RID:12", "</RID:111>", "<rid:1>x</rid:1>", "\u{1b}"];
                self.typed.extend(rng.pick(&junk).bytes());
                self.typed.push_back(b'\n');
                Said::Invalid
            }
            2 => {
                let text = if rng.chance(500) { "x".repeat(5_000) } else { "x\n".repeat(70) };
                self.typed.extend(format!("<RID:111>{text}</RID:111>").bytes());
                Said::TooLong
            }
            _ => {
                let room = (*rng.pick(&NUMBERS)).to_owned();
                // No text begins with the whole of another.
                let ends = ["", "", "", "\n", "\r\n", "\nmore", "\n\n<RID:7>\r", "</RID:9>", ">\n"];
                let mut text = format!("m{id}.{sequence}.{}", rng.pick(&ends));
                if rng.chance(options.long_lines) {
                    text += &"y".repeat(rng.below(900));
                }
                self.typed.extend(format!("<RID:{room}>{text}</RID:{room}>").bytes());
                let between: [&[u8]; 3] = [b"", b"\n", b"\r\n"];
                self.typed.extend(*rng.pick(&between));
                let text = text.replace("\r\n", "\n").replace('\r', "\n");
                Said::Frame { room, text }
            }
        };
        oracle.wrote(self.person, said);
    }

    /// Writes its id, in one read of the server.
    fn introduce(&mut self, oracle: &mut Oracle, net: &mut Net, rng: &mut Rng) {
        self.introduced = true;
        let bad = ["all", "two words", "", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"];
        let id = format!("p{}", self.person);
        let id = if rng.chance(100) { (*rng.pick(&bad)).to_owned() } else { id };
        let end = if id.is_empty() { "\n" } else { *rng.pick(&["", "\n", "\r\n", " \n"]) };
        self.waits = end.is_empty();
        net.sockets[self.socket].write_segment(format!("{id}{end}").as_bytes());
        oracle.wrote(self.person, Said::Id(id));
    }

    fn type_address(&mut self, options: &Options, oracle: &mut Oracle, rng: &mut Rng) {
        if self.is_foul {
            return;
        }
        let (id, sequence) = (self.person, self.sequence);
        self.sequence += 1;
        let (said, line) = match rng.below(20) {
            0 | 1 => (Said::Invalid, (*rng.pick(&["hello", "|", "all|hi", " "])).to_owned()),
            2 => (Said::TooLong, format!("all||{}", "x".repeat(rng.below(2_000) + 1_025))),
            3 => (Said::Empty, String::new()),
            4 if rng.chance(50) => {
                self.is_foul = true;
                return self.typed.extend([b'e'; 5_000]);
            }
            5..=10 => {
                let (to, text) = (someone(rng), format!("d{id}.{sequence}"));
                let line = format!("{to}||{text}");
                (Said::Msg { to, text }, line)
            }
            _ => {
                let mut text = format!("m{id}.{sequence}");
                if rng.chance(options.long_lines) {
                    text += &format!(" || {}", "y".repeat(rng.below(900)));
                }
                let line = format!("{}||{text}", rng.pick(&["all", "all", "ALL", " all "]));
                (Said::All(text), line)
            }
        };
        self.typed.extend(line.bytes());
        let ends: [&[u8]; 2] = [b"\n", b"\r\n"];
        self.typed.extend(*rng.pick(&ends));
        oracle.wrote(self.person, said);
    }

    /// Types a line and its end, perhaps with telnet commands in it.
    fn enter(&mut self, said: Said, bytes: Vec<u8>, oracle: &mut Oracle, rng: &mut Rng) {
        if self.is_foul {
            return;
        }
        let place = rng.below(bytes.len() + 1);
        self.typed.extend(&bytes[..place]);
        match rng.below(30) {
            0 => {
                oracle.asked_here(self.person);
                self.typed.extend([255, 246]);
            }
            1 => self.typed.extend([255, 241]),
            2 if self.rich.is_none() => {
                let option = *rng.pick(&[1, 3, 24, 31]);
                oracle.asked_option(self.person, [255, 252, option]);
                self.typed.extend([255, 253, option]);
            }
            _ => {}
        }
        self.typed.extend(&bytes[place..]);
        let ends: [&[u8]; 4] = [b"\n", b"\r\n", b"\r\0", b"\n"];
        self.typed.extend(*rng.pick(&ends));
        oracle.wrote(self.person, said);
    }
}

/// A name that somebody may have: a nickname, an id, an address.
fn someone(rng: &mut Rng) -> String {
    match rng.below(3) {
        0 => (*rng.pick(&["plato", "zeno", "hypatia", "x"])).to_owned(),
        1 => format!("p{}", rng.below(20)),
        _ => address(rng.below(20)).to_string(),
    }
}

/// The address of a client: no two are the same.
pub(crate) fn address(number: usize) -> SocketAddr {
    let port = u16::try_from(20_000 + number).expect("a few clients");
    SocketAddr::from(([10, 0, 0, 1], port))
}
