//! The transcript: what is said in the rooms, a line each, at the end of a file or to stdout.
//!
//! Nobody waits for it. Lines gather in a bounded buffer while one write is under way; what does
//! not fit, or cannot be written, is dropped and counted. Direct messages never come here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::fs::File;
use tracing::warn;

use crate::chat::{Action, Message, RoomId};
use crate::config;
use crate::dialect::Dialect;
use crate::engine::stats::Counter;
use crate::failure::{Failure, Kind};
use crate::limits::{TRANSCRIPT_COMPLAINT_INTERVAL, TRANSCRIPT_LEN_MAX, TRANSCRIPT_RETRY};
use crate::log::Stamp;

/// "Where the file stands": at the end for one opened with O_APPEND, and the only offset that a
/// pipe or a terminal takes (io_uring_enter(2), IORING_OP_WRITE).
const CURRENT_POSITION: u64 = u64::MAX;

/// The dialect whose words the transcript uses.
const WORDS: Dialect = Dialect::Telnet;

/// Opens the file that the operator named.
pub(super) fn open(target: &config::Transcript) -> Result<fs::File, Failure> {
    let (opened, name) = match target {
        config::Transcript::Stdout => {
            (io::stdout().as_fd().try_clone_to_owned().map(fs::File::from), "stdout".into())
        }
        config::Transcript::File(path) => {
            (OpenOptions::new().append(true).create(true).open(path), path.to_string_lossy())
        }
    };
    opened
        .map_err(|error| Failure::new(Kind::System, format_args!("the transcript {name}: {error}")))
}

/// The side that the actions come to.
#[derive(Debug)]
pub(super) struct Transcript {
    /// The newest name of each room; numbers are used again, and bounded by `limits::ROOMS_MAX`.
    names: HashMap<RoomId, String>,
    queue: Rc<Queue>,
    writer: JoinHandle<()>,
    /// Kept for their memory.
    rendered: Vec<u8>,
    line: Vec<u8>,
}

/// What lies between the actions and the file.
#[derive(Debug)]
struct Queue {
    lines: RefCell<Lines>,
    changed: Notify,
    /// The writer has nothing left.
    written: Notify,
    dropped: Arc<Counter>,
}

#[derive(Debug, Default)]
struct Lines {
    /// Whole lines, `TRANSCRIPT_LEN_MAX` bytes at most.
    waiting: Vec<u8>,
    /// How many lines the writer has taken and not dealt with yet.
    under_way: u64,
    /// No more will come.
    closed: bool,
    complained: Option<Instant>,
}

impl Transcript {
    /// A transcript into `file`; `dropped` counts the lines that do not get there. Needs the
    /// tokio-uring runtime.
    pub(super) fn new(file: fs::File, dropped: Arc<Counter>) -> Self {
        let queue = Rc::new(Queue {
            lines: RefCell::default(),
            changed: Notify::new(),
            written: Notify::new(),
            dropped,
        });
        let writer = tokio_uring::spawn(write(File::from_std(file), Rc::clone(&queue)));
        Self { names: HashMap::new(), queue, writer, rendered: Vec::new(), line: Vec::new() }
    }

    /// Takes what concerns the transcript from an action for the observer.
    pub(super) fn apply(&mut self, action: &Action<&str>) {
        match *action {
            Action::Opened { room, name } => {
                self.names.insert(room, name.to_owned());
            }
            Action::Say { room, message, .. } => self.say(room, &message),
            _ => {}
        }
    }

    fn say(&mut self, room: RoomId, message: &Message<&str>) {
        let Some(name) = self.names.get(&room) else {
            // Its `Opened` was dropped when this peer's outbox was full.
            self.queue.drop_lines(1, "the core outran the transcript");
            return;
        };
        self.rendered.clear();
        WORDS.render(message, &mut self.rendered);
        let now = Stamp::now();
        for words in self.rendered.split(|byte| *byte == b'\n') {
            let words = words.strip_suffix(b"\r").unwrap_or(words);
            if words.is_empty() {
                continue;
            }
            self.line.clear();
            write!(self.line, "{now} {name} ").expect("memory takes every write");
            self.line.extend_from_slice(words);
            self.line.push(b'\n');
            self.queue.push(&self.line);
        }
    }

    /// Waits until everything so far is written.
    pub(super) async fn written(&self) {
        while !self.queue.lines.borrow().is_written() {
            self.queue.written.notified().await;
        }
    }

