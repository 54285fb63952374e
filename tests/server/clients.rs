//! The programs that people really use: telnet, in a terminal, and nc.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::harness::{PATIENCE, Server, WELCOME, has_program, wait};

/// A program with somebody before it: at a terminal, or at the ends of two pipes.
struct Person {
    program: Child,
    hands: File,
    /// What the program puts out, piece by piece.
    eyes: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Person {
    /// Starts the program in a terminal of its own.
    fn at_terminal(command: &mut Command) -> Self {
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
    fn at_pipes(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().expect("the program is there");
        let hands = OwnedFd::from(program.stdin.take().expect("it is piped")).into();
        let eyes = OwnedFd::from(program.stdout.take().expect("it is piped")).into();
        Self { program, hands, eyes: watch(eyes), seen: Vec::new() }
    }

    fn types(&mut self, keys: &str) {
        self.hands.write_all(keys.as_bytes()).expect("the program reads");
    }

    /// Waits until this is seen; what came before it is over.
    #[track_caller]
    fn sees(&mut self, expected: &str) {
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

    /// Sees exactly this up to the program's end.
    #[track_caller]
    fn sees_at_last(mut self, expected: &str) {
        drop(self.hands);
        while let Ok(piece) = self.eyes.recv_timeout(PATIENCE) {
            self.seen.extend(piece);
        }
        assert_eq!(self.seen.escape_ascii().to_string(), expected.escape_default().to_string());
        wait(self.program, PATIENCE);
    }

    /// Ends the program.
    fn leaves(mut self) {
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

fn telnet(server: &Server) -> Option<Person> {
    let addr = server.addr();
    let mut command = Command::new("telnet");
    command.args([addr.ip().to_string(), addr.port().to_string()]).env("TERM", "vt100");
    has_program("telnet", "telnet").then(|| Person::at_terminal(&mut command))
}

fn nc(server: &Server, options: &[&str]) -> Option<Person> {
    let addr = server.addr();
    let mut command = Command::new("nc");
    command.args(options).args([addr.ip().to_string(), addr.port().to_string()]);
    has_program("nc", "netcat-openbsd").then(|| Person::at_pipes(&mut command))
}

#[test]
fn telnet_in_line_mode() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    let Some(mut person) = telnet(&server) else { return };
    person.sees("Escape character is '^]'.\r\n");
    person.sees(&format!("{WELCOME}\r\n"));
    let joined = plato.line();
    let name = joined.strip_prefix("Client joined ").expect("a newcomer").to_owned();
    // The terminal echoes what is typed, and edits it.
    person.types("Hello, is anyone thx\x7fere?\r");
    plato.expect_line(format!("[{name}] Hello, is anyone there?"));
    plato.send("Yes, I'm here.\n");
    person.sees("\r\n[plato] Yes, I'm here.\r\n");
    person.types("/nick solon\r");
    person.sees("/nick solon\r\nYou are solon\r\n");
    plato.expect_line(format!("{name} is now solon"));
    person.types("/quit\r");
    person.sees("/quit\r\nGoodbye\r\n");
    person.sees("Connection closed by foreign host.\r\n");
    plato.expect_line("Client left solon");
    person.leaves();
}

#[test]
fn telnet_in_character_mode() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    let Some(mut person) = telnet(&server) else { return };
    person.sees(&format!("{WELCOME}\r\n"));
    let joined = plato.line();
    let name = joined.strip_prefix("Client joined ").expect("a newcomer").to_owned();
    person.types("\x1d");
    person.sees("telnet> ");
    person.types("mode character\r");
    person.types("one by onf\x7fe\r");
    plato.expect_line(format!("[{name}] one by one"));
    plato.send("I see\n");
    person.sees("[plato] I see\r\n");
    person.types("\x1d");
    person.sees("telnet> ");
    person.types("send ayt\r");
    person.sees("Yes, chatd is here\r\n");
    person.types("\x1d");
    person.sees("telnet> ");
    person.types("quit\r");
    person.sees("Connection closed.\r\n");
    plato.expect_line(format!("Client left {name}"));
    person.leaves();
}

#[test]
fn nc_both_ways() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    let Some(mut person) = nc(&server, &[]) else { return };
    person.sees(&format!("{WELCOME}\r\n"));
    let joined = plato.line();
    let name = joined.strip_prefix("Client joined ").expect("a newcomer").to_owned();
    person.types("hello\n");
    plato.expect_line(format!("[{name}] hello"));
    plato.send("hello yourself\n");
    person.sees("[plato] hello yourself\r\n");
    person.types("/quit\n");
    plato.expect_line(format!("Client left {name}"));
    person.sees_at_last("Goodbye\r\n");
}

/// `printf 'hi\n' | nc -N`: what a script says is heard, though it hangs up at once.
#[test]
fn nc_that_hangs_up_at_once_is_heard() {
    let server = Server::start("");
    let [mut plato] = server.lobby(["plato"]);
    for _ in 0..20 {
        let Some(mut person) = nc(&server, &["-N"]) else { return };
        person.types("/nick script\nhi\n/who\nhalf");
        person.sees_at_last(&format!(
            "{WELCOME}\r\nYou are script\r\n2 in lobby:\r\n  plato\r\n  script\r\n"
        ));
        let name = plato.line().replace("Client joined ", "");
        plato.expect_line(format!("{name} is now script"));
        plato.expect_line("[script] hi");
        plato.expect_line("Client left script");
    }
}
