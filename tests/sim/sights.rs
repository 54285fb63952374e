//! What a run met. Faults that never happen show nothing: a test asks that all of these do.

use std::collections::BTreeSet;

/// What a worker asks its ring for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Accept,
    Recv,
    Send,
    Poll,
    Close,
    Cancel,
    Abort,
    Bell,
}

/// Something that a run is to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sight {
    /// An operation failed with this error.
    Failed(Op, i32),
    /// A cancel found its operation.
    Cancelled(Op),
    /// An operation ended before its cancel came; which of the two the worker saw first.
    CancelledTooLate { op: Op, cancel_first: bool },
    /// A cancel found nothing, and its operation goes on.
    CancelMissed,
    /// A completion came under the name of an operation of a slot's occupant before.
    Stale(Op),
    /// The same, with received bytes.
    StaleBytes,
    /// More completions were due than a queue of 64 holds.
    Overflow,
    /// Nothing could be received for want of buffers: of 16 for at least `MANY` connections.
    NoBuffer,
    /// A part was sent, where nothing ever leaves whole.
    Partly,
    /// Memory that a peak needed was given back.
    Cleared,
}

/// Connections that are many for a ring of 16 buffers.
pub(crate) const MANY: usize = 40;

/// All that a run met, or several.
pub(crate) type Sights = BTreeSet<Sight>;
