//! The connection of the moment, shared by the thread that reads the server and the one that reads
//! the person: who is connected, who wants to end, and what is sent.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::dialect::Dialect;
use crate::limits::{DRAIN_BASE, DRAIN_PER_LINE};

/// Why no more is wanted of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The person said so, or the input is over and all of it taken.
    Asked,
    /// The server did not say in time that it has taken everything.
    Unconfirmed,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) dialect: Dialect,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// None while there is no connection.
    stream: Option<TcpStream>,
    ending: Option<Ending>,
    lines_sent: u32,
}

impl Talk {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, ..Self::default() }
    }

    /// There is a connection now.
    pub(crate) fn connected(&self, stream: TcpStream) {
        let mut state = self.state();
        if state.ending.is_some() {
            // The wish to end came while it was made.
            let _ = stream.shutdown(Shutdown::Both);
        }
        state.stream = Some(stream);
    }

    /// It is over. Returns the reason if it was wanted.
    pub(crate) fn lost(&self) -> Option<Ending> {
        let mut state = self.state();
        state.stream = None;
        self.changed.notify_all();
        state.ending
    }

    /// Sends a line; false if there is no connection.
    pub(crate) fn send(&self, line: &str) -> bool {
        self.send_after(line, || {})
    }

    /// The same, and does something before any answer can arrive.
    pub(crate) fn send_after(&self, line: &str, before: impl FnOnce()) -> bool {
        let mut state = self.state();
        if self.dialect.is_goodbye(line) {
            state.ending = Some(Ending::Asked);
            self.changed.notify_all();
        }
        let Some(mut stream) = state.stream.as_ref() else { return false };
        before();
        if stream.write_all(self.dialect.frame(line).as_bytes()).is_err() {
            // The reader notices, and says so.
            let _ = stream.shutdown(Shutdown::Both);
            return false;
        }
        state.lines_sent = state.lines_sent.saturating_add(1);
        true
    }

    /// Ends when the server has taken everything: it closes in answer to the end of what is sent.
    pub(crate) fn end_when_taken(&self) {
        let mut state = self.state();
        state.ending.get_or_insert(Ending::Asked);
        self.changed.notify_all();
        let Some(stream) = &state.stream else { return };
        let _ = stream.shutdown(Shutdown::Write);
        let deadline = Instant::now() + DRAIN_BASE + DRAIN_PER_LINE * state.lines_sent;
        while let Some(stream) = &state.stream {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let _ = stream.shutdown(Shutdown::Both);
                state.ending = Some(Ending::Unconfirmed);
                return;
            }
            state = self.wait(state, left);
        }
    }

    /// Waits this long, or until the end is wanted: then true.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut state = self.state();
        while state.ending.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left);
        }
        true
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, left: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_end_cuts_a_pause_short() {
        let talk = Talk::default();
        assert!(!talk.pause(Duration::ZERO));
        assert!(!talk.send("/quit"));
        assert!(talk.pause(Duration::from_secs(3_600)));
        assert_eq!(talk.lost(), Some(Ending::Asked));
    }
}
