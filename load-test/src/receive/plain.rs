//! The least a reader on epoll can cost, to compare the other one with: it reads what there is and
//! throws it away, without a look at it or at the clock.

use super::{Received, Receiver, WAKER};
use crate::Failure;
use crate::clock::{duration_ns, now_ns};
use crate::limits::{EVENTS_MAX, QUIET_TIME};
use mio::{Events, Token};
use std::io::Read;

impl Receiver {
    /// Reads until everything was sent and nothing more comes.
    pub(crate) fn throw_away_all(mut self) -> Result<Received, Failure> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let over = self.shared.deadline_ns() != u64::MAX;
            let until_ns = if over { now_ns() + duration_ns(QUIET_TIME) } else { u64::MAX };
            self.wait(&mut events, until_ns)?;
            if over && events.is_empty() {
                return Ok(self.finish());
            }
            for event in &events {
                let Token(index) = event.token();
                if event.token() != WAKER {
                    let mut stream = &self.clients[index].outlet.stream;
                    while matches!(stream.read(&mut buffer), Ok(len) if len == buffer.len()) {}
                }
            }
        }
    }
}
