//! Every number that bounds something: its unit, its reason, what it costs.

use std::time::Duration;

/// Peers of the hub: the workers and the control thread. A `PeerSet` is a `u64`.
pub const PEERS_MAX: usize = 63;
/// Workers: every peer but the control thread.
pub const WORKERS_MAX: usize = PEERS_MAX - 1;

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
