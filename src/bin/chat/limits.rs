//! Every number of the client, and its reason.

use std::time::Duration;

/// Looking up and connecting, all addresses together. Longer, and people believe it hangs.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A send that takes longer counts as a lost connection: the line being typed waits meanwhile.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence after which the system asks the server's whether it is still there.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Between two such questions; the third without an answer ends the connection.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// See [`KEEPALIVE_INTERVAL`].
pub(crate) const KEEPALIVE_PROBES: u32 = 3;

/// Digits of a room's number in the dialect `rid`: as chatd has it.
pub(crate) const ROOM_LEN_MAX: usize = 20;
/// Bytes of an id in the dialect `p2p`: its protocol has no more.
pub(crate) const ID_LEN_MAX: usize = 100;

/// The pause before the first attempt to connect again; each is twice the one before.
pub(crate) const PAUSE_MIN: Duration = Duration::from_secs(1);
/// No pause is longer. A connection that held for as long begins with [`PAUSE_MIN`] again.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Without input left, how long a server may take until it has taken everything: this, and
/// [`DRAIN_PER_LINE`] for each line.
pub(crate) const DRAIN_BASE: Duration = Duration::from_secs(5);
/// Servers that slow down a flood take five lines a second.
pub(crate) const DRAIN_PER_LINE: Duration = Duration::from_millis(250);

/// A line that arrives is shown in pieces of this length at most.
pub(crate) const LINE_LEN_MAX: usize = 16 * 1024;
/// How long the rest of a line is waited for, where a message may do without a line end.
pub(crate) const UNENDED_PAUSE: Duration = Duration::from_millis(100);
/// Bytes read at once.
pub(crate) const READ_LEN: usize = 16 * 1024;
/// Lines that wait for the screen. With more, the server waits.
pub(crate) const SCREEN_LINES_MAX: usize = 10_000;
/// Lines printed in one go: the prompt is drawn once for all of them.
pub(crate) const BATCH_LINES_MAX: usize = 200;
/// How long the editor, before it leaves its line, waits for lines that are being handed to it. One
/// that takes longer waits for the editor, and is shown above the next line.
pub(crate) const HANDOVER_TIMEOUT: Duration = Duration::from_millis(20);
/// How long the end waits for the last lines to be on the screen.
pub(crate) const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);

/// Nicknames and rooms remembered for completion, each; the latest stay.
pub(crate) const SEEN_MAX: usize = 500;
/// Proposals for one word. More would need a pager, and messages would wait for it.
pub(crate) const PROPOSALS_MAX: usize = 12;
/// Lines that can be called back.
pub(crate) const HISTORY_LINES_MAX: usize = 1_000;
