//! Every number that bounds something: its unit, its reason, what it costs.

use std::time::Duration;

/// Peers of the hub: the workers and the control thread. A `PeerSet` is a `u64`.
pub const PEERS_MAX: usize = 63;
/// Workers: every peer but the control thread.
pub const WORKERS_MAX: usize = PEERS_MAX - 1;

/// Listeners. Each costs a socket and an accept under way on every worker.
pub const LISTENERS_MAX: usize = 16;

/// Bytes of SO_SNDBUF of a client's socket. The kernel doubles it for its own needs (socket(7)), so
/// that a reader who stands still holds at most 64 KiB of kernel memory, and half of that is text.
pub const SEND_BUFFER_LEN: usize = 32 << 10;
/// Connections that wait to be accepted, where /proc/sys/net/core/somaxconn cannot be read: the
/// kernel's own default since 5.4.
pub const BACKLOG_FALLBACK: i32 = 4_096;
/// How long a port that is taken is waited for at the start: a chatd that was killed has it for
/// some 10 ms after its end, on a busy machine for longer. Whoever names a port that another server
/// has is told so that much later.
pub const PORT_PATIENCE: Duration = Duration::from_secs(1);
/// The pause before a port is tried again.
pub const PORT_RETRY: Duration = Duration::from_millis(5);
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
/// What may pass on top of the drain time before the process leaves without the others: for a
/// worker to see that the time is over, and for the transcript to write the last lines.
pub const STOP_GRACE: Duration = Duration::from_millis(250);

/// Workers that are replaced within `REPLACEMENT_PERIOD`. One that goes on failing takes its
/// clients with it each time: then the service manager had better know.
pub const REPLACEMENTS_MAX: usize = 5;
/// See `REPLACEMENTS_MAX`.
pub const REPLACEMENT_PERIOD: Duration = Duration::from_secs(60);

