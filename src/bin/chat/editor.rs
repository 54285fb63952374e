//! The line being typed: rustyline, in a reading of one line that never ends.
//!
//! Between two readings rustyline gives the terminal back: what is typed then is echoed by the
//! terminal, and a message printed then lands behind the prompt. So Enter sends from inside and
//! empties the line, and the reading ends only when the conversation does. Ctrl-R looks back
//! without a search mode, since messages would have to wait for its end.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use rustyline::completion::{Completer, Pair};
use rustyline::config::{BellStyle, CompletionType};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{
    Cmd, ConditionalEventHandler, Config, Context, Editor, Event, EventContext, EventHandler,
    Helper, KeyCode, KeyEvent, Modifiers, Movement,
};

use crate::limits::PROPOSALS_MAX;
use crate::link::clean;
use crate::paint::Paint;
use crate::recall::Recall;
use crate::screen::{self, Queue};
use crate::seen::{Latest, Seen};
use crate::talk::Talk;

pub(crate) const PROMPT: &str = "> ";

/// What the keys work on.
pub(crate) struct Desk {
    pub(crate) talk: Arc<Talk>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) recall: Mutex<Recall>,
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
        let _ = editor.readline(PROMPT);
        desk.queue.editor_gone();
        desk.talk.end_when_taken();
    });
    Ok(())
}

type Keys = Editor<Assistant, MemHistory>;

fn bind_keys(editor: &mut Keys, desk: &Arc<Desk>) {
    let ctrl = KeyEvent::ctrl;
    let plain = |code| KeyEvent(code, Modifiers::NONE);
    bind(editor, desk, &[plain(KeyCode::Enter), ctrl('M'), ctrl('J')], |desk, line| {
        Some(desk.enter(line))
    });
    bind(editor, desk, &[ctrl('C')], |_, line| {
        Some(if line.is_empty() { Cmd::Interrupt } else { Cmd::Kill(Movement::WholeBuffer) })
    });
    bind(editor, desk, &[plain(KeyCode::Up), ctrl('P')], |desk, line| {
        Some(replace(desk.recall().older(line)))
    });
    bind(editor, desk, &[plain(KeyCode::Down), ctrl('N')], |desk, line| {
        Some(replace(desk.recall().newer(line)))
    });
    bind(editor, desk, &[ctrl('R')], |desk, line| Some(replace(desk.recall().find(line))));
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

fn replace(line: Option<String>) -> Cmd {
    line.map_or(Cmd::Noop, |line| Cmd::Replace(Movement::WholeBuffer, Some(line)))
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
    /// Sends what is typed, each line of a paste by itself. What cannot be sent stays.
    fn enter(&self, typed: &str) -> Cmd {
        let mut lines = typed.lines().map(clean).filter(|line| !line.trim().is_empty());
        while let Some(line) = lines.next() {
            let show = || self.queue.push(&self.paint.sent(&line));
            if !self.talk.send_after(&line, show) {
                self.queue.push(&self.paint.state("Not connected: your line is kept"));
                let left: Vec<_> = [line].into_iter().chain(lines).collect();
                return replace(Some(left.join("\n")));
            }
            self.recall().add(&line);
        }
        Cmd::Kill(Movement::WholeBuffer)
    }

    fn recall(&self) -> MutexGuard<'_, Recall> {
        self.recall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What rustyline asks while a line is typed.
struct Assistant(Arc<Desk>);

impl Helper for Assistant {}
impl Validator for Assistant {}

impl Highlighter for Assistant {
    /// Nothing is highlighted, but this is the last that is called before the line is drawn.
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        self.0.queue.before_drawing(line);
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
        let seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(proposals(&seen, &line[..position]))
    }
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

    #[test]
    fn words_are_completed() {
        let mut seen = Seen::new();
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