    /// Takes no more, and waits until everything is written, at most until `deadline`. What is not
    /// written by then is lost, and told.
    pub(super) async fn finish(mut self, deadline: Instant) {
        self.queue.close();
        if tokio::time::timeout_at(deadline.into(), &mut self.writer).await.is_err() {
            let lines = self.queue.lines.borrow();
            let waiting = lines.under_way + line_count(&lines.waiting);
            warn!(waiting, "the transcript is left unfinished");
        }
    }
}

impl Lines {
    fn is_written(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }
}

impl Queue {
    fn push(&self, line: &[u8]) {
        let fits = {
            let waiting = &mut self.lines.borrow_mut().waiting;
            let fits = waiting.len() + line.len() <= TRANSCRIPT_LEN_MAX;
            if fits {
                waiting.extend_from_slice(line);
            }
            fits
        };
        if fits {
            self.changed.notify_one();
        } else {
            self.drop_lines(1, "the file is slower than the chat");
        }
    }

    /// All that wait; `None` when nothing does.
    fn take(&self) -> Option<Vec<u8>> {
        let waiting = mem::take(&mut self.lines.borrow_mut().waiting);
        (!waiting.is_empty()).then_some(waiting)
    }

    fn close(&self) {
        self.lines.borrow_mut().closed = true;
        self.changed.notify_one();
    }

    /// Waits for lines; `None` when no more will come.
    async fn next(&self) -> Option<Vec<u8>> {
        loop {
            let taken = self.take();
            self.lines.borrow_mut().under_way = taken.as_deref().map_or(0, line_count);
            if taken.is_some() {
                return taken;
            }
            self.written.notify_waiters();
            if self.lines.borrow().closed {
                return None;
            }
            self.changed.notified().await;
        }
    }

    /// Counts lost lines, and says so now and then.
    fn drop_lines(&self, count: u64, cause: &str) {
        self.dropped.add(count);
        let complained = &mut self.lines.borrow_mut().complained;
        if complained.is_none_or(|last| last.elapsed() >= TRANSCRIPT_COMPLAINT_INTERVAL) {
            *complained = Some(Instant::now());
            warn!(dropped = self.dropped.read(), %cause, "lines are missing in the transcript");
        }
    }
}

/// Writes what comes, one write under way at a time.
async fn write(file: File, queue: Rc<Queue>) {
    let mut torn = false;
    while let Some(mut lines) = queue.next().await {
        if torn {
            // What was written in part does not run into the next line.
            lines.insert(0, b'\n');
        }
        let (written, lines, result) = write_all(&file, lines).await;
        if let Err(error) = result {
            let lost = line_count(&lines[written.max(usize::from(torn))..]);
            queue.drop_lines(lost, &error.to_string());
        }
        torn = lines[..written].last().map_or(torn, |last| *last != b'\n');
    }
}

