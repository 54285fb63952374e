//! Every number that bounds the generator: its unit, its reason, what it costs.

use std::time::Duration;

/// Bytes read at once, one buffer per thread: many lines per system call at high rates.
pub(crate) const READ_LEN: usize = 64 * 1024;
/// A line without its end, in bytes. More than the longest line a server renders; a longer one is
/// cut there and counts as corrupted.
pub(crate) const LINE_LEN_MAX: usize = 4096;
/// The longest text sent, in bytes: chatd refuses longer lines.
pub const TEXT_LEN_MAX: usize = 1024;

/// Clients of one process: the descriptors of `RLIMIT_NOFILE` bound it further.
pub(crate) const CLIENTS_MAX: u32 = 1_000_000;
/// Descriptors a generator needs besides its connections: standard streams, an epoll and an eventfd
/// for each thread, the pipes of a server it starts.
pub(crate) const DESCRIPTORS_SPARE: u64 = 64;
/// Threads: more than the cores of any machine this was thought for.
pub(crate) const THREADS_MAX: usize = 64;
/// Lines due at one instant: more, and the last of them wait for the generator.
pub(crate) const BURST_MAX: u32 = 10_000;
/// Steps of a rate: more is a curve, which nobody reads out of a report.
pub(crate) const RATE_STEPS_MAX: usize = 64;
/// Kinds of sizes; each line looks through them.
pub(crate) const SIZES_MAX: usize = 16;
/// Lines sent in one run. What is kept of the arrivals of each takes 8 bytes, 128 MiB; with clients
/// that leave and return, when it was written takes as much again.
pub(crate) const LINES_MAX: u64 = 16 << 20;
/// Pairs of receiver and sender that share a room. Each takes 4 bytes: 256 MiB.
pub(crate) const AUDIT_CELLS_MAX: u64 = 64 << 20;
/// Ranges of missing lines remembered by one thread to tell late ones from second copies, about
/// 16 bytes each. Past it a late line counts as duplicated and the missing one stays lost.
pub(crate) const GAPS_MAX: usize = 1 << 20;
/// Pairs of receiver and sender with faults that are listed one by one; the totals are exact.
pub(crate) const FAULT_ROWS_MAX: usize = 4096;
/// Rows of the fault table that are printed.
pub(crate) const FAULT_ROWS_SHOWN: usize = 20;

/// Connections one source address may hold: below the 28,232 ports of Linux's default range, with
/// room for those that other programs use.
pub(crate) const CLIENTS_PER_ADDRESS_MAX: u32 = 20_000;
/// The same for an address that sockets are bound to: bind takes only every other port of the
/// range, 14,116 of them.
pub(crate) const CLIENTS_PER_BOUND_ADDRESS_MAX: u32 = 10_000;
/// What the kernel is asked to hold of what a sender wrote and the server has not taken, in bytes;
/// it doubles this for its own needs. The least it would choose itself. What is beyond waits here,
/// so that a line is stamped when it leaves, not long before.
pub(crate) const SEND_BUFFER: usize = 16 * 1024;
/// The same for what a slow reader has not read: the least a small device has, so that the server
/// notices within kilobytes, not megabytes.
pub(crate) const LAG_BUFFER: usize = 4 * 1024;
/// Between two reads of a slow reader: often enough for a trickle.
pub(crate) const LAG_INTERVAL: Duration = Duration::from_millis(100);
/// The least a slow reader reads at once, in bytes: at a rate below ten times this it reads more
/// rarely instead.
pub(crate) const LAG_READ_MIN: u32 = 64;
/// How long a member that has left stays away: long enough for lines that it must not get.
pub(crate) const AWAY: Duration = Duration::from_millis(200);
/// How long the sending thread sleeps before it looks whether anybody is left to send to.
pub(crate) const SLEEP_MAX: Duration = Duration::from_millis(100);
/// Different reasons of the server for closing clients that one thread tells apart, 256 bytes each;
/// clients with further ones are counted together.
pub(crate) const REASONS_MAX: usize = 64;
/// What is kept of a reason, in bytes.
pub(crate) const REASON_LEN_MAX: usize = 256;
/// Events taken from epoll at once.
pub(crate) const EVENTS_MAX: usize = 1024;

/// From the first connect until the last client is welcome.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long to wait after the last line was sent for what is still under way.
pub const GRACE: Duration = Duration::from_secs(10);
/// Between the decision to start and the first line, so that it is not late.
pub(crate) const START_DELAY: Duration = Duration::from_millis(20);
/// From the start of a server until it listens, and from SIGTERM until it has left.
pub(crate) const SERVER_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks at a process that is about to start, end or settle.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Last lines of a server's log kept for an error message.
pub(crate) const LOG_LINES_MAX: usize = 20;

/// The longest duration a histogram tells apart, in nanoseconds: an hour. Longer ones are recorded
/// as an hour, never dropped.
pub(crate) const LATENCY_NS_MAX: u64 = 3600 * 1_000_000_000;
/// Significant digits of a histogram: 0.1 %, at 0.3 MB each.
pub(crate) const LATENCY_DIGITS: u8 = 3;
