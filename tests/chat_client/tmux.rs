//! A terminal that a test can type into and look at.

use std::io::Write;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::servers::DEADLINE;

/// A terminal with one program in it, gone at the end.
pub(crate) struct Terminal {
    /// Of the tmux server, which is this test's own.
    name: String,
}

impl Terminal {
    /// A terminal of this size in which the shell runs `command`. None, and said aloud, where there
    /// is no tmux.
    pub(crate) fn open(columns: u16, rows: u16, command: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if Command::new("tmux").arg("-V").output().is_err() {
            // Past the capture of the test's output.
            let words = "SKIPPED, no tmux: a test of chat in a terminal. apt-get install tmux\n";
            std::io::stderr().write_all(words.as_bytes()).expect("said");
            return None;
        }
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { name: format!("chat-test-{}-{count}", std::process::id()) };
        let size = [columns.to_string(), rows.to_string()];
        let mut arguments = vec!["start-server", ";", "set", "-g", "remain-on-exit", "on", ";"];
        arguments.extend(["set", "-g", "default-shell", "/bin/sh", ";"]);
        arguments.extend(["new-session", "-d", "-x", &size[0], "-y", &size[1], command]);
        let output = terminal.tmux(&arguments);
        assert!(output.status.success(), "{output:?}");
        Some(terminal)
    }

    /// `chat` at this port with these options.
    pub(crate) fn chat(columns: u16, rows: u16, port: u16, options: &str) -> Option<Self> {
        let chat = env!("CARGO_BIN_EXE_chat");
        Self::open(columns, rows, &format!("exec {chat} 127.0.0.1:{port} {options}"))
    }

    fn tmux(&self, arguments: &[&str]) -> Output {
        Command::new("tmux")
            .args(["-u", "-f", "/dev/null", "-L", &self.name])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .output()
            .expect("tmux runs")
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.tmux(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Types text as it is.
    pub(crate) fn type_text(&self, text: &str) {
        self.ask(&["send-keys", "-l", "--", text]);
    }

    /// Presses keys by their names.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    pub(crate) fn enter(&self, line: &str) {
        self.type_text(line);
        self.press(&["Enter"]);
    }

    /// Pastes, with the marks of a paste if the program has asked for them.
    pub(crate) fn paste(&self, text: &str) {
        self.ask(&["set-buffer", "-b", "text", "--", text]);
        self.ask(&["paste-buffer", "-p", "-r", "-b", "text"]);
    }

    /// The rows of the screen, without empty ones at the end.
    pub(crate) fn lines(&self) -> Vec<String> {
        let screen = self.ask(&["capture-pane", "-p"]);
        screen.trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// The screen with its colours.
    pub(crate) fn coloured(&self) -> String {
        self.ask(&["capture-pane", "-p", "-e"])
    }

    /// Writes what the program puts out from here on into a file.
    pub(crate) fn record(&self, path: &str) {
        self.ask(&["pipe-pane", "-O", &format!("cat >{path}")]);
    }

    /// Gives it another size, which its program has been told of then.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        let size = [columns.to_string(), rows.to_string()];
        self.ask(&["resize-window", "-x", &size[0], "-y", &size[1]]);
        let expected = format!("{rows} {columns}");
        wait("its size", || (self.stty("size") == expected).then_some(()), || self.stty("size"));
    }

    /// How it is set.
    pub(crate) fn settings(&self) -> String {
        self.stty("-g")
    }

    fn stty(&self, what: &str) -> String {
        let name = self.ask(&["display", "-p", "#{pane_tty}"]);
        let output = Command::new("stty").args(["-F", name.trim(), what]).output().expect("stty");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("ASCII").trim().to_owned()
    }

    /// How the program ended. That it did is known before it is known how, and tmux 3.3a now and
    /// then overlooks the signal that tells it how: it is sent again.
    pub(crate) fn exit_code(&self) -> String {
        let status = || {
            let told = self.ask(&["display", "-p", "#{pid} #{pane_dead} #{pane_dead_status}"]);
            let mut words = told.split_whitespace();
            let (server, dead, status) = (words.next(), words.next(), words.next());
            if let (Some(server), Some("1"), None) = (server, dead, status) {
                let pid = Pid::from_raw(server.parse().expect("a process")).expect("not 0");
                kill_process(pid, Signal::CHILD).expect("it runs");
            }
            status.map(str::to_owned)
        };
        wait("the program to end", status, || self.lines().join("\n"))
    }

    /// Waits until the screen ends with these lines, each over as many rows as it needs.
    pub(crate) fn wait_for_end(&self, expected: &[&str]) {
        self.wait_for(&format!("{expected:?} at the end"), |rows| ends_with(rows, expected));
    }

    /// Waits until a line begins like this.
    pub(crate) fn wait_for_line(&self, start: &str) {
        self.wait_for(start, |lines| lines.iter().any(|line| line.starts_with(start)));
    }

    pub(crate) fn wait_for(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let holds = || holds(&self.lines()).then_some(());
        wait(what, holds, || self.lines().join("\n"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn ends_with(rows: &[String], expected: &[&str]) -> bool {
    let mut rows = rows.iter().rev();
    expected.iter().rev().all(|line| {
        let line = squeezed(line);
        let mut text = String::new();
        loop {
            let Some(row) = rows.next() else { return false };
            text = squeezed(row) + &text;
            if text.len() >= line.len() {
                return text == line;
            }
        }
    })
}

/// Without blanks, which rows do not keep at their ends: where they wrap, and where a wide
/// character did not fit.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect()
}

#[test]
fn the_reader_of_rows_is_right() {
    let rows = ["a", "bc d", "e", "> f"].map(str::to_owned);
    for (expected, ends) in [
        (&["> f"][..], true),
        (&["bc de", "> f"], true),
        (&["a", "bc de", "> f"], true),
        (&["bc d", "> f"], false),
        (&["e> f"], true),
        (&["x", "a", "bc de", "> f"], false),
    ] {
        assert_eq!(ends_with(&rows, expected), ends, "{expected:?}");
    }
}

/// Looks until there is something to see.
pub(crate) fn wait<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    seen: impl Fn() -> String,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}; the screen:\n{}", seen());
        thread::yield_now();
    }
}
