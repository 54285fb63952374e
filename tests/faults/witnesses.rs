//! Two who talk in a room of their own while something happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Client, Server};

/// The pair. Each line must come, in order, and nothing else.
#[derive(Debug)]
pub(crate) struct Witnesses {
    speaker: Client,
    listener: Client,
    said: usize,
    /// How long each line was on its way.
    took: Vec<Duration>,
}

/// Becomes true when this is dropped: also when what happens panics, so that other threads end.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Witnesses {
    /// In the room `quiet`. Nobody else may be in the lobby yet.
    pub(crate) fn of(server: &Server) -> Self {
        let [mut speaker, mut listener] = server.lobby(["speaker", "listener"]);
        speaker.send("/join quiet\n");
        speaker.expect_line("You are alone in quiet");
        listener.expect_line("Client left speaker");
        listener.send("/join quiet\n");
        listener.expect_line("You are in quiet with 1 other");
        speaker.expect_line("Client joined listener");
        Self { speaker, listener, said: 0, took: Vec::new() }
    }

    /// One line there.
    #[track_caller]
    pub(crate) fn talk(&mut self) {
        self.said += 1;
        let start = Instant::now();
        self.speaker.say(&format!("line {}", self.said), &mut [&mut self.listener]);
        self.took.push(start.elapsed());
    }

    /// How long one was on its way at most, since this or the other was asked last.
    pub(crate) fn longest(&mut self) -> Duration {
        std::mem::take(&mut self.took).into_iter().max().unwrap_or_default()
    }

    /// How long lines were on their way since this was asked last, in words.
    pub(crate) fn latency(&mut self) -> String {
        let mut took = std::mem::take(&mut self.took);
        took.sort_unstable();
        if took.is_empty() {
            return "nothing to tell".to_owned();
        }
        let at = |part: usize| took[(took.len() - 1) * part / 100];
        let millis = |part| at(part).as_secs_f64() * 1e3;
        format!("p50 {:.2} ms, p99 {:.2} ms of {} lines", millis(50), millis(99), took.len())
    }

    /// Talks for as long as `happening` takes, and at least once.
    pub(crate) fn meanwhile<T>(&mut self, happening: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                self.talk();
                while !over.load(Ordering::Relaxed) {
                    self.talk();
                }
            });
            let _over = Over(&over);
            happening()
        })
    }
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
