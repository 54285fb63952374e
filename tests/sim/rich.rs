//! The other end of rich mode: it agrees to whatever that needs, and takes what is drawn out of
//! what it reads, so that messages are left.

const IAC: u8 = 255;
const WILL: u8 = 251;
const WONT: u8 = 252;
const DO: u8 = 253;
const DONT: u8 = 254;
const NAWS: u8 = 31;
/// A window so wide that a line typed here never ends where its row does.
const WINDOW: [u8; 12] = [IAC, WILL, NAWS, IAC, 250, NAWS, 4, 0, 0, 24, IAC, 240];

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
                self.line.clear();
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
