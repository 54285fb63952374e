//! `chat`, the terminal client of chatd. It knows of the server what the server says, no more.
//!
//! Three ways to talk, one [`Session`]: an editor in the terminal; plain lines for screen readers
//! and terminals that can do no better; and a pipe, where input or output is no terminal.

#![forbid(unsafe_code)]

mod args;
mod dialect;
mod editor;
mod limits;
mod link;
mod paint;
mod recall;
mod screen;
mod seen;
mod session;
mod talk;

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
use time::UtcOffset;

use crate::args::{Args, Target};
use crate::dialect::{Dialect, REMOTE_ID};
use crate::editor::Desk;
use crate::paint::Paint;
use crate::recall::Recall;
use crate::screen::{Output, Queue};
use crate::seen::Seen;
use crate::session::{End, Session};
use crate::talk::Talk;

fn main() -> ExitCode {
    let args = Args::parse();
    let dialect = args.dialect().unwrap_or_else(|words| usage(&words));
    let target = args.target(&dialect).unwrap_or_else(|words| usage(&words));
    // The zone can be found out only while there is one thread.
    let zone = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    match start(&args, dialect, target, zone) {
        Ok(End::Asked) => ExitCode::SUCCESS,
        Ok(End::Lost) => fail("Disconnected from chat server"),
        Ok(End::Unconfirmed) => fail("The chat server did not confirm that it took everything"),
        Err(words) => fail(&words),
    }
}

fn usage(words: &str) -> ! {
    Args::command().error(ErrorKind::ValueValidation, words).exit()
}

fn fail(words: &str) -> ExitCode {
    // Where nobody can be told, the exit code has to do.
    let _ = writeln!(io::stderr(), "{words}");
    ExitCode::FAILURE
}

fn start(args: &Args, dialect: Dialect, target: Target, zone: UtcOffset) -> Result<End, String> {
    let recall = recall(args.history.as_deref())?;
    let seen = Seen::new(&dialect);
    let paint = paint(args, &dialect, zone);
    let talk = Arc::new(Talk::new(dialect));
    let stream = connect(&target, &talk)
        .map_err(|error| format!("Unable to connect to {target}: {}", link::reason(&error)))?;
    let piped = !(io::stdin().is_terminal() && io::stdout().is_terminal());
    let session = Session {
        target,
        talk,
        seen: Arc::new(Mutex::new(seen)),
        paint,
        output: Output::Lines,
        reconnect: !(args.no_reconnect || piped),
        piped,
    };
    if args.plain || piped {
        Ok(talk_in_lines(&session, stream))
    } else {
        edit(session, stream, recall)
    }
}

fn connect(target: &Target, talk: &Talk) -> io::Result<TcpStream> {
    let mut stream = link::connect(target)?;
    stream.write_all(talk.dialect.opening().as_bytes())?;
    talk.connected(stream.try_clone()?);
    Ok(stream)
}

fn recall(path: Option<&Path>) -> Result<Recall, String> {
    let Some(path) = path else { return Ok(Recall::default()) };
    Recall::open(path).map_err(|error| format!("{}: {}", path.display(), link::reason(&error)))
}

fn paint(args: &Args, dialect: &Dialect, zone: UtcOffset) -> Paint {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_terminal = io::stdout().is_terminal();
    Paint {
        read: dialect.reader(),
        prompt: dialect.prompt(),
        colours: is_terminal && !(args.no_color || args.plain || unwanted),
        clock: args.time.then_some(zone),
        bell: args.bell && is_terminal,
        marks: !args.plain,
    }
}

fn talk_in_lines(session: &Session, stream: TcpStream) -> End {
    let (talk, output, paint) = (Arc::clone(&session.talk), session.output.clone(), session.paint);
    let piped = session.piped;
    thread::spawn(move || {
        send_lines(&talk, piped, |words| {
            output.show(&paint.state(words));
        });
    });
    session.run(stream)
}

const NOT_SENT: &str = "Not connected: that line was not sent";

/// Sends the lines of standard input. In a pipe none is left out: the first that cannot be sent
/// is the last. A person is asked for a line's reader, where it needs one.
fn send_lines(talk: &Talk, piped: bool, tell: impl Fn(&str)) {
    let asks = talk.dialect.asks_for_reader() && !piped;
    let mut text = None;
    for line in io::stdin().lock().split(b'\n') {
        let Ok(line) = line else { break };
        let line = link::clean(&String::from_utf8_lossy(&line));
        if line.is_empty() {
            continue;
        }
        let line = match text.take() {
            None if asks => {
                text = Some(line);
                tell(REMOTE_ID);
                continue;
            }
            None => line,
            Some(text) => format!("{line}||{text}"),
        };
        if talk.send(&line) {
            continue;
        }
        if piped {
            return;
        }
        tell(NOT_SENT);
    }
    talk.end_when_taken();
}

fn edit(mut session: Session, stream: TcpStream, recall: Recall) -> Result<End, String> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).map_err(|errno| format!("The terminal: {}", errno.desc()))?;
    if session.talk.dialect.asks_for_reader() {
        editor::hold(before.clone()).map_err(|errno| format!("The terminal: {}", errno.desc()))?;
    }
    let queue = Arc::new(Queue::default());
    let desk = Desk {
        talk: Arc::clone(&session.talk),
        seen: Arc::clone(&session.seen),
        queue: Arc::clone(&queue),
        recall: Mutex::new(recall),
        ids: Mutex::default(),
        is_asking: AtomicBool::default(),
        before: before.clone().into(),
        replacement: Mutex::default(),
        paint: session.paint,
    };
    if editor::start(desk).is_err() {
        // A terminal without cursor movements.
        let _ = tcsetattr(&stdin, SetArg::TCSADRAIN, &before);
        return Ok(talk_in_lines(&session, stream));
    }
    session.output = Output::Screen(Arc::clone(&queue));
    let end = session.run(stream);
    let half_typed = queue.close();
    // The editor holds still but has not given the terminal back.
    let _ = tcsetattr(&stdin, SetArg::TCSADRAIN, &before);
    leave(&half_typed);
    Ok(end)
}

/// Ends what the editor began, and leaves what was half typed to be read.
fn leave(half_typed: &str) {
    const PASTE_MARKS_OFF: &str = "\x1b[?2004l";
    const SYNCHRONIZED_OFF: &str = "\x1b[?2026l";
    const CLEAR_LINE: &str = "\r\x1b[K";
    let line = if half_typed.is_empty() { "" } else { &format!("{half_typed}\r\n") };
    let mut out = io::stdout();
    let _ = write!(out, "{PASTE_MARKS_OFF}{CLEAR_LINE}{line}{SYNCHRONIZED_OFF}")
        .and_then(|()| out.flush());
}
