//! The core: who is here, under which name, in which room, and who is told what.
//!
//! Deterministic: the same events at the same instants give the same actions, byte for byte. No
//! sockets, no clock, no randomness, no knowledge of how a line looks on the wire.
#![forbid(unsafe_code)]

mod event;

pub use event::{Action, CloseReason, ConnId, Event, Message, PeerId, PeerSet, RoomId, Sink};

use crate::time::Time;
use std::collections::hash_map::RandomState;

/// What the core is made of.
#[derive(Debug)]
pub struct Config {
    /// Peers of the hub.
    pub peer_count: usize,
    /// Peers that are told of every line, such as the transcript.
    pub observers: PeerSet,
    /// Rooms that are there from the start and stay.
    pub rooms: Vec<String>,
    /// Clients to make room for.
    pub clients_max: usize,
}

/// The core.
#[derive(Debug)]
pub struct Chat {}

impl Chat {
    /// A core without clients.
    #[must_use]
    pub fn new(_config: Config, _hasher: RandomState) -> Self {
        Self {}
    }
    /// Takes an event.
    pub fn handle(&mut self, _now: Time, _event: Event<&str>, _sink: &mut impl Sink) {}
    /// When to tick.
    #[must_use]
    pub fn deadline(&self) -> Time {
        Time::NEVER
    }
    /// Clients now.
    #[must_use]
    pub fn client_count(&self) -> usize {
        0
    }
    /// Rooms now.
    #[must_use]
    pub fn room_count(&self) -> usize {
        0
    }
}
