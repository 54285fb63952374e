//! Every number that bounds something: its unit, its reason, what it costs.

use std::time::Duration;

/// Peers of the hub: the workers and the control thread. A `PeerSet` is a `u64`.
pub const PEERS_MAX: usize = 63;
/// Workers: every peer but the control thread.
pub const WORKERS_MAX: usize = PEERS_MAX - 1;

/// Listeners. Each costs a socket and an accept under way on every worker.
pub const LISTENERS_MAX: usize = 16;
/// Connections a worker may hold at most: the kernel's bound on a ring's table of files
/// (IORING_MAX_FIXED_FILES), less what is reserved.
pub const WORKER_CLIENTS_MAX: u64 = (1 << 20) - DESCRIPTORS_RESERVED;
/// Entries of a worker's table of files that are not for clients: those who are refused with a
/// reason (64 at a time), and air. The table may be as large as RLIMIT_NOFILE.
pub const DESCRIPTORS_RESERVED: u64 = 128;

/// Bytes of SO_SNDBUF of a client's socket. The kernel doubles it for its own needs (socket(7)), so
/// that a reader who stands still holds at most 64 KiB of kernel memory, and half of that is text.
pub const SEND_BUFFER_LEN: usize = 32 << 10;
/// Connections that wait to be accepted, where /proc/sys/net/core/somaxconn cannot be read: the
/// kernel's own default since 5.4.
pub const BACKLOG_FALLBACK: i32 = 4_096;
/// Silence after which the kernel asks whether the other end is there: shorter than the time for
/// which home routers remember an idle connection.
pub const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
/// How long such a question waits for its answer.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer after which the connection is given up.
pub const KEEPALIVE_COUNT: u32 = 3;
/// How long sent bytes may stay unacknowledged, or unsendable because the other end's window is
/// zero, before the kernel gives the connection up (TCP_USER_TIMEOUT, tcp(7)). It also ends a peer
/// that stopped reading, so it is longer than the 10 s after which a slow reader is closed by
/// policy; and with keepalive it, not the count, says when a silent peer is given up.
pub const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// The default least time between two sweeps of a busy room, in milliseconds.
pub const PACE_MS: u64 = 10;
/// The most that may be chosen for it: people notice a quarter of a second.
pub const PACE_MS_MAX: u64 = 250;
/// The default time given to clients and to the transcript when the server stops, in seconds.
pub const DRAIN_S: u64 = 3;
/// The most that may be chosen for it: service managers kill after 90 s.
pub const DRAIN_S_MAX: u64 = 60;
/// What may pass on top of the drain time before the process leaves without the others: for a worker
/// to see that the time is over, and for the transcript to write the last lines.
pub const STOP_GRACE: Duration = Duration::from_millis(250);

/// Bytes of transcript that may wait for the writer; as much may be on its way to the file.
pub const TRANSCRIPT_LEN_MAX: usize = 1 << 20;
/// The least time between two log lines about lost transcript lines.
pub const TRANSCRIPT_COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);
/// How long to wait when the transcript cannot take bytes just now and there is nothing to poll.
pub const TRANSCRIPT_RETRY: Duration = Duration::from_millis(100);
/// Log lines that may wait for stderr. About 100 bytes each.
pub const LOG_LINES_MAX: usize = 8_192;

/// Connections to the admin endpoint at a time; further ones wait in its backlog.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;
/// How long the head of an admin request may take.
pub const ADMIN_HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one admin request with its answer may take.
pub const ADMIN_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an admin request's head: the least that hyper allows.
pub const ADMIN_REQUEST_LEN_MAX: usize = 8_192;

/// The longest line, in bytes without its end and without telnet commands. Twice what IRC allows;
/// a longer one is refused whole, never cut.
pub const LINE_LEN_MAX: usize = 1024;
/// Bytes without a line end before a connection is closed: four lines' worth, so that one who pastes
/// a long line is told rather than closed.
pub const INPUT_LEN_MAX: usize = 4 * LINE_LEN_MAX;
/// The longest nickname or room name, in bytes (ASCII).
pub const NAME_LEN_MAX: usize = 20;
/// The longest name people see, in bytes: `[` IPv6 address `]:` port.
pub const SHOWN_NAME_LEN_MAX: usize = 47;
/// The longest rendered line: two names, the text, and the words around them.
pub const RENDERED_LEN_MAX: usize = LINE_LEN_MAX + 2 * SHOWN_NAME_LEN_MAX + 162;

/// Combining marks that may follow one character. Living scripts need up to 4; hundreds have crashed
/// terminals (CVE-2021-27135, CVE-2021-26937).
pub const COMBINING_MARKS_MAX: usize = 6;

/// Rooms at a time. Each costs about 100 bytes in the core and 200 on each worker that has members.
pub const ROOMS_MAX: usize = 65_536;
/// Entries a list (`/who`, `/rooms`) names before it says how many more there are.
pub const LIST_LEN_MAX: usize = 100;
/// Members of a room above which joins and leaves are summed up: below it N people who arrive cost
/// at most N * 64 notices, above it one a second.
pub const PRESENCE_ROOM_LEN: usize = 64;
/// How often a large room is told who came and went.
pub const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);

/// Events a worker collects before it hands them to the hub: as many as a turn's completions bring.
pub const BATCH_EVENTS_MAX: usize = 4_096;
/// Bytes in a peer's outbox above which it counts as full: the workers then stop reading clients, an
/// observer's lines are dropped. Far above what a turn of all workers makes (`BATCH_EVENTS_MAX`
/// events of about 200 bytes each).
pub const OUTBOX_LEN_MAX: usize = 8 << 20;
