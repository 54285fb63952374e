//! The other end of rich mode: it agrees to whatever that needs, and takes what is drawn out of
//! what it reads, so that messages are left.

const IAC: u8 = 255;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const NAWS: u8 = 31;
/// A window of `WIDTH` columns.
const WINDOW: [u8; 12] = [IAC, WILL, NAWS, IAC, 250, NAWS, 4, 0, 0, 24, IAC, 240];
const WIDTH: usize = 1_024;

/// What asks for it.
pub(crate) const ASK: &[u8] = b"/rich on\r\n";

/// What a client in rich mode has read of a line, or of a command.
#[derive(Debug, Default)]
pub(crate) struct Rich {
    line: Vec<u8>,
    command: Vec<u8>,
    /// What to send for what was asked.
    pub(crate) answers: Vec<u8>,
}

impl Rich {
    /// Reads bytes; returns the messages in them.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut messages = Vec::new();
        for byte in bytes {
            if *byte == IAC || !self.command.is_empty() {
                self.read_command(*byte);
                continue;
            }
            self.line.push(*byte);
            if self.line.ends_with(b"\x1b[J") {
                self.line = after_erasing(&self.line);
            } else if self.line.ends_with(b"\r\n") {
                let ours: [&[u8]; 4] = [b"> ", b"Asked your", b"Rich mode is on", b"Your client"];
                if !ours.iter().any(|start| self.line.starts_with(start)) {
                    assert!(!self.line.contains(&0x1b), "{}", self.line.escape_ascii());
                    messages.extend_from_slice(&self.line);
                }
                self.line.clear();
            }
        }
        messages
    }

    /// Whether the line stands where it should once nothing more comes: below everything.
    pub(crate) fn is_drawn(&self) -> bool {
        self.line.starts_with(b"> ")
    }

    fn read_command(&mut self, byte: u8) {
        self.command.push(byte);
        let [_, verb, option] = self.command[..] else { return };
        match (verb, option) {
            (DO, NAWS) => self.answers.extend(WINDOW),
            (DO | DONT, _) => self.answers.extend([IAC, WONT, option]),
            (WILL, _) => self.answers.extend([IAC, DO, option]),
            (WONT, _) => self.answers.extend([IAC, DONT, option]),
            _ => panic!("asked for {verb} {option}"),
        }
        self.command.clear();
    }
}

/// What is left on the screen of one line, in however many rows, when its end was erased.
fn after_erasing(drawn: &[u8]) -> Vec<u8> {
    let (mut cells, mut at) = (Vec::new(), 0);
    let mut rest = drawn;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'\r' => at -= at % WIDTH,
            0x1b => {
                let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let count = str::from_utf8(&rest[1..=digits]).expect("digits").parse().unwrap_or(1);
                match rest[1 + digits] {
                    b'A' => at -= count * WIDTH,
                    b'B' => at += count * WIDTH,
                    b'C' => at += count,
                    b'D' => at -= count,
                    b'J' => cells.truncate(at),
                    other => panic!("ESC {}", other.escape_ascii()),
                }
                rest = &rest[2 + digits..];
            }
            _ => {
                cells.truncate(at);
                cells.push(*byte);
                at += 1;
            }
        }
    }
    cells
}
