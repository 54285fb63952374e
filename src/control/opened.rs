//! What has to be there before the first client is let in: sockets, files, limits. Everything is
//! opened here, and then the right to open more is given up.

use std::net;

use nix::sys::prctl::set_thp_disable;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use tracing::{info, warn};

use super::confine::Confined;
use super::handover::{Gate, Taker};
use super::supervisor::Supervisor;
use super::{count, system, transcript};
use crate::config::{Config, Confinement};
use crate::engine;
use crate::failure::{Failure, Kind};
use crate::limits::{ACCEPT_LANES, REFUSAL_SLOTS, SLOTS_MAX};
use crate::listener::{self, Bound, Inherited};
use crate::uring;

/// What the operating system has to give before anything starts, and that the rest was given up.
pub struct Opened {
    pub(super) by_worker: Vec<Vec<Bound>>,
    /// The admin endpoint's listener, and the place as the operator wrote it.
    pub(super) admin: Option<(net::SocketAddr, net::TcpListener)>,
    pub(super) transcript: Option<std::fs::File>,
    /// The limit of open files.
    pub(super) descriptors: u64,
    pub(super) gate: Gate,
    /// Clients each worker may hold.
    pub(super) worker_clients: u32,
    /// Clients in all.
    pub(super) clients: u32,
    /// As many as the operator asked for.
    clients_asked: Option<u64>,
    pub(super) supervisor: Supervisor,
    confined: Confined,
}

impl Opened {
    /// Opens everything, and gives up what is not needed afterwards. No thread may have been
    /// started before: it would keep what this one gives up. What a `taker` has is not opened anew.
    ///
    /// # Errors
    /// What is not to be had.
    pub fn new(config: &Config, taker: Option<&mut Taker>) -> Result<Self, Failure> {
        let mut nothing = Inherited::default();
        let inherited = taker.map_or(&mut nothing, Taker::inherited);
        let descriptors = uring::raise_descriptor_limit()
            .map_err(|error| system("the limit of open files", &error))?;
        raise_memory_limit();
        // Pages of 2 MiB, which some systems give unasked: of memory used here and there each would
        // take all, and not go back for a part. A kernel without them refuses, and may.
        let _ = set_thp_disable(true);
        let (worker_clients, clients) =
            client_bounds(descriptors, config.listen.len(), config.workers, config.clients_max);
        if worker_clients == 0 {
            let message =
                format!("the limit of open files, {descriptors}, leaves no client a place");
            return Err(Failure::new(Kind::System, message));
        }
        let by_worker = listener::bind(&config.listen, config.workers, config.slow, inherited)?;
        let admin = |addr| Ok((addr, listener::bind_admin(addr, inherited)?));
        let admin = config.admin.map(admin).transpose()?;
        let transcript = config.transcript.as_ref().map(transcript::open).transpose()?;
        Ok(Self {
            by_worker,
            admin,
            transcript,
            descriptors,
            gate: Gate::open(descriptors),
            worker_clients,
            clients,
            clients_asked: config.clients_max,
            supervisor: Supervisor::from_environment()?,
            confined: Confined::new(config, || {
                uring::check().map_err(|error| Failure::new(Kind::Unavailable, error))
            })?,
        })
    }

    /// Tells what was bound and what the workers will take, before the first client is let in.
    pub(super) fn tell(&self, config: &engine::Config, confinement: Confinement) {
        for bound in self.by_worker.first().into_iter().flatten() {
            info!(dialect = %bound.listener.dialect, addr = %bound.addr, "listening");
        }
        if let Some(Ok(addr)) = self.admin.as_ref().map(|(_, listener)| listener.local_addr()) {
            info!(%addr, "listening admin");
        }
        if let Some(cause) = self.gate.obstacle() {
            warn!(cause, "this server cannot be upgraded while it runs");
        }
        let mut bytes_all = 0;
        for pool in engine::memory_budget(config) {
            let (count, bytes) = (pool.count, pool.len);
            info!(pool = pool.name, count, bytes, "memory of each worker");
            bytes_all += bytes;
        }
        if let Some(asked) = self.clients_asked.filter(|asked| *asked > u64::from(self.clients)) {
            warn!(asked, clients = self.clients, "the limit of open files allows fewer clients");
        }
        self.confined.tell(&confinement);
        let workers = self.by_worker.len();
        let bytes = bytes_all * workers as u64;
        info!(workers, bytes, clients = self.clients, "memory of all workers");
    }
}

/// The queues of rings count as locked memory of their user (Linux 6.18 does it), those of a
/// process before this one, and of one that takes over, too. Root may have more than the usual
/// 8 MiB, which 20 workers take; others are told when it is not enough.
fn raise_memory_limit() {
    let resource = Resource::RLIMIT_MEMLOCK;
    if setrlimit(resource, RLIM_INFINITY, RLIM_INFINITY).is_err()
        && let Ok((_, most)) = getrlimit(resource)
    {
        let _ = setrlimit(resource, most, most);
    }
}

/// How many clients a worker's ring has slots for, and how many there may be in all. The kernel
/// spreads connections by chance, so that one worker may get them all. A ring's table may be as
/// large as the limit of open files (io_sqe_files_register); what it holds does not count towards
/// that.
fn client_bounds(
    descriptors: u64,
    listeners: usize,
    workers: usize,
    asked: Option<u64>,
) -> (u32, u32) {
    let slots = u32::try_from(descriptors).unwrap_or(u32::MAX).min(SLOTS_MAX);
    let table = slots.saturating_sub(REFUSAL_SLOTS + count(listeners) * ACCEPT_LANES);
    let all = table.saturating_mul(count(workers));
    let clients = asked.and_then(|asked| u32::try_from(asked).ok()).unwrap_or(u32::MAX).min(all);
    (table.min(clients), clients)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_bounded_by_descriptors_and_by_choice() {
        let table = 1_000 - REFUSAL_SLOTS - ACCEPT_LANES;
        for (descriptors, workers, asked, expected) in [
            (1_000, 2, None, (table, 2 * table)),
            (1_000, 2, Some(10), (10, 10)),
            (1_000, 2, Some(u64::from(table) + 1), (table, table + 1)),
            (1_000, 2, Some(u64::MAX), (table, 2 * table)),
            (10, 2, None, (0, 0)),
        ] {
            assert_eq!(client_bounds(descriptors, 1, workers, asked), expected);
        }
        let (clients, _) = client_bounds(u64::MAX, 2, 1, None);
        assert_eq!(clients + REFUSAL_SLOTS + 2 * ACCEPT_LANES, SLOTS_MAX);
    }
}
