//! The line being typed: rustyline, in a reading of one line that never ends.
//!
//! Between two readings rustyline gives the terminal back: what is typed then is echoed by the
//! terminal, and a message printed then lands behind the prompt. So Enter sends from inside and
//! empties the line, and the reading ends only when the conversation does. Ctrl-R looks back
//! without a search mode, since messages would have to wait for its end.
//!
//! A dialect in which every line is for somebody has two prompts, and so two readings in turn. No
//! message is handed to the editor between them, and the terminal that it gives back there is one
//! that leaves keys alone: [`hold`] has made it so before.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use nix::unistd::Pid;
use rustyline::completion::{Completer, Pair};
use rustyline::config::{BellStyle, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::line_buffer::LineBuffer;
use rustyline::validate::Validator;
use rustyline::{
    Changeset, Cmd, ConditionalEventHandler, Config, Context, Editor, Event, EventContext,
    EventHandler, Helper, KeyCode, KeyEvent, Modifiers, Movement,
};

use crate::dialect::REMOTE_ID;
use crate::limits::PROPOSALS_MAX;
use crate::link::clean;
use crate::paint::Paint;
use crate::recall::Recall;
use crate::screen::{self, Queue};
use crate::seen::{Latest, Seen};
use crate::talk::Talk;

/// What the keys work on.
pub(crate) struct Desk {
    pub(crate) talk: Arc<Talk>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) recall: Mutex<Recall>,
    /// Those who were written to.
    pub(crate) ids: Mutex<Recall>,
    /// Whether a line is typed, and its reader is asked for.
    pub(crate) is_asking: AtomicBool,
    /// The terminal's settings before all this.
    pub(crate) before: libc::termios,
    /// What the line is about to become.
    pub(crate) replacement: Mutex<Option<String>>,
    pub(crate) paint: Paint,
}

/// Starts the editor, and the printer that brings lines to it.
///
/// # Errors
/// If this terminal cannot do it.
pub(crate) fn start(desk: Desk) -> rustyline::Result<()> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .bell_style(BellStyle::None)
        .build();
    let mut editor = Editor::<Assistant, MemHistory>::with_history(config, MemHistory::new())?;
    let printer = editor.create_external_printer()?;
    let desk = Arc::new(desk);
    editor.set_helper(Some(Assistant(Arc::clone(&desk))));
    bind_keys(&mut editor, &desk);
    // Ctrl-Z: only the thread that gives the terminal back may take the signal that stops all of
    // them, or it would have the terminal again before they stop.
    let suspend: SigSet = [Signal::SIGTSTP].into_iter().collect();
    let _ = suspend.thread_block();
    let queue = Arc::clone(&desk.queue);
    thread::spawn(move || screen::print(&queue, printer));
    thread::spawn(move || {
        let _ = suspend.thread_unblock();
        // Ends by Ctrl-D, Ctrl-C, or an error of the terminal: the end either way.
        let _ = desk.read_all(&mut editor);
        desk.queue.editor_gone();
        desk.talk.end_when_taken();
    });
    Ok(())
}

/// Makes a terminal of these settings pass keys on as they are, without echo.
///
/// # Errors
/// Those of the terminal.
pub(crate) fn hold(mut settings: Termios) -> nix::Result<()> {
    let keys = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN;
    settings.local_flags.remove(keys);
    settings.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    settings.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    tcsetattr(io::stdin(), SetArg::TCSADRAIN, &settings)
}

type Keys = Editor<Assistant, MemHistory>;

fn bind_keys(editor: &mut Keys, desk: &Arc<Desk>) {
    let ctrl = KeyEvent::ctrl;
    let plain = |code| KeyEvent(code, Modifiers::NONE);
    bind(editor, desk, &[plain(KeyCode::Enter), ctrl('M'), ctrl('J')], |desk, line| {
        Some(desk.enter(line))
    });
    bind(editor, desk, &[ctrl('C')], |desk, line| Some(desk.interrupt(line)));
    if desk.talk.dialect.asks_for_reader() {
        bind(editor, desk, &[ctrl('Z')], |desk, _| Some(desk.suspend()));
    }
    bind(editor, desk, &[plain(KeyCode::Up), ctrl('P')], |desk, line| {
        let older = desk.recall().older(line);
        Some(desk.replace(older))
    });
    bind(editor, desk, &[plain(KeyCode::Down), ctrl('N')], |desk, line| {
        let newer = desk.recall().newer(line);
        Some(desk.replace(newer))
    });
    bind(editor, desk, &[ctrl('R')], |desk, line| {
        let found = desk.recall().find(line);
        Some(desk.replace(found))
    });
}

