//! Where lines go: to standard output as they are, or through the editor, which prints them above
//! the line being typed.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustyline::ExternalPrinter;

use crate::limits::{BATCH_LINES_MAX, HANDOVER_TIMEOUT, LAST_LINES_TIMEOUT, SCREEN_LINES_MAX};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// To standard output.
    Lines,
    /// Through the editor.
    Screen(Arc<Queue>),
}

impl Output {
    /// Shows a line; waits where the screen is far behind. False if nobody reads any more.
    pub(crate) fn show(&self, line: &str) -> bool {
        match self {
            Self::Lines => {
                let mut out = io::stdout().lock();
                writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
            }
            Self::Screen(queue) => {
                queue.push_when_room(line);
                true
            }
        }
    }
}

/// Lines on their way to the screen.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<String>,
    /// The editor has drawn its prompt. Before that the printer would write across it.
    is_ready: bool,
    /// A batch is on its way to the editor.
    is_handing_over: bool,
    /// No more lines will come.
    is_closed: bool,
    /// The editor has read to the end: nobody draws a prompt any more.
    is_editor_gone: bool,
    /// The editor has the last lines. When it comes to draw its prompt again, it is to stay away.
    is_last_handed_over: bool,
    /// All lines are on the screen, and no prompt; this is what was half typed, behind its prompt.
    left: Option<String>,
}

impl Queue {
    /// Adds a line without waiting: for the thread that the printer waits for.
    pub(crate) fn push(&self, line: &str) {
        self.waiting().lines.push_back(line.to_owned());
        self.changed.notify_all();
    }

    fn push_when_room(&self, line: &str) {
        let waiting = self.waiting();
        let is_full = |waiting: &mut Waiting| waiting.lines.len() >= SCREEN_LINES_MAX;
        let waited = self.changed.wait_while(waiting, is_full);
        waited.unwrap_or_else(PoisonError::into_inner).lines.push_back(line.to_owned());
        self.changed.notify_all();
    }

    /// The editor has drawn its prompt.
    pub(crate) fn ready(&self) {
        let mut waiting = self.waiting();
        if !waiting.is_ready {
            waiting.is_ready = true;
            self.changed.notify_all();
        }
    }

    /// The editor is about to leave its line, and the terminal for a moment: lines wait until it
    /// has drawn its next prompt.
    pub(crate) fn pause(&self) {
        let mut waiting = self.waiting();
        waiting.is_ready = false;
        let is_busy = |waiting: &mut Waiting| waiting.is_handing_over;
        drop(self.changed.wait_timeout_while(waiting, HANDOVER_TIMEOUT, is_busy));
    }

    /// The editor is about to draw this line, with its prompt. Does not return once the last
    /// lines are out, or the prompt would come back after the end.
    pub(crate) fn before_drawing(&self, line: &str) {
        let mut waiting = self.waiting();
        if !waiting.is_last_handed_over {
            return;
        }
        waiting.left.get_or_insert_with(|| line.to_owned());
        self.changed.notify_all();
        drop(waiting);
        loop {
            thread::park();
        }
    }

    /// The editor has ended by itself.
    pub(crate) fn editor_gone(&self) {
        self.waiting().is_editor_gone = true;
    }

    /// Waits until all lines are on the screen, though not for ever. Returns what is half typed.
    pub(crate) fn close(&self) -> String {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        self.changed.notify_all();
        let is_unshown = |waiting: &mut Waiting| waiting.left.is_none();
        let waited = self.changed.wait_timeout_while(waiting, LAST_LINES_TIMEOUT, is_unshown);
        waited.unwrap_or_else(PoisonError::into_inner).0.left.take().unwrap_or_default()
    }

    fn last_handed_over(&self) {
        let mut waiting = self.waiting();
        waiting.is_last_handed_over = true;
        if waiting.is_editor_gone {
            waiting.left = Some(String::new());
            self.changed.notify_all();
        }
    }

    /// The next lines, several at once if there are; None after the last.
    fn take(&self) -> Option<String> {
        let waiting = self.waiting();
        let is_idle = |waiting: &mut Waiting| {
            !waiting.is_closed && (waiting.lines.is_empty() || !waiting.is_ready)
        };
        let waited = self.changed.wait_while(waiting, is_idle);
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        let count = waiting.lines.len().min(BATCH_LINES_MAX);
        let batch: String = waiting.lines.drain(..count).map(|line| line + "\n").collect();
        waiting.is_handing_over = true;
        self.changed.notify_all();
        Some(batch).filter(|batch| !batch.is_empty())
    }

    fn handed_over(&self) {
        self.waiting().is_handing_over = false;
        self.changed.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands the lines to the editor until there are no more.
pub(crate) fn print(queue: &Queue, mut printer: impl ExternalPrinter) {
    // Up and down again: leaves everything where it is.
    const NOTHING: &str = "\x1b[A\n";
    while let Some(lines) = queue.take() {
        let printed = printer.print(lines);
        queue.handed_over();
        if printed.is_err() {
            break;
        }
    }
    // The printer holds one text. It takes the first of these when the editor has got hold of the
    // last lines, which that prints before it draws anything else; the second makes it draw.
    let _ = printer.print(NOTHING.to_owned());
    queue.last_handed_over();
    let _ = printer.print(NOTHING.to_owned());
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn nothing_is_handed_over_while_the_editor_is_away() {
        let (queue, is_back) = (Queue::default(), AtomicBool::default());
        queue.ready();
        queue.pause();
        queue.push("a");
        thread::scope(|scope| {
            let taken = scope.spawn(|| (queue.take(), is_back.load(Ordering::SeqCst)));
            is_back.store(true, Ordering::SeqCst);
            queue.ready();
            assert_eq!(taken.join().expect("no panic"), (Some("a\n".to_owned()), true));
        });
        // It is not waited for for ever.
        assert!(queue.waiting().is_handing_over);
        queue.pause();
    }

    #[test]
    fn lines_wait_for_the_prompt_and_come_in_batches() {
        let queue = Queue::default();
        queue.push("a");
        queue.push("b");
        queue.ready();
        assert_eq!(queue.take().as_deref(), Some("a\nb\n"));
        (0..=BATCH_LINES_MAX).for_each(|_| queue.push("x"));
        let batch = queue.take().expect("lines");
        assert_eq!(batch.lines().count(), BATCH_LINES_MAX);
        queue.waiting().is_closed = true;
        assert_eq!(queue.take().as_deref(), Some("x\n"));
        assert_eq!(queue.take(), None);
    }
}