/// Bytes of one packet between a server and the process that takes over: the kernel takes so many
/// in one piece, and some of these wait in a socket's buffer of the default size.
pub const HANDOVER_PACKET_LEN: usize = 64 << 10;
/// Descriptors that go with one packet: the kernel's own bound (SCM_MAX_FD).
pub const HANDOVER_DESCRIPTORS: usize = 253;
/// Bytes of what a new process says: a word and a number, far below.
pub const HANDOVER_WORD_LEN: usize = 256;
/// Bytes of everything that is handed over. Histories are 200 MB of it at most, each client usually
/// a few hundred bytes.
pub const HANDOVER_LEN_MAX: usize = 1 << 30;
/// Descriptors that a server keeps back for itself, beside one for each client that is handed over.
pub const HANDOVER_SPARE: u64 = 100;
/// How long a new process may take to get ready, while the old one serves.
pub const HANDOVER_PREPARE: Duration = Duration::from_secs(30);
/// How long it may take from there to be ready for the clients, who stand still meanwhile.
pub const HANDOVER_READY: Duration = Duration::from_secs(2);
/// How long a refusal or the word to go may take to be let in, and the new process to say that it
/// took the clients over.
pub const HANDOVER_TAKEN: Duration = Duration::from_millis(500);
/// How often the log says that somebody wanted to take over who may not: any user of the machine
/// can ask.
pub const STRANGER_INTERVAL: Duration = Duration::from_secs(1);
/// By when all workers must have come to rest: many times what that takes. After that the server is
/// broken, and ends.
pub const HANDOVER_FREEZE: Duration = Duration::from_secs(5);
/// How long the new process waits for each packet of the old one.
pub const HANDOVER_ANSWER: Duration = Duration::from_secs(10);
/// How long the transcript of the old process may take to write the rest before the new one goes
/// on with it. What is late stands behind what comes later.
pub const HANDOVER_TRANSCRIPT: Duration = Duration::from_millis(100);
/// How long `chatd upgrade` waits for the outcome before it ends what it started: when the old
/// process has long given it up.
pub const UPGRADE_PATIENCE: Duration = Duration::from_secs(60);
const _: () = assert!(
    UPGRADE_PATIENCE.as_millis()
        > HANDOVER_PREPARE.as_millis() + HANDOVER_READY.as_millis() + HANDOVER_ANSWER.as_millis()
);
/// How long what it started may take to say so, once the old process has ended the conversation,
/// and then to end.
pub const UPGRADE_GRACE: Duration = Duration::from_secs(5);
/// How often it looks for that end.
pub const UPGRADE_LOOK: Duration = Duration::from_millis(5);

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
/// Bytes without a line end before a connection is closed: four lines' worth, so that one who
/// pastes a long line is told rather than closed.
pub const INPUT_LEN_MAX: usize = 4 * LINE_LEN_MAX;
/// Bytes of one telnet subnegotiation before a connection is closed. They are skipped, not kept;
/// the longest known is LINEMODE's table of special characters, under 800 bytes.
pub const SUBNEGOTIATION_LEN_MAX: usize = 8 * 1024;
/// Bytes of a subnegotiation that are kept, of the few options that are read: lists of character
/// sets are the longest, and one that goes on is answered with no. Freed at its end.
pub const SUBNEGOTIATION_KEPT_LEN_MAX: usize = 256;
/// How often a client is asked what it is before rich mode: its name comes first, its terminal
/// second, and third the word by which MUD clients are known.
pub const TERMINAL_ASKS: u8 = 3;
/// Lines that a client in rich mode can call back: at most 16 KiB for each such client.
pub const RECALLED_LINES_MAX: usize = 16;
/// Columns of a screen whose width is not known.
pub const SCREEN_WIDTH: usize = 80;
/// The fewest columns to reckon with: what is narrower cannot show a wide character beside the
/// prompt, or is no width at all.
pub const SCREEN_WIDTH_MIN: usize = 8;
/// The most: some clients send their width in pixels, and a line is no wider.
pub const SCREEN_WIDTH_MAX: usize = 1024;
/// Bytes of telnet commands, and NULs, without a line end before a connection is closed; in rich
/// mode, of keys. They cost no memory, only time. Not less, because one who only reads may send a
/// keep-alive of 2 bytes every 10 s: that goes on for 60 days.
pub const COMMANDS_LEN_MAX: usize = 1024 * 1024;
/// The longest nickname or room name, in bytes (ASCII).
pub const NAME_LEN_MAX: usize = 20;
/// The longest name people see, in bytes: `[` IPv6 address `]:` port.
pub const SHOWN_NAME_LEN_MAX: usize = 47;
/// The longest topic of a room, and the longest reason to be away, in bytes: two lines of a
/// terminal. A list of rooms with as many of them (`LIST_LEN_MAX`) is 23 KB, far below
/// `PRIVATE_LEN_MAX`.
pub const REMARK_LEN_MAX: usize = 160;
/// Of those who write to somebody who is away, how many are known to have been told so. Others hear
/// it again. 12 bytes each, while somebody is away.
pub const AWAY_TOLD_MAX: usize = 32;
/// People whom one client may ignore: what it can make the core and its worker keep, 20 bytes for
/// each, and look through for each line it is owed.
pub const IGNORED_MAX: usize = 32;
/// Numbers that are tried behind a nickname that is taken, to find one that is free.
pub const NAME_TRIES_MAX: u32 = 20;
/// Lines of a room that are kept for those who join it, unless the operator chooses.
pub const HISTORY_LINES: u64 = 10;
/// The most that may be chosen: what a terminal shows at once, some times over. With the longest
/// lines that is 107 KB for one who joins, below `PRIVATE_LEN_MAX`.
pub const HISTORY_LINES_MAX: u64 = 100;
/// Bytes of text that the histories of all rooms keep. Each line costs 120 more, so that as many of
/// the shortest cost three times as much.
pub const HISTORY_LEN_MAX: usize = 64 << 20;
/// Bytes by which the memory of a kept line grows, so that it can be used again for the next.
pub const HISTORY_STEP: usize = 64;
/// The longest message of the day, in bytes: a screen of 24 lines with 170 bytes each. Every client
/// is sent it from one place.
pub const MOTD_LEN_MAX: usize = 4096;
/// How much of a wrong word an answer repeats, in bytes: as much as the longest right one.
pub const ECHO_LEN_MAX: usize = SHOWN_NAME_LEN_MAX;
/// The longest rendered line: two names, the text, and the words around them.
pub const RENDERED_LEN_MAX: usize = LINE_LEN_MAX + 2 * SHOWN_NAME_LEN_MAX + 162;
/// The rendered list of commands, in bytes, the one message of many lines: a screen of 24 lines of
/// 78 columns, and some room.
pub const HELP_LEN_MAX: usize = 4096;

