//! Every number that bounds the generator: its unit, its reason, what it costs.

use std::time::Duration;

/// Bytes read at once, one buffer per thread: many lines per system call at high rates.
pub(crate) const READ_LEN: usize = 64 * 1024;
/// A line without its end, in bytes. More than the longest line a server renders; a longer one is
/// cut there and counts as corrupted.
pub(crate) const LINE_LEN_MAX: usize = 4096;
/// The longest text sent, in bytes: chatd refuses longer lines.
pub const TEXT_LEN_MAX: usize = 1024;
/// The same for IRC: a line is at most 512 bytes with its end, and carries its author's name, user
/// and host, the command and the room before the text.
pub(crate) const IRC_TEXT_LEN_MAX: usize = 350;
/// A frame without its end, in bytes; of longer ones nothing is believed. NATS introduces itself
/// with some 600.
pub(crate) const FRAME_LEN_MAX: usize = 64 * 1024;

/// Clients of one process: the descriptors of `RLIMIT_NOFILE` bound it further.
pub(crate) const CLIENTS_MAX: u32 = 1_000_000;
/// Descriptors a generator needs besides its connections: standard streams, an epoll and an eventfd
/// for each thread, the pipes of a server it starts.
pub(crate) const DESCRIPTORS_SPARE: u64 = 64;
/// Threads: more than the cores of any machine this was thought for.
pub(crate) const THREADS_MAX: usize = 64;
/// Workers of a server it starts: chatd's own bound.
pub(crate) const WORKERS_MAX: i64 = 62;
/// Descriptors that a worker of such a server may need besides its clients': generously, since this
/// is only for an advice.
pub(crate) const WORKER_DESCRIPTORS_SPARE: u64 = 512;
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
/// Closed clients that are listed one by one, 300 bytes each as JSON; the totals are exact.
pub(crate) const CLOSED_ROWS_MAX: usize = 1024;
/// Rows of the tables of faults and of closed clients that are printed.
pub(crate) const FAULT_ROWS_SHOWN: usize = 20;

/// Connections from one source address on loopback. Of the 28,232 ports of Linux's default range,
/// bind takes only every other one, 14,116 of them, and connect looks at all those before it takes
/// another, which is milliseconds each time. With room for what other programs use.
pub(crate) const CLIENTS_PER_ADDRESS_MAX: u32 = 10_000;
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
/// How often a second a member may leave: it stays away for `AWAY`, and needs its time to return.
pub(crate) const MOVES_MAX: u32 = 2;
/// How long the sending thread sleeps before it looks whether anybody is left to send to.
pub(crate) const SLEEP_MAX: Duration = Duration::from_millis(100);
/// How long nothing must come, after everything was sent, for a reader that counts nothing to know
/// that it has read everything.
pub(crate) const QUIET_TIME: Duration = Duration::from_millis(500);
/// Different reasons of the server for closing clients that one thread tells apart, 256 bytes each;
/// clients with further ones are counted together.
pub(crate) const REASONS_MAX: usize = 64;
/// How old a server's last words may be to be its reason for closing: older ones were about
/// something else, such as who came to the room.
pub(crate) const LAST_WORDS_AGE_MAX: Duration = Duration::from_secs(1);
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

/// Nines of the percentile axis: beyond 99.99999 % a run has too few samples to tell.
pub(crate) const NINES_MAX: f64 = 7.0;
/// Columns of the heat map: narrower ones could not be told apart on a screen. Longer runs put
/// several seconds into one. About 1 kB each.
pub(crate) const COLUMNS_MAX: usize = 360;
/// Rows of a table of faults in the HTML report, 200 bytes each; the JSON has all.
pub(crate) const FAULT_ROWS_DRAWN: usize = 100;
/// Threads of the generator that the HTML report lists.
pub(crate) const THREADS_DRAWN: usize = 16;
/// Significant digits of the histograms of the timeline: 1 %, at 28 kB for each receiving thread
/// and about 1 kB, packed, for each second and thread.
pub(crate) const SECOND_DIGITS: u8 = 2;
/// What the histograms of the timeline tell apart at least, in nanoseconds.
pub(crate) const SECOND_NS_MIN: u64 = 1000;
/// Entries of the timeline: an hour. Beyond it each covers several seconds.
pub(crate) const SECONDS_MAX: u64 = 3600;
/// Buckets a decade of the timeline's counts, 15 % each: what a heat map can show.
pub(crate) const HEAT_BUCKETS_PER_DECADE: f64 = 16.0;
/// Upper end of the first of these buckets, in microseconds: less than any network takes.
pub(crate) const HEAT_FIRST_US: f64 = 10.0;
/// Between two instants at which the jitter thread wakes up: one to two percent of a core.
pub(crate) const JITTER_INTERVAL: Duration = Duration::from_millis(1);

