//! A program with somebody before it, who types and looks.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::{PATIENCE, wait};

/// A program with somebody before it: at a terminal, or at the ends of two pipes.
pub(crate) struct Person {
    program: Child,
    hands: File,
    /// What the program puts out, piece by piece.
    eyes: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Person {
    /// Starts the program in a terminal of its own.
    pub(crate) fn at_terminal(command: &mut Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = openpt(flags).expect("a pseudo terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
        let name = ptsname(&terminal, Vec::new()).expect("it has a name");
        let name = name.to_str().expect("a path in ASCII");
        let open = || File::options().read(true).write(true).open(name).expect("it is unlocked");
        command.stdin(open()).stdout(open()).stderr(open());
        let program = command.spawn().expect("the program is there");
        // The program's ends are its own now; with ours closed, its end is seen.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let hands = File::from(terminal);
        let eyes = hands.try_clone().expect("a descriptor");
        Self { program, hands, eyes: watch(eyes), seen: Vec::new() }
    }

    /// Starts the program between two pipes.
    pub(crate) fn at_pipes(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().expect("the program is there");
        let hands = OwnedFd::from(program.stdin.take().expect("it is piped")).into();
        let eyes = OwnedFd::from(program.stdout.take().expect("it is piped")).into();
        Self { program, hands, eyes: watch(eyes), seen: Vec::new() }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.hands.write_all(keys.as_bytes()).expect("the program reads");
    }

    /// Waits until this is seen; what came before it is over.
    #[track_caller]
    pub(crate) fn sees(&mut self, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        let expected = expected.as_bytes();
        loop {
            if let Some(start) = find(&self.seen, expected) {
                self.seen.drain(..start + expected.len());
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.eyes.recv_timeout(left) {
                Ok(piece) => self.seen.extend(piece),
                Err(end) => panic!(
                    "expected {}\n     saw {}, and then {end}",
                    expected.escape_ascii(),
                    self.seen.escape_ascii(),
                ),
            }
        }
    }

    /// Waits until exactly this is seen next.
    #[track_caller]
    pub(crate) fn sees_next(&mut self, expected: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.seen.len() < expected.len() && expected.as_bytes().starts_with(&self.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.eyes.recv_timeout(left) {
                Ok(piece) => self.seen.extend(piece),
                Err(_) => break,
            }
        }
        if !self.seen.starts_with(expected.as_bytes()) {
            let (expected, seen) = (expected.escape_default(), self.seen.escape_ascii());
            panic!("expected {expected}\n     saw {seen}");
        }
        self.seen.drain(..expected.len());
    }

    /// Sees exactly this up to the program's end.
    #[track_caller]
    pub(crate) fn sees_at_last(mut self, expected: &str) {
        drop(self.hands);
        while let Ok(piece) = self.eyes.recv_timeout(PATIENCE) {
            self.seen.extend(piece);
        }
        assert_eq!(self.seen.escape_ascii().to_string(), expected.escape_default().to_string());
        wait(self.program, PATIENCE);
    }

    /// Ends the program.
    pub(crate) fn leaves(mut self) {
        self.program.kill().expect("it is our child");
        self.program.wait().expect("it is our child");
    }
}

/// Reads on a thread, so that there can be deadlines.
fn watch(mut from: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 4_096];
        // A terminal whose program has gone answers with an error.
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            if sender.send(bytes[..len].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