/// The longest frame of the rid dialect, in bytes with its tags. Its text must also fit after the
/// gate.
pub const FRAME_LEN_MAX: usize = 4 * 1024;
/// Lines in one frame: each is shown with its author's name to those who read lines, so that
/// without a bound a frame of line breaks would come out many times as long.
pub const FRAME_LINES_MAX: usize = 64;
/// The longest frame when rendered: its text, and a name and the words around it for each line.
pub const FRAME_RENDERED_LEN_MAX: usize =
    FRAME_LEN_MAX + FRAME_LINES_MAX * (SHOWN_NAME_LEN_MAX + 16);
/// Bytes of a run that is no frame, or of a frame over the limit, before a rid connection is
/// closed. They are passed over, not kept; as generous as `COMMANDS_LEN_MAX`.
pub const DISCARDED_LEN_MAX: usize = 1024 * 1024;
/// Rooms a client may be in at a time, where its dialect allows several: what one client can make
/// the core and its worker keep, about 100 bytes for each.
pub const ROOMS_PER_CLIENT_MAX: usize = 20;
/// Bytes of the first read of a p2p client in which its id is looked for, as its protocol has it.
pub const ID_READ_LEN_MAX: usize = 100;

/// Combining marks that may follow one character. Living scripts need up to 4; hundreds have
/// crashed terminals (CVE-2021-27135, CVE-2021-26937).
pub const COMBINING_MARKS_MAX: usize = 6;

/// Rooms at a time. Each costs about 170 bytes, its topic, and 4 for each peer in the core, and 200
/// on each worker that has members.
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
/// Bytes of text it collects at most, and one text more: as much as that many of the longest lines.
pub const BATCH_LEN_MAX: usize = BATCH_EVENTS_MAX * LINE_LEN_MAX;
/// Bytes in a peer's outbox above which it counts as full: the workers then stop reading clients,
/// an observer's lines are dropped. A mark, not an end: what the batches on their way make still
/// goes in, at most `BATCH_EVENTS_MAX` events of each worker. Far above what a turn makes as a
/// rule.
pub const OUTBOX_LEN_MAX: usize = 8 << 20;

/// Slots for connections in a ring: the kernel's own bound on direct descriptors
/// (io_sqe_files_register, Linux 6.x: 1 << 20).
pub const SLOTS_MAX: u32 = 1 << 20;
/// Slots kept to tell newcomers why they cannot stay.
pub const REFUSAL_SLOTS: u32 = 64;
/// Accepts under way at each listener. One enter serves them all, so this bounds how many newcomers
/// a turn takes.
pub const ACCEPT_LANES: u32 = 64;
/// How long accepting rests after the system ran out of descriptors or memory. As sshd does.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Entries of the submission queue: a turn's sends, accepts and receives with room to spare; more
/// only means one more enter. 64 bytes each.
pub const SUBMISSIONS: u32 = 2_048;
/// Entries of the completion queue, 16 bytes each. A turn brings at most a completion for each
/// send, and about 20 others for each enter; an overflow is slow, not wrong.
pub const COMPLETIONS: u32 = 16_384;
/// Buffers for received bytes, taken when bytes arrive and given back in the same turn.
pub const RECV_BUFFERS: u16 = 512;
/// Bytes of such a buffer: a longest line fits.
pub const RECV_BUFFER_LEN: usize = LINE_LEN_MAX;
/// Looks at arrived completions in one turn. DEFER_TASKRUN hands out about 20 in each enter (Linux
/// 6.13: IO_LOCAL_TW_DEFAULT_MAX), so without repeating a busy worker would read too slowly;
/// without a bound it would never send.
pub const REAPS_MAX: u32 = 8;
/// See `REAPS_MAX`: fewer completions than this mean that there are no more.
pub const REAP_FULL: u32 = 20;