/// Writes all of `lines`, and returns how much was written before an error.
async fn write_all(file: &File, mut lines: Vec<u8>) -> (usize, Vec<u8>, io::Result<()>) {
    let mut written = 0;
    while written < lines.len() {
        let write = file.write_at(lines.slice(written..), CURRENT_POSITION);
        let (result, rest) = write.submit().await;
        lines = rest.into_inner();
        match result {
            Ok(0) => return (written, lines, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            // stdout may be non-blocking: whoever shares it decides.
            Err(error) if is_passing(&error) => tokio::time::sleep(TRANSCRIPT_RETRY).await,
            Err(error) => return (written, lines, Err(error)),
        }
    }
    (written, lines, Ok(()))
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn line_count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::path::PathBuf;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A file of its own for each test, gone afterwards.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("chatd-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn in_runtime<T: Send + 'static>(test: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        thread::spawn(|| tokio_uring::start(test())).join().expect("the test passes")
    }

    fn soon() -> Instant {
        Instant::now() + PATIENCE
    }

    /// Lets the writer go on until `done`.
    async fn until(mut done: impl FnMut() -> bool) {
        let deadline = soon();
        while !done() {
            assert!(Instant::now() < deadline, "it never came");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn push(transcript: &Transcript, count: usize) {
        let line = [&[b'x'; 1_023][..], b"\n"].concat();
        (0..count).for_each(|_| transcript.queue.push(&line));
    }

    #[test]
    fn lines_go_to_the_end_of_the_file_under_the_newest_name_of_their_room() {
        let place = Place::new("transcript-file");
        fs::write(&place.0, "before\n").expect("a writable directory");
        let target = config::Transcript::File(place.0.clone());
        let dropped = in_runtime(async move || {
            let dropped = Arc::new(Counter::default());
            let file = open(&target).expect("a writable file");
            let mut transcript = Transcript::new(file, Arc::clone(&dropped));
            for name in ["lobby", "garden"] {
                transcript.apply(&Action::Opened { room: RoomId(0), name });
                transcript.queue.push(name.as_bytes());
                transcript.queue.push(b"\n");
            }
            assert_eq!(transcript.names[&RoomId(0)], "garden");
            let message = Message::Said { author: "plato", text: "hi" };
            transcript.apply(&Action::Say { room: RoomId(1), author: None, hears: true, message });
            transcript.finish(soon()).await;
            dropped.read()
        });
        assert_eq!(fs::read_to_string(&place.0).expect("a file"), "before\nlobby\ngarden\n");
        assert_eq!(dropped, 1, "a line of a room that was never opened");
    }

    #[test]
    fn a_pipe_that_nobody_reads_stops_nobody() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let (pushed, dropped, rest) = in_runtime(async move || {
            let dropped = Arc::new(Counter::default());
            let file = fs::File::from(std::os::fd::OwnedFd::from(writer));
            let transcript = Transcript::new(file, Arc::clone(&dropped));
            push(&transcript, 100);
            until(|| transcript.queue.lines.borrow().waiting.is_empty()).await;
            // The pipe holds 64 of the lines; the write of the rest is under way and stays so.
            let fits = TRANSCRIPT_LEN_MAX / 1_024;
            push(&transcript, fits);
            assert_eq!(dropped.read(), 0);
            push(&transcript, 7);
            assert_eq!(dropped.read(), 7);
            let reader = thread::spawn(move || {
                let mut text = Vec::new();
                reader.read_to_end(&mut text).map(|_| text)
            });
            transcript.finish(soon()).await;
            (100 + fits as u64, dropped.read(), reader)
        });
        let text = rest.join().expect("it does not panic").expect("a readable pipe");
        assert_eq!(line_count(&text), pushed, "short writes were continued");
        assert_eq!(dropped, 7);
    }

    #[test]
    fn what_is_written_is_known() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        in_runtime(async move || {
            let file = fs::File::from(std::os::fd::OwnedFd::from(writer));
            let transcript = Transcript::new(file, Arc::default());
            transcript.written().await;
            // More than the pipe holds.
            push(&transcript, 100);
            let early = tokio::time::timeout(Duration::from_millis(1), transcript.written()).await;
            assert!(early.is_err(), "nobody reads");
            let reader = thread::spawn(move || reader.read_exact(&mut vec![0; 100 * 1_024]));
            transcript.written().await;
            reader.join().expect("it does not panic").expect("all of it");
        });
    }

    #[test]
    fn leaving_does_not_wait_for_a_blocked_pipe() {
        let (reader, writer) = io::pipe().expect("a pipe");
        in_runtime(async move || {
            let file = fs::File::from(std::os::fd::OwnedFd::from(writer));
            let transcript = Transcript::new(file, Arc::default());
            push(&transcript, 100);
            until(|| transcript.queue.lines.borrow().waiting.is_empty()).await;
            transcript.finish(Instant::now()).await;
        });
        drop(reader);
    }

    #[test]
    fn a_full_disk_costs_the_lines_and_nothing_else() {
        let lost = in_runtime(async || {
            let dropped = Arc::new(Counter::default());
            let file = OpenOptions::new().write(true).open("/dev/full").expect("a device");
            let transcript = Transcript::new(file, Arc::clone(&dropped));
            push(&transcript, 3);
            until(|| dropped.read() == 3).await;
            push(&transcript, 2);
            transcript.finish(soon()).await;
            dropped.read()
        });
        assert_eq!(lost, 5);
    }

    #[test]
    fn a_pipe_whose_reader_left_costs_the_lines() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let lost = in_runtime(async move || {
            let dropped = Arc::new(Counter::default());
            let file = fs::File::from(std::os::fd::OwnedFd::from(writer));
            let transcript = Transcript::new(file, Arc::clone(&dropped));
            push(&transcript, 1);
            let mut line = [0; 1_024];
            let read = tokio::task::spawn_blocking(move || reader.read_exact(&mut line));
            read.await.expect("it does not panic").expect("the first line");
            push(&transcript, 2);
            transcript.finish(soon()).await;
            dropped.read()
        });
        assert_eq!(lost, 2);
    }
}
