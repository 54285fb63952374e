//! The core: who is here, under which name, in which room, and who is told what.
//!
//! Deterministic: the same events at the same instants give the same actions, byte for byte. No
//! sockets, no clock, no randomness, no knowledge of how a line looks on the wire.
#![forbid(unsafe_code)]

mod event;

pub use event::{Action, CloseReason, ConnId, Event, Message, PeerId, PeerSet, RoomId, Sink};
