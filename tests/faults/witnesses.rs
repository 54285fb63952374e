//! Two who talk in a room of their own while something happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::harness::{Client, Server};

/// The pair. Each line must come, in order, and nothing else.
#[derive(Debug)]
pub(crate) struct Witnesses {
    speaker: Client,
    listener: Client,
    said: usize,
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
        Self { speaker, listener, said: 0 }
    }

    /// One line there.
    #[track_caller]
    pub(crate) fn talk(&mut self) {
        self.said += 1;
        self.speaker.say(&format!("line {}", self.said), &mut [&mut self.listener]);
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
