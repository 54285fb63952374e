//! The conversation: reads the server, shows what it says, and connects again when it is gone.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::args::Target;
use crate::dialect::Dialect;
use crate::limits::{PAUSE_MAX, PAUSE_MIN};
use crate::link;
use crate::paint::Paint;
use crate::screen::Output;
use crate::seen::Seen;
use crate::talk::{Ending, Talk};

/// The room one is in without asking.
const ROOM_DEFAULT: &str = "lobby";

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As the person wished.
    Asked,
    /// The connection is gone.
    Lost,
    /// Nobody knows whether the server took everything.
    Unconfirmed,
}

/// See the module.
pub(crate) struct Session {
    pub(crate) target: Target,
    pub(crate) talk: Arc<Talk>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) paint: Paint,
    pub(crate) output: Output,
    pub(crate) reconnect: bool,
    /// Input and output are not a person's: say nothing but what arrives.
    pub(crate) piped: bool,
}

impl Session {
    /// Talks until the end. `talk` has the connection already: what is typed early must find it.
    pub(crate) fn run(&self, mut stream: TcpStream) -> End {
        let mut pause = PAUSE_MIN;
        self.state(&format!("Connected to {}", self.target));
        loop {
            let since = Instant::now();
            let end = self.follow(&stream);
            let lost = self.talk.lost();
            if self.is_refused() {
                return End::Lost;
            }
            match lost {
                Some(Ending::Asked) if self.piped && end.is_err() => return End::Unconfirmed,
                Some(Ending::Asked) => return End::Asked,
                Some(Ending::Unconfirmed) => return End::Unconfirmed,
                None if !self.reconnect => return End::Lost,
                None => {}
            }
            if since.elapsed() >= PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            self.state(&format!("Connection lost. Trying again in {}", seconds(pause)));
            match self.connect_again(&mut pause) {
                Some(again) => stream = again,
                None => return End::Asked,
            }
        }
    }

    /// Whether the server never let this id in: it would not the next time either.
    fn is_refused(&self) -> bool {
        matches!(self.talk.dialect, Dialect::P2p { .. }) && self.seen().nick.is_none()
    }

    /// Shows what arrives until the connection ends.
    fn follow(&self, stream: &TcpStream) -> io::Result<()> {
        link::read_lines(stream, &self.talk.dialect, |line| {
            let is_mention = {
                let mut seen = self.seen();
                seen.learn(line);
                seen.is_mention(line)
            };
            if !self.output.show(&self.paint.arrived(line, is_mention)) {
                // Nobody reads on: `chat | head`.
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        })
    }

    /// Tries with growing pauses. None if the person wishes to end.
    fn connect_again(&self, pause: &mut Duration) -> Option<TcpStream> {
        loop {
            if self.talk.pause(jittered(*pause)) {
                return None;
            }
            *pause = (*pause * 2).min(PAUSE_MAX);
            match link::connect(&self.target).and_then(|stream| self.take_up(stream)) {
                Ok(stream) => {
                    self.state(&format!("Connected to {} again", self.target));
                    return Some(stream);
                }
                Err(error) => {
                    let (reason, next) = (link::reason(&error), seconds(*pause));
                    self.state(&format!("No connection: {reason}. Trying again in {next}"));
                }
            }
        }
    }

    /// Asks for the nickname and the room of before, and lets the person write again.
    fn take_up(&self, mut stream: TcpStream) -> io::Result<TcpStream> {
        stream.write_all(self.opening_again().as_bytes())?;
        self.talk.connected(stream.try_clone()?);
        Ok(stream)
    }

    fn opening_again(&self) -> String {
        if self.talk.dialect != Dialect::Telnet {
            return self.talk.dialect.opening();
        }
        let seen = self.seen();
        let nick = seen.nick.iter().map(|nick| format!("/nick {nick}\r\n"));
        let room = seen.room.iter().filter(|room| *room != ROOM_DEFAULT);
        nick.chain(room.map(|room| format!("/join {room}\r\n"))).collect()
    }

    fn state(&self, words: &str) {
        if !self.piped {
            self.output.show(&self.paint.state(words));
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(pause: Duration) -> String {
    format!("{} s", pause.as_secs())
}

/// Up to a quarter less, so that not all clients of a server come back at once.
fn jittered(pause: Duration) -> Duration {
    // The standard library's seeds of hash maps are the chance at hand.
    let chance = RandomState::new().hash_one(0) % 256;
    pause - pause * u32::try_from(chance).unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_vary_by_a_quarter() {
        let pauses: Vec<_> = (0..200).map(|_| jittered(PAUSE_MAX)).collect();
        assert!(pauses.iter().all(|pause| (PAUSE_MAX * 3 / 4..=PAUSE_MAX).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
