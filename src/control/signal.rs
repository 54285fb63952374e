//! The signals that stop the server, and those that would end it without a word.

use std::io;
use std::process;

use tokio::signal::unix::{self, SignalKind};
use tracing::info;

/// SIGINT and SIGTERM, kept from the moment this is made: none is lost before it is asked for.
/// SIGHUP, which a terminal sends when it closes, SIGUSR1 and SIGUSR2 are taken over too: nothing
/// is there to be loaded or opened anew, and their default is to kill. Other servers are upgraded
/// with SIGUSR2; this one may not start a program, and says who does.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    user_1: unix::Signal,
    user_2: unix::Signal,
    /// This process.
    pid: u32,
}

impl Signals {
    /// Takes the signals over from the system's default, which would end the process.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
            user_1: unix::signal(SignalKind::user_defined1())?,
            user_2: unix::signal(SignalKind::user_defined2())?,
            pid: process::id(),
        })
    }

    /// Waits for one that stops the server, and returns its number.
    pub(super) async fn next(&mut self) -> u8 {
        loop {
            let ignored = tokio::select! {
                _ = self.interrupt.recv() => return number(SignalKind::interrupt()),
                _ = self.terminate.recv() => return number(SignalKind::terminate()),
                _ = self.hangup.recv() => SignalKind::hangup(),
                _ = self.user_1.recv() => SignalKind::user_defined1(),
                _ = self.user_2.recv() => SignalKind::user_defined2(),
            };
            let signal = number(ignored);
            if ignored == SignalKind::user_defined2() {
                info!(signal, "to upgrade this server, run: chatd upgrade {}", self.pid);
            } else {
                info!(signal, "a signal that means nothing here");
            }
        }
    }
}

fn number(kind: SignalKind) -> u8 {
    u8::try_from(kind.as_raw_value()).expect("signals are numbered below 65")
}