/// Sends in one turn: about 0.3 ms of work, the longest a small room waits for a large one. A turn
/// without sends costs a few microseconds, so that more would hardly save anything.
pub const FANOUT_QUANTUM: u32 = 64;
/// Bytes sent in one turn, where lines are many: 64 sends of 4 KiB.
pub const FANOUT_QUANTUM_LEN: u64 = 256 << 10;
/// Members up to which a room is swept before larger ones: it is done within a fraction of a turn.
pub const SMALL_ROOM_LEN: usize = 64;
/// Sends to one large room before the next has its turn.
pub const SWEEP_SLICE: u32 = 16;

/// Bytes of a chunk of a feed: the longest frame fits, with a name on each of its lines. Memory is
/// touched a page at a time, so that short lines cost no more than they need.
pub const CHUNK_LEN: u32 = 8_192;
/// Bytes of a chunk of a busy feed: what a late reader is sent at once.
pub const LARGE_CHUNK_LEN: u32 = 32 << 10;
const _: () = assert!(RENDERED_LEN_MAX <= CHUNK_LEN as usize);
const _: () = assert!(FRAME_RENDERED_LEN_MAX <= CHUNK_LEN as usize);
/// Chunks for replies at most, 2 GiB: positions in a ring's memory are 32 bits. Few connections
/// have replies waiting at any moment.
pub const PRIVATE_CHUNKS_MAX: u32 = 1 << 18;
const _: () = assert!(
    SHARED_TEXT_LEN as u64
        + (PRIVATE_CHUNKS_MAX + ROOM_CHUNKS) as u64 * CHUNK_LEN as u64
        + LARGE_CHUNKS as u64 * LARGE_CHUNK_LEN as u64
        <= u32::MAX as u64
);
/// Chunks beside one for each connection: for rooms.
pub const ROOM_CHUNKS: u32 = 4_096;
/// Large chunks of a worker: 64 rooms that keep all they may.
pub const LARGE_CHUNKS: u32 = 512;
/// Bytes of free chunks of a size that a worker keeps, so that what comes and goes in bursts
/// touches no new pages: a few hundred replies, or a busy room or two.
pub const SPARE_CHUNKS_LEN: u32 = 512 << 10;
/// Bytes of free chunks of a size that are given back at a time (`SLOW_CHECK_INTERVAL`): at most
/// 160 system calls for both, of some 2 us.
pub const CLEARED_LEN: u32 = 1 << 20;
/// Bytes kept for texts that everybody is sent, such as the help: four for each dialect.
pub const SHARED_TEXT_LEN: u32 = 64 << 10;

