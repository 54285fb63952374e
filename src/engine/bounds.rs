//! The bounds of clients that an operator may choose.

use std::time::Duration;

use crate::limits::{
    ADDRESS_CLIENTS, ADDRESS_RATE, ADDRESS_RATE_PERIOD, BEHIND_LEN, BEHIND_S, LINE_BURST,
    LINE_RATE, UNREAD_LEN,
};

/// What one client, and one address, may take. Each has its reason in `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at a time from one address outside the trusted networks.
    pub address_clients: u32,
    /// New connections from it in each `limits::ADDRESS_RATE_PERIOD`, as many at once after a
    /// pause. Not zero.
    pub address_rate: u32,
    /// Lines a client outside the trusted networks may send at once after a pause. Not zero.
    pub line_burst: u32,
    /// Lines it may send in a second after those. Not zero.
    pub line_rate: u32,
    /// Bytes of one feed that may come while a reader's socket is full.
    pub behind_len: u64,
    /// How long a slow reader may leave a byte unread, once its socket is full.
    pub behind_age: Duration,
    /// Bytes of replies that a client may leave unread before its own lines wait.
    pub unread_len: u64,
}

impl Bounds {
    /// From one new connection of an address to the next, in the long run.
    pub(super) fn address_interval(&self) -> Duration {
        ADDRESS_RATE_PERIOD / self.address_rate
    }

    /// From one line of a client to the next, in the long run.
    pub(super) fn line_interval(&self) -> Duration {
        Duration::from_secs(1) / self.line_rate
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            address_clients: ADDRESS_CLIENTS,
            address_rate: ADDRESS_RATE,
            line_burst: LINE_BURST,
            line_rate: LINE_RATE,
            behind_len: BEHIND_LEN,
            behind_age: Duration::from_secs(BEHIND_S),
            unread_len: UNREAD_LEN,
        }
    }
}
