//! The ring: the only code that talks to the kernel about connections, and the only unsafe code.
//!
//! [`Ring`] is the contract between a worker and a ring; [`Uring`] keeps it with io_uring, and the
//! simulation keeps it with a seeded fake. Indexes cross this border, never pointers: the ring owns
//! the memory that the kernel reads and writes, so that no caller can free what is in use.
//!
//! What a caller may rely on:
//! - Operations start in the order in which they were pushed, at the latest in the next `enter`.
//! - **No send outlives `enter`.** A send either leaves whole, and then posts no completion, or
//!   completes with what it sent, and that completion is handed out before `next` first answers
//!   `None` after that `enter`. The memory is free again when `enter` returns.
//! - Every other operation has exactly one last completion (`more` is false on it), but `cancel`
//!   and `abort`, which report failures only.
//! - Results are the kernel's: a count, or a negated errno.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

mod bell;
mod buf_ring;
mod map;
mod probe;
mod restriction;
mod ring;
mod sys;

pub use bell::Doorbell;
pub use probe::{Unavailable, can_take_out, check};
pub use ring::{Options, Uring};
pub use sys::{errno, raise_descriptor_limit};

/// A worker's way to the kernel.
pub trait Ring {
    /// The memory that sends are taken from.
    fn memory(&mut self) -> &mut [u8];

    /// Gives `len` bytes of `memory` from `start` on back to the system, as far as they are whole
    /// pages: they cost nothing until they are written again, and hold anything until then.
    ///
    /// # Panics
    /// When they lie outside.
    fn clear(&mut self, start: u32, len: u32);

    /// Accepts one connection from `listener` into the empty `slot`. `lane` is where the other
    /// end's address is kept; one accept at a time in each.
    fn accept(&mut self, lane: u32, listener: u32, slot: u32, token: u64);

    /// The address of the last connection accepted in `lane`.
    fn accepted_from(&self, lane: u32) -> SocketAddr;

    /// Receives from `slot`, again and again, each time into a buffer that the completion names.
    fn recv(&mut self, slot: u32, token: u64);

    /// The first `len` bytes of a buffer named by a completion and not recycled yet.
    ///
    /// # Panics
    /// When the buffer is not the caller's.
    fn buffer(&self, id: BufferId, len: usize) -> &[u8];

    /// Gives a buffer back.
    ///
    /// # Panics
    /// When the buffer is not the caller's.
    fn recycle(&mut self, id: BufferId);

    /// Sends `len` bytes of `memory` from `start` on. At most one send a slot between two `enter`s.
    fn send(&mut self, slot: u32, start: u32, len: u32, token: u64);

    /// Completes once when `slot` can take bytes again.
    fn poll_out(&mut self, slot: u32, token: u64);

    /// Cancels the operation that was started under `target`; its last completion then comes.
    fn cancel(&mut self, target: u64, token: u64);

    /// Makes the next `close` of `slot` throw away what is unsent and reset the other end.
    fn abort(&mut self, slot: u32, token: u64);

    /// Closes `slot`. Nothing may be under way on it; it is empty when this completes.
    fn close(&mut self, slot: u32, token: u64);

    /// Completes once when the worker's doorbell is rung.
    fn hear(&mut self, token: u64);

    /// Hands over everything pushed, and waits as told.
    ///
    /// # Errors
    /// When the ring itself is broken; interruptions and full queues are dealt with inside.
    fn enter(&mut self, wait: Wait) -> io::Result<()>;

    /// The next completion; `None` when all that arrived were handed out.
    fn next(&mut self) -> Option<Completion>;

    /// What the ring counted since it was made.
    fn stats(&self) -> Stats;
}

/// How long `enter` waits for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// So long at most.
    AtMost(Duration),
    /// Until there is one.
    Forever,
}

/// A buffer of received bytes, lent to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferId(pub u16);

/// What came of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The word the operation was started with.
    pub token: u64,
    /// A count, or a negated errno.
    pub result: i32,
    /// Where received bytes are.
    pub buffer: Option<BufferId>,
    /// Whether the operation goes on.
    pub more: bool,
}

/// What a ring counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Times the completion queue was found overflowing.
    pub overflows: u64,
    /// Times a push found the submission queue full and had to submit first.
    pub flushes: u64,
}