/// The default of how many bytes of one feed may come while a reader's socket is full.
pub const BEHIND_LEN: u64 = 64 << 10;
/// The least that may be chosen for it: a longest frame and a line.
pub const BEHIND_LEN_LEAST: u64 = 16 << 10;
/// The most that may be chosen for it: less than what makes the authors of a room wait.
pub const BEHIND_LEN_MAX: u64 = CONGESTED_LEN - BEHIND_LEN;
/// The default of how long a slow reader may leave a byte unread, once its socket is full, in
/// seconds.
pub const BEHIND_S: u64 = 10;
/// The most that may be chosen for it: the kernel ends such a peer after `USER_TIMEOUT`.
pub const BEHIND_S_MAX: u64 = 20;
/// How long a reader with a full socket may make the authors of a room wait.
pub const HOLD_GRACE: Duration = Duration::from_secs(1);
/// What a turn takes at most, waiting aside, on a machine that is merely loaded. A longer one means
/// that the worker was kept from running.
pub const TURN_MAX: Duration = Duration::from_millis(500);
/// How often slow readers are looked for; by default they are gone within 11 s.
pub const SLOW_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Bytes of a room above which its authors are not read from, because this worker is behind. A
/// quarter of what may be kept is left for what is on its way already.
pub const CONGESTED_LEN: u64 = 192 << 10;
/// The default of how many bytes of replies a client may leave unread before its own lines wait.
pub const UNREAD_LEN: u64 = 16 << 10;
/// The least that may be chosen for it: a list that `/who` answers.
pub const UNREAD_LEN_LEAST: u64 = 4 << 10;
/// The most that may be chosen for it: what makes a reader slow.
pub const UNREAD_LEN_MAX: u64 = BEHIND_LEN;
/// Lines read from one client in a turn: what it is answered is known only after the turn's
/// exchange, so this bounds how far the answers can run ahead of that.
pub const LINES_IN_MAX: u32 = 16;
/// Bytes kept for a client that is not read from; above, its receive is cancelled as well.
pub const HELD_LEN: usize = 4 << 10;
/// Bytes kept for a client at most: what a receive may still bring until its cancel is carried out.
pub const HELD_LEN_MAX: usize = 256 << 10;
/// Clients that wait to be read from again and are looked at in a turn.
pub const RESUMES_MAX: usize = 256;
/// How long a worker whose connections are to be handed over goes on sending what waits. Everybody
/// stands still meanwhile; a sweep over 10,000 takes 50 ms.
pub const FREEZE_GRACE: Duration = Duration::from_millis(150);
/// How long a connection that ends is given to read what it is owed.
pub const CLOSE_GRACE: Duration = Duration::from_secs(1);
/// The pause before a send is tried again on a socket that said it had room and had none, as it may
/// under memory pressure; doubled up to the second figure.
pub const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// See `RETRY_PAUSE`.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Lines that the table of a feed kept for use again has room for: more than most replies come to.
/// That of a busy room has room for thousands, and would stay as large for the next who needs four.
pub const SPARE_FEED_LINES: usize = 16;
/// Feeds of replies kept for use again, so that a reply allocates nothing.
pub const SPARE_FEEDS: usize = 1_024;
/// How often clients that wait are looked at when nothing else happens.
pub const RESUME_INTERVAL: Duration = Duration::from_millis(5);

/// Bytes of replies kept for a client whose socket is not full: only a server that is late lets
/// them grow, so the bound is far above that of a slow reader.
pub const PRIVATE_LEN_MAX: u64 = 512 << 10;

/// The default of how many connections at a time there may be from one address (IPv4, or IPv6 /64)
/// outside the trusted networks: a family or an office behind one address. As Ergo has it.
pub const ADDRESS_CLIENTS: u32 = 16;
/// The default of how many connections may come from one address at once after a pause, and then in
/// each `ADDRESS_RATE_PERIOD`.
pub const ADDRESS_RATE: u32 = 32;
/// The most that may be chosen for what one address may do: above, it is no bound.
pub const ADDRESS_MAX: u64 = 1_000_000;
/// See `ADDRESS_RATE`.
pub const ADDRESS_RATE_PERIOD: Duration = Duration::from_secs(60);
/// Addresses that are remembered, at about 64 bytes each: as many as sshd does. Above, those
/// without a connection are forgotten, so that the table does not grow under an attack from many
/// addresses.
pub const ADDRESSES_MAX: usize = 65_536;
/// The default of how many lines a client outside the trusted networks may send at once after a
/// pause: a short paste.
pub const LINE_BURST: u32 = 10;
/// The default of how many it may send in a second after those: faster than people type. Faster
/// ones wait, unread.
pub const LINE_RATE: u32 = 5;
/// The most that may be chosen for either: no faster than the clock tells apart by far.
pub const LINES_MAX: u64 = 10_000;
