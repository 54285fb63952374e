//! The whole server is handed over while people talk: to new workers on new rings, over a core
//! that was written down and read again, as it is when a new process takes over.

use std::collections::{HashMap, HashSet};
use std::hash::RandomState;

use chatd::chat::{ConnId, Event, PeerId};
use chatd::engine::{self, Carried};
use chatd::hub::Batch;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{World, chat_config};
use crate::net::SocketId;

/// More turns than a handover takes: three times what the longest of thousands took, in which
/// people went on talking.
const HANDOVER_TURNS_MAX: u64 = 50_000;

/// A connection on its way, with what it was called.
type Moving = (SocketId, Carried);

impl World {
    /// From the order to freeze until new workers go on. Clients notice nothing.
    pub(super) fn hand_over(&mut self) {
        let mut batch = Batch::default();
        batch.push(Event::Freeze);
        self.exchange(&mut batch);
        let turns = self.turns;
        while self.workers.iter().any(|seat| seat.running) {
            assert!(self.turns < turns + HANDOVER_TURNS_MAX, "a worker does not come to rest");
            if self.steps < self.options.step_count {
                self.bustle();
            }
            self.step(true);
        }
        self.judge();
        let now = self.now();
        self.net.borrow_mut().trace.note(now, "handover", &[]);
        let moving = self.take_all();
        self.go_on(moving);
        self.handovers += 1;
    }

    fn take_all(&mut self) -> Vec<Vec<Moving>> {
        let mut taken: Vec<Vec<Moving>> = Vec::new();
        for (index, seat) in self.workers.iter_mut().enumerate() {
            let carried = seat.worker.carry();
            let state = seat.ring.borrow();
            let sockets = state.take_out();
            let slots: HashSet<_> = carried.iter().map(|(slot, _)| *slot).collect();
            assert_eq!(slots, sockets.keys().copied().collect(), "connections of worker {index}");
            taken.push(
                carried.into_iter().map(|(slot, carried)| (sockets[&slot], carried)).collect(),
            );
        }
        let here = taken.iter().flatten().filter(|(_, carried)| carried.is_in());
        let clients = self.hub.inspect(chatd::chat::Chat::client_count);
        assert_eq!(here.count(), clients, "clients of the core");
        taken
    }

    fn go_on(&mut self, mut moving: Vec<Vec<Moving>>) {
        // Who was on one worker may come to another, where there is room.
        if self.options.clients_max >= 64 && self.rng.chance(500) {
            for _ in 0..self.clients.len() {
                let (from, to) = (self.rng.below(moving.len()), self.rng.below(moving.len()));
                let one = moving[from].pop();
                moving[to].extend(one);
            }
        }
        let mut names: HashMap<ConnId, ConnId> = HashMap::new();
        for (worker, moving) in moving.iter().enumerate() {
            for (place, (_, carried)) in
                moving.iter().enumerate().filter(|(_, (_, carried))| carried.is_in())
            {
                let peer = PeerId(u8::try_from(worker).expect("a few"));
                let place = u32::try_from(place).expect("a few");
                names.insert(carried.conn, engine::adopted_id(peer, place));
            }
        }
        self.oracle.handed_over(&names, self.handovers);
        let saved = written_and_read(&self.hub.save());
        let name = |conn| names.get(&conn).copied();
        let wake = self.hub.restore(chat_config(&self.options), RandomState::new(), saved, name);
        self.workers.drain(..).for_each(|seat| self.past_stats.push(seat.stats));
        for (worker, moving) in moving.into_iter().enumerate() {
            let (sockets, carried): (Vec<_>, Vec<_>) = moving.into_iter().unzip();
            let carried = carried.iter().map(written_and_read).collect();
            let seat = self.make_worker(worker, &sockets, carried);
            self.workers.push(seat);
        }
        chatd::hub::Bells::ring_all(&*self.bells, wake);
        self.judge();
        self.oracle.check_handed_over();
    }
}

/// In the format between two processes.
fn written_and_read<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let written = rmp_serde::to_vec_named(value).expect("it can be written");
    rmp_serde::from_slice(&written).expect("it can be read")
}