fn bind(
    editor: &mut Keys,
    desk: &Arc<Desk>,
    keys: &[KeyEvent],
    act: fn(&Desk, &str) -> Option<Cmd>,
) {
    for key in keys {
        let handler = Box::new(Handler { desk: Arc::clone(desk), act });
        editor.bind_sequence(*key, EventHandler::Conditional(handler));
    }
}

/// What a key does with the line as it stands.
struct Handler {
    desk: Arc<Desk>,
    act: fn(&Desk, &str) -> Option<Cmd>,
}

impl ConditionalEventHandler for Handler {
    fn handle(&self, _: &Event, _: u16, _: bool, context: &EventContext<'_>) -> Option<Cmd> {
        (self.act)(&self.desk, context.line())
    }
}

impl Desk {
    /// Reads until the end of the input.
    fn read_all(&self, editor: &mut Keys) -> rustyline::Result<()> {
        let mut text = String::new();
        loop {
            // Ends only if a reader has to be asked for.
            text = editor.readline_with_initial(self.prompt(), (&text, ""))?;
            self.is_asking.store(true, Ordering::Relaxed);
            let id = editor.readline(self.prompt());
            self.is_asking.store(false, Ordering::Relaxed);
            text = match id {
                Ok(id) => self.send_to(id.trim(), &text),
                Err(ReadlineError::Interrupted) => text,
                Err(error) => return Err(error),
            };
        }
    }

    fn enter(&self, typed: &str) -> Cmd {
        if !self.talk.dialect.asks_for_reader() {
            return self.send(typed);
        }
        if typed.trim().is_empty() {
            return Cmd::Kill(Movement::WholeBuffer);
        }
        self.queue.pause();
        Cmd::AcceptLine
    }

    /// Empties the line; if it is empty, ends, or goes back to the line whose reader is asked for.
    fn interrupt(&self, typed: &str) -> Cmd {
        if !typed.is_empty() {
            return Cmd::Kill(Movement::WholeBuffer);
        }
        if self.is_asking() {
            self.queue.pause();
        }
        Cmd::Interrupt
    }

    /// Gives the terminal back and stops, as the editor does by itself; but what that gives back is
    /// a terminal on [`hold`].
    fn suspend(&self) -> Cmd {
        let stdin = io::stdin();
        let Ok(editing) = tcgetattr(&stdin) else { return Cmd::Noop };
        let _ = tcsetattr(&stdin, SetArg::TCSADRAIN, &self.before.into());
        let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
        let _ = tcsetattr(&stdin, SetArg::TCSADRAIN, &editing);
        Cmd::Repaint
    }

    /// Sends each line of the text to one reader, and returns what could not be sent.
    fn send_to(&self, id: &str, text: &str) -> String {
        let mut lines = text.lines().map(clean).filter(|line| !line.trim().is_empty());
        while let Some(line) = lines.next() {
            if !self.talk.send(&format!("{id}||{line}")) {
                self.queue.push(&self.paint.state(NOT_CONNECTED));
                let left: Vec<_> = [line].into_iter().chain(lines).collect();
                return left.join("\n");
            }
            lock(&self.recall).add(&line);
        }
        lock(&self.ids).add(id);
        String::new()
    }

    /// Sends what is typed, each line of a paste by itself. What cannot be sent stays.
    fn send(&self, typed: &str) -> Cmd {
        let mut lines = typed.lines().map(clean).filter(|line| !line.trim().is_empty());
        while let Some(line) = lines.next() {
            let show = || self.queue.push(&self.paint.sent(&line));
            if !self.talk.send_after(&line, show) {
                self.queue.push(&self.paint.state(NOT_CONNECTED));
                let left: Vec<_> = [line].into_iter().chain(lines).collect();
                return self.replace(Some(left.join("\n")));
            }
            self.recall().add(&line);
        }
        Cmd::Kill(Movement::WholeBuffer)
    }

    /// Makes the line another, the cursor at its end: as a completion, since the command that
    /// replaces a line leaves the cursor before it.
    fn replace(&self, line: Option<String>) -> Cmd {
        let Some(line) = line else { return Cmd::Noop };
        *lock(&self.replacement) = Some(line);
        Cmd::Complete
    }