/// Lateness of lines up to here never voids a run, in microseconds: any wake-up may take as long
/// where a core has something else to do.
pub(crate) const LAG_FLOOR_US: f64 = 1000.0;
/// The share of the latency that may be the generator's own lateness. With a quarter, at least
/// three quarters of what is reported are the server's and the network's.
pub(crate) const LAG_SHARE_MAX: f64 = 0.25;
/// The share of the time that a receiving thread may be running or waiting for a core. Above it
/// lines wait for the thread, ever longer.
pub(crate) const RECEIVER_OCCUPIED_MAX: f64 = 0.9;
/// The least time of connecting over which a receiving thread's occupation is judged: in less, it
/// has no pause to make, and the kernel's count of its time is coarse.
pub(crate) const CONNECTING_MIN: Duration = Duration::from_millis(100);
/// Late wake-ups up to here never void a run, in microseconds: a receiving thread that has just
/// begun its turn may keep a core for some milliseconds, and is not late itself.
pub(crate) const JITTER_FLOOR_US: f64 = 5000.0;
/// The share of the latency that late wake-ups may be. More than for lines, which are known to have
/// been late; that a read was is likely.
pub(crate) const JITTER_SHARE_MAX: f64 = 0.5;
/// Between two lines that tell how far a run is, where there is no terminal.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at how many clients are connected: what an eye takes for steady.
pub(crate) const CONNECTING_INTERVAL: Duration = Duration::from_millis(100);
/// Processes that share a run: a million clients by 20,000 descriptors each.
pub(crate) const PROCESSES_MAX: u32 = 64;
/// Between the order to start and the first line, where processes have to read it first.
pub(crate) const PROCESSES_START_DELAY: Duration = Duration::from_millis(200);
/// Lines of a run that processes share: each tells of each line when its first and last receiver
/// had it, in about 40 bytes.
pub(crate) const PROCESSES_LINES_MAX: u64 = 1 << 20;
/// Deliveries of such a run up to which each is kept, to find the middle receiver of every line:
/// 8 bytes each, and for a moment 20 as JSON, 40 MB. With more it is not told.
pub(crate) const KEPT_MAX: u64 = 2 << 20;

/// Where other servers are made to listen: below the ports that Linux gives to connections, so that
/// none of those takes one first.
pub(crate) const PEER_PORTS: std::ops::Range<u16> = 20_000..32_000;
/// What other servers may keep for one client that is behind, in bytes: more than any run sends.
pub(crate) const PEER_QUEUE_BYTES: u64 = 1 << 30;

/// Seconds of each run that a comparison needs: with fewer, neighbours cannot be told from chance.
pub(crate) const COMPARE_SECONDS_MIN: usize = 10;
/// As how many independent seconds they must count at least. A t distribution of fewer degrees of
/// freedom tells nothing apart that is worth it.
pub(crate) const COMPARE_INDEPENDENT_MIN: f64 = 4.0;
/// How likely a comparison may fail a run that is no worse, all its tests together.
pub(crate) const COMPARE_LEVEL: f64 = 0.05;
/// Steps of a search: 1 to a million by doubling, and back between two of them by halving.
pub(crate) const FIND_MAX_STEPS: u32 = 40;
/// Lines a second beyond which none is searched: more than one thread can send.
pub(crate) const FIND_MAX_RATE: u32 = 1_000_000;

/// How long an answer of chatd's admin endpoint may take: it is a few kilobytes.
pub(crate) const ADMIN_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may be, in bytes: a hundred times what it is.
pub(crate) const ADMIN_ANSWER_LEN_MAX: u64 = 1 << 20;

/// The longest soak: a week. Each cycle is kept, in about 4 kB.
pub(crate) const SOAK_DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Phases of a cycle, but of the first one, which has each kind: half a minute until the next rest.
pub(crate) const SOAK_PHASES: u64 = 4;
/// Cycles from which on the thirds of a soak can be compared: one in each.
pub(crate) const SOAK_CYCLES_MIN: usize = 3;
/// The longest that a server may be given to come to rest after a cycle: who leaves at once is gone
/// within minutes, whatever TCP waits for.
pub(crate) const SOAK_REST_MAX: Duration = Duration::from_secs(3600);
/// Between two looks whether it is.
pub(crate) const SOAK_REST_INTERVAL: Duration = Duration::from_millis(50);
/// Looks at a server before its first client, of which the one with the fewest descriptors counts.
pub(crate) const SOAK_FIRST_LOOKS: u32 = 10;
/// How often the server is looked at while there is load: as often as a curve has columns, but not
/// more than this.
pub(crate) const SOAK_SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How much larger resident memory at rest may be in the last third of a soak than in the first, in
/// per cent, and beyond that in bytes. Pools grow to the most that was ever needed at a time. The
/// first cycle has every kind of load in every dialect at its full size, so most of that is in the
/// first third; but lines that come together in another way may need a little more, and an
/// allocator keeps pages that are used in part.
pub(crate) const SOAK_GROWTH_PERCENT_MAX: u64 = 5;
/// See there.
pub(crate) const SOAK_GROWTH_BYTES_MAX: u64 = 2 << 20;
/// Connections a second that are made and reset at once: a few cores' worth of accepts would leave
/// nothing to measure the others with.
pub(crate) const SOAK_RESETS_RATE: u32 = 2000;
/// Between two bytes of a connection that never finishes its line.
pub(crate) const SOAK_DRIP_INTERVAL: Duration = Duration::from_secs(1);
/// How long such a small client waits for a connection.
pub(crate) const SOAK_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Cycles that the HTML report lists, about 300 bytes each; the JSON has all.
pub(crate) const SOAK_ROWS_DRAWN: usize = 500;
