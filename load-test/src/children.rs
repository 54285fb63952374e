//! The processes that this one starts: none is left behind. One is ended when its guard is dropped,
//! and all when SIGINT or SIGTERM ends this process. A generator that was started by another one
//! leaves by itself when that one has gone, even if it was killed: see `Orders`.

use crate::options::{say, tell};
use crate::{Failure, failed, usage};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The children that were not waited for yet, by their ids. The lock is held while one is started
/// or waited for, so that an id in it is never another process's.
static RUNNING: Mutex<BTreeMap<u32, Pid>> = Mutex::new(BTreeMap::new());

/// The guard of a child.
pub(crate) struct Offspring {
    pub(crate) child: Child,
}

impl Offspring {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut running = running();
        let child = command.spawn().map_err(|error| {
            failed(&format!("starting {}", command.get_program().display()), &error)
        })?;
        running.insert(child.id(), Pid::from_child(&child));
        Ok(Self { child })
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Failure> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| failed("a signal to a child", &error))
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>, Failure> {
        let mut running = running();
        let status =
            self.child.try_wait().map_err(|error| failed("waiting for a child", &error))?;
        if status.is_some() {
            running.remove(&self.child.id());
        }
        Ok(status)
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        let mut running = running();
        // Both fail only if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        running.remove(&self.child.id());
    }
}

/// A panic elsewhere leaves the map as right as it was.
fn running() -> MutexGuard<'static, BTreeMap<u32, Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on SIGINT and SIGTERM end the children, then this process.
pub(crate) fn end_on_signals() -> Result<(), Failure> {
    let signals = Signals::new([SIGINT, SIGTERM]);
    let mut signals = signals.map_err(|error| failed("handling signals", &error))?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            end_all(signal);
        }
    });
    Ok(())
}

/// From here on the first SIGINT or SIGTERM only asks, and the flag says so; the next one ends the
/// children, then this process.
pub(crate) fn ask_on_signals() -> Result<&'static AtomicBool, Failure> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let signals = Signals::new([SIGINT, SIGTERM]);
    let mut signals = signals.map_err(|error| failed("handling signals", &error))?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if ASKED.swap(true, Ordering::Relaxed) {
                end_all(signal);
            }
            tell(&"\nending after this phase; once more: at once");
        }
    });
    Ok(&ASKED)
}

/// Exits with the lock held: nothing is started in between.
fn end_all(signal: i32) -> ! {
    let running = running();
    for pid in running.values() {
        // It fails only if it has ended already.
        let _ended = kill_process(*pid, Signal::KILL);
    }
    std::process::exit(128 + signal)
}

/// What a process that another one started is told, a line at a time.
pub(crate) struct Orders(Receiver<String>);

impl Orders {
    /// From here on this process ends when its standard input does.
    pub(crate) fn new() -> Self {
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for order in std::io::stdin().lock().lines().map_while(Result::ok) {
                // Who has heard enough listens no more.
                let _gone = line.send(order);
            }
            std::process::exit(1)
        });
        Self(lines)
    }

    /// Waits for the next line.
    pub(crate) fn next(&self) -> Result<String, Failure> {
        self.0.recv().map_err(|_| usage("it needs orders on standard input".into()))
    }

    /// Says `ready` and waits for a line.
    pub(crate) fn await_start(&self) -> Result<(), Failure> {
        say(&"ready")?;
        self.next().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_ends_with_its_guard() {
        let child = Offspring::start(Command::new("sleep").arg("3600")).expect("it starts");
        let pid = Pid::from_child(&child.child);
        assert!(running().contains_key(&child.child.id()));
        drop(child);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it has been waited for");
        assert!(!running().values().any(|running| *running == pid));
    }

    #[test]
    fn what_cannot_be_started_is_named() {
        let failure = Offspring::start(&mut Command::new("/nowhere/chatd")).err();
        let failure = failure.expect("there is no such program").to_string();
        assert!(failure.contains("/nowhere/chatd"), "{failure}");
    }
}
