//! What a server meets that many can reach: storms of clients, and what happens to a process. The
//! built binary over real sockets, as in `tests/server`.
//!
//! Each test ends at rest: everybody has left, and what was accepted is what was closed, for a
//! counted reason; no room, client or descriptor is left over (`rest`).
//!
//! `FAULTS_SCALE` multiplies the counts, 1 if it is not set. With `--nocapture` each prints what it
//! measured; `tests/faults/measure` runs them at their full size.

/// The server and its clients. This target needs a part of it.
#[allow(dead_code)]
#[path = "../server/harness.rs"]
mod harness;
/// A server to which nobody is connected, before and after.
mod rest;
/// Two who talk while something happens, and lose nothing.
mod witnesses;

/// Where clients come from: IPv6.
mod addresses;
/// What a peak needs.
mod memory;
/// What happens to a process: signals, its log, its transcript, its end.
mod process;
/// Those who read too slowly.
mod slow;
/// Many at once, or one who does everything at once.
mod storms;
/// A new process in the place of the one that serves.
mod upgrades;

/// So many of something, times what the environment says.
fn scaled(count: usize) -> usize {
    let factor = std::env::var("FAULTS_SCALE").map(|text| text.parse().expect("a whole number"));
    count * factor.unwrap_or(1)
}
