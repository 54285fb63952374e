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
/// How much of a wrong word an answer repeats, in bytes: as much as the longest right one.
pub const ECHO_LEN_MAX: usize = SHOWN_NAME_LEN_MAX;
/// The longest rendered line: two names, the text, and the words around them.
pub const RENDERED_LEN_MAX: usize = LINE_LEN_MAX + 2 * SHOWN_NAME_LEN_MAX + 162;
/// The rendered list of commands, in bytes, the one message of many lines: a screen of 24 lines of 78
/// columns, and some room.
pub const HELP_LEN_MAX: usize = 4096;

/// Combining marks that may follow one character. Living scripts need up to 4; hundreds have crashed
/// terminals (CVE-2021-27135, CVE-2021-26937).
pub const COMBINING_MARKS_MAX: usize = 6;

/// Rooms at a time. Each costs about 150 bytes and 4 for each peer in the core, and 200 on each worker
/// that has members.
pub const ROOMS_MAX: usize = 65_536;
/// Entries a list (`/who`, `/rooms`) names before it says how many more there are.
pub const LIST_LEN_MAX: usize = 100;
/// Members of a room above which joins and leaves are summed up: below it N people who arrive cost
/// at most N * 64 notices, above it one a second.
pub const PRESENCE_ROOM_LEN: usize = 64;
/// How often a large room is told who came and went.
pub const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);
