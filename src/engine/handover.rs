//! Stand-in: the engine's part of an upgrade.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::chat::{ConnId, PeerId};

/// A connection as it is handed over, but for its socket.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    /// What it was called.
    pub conn: ConnId,
    /// Its other end.
    pub addr: SocketAddr,
    /// The number of its listener.
    pub listener: u32,
}

/// A connection to go on with.
#[derive(Debug)]
pub struct Adopted {
    /// Its socket, on which nothing is under way.
    pub socket: OwnedFd,
    /// The rest of it.
    pub carried: Carried,
}

/// What the connection is called that a worker starts with as the one at that place.
#[must_use]
pub fn adopted_id(peer: PeerId, place: u32) -> ConnId {
    ConnId { peer, index: place, generation: place }
}
