//! The handing over of everything to a new process: what both sides have in common.
//!
//! The old process is the giver, and goes on should anything fail; the new one is the taker. The
//! words between them are in `crate::handover`.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::chat::{ConnId, Saved};
use crate::engine::{Adopted, Carried, adopted_id};
use crate::time::Time;

use super::peer_id;

mod giver;
mod taker;

pub(super) use giver::{Gate, Giver, Successor};
pub(super) use taker::Taken;
pub use taker::{Report, Taker};

/// Everything there is, but for descriptors: those of the clients come with it, in their order.
/// `S` and `C` are references where it is written.
#[derive(Debug, Serialize, Deserialize)]
struct Estate<S = Saved, C = Carried> {
    /// When the clock read zero: see `Monotonic::zero`.
    zero: Duration,
    /// The clients stand still from then on.
    frozen: Time,
    /// Where their listeners were, as operators write it, by their numbers.
    listeners: Vec<String>,
    chat: S,
    clients: Vec<C>,
}

/// What each client that the core knows is called on the workers that adopt them, by what it was
/// called.
fn names(by_worker: &[Vec<Adopted>]) -> HashMap<ConnId, ConnId> {
    let mut names = HashMap::new();
    for (worker, adopted) in by_worker.iter().enumerate() {
        let places = (0..).zip(adopted);
        for (place, client) in places.filter(|(_, client)| client.carried.is_in()) {
            names.insert(client.carried.conn, adopted_id(peer_id(worker), place));
        }
    }
    names
}