    fn prompt(&self) -> &'static str {
        if self.is_asking() { REMOTE_ID } else { self.talk.dialect.prompt() }
    }

    fn is_asking(&self) -> bool {
        self.is_asking.load(Ordering::Relaxed)
    }

    /// What can be called back here.
    fn recall(&self) -> MutexGuard<'_, Recall> {
        lock(if self.is_asking() { &self.ids } else { &self.recall })
    }
}

const NOT_CONNECTED: &str = "Not connected: your line is kept";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What rustyline asks while a line is typed.
struct Assistant(Arc<Desk>);

impl Helper for Assistant {}
impl Validator for Assistant {}

impl Highlighter for Assistant {
    /// Nothing is highlighted, but this is the last that is called before the line is drawn.
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let drawn = if line.is_empty() { "" } else { &format!("{}{line}", self.0.prompt()) };
        self.0.queue.before_drawing(drawn);
        Cow::Borrowed(line)
    }
}

impl Hinter for Assistant {
    type Hint = String;

    /// There are no hints, but being asked for one tells that the prompt is about to be drawn and
    /// the terminal is in the editor's hands.
    fn hint(&self, _: &str, _: usize, _: &Context<'_>) -> Option<String> {
        self.0.queue.ready();
        None
    }
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        if let Some(line) = lock(&self.0.replacement).clone() {
            return Ok((0, vec![Pair { display: String::new(), replacement: line }]));
        }
        let seen = lock(&self.0.seen);
        let typed = &line[..position];
        Ok(if self.0.is_asking() { readers(&seen, typed) } else { proposals(&seen, typed) })
    }

    fn update(&self, line: &mut LineBuffer, start: usize, elected: &str, changes: &mut Changeset) {
        let is_whole = lock(&self.0.replacement).take().is_some();
        let end = if is_whole { line.len() } else { line.pos() };
        line.replace(start..end, elected, changes);
    }
}

/// Who can be written to, and `all`.
fn readers(seen: &Seen, typed: &str) -> (usize, Vec<Pair>) {
    let all = Some("all").filter(|all| all.starts_with(typed));
    let names = seen.names.beginning(typed).take(PROPOSALS_MAX - 1).chain(all);
    (0, names.map(|name| Pair { display: name.into(), replacement: name.into() }).collect())
}

/// Where the word at the end of `typed` begins, and what it can become.
fn proposals(seen: &Seen, typed: &str) -> (usize, Vec<Pair>) {
    let start = typed.rfind(char::is_whitespace).map_or(0, |blank| blank + 1);
    let word = &typed[start..];
    let pair =
        |word: &str, after| Pair { display: word.into(), replacement: format!("{word}{after}") };
    let of = |words: &Latest, after| -> Vec<_> {
        words.beginning(word).take(PROPOSALS_MAX).map(|word| pair(word, after)).collect()
    };
    let pairs = match typed.split_whitespace().next() {
        _ if start == 0 && word.starts_with('/') => of(&seen.commands, " "),
        // A bare Tab on an empty line would name everybody.
        _ if typed.is_empty() => Vec::new(),
        _ if start == 0 => of(&seen.names, ": "),
        Some("/join" | "/who" | "/online") => of(&seen.rooms, " "),
        _ if word.is_empty() && !typed.starts_with('/') => Vec::new(),
        _ => of(&seen.names, " "),
    };
    (start, pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Dialect;

    #[test]
    fn words_are_completed() {
        let mut seen = Seen::new(&Dialect::Telnet);
        for line in ["Client joined Plato", "Client joined pluto", "You are in cave with 1 other"] {
            seen.learn(line);
        }
        for (typed, start, expected) in [
            ("/j", 0, &["/join "][..]),
            ("/join c", 6, &["cave "]),
            ("/join ", 6, &["cave ", "lobby "]),
            ("/msg pla", 5, &["Plato "]),
            ("/msg ", 5, &["pluto ", "Plato "]),
            ("pl", 0, &["pluto: ", "Plato: "]),
            ("ask PLU", 4, &["pluto "]),
            ("ask ", 4, &[]),
            ("", 0, &[]),
            ("语 pla", 4, &["Plato "]),
        ] {
            let (from, pairs) = proposals(&seen, typed);
            let words: Vec<_> = pairs.iter().map(|pair| pair.replacement.as_str()).collect();
            assert_eq!((from, &words[..]), (start, expected), "{typed:?}");
        }
    }
}
