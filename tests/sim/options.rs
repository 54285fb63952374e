//! What a seed decides about its run. Each fault is switched off in half of the runs, so that every
//! fault also meets its neighbours' absence.

use std::time::Duration;

use chatd::dialect::Dialect;
use chatd::engine::SlowPolicy;

use crate::client::FIRST_WORDS;
use crate::ring::errnos::{self, Errnos};
use crate::rng::Rng;

/// The rate of what happens each time.
pub(crate) const ALWAYS: u64 = 1_000;

/// A run. Rates are per thousand.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) worker_count: usize,
    pub(crate) client_count: usize,
    /// How often one of them comes, in one step.
    pub(crate) arrivals: u64,
    pub(crate) step_count: u64,
    /// What is spoken at each listener, and its policy.
    pub(crate) listeners: Vec<(Dialect, SlowPolicy)>,
    /// Connections a worker holds.
    pub(crate) clients_max: u32,
    /// Connections all workers hold.
    pub(crate) seats: u32,
    /// Clients are exempt from the limits for each address and from the rate of lines.
    pub(crate) trusted: bool,
    pub(crate) pace: Duration,
    /// How often, in one step, a client does something.
    pub(crate) activity: u64,
    /// How often, in one step, all of them do something.
    pub(crate) bursts: u64,
    /// How many clients ask for rich mode.
    pub(crate) rich: u64,
    /// Of how many kinds the lines are (`client::WORDS`).
    pub(crate) words: usize,
    /// How many of the lines are long.
    pub(crate) long_lines: u64,
    /// How many clients do not read promptly.
    pub(crate) slow_readers: u64,
    /// How often a client ends its connection, in one step.
    pub(crate) departures: u64,
    /// Clients begin with everybody gone before the server stops.
    pub(crate) leave_first: bool,
    /// How often, in one step, somebody comes while the server stops.
    pub(crate) too_late: u64,
    /// A worker that seldom has its turn.
    pub(crate) starved: Option<usize>,
    pub(crate) time_step_us: u64,
    /// How often, in one step, everything is handed over.
    pub(crate) handovers: u64,
    pub(crate) ring: Faults,
}

/// What the ring and the network do to the worker.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    pub(crate) recv_buffers: u16,
    /// Completions that one enter hands out.
    pub(crate) reap_max: usize,
    /// Completions that the queue holds.
    pub(crate) queue_len: usize,
    pub(crate) late: u64,
    pub(crate) late_us: u64,
    pub(crate) send_short: u64,
    pub(crate) send_again: u64,
    pub(crate) send_no_memory: u64,
    pub(crate) send_reset: u64,
    pub(crate) poll_spurious: u64,
    pub(crate) recv_ended: u64,
    pub(crate) recv_interrupted: u64,
    pub(crate) recv_small: u64,
    pub(crate) recv_reset: u64,
    pub(crate) accept_error: u64,
    pub(crate) cancel_race: u64,
    pub(crate) bell_spurious: u64,
    pub(crate) flush_early: u64,
    pub(crate) poll_error: u64,
    pub(crate) close_error: u64,
    /// Accepts that fail for what the whole system lacks.
    pub(crate) no_descriptors: u64,
    pub(crate) bell_error: u64,
    pub(crate) abort_error: u64,
    /// Cancels of accepts that find nothing, and the accept goes on.
    pub(crate) cancel_missed: u64,
    /// Accepts that complete last begun, first: into slots just emptied.
    pub(crate) accept_newest: u64,
    /// Completions for connections that are gone.
    pub(crate) stale: u64,
    /// With all that came after the first seeds.
    pub(crate) wide: bool,
    pub(crate) errnos: &'static Errnos,
    pub(crate) send_capacity_min: u64,
    pub(crate) send_capacity_max: u64,
}

impl Options {
    pub(crate) fn draw(words: usize, rng: &mut Rng) -> Self {
        // A crowd on one worker: its sweeps take more than a turn. Not so large that rooms would
        // sum up who comes and goes.
        let crowd = rng.chance(100);
        let worker_count = if crowd { 1 } else { rng.below(4) + 1 };
        let both = [SlowPolicy::Close, SlowPolicy::Skip];
        let policies = match rng.below(3) {
            0 => vec![SlowPolicy::Close],
            1 => vec![SlowPolicy::Skip],
            _ => both.to_vec(),
        };
        let full = !crowd && rng.chance(150);
        let mut options = Self {
            worker_count,
            client_count: if crowd { rng.below(20) + 40 } else { rng.below(18) + 3 },
            arrivals: if crowd { 500 } else { 100 },
            step_count: rng.between(150, 600),
            listeners: policies.iter().map(|policy| (Dialect::Telnet, *policy)).collect(),
            clients_max: if full { 3 } else { 64 },
            seats: if rng.chance(100) { 4 } else { 1_000 },
            trusted: rng.chance(850),
            pace: Duration::from_micros(*rng.pick(&[0, 1_000, 10_000])),
            activity: rng.between(200, 950),
            bursts: 0,
            rich: 0,
            words,
            long_lines: *rng.pick(&[0, 50, 900]),
            slow_readers: *rng.pick(&[0, 0, 200, 700]),
            departures: *rng.pick(&[0, 5, 30]),
            leave_first: rng.chance(500),
            too_late: 0,
            starved: rng.chance(250).then(|| rng.below(worker_count)),
            time_step_us: *rng.pick(&[20, 200, 5_000, 100_000]),
            handovers: 0,
            ring: Faults::draw(rng),
        };
        if words > FIRST_WORDS {
            // Drawn apart, so that the seeds from before stay what they are.
            let salt = rng.clone().next();
            let apart = |number: u64| Rng::new(salt ^ number);
            options.rich = *apart(1).pick(&[0, 0, 300, 900]);
            if apart(2).chance(500) {
                options.ring.widen(&mut apart(3));
            }
            if crowd {
                options.crowd_together(&mut apart(4));
            }
            options.mix_dialects(&policies, &mut apart(5));
            options.too_late = *apart(6).pick(&[0, 0, 300]);
            options.handovers = *apart(7).pick(&[0, 0, 0, 4, 20]);
        }
        options
    }

    /// All at once, at a ring that is too small for them.
    fn crowd_together(&mut self, rng: &mut Rng) {
        self.bursts = *rng.pick(&[0, 20, 200]);
        if rng.chance(500) {
            self.ring.recv_buffers = 16;
            self.ring.queue_len = 64;
            self.ring.reap_max = 1_000;
        }
    }

    /// Listeners of other dialects.
    fn mix_dialects(&mut self, policies: &[SlowPolicy], rng: &mut Rng) {
        let mixes: [&[Dialect]; 5] = [
            &Dialect::ALL,
            &Dialect::ALL,
            &[Dialect::Telnet],
            &[Dialect::Telnet, Dialect::Rid],
            &[Dialect::Telnet, Dialect::P2p],
        ];
        let mix = *rng.pick(&mixes);
        if self.ring.send_short == ALWAYS {
            // No send goes out whole: who is spoken to all the time would be behind all the time,
            // and rightly slow, if the turns were slow too.
            self.time_step_us = self.time_step_us.min(5_000);
        }
        let each = |policy: &SlowPolicy| mix.iter().map(|dialect| (*dialect, *policy)).collect();
        self.listeners = policies.iter().flat_map(|policy| -> Vec<_> { each(policy) }).collect();
    }

    /// Whether a reader who takes all there is at once can never fall behind: sockets are full only
    /// when they are, it is heard soon that they are not, and no worker is late. One that is late
    /// may find more to send than a reader may be behind, and then closes those whose sockets are
    /// too small for all of it.
    pub(crate) fn is_kind_to_readers(&self) -> bool {
        let faults = &self.ring;
        let is_soon = faults.late == 0 || faults.late_us <= 50;
        // Of few completions in a turn, and few turns in a second, one may be passed over for long.
        let is_fair = faults.reap_max > 3 || self.time_step_us < 100_000;
        let is_certain = faults.send_again == 0 && faults.send_no_memory == 0;
        let is_large = faults.send_capacity_min >= 4_096;
        // In rich mode sends are many and of a few bytes: a socket that takes even those in part
        // looks full all the time.
        let is_whole = self.rich == 0 || faults.send_short == 0;
        is_soon && is_fair && is_certain && is_large && is_whole && self.starved.is_none()
    }
}

impl Faults {
    fn draw(rng: &mut Rng) -> Self {
        let (capacity_min, capacity_max) =
            *rng.pick(&[(32_768, 32_768), (4_096, 65_536), (200, 3_000), (16, 200)]);
        Self {
            recv_buffers: *rng.pick(&[4, 16, 64]),
            reap_max: *rng.pick(&[3, 20, 1_000]),
            queue_len: *rng.pick(&[8, 64, 16_384]),
            late: rate(rng, 400),
            late_us: *rng.pick(&[50, 2_000, 50_000]),
            send_short: rate(rng, 300),
            send_again: rate(rng, 200),
            send_no_memory: rate(rng, 100),
            send_reset: rate(rng, 4),
            poll_spurious: rate(rng, 300),
            recv_ended: rate(rng, 500),
            recv_interrupted: rate(rng, 100),
            recv_small: rate(rng, 1_000),
            recv_reset: rate(rng, 3),
            accept_error: rate(rng, 300),
            cancel_race: rate(rng, 1_000),
            bell_spurious: rate(rng, 20),
            flush_early: rate(rng, 50),
            poll_error: 0,
            close_error: 0,
            no_descriptors: 0,
            bell_error: 0,
            abort_error: 0,
            cancel_missed: 0,
            accept_newest: 0,
            stale: 0,
            wide: false,
            errnos: &errnos::FEW,
            send_capacity_min: capacity_min,
            send_capacity_max: capacity_max,
        }
    }
}

impl Faults {
    /// With every error the kernel has, more often, and with completions that lost their way.
    fn widen(&mut self, rng: &mut Rng) {
        self.wide = true;
        self.errnos = &errnos::ALL;
        self.poll_error = rate(rng, 300);
        self.close_error = rate(rng, 300);
        self.bell_error = rate(rng, 300);
        self.abort_error = *rng.pick(&[0, ALWAYS]);
        self.cancel_missed = rate(rng, 300);
        self.accept_newest = *rng.pick(&[0, ALWAYS]);
        self.stale = rate(rng, 300);
        self.recv_interrupted = rate(rng, 300);
        self.send_no_memory = rate(rng, 300);
        self.send_again = rate(rng, 300);
        self.send_short = *rng.pick(&[0, 300, ALWAYS]);
        if rng.chance(200) {
            // Nobody stays for long.
            self.send_reset = rate(rng, 300);
            self.recv_reset = rate(rng, 300);
        }
        if rng.chance(100) {
            // So seldom are there any that even the many accepts under way run out.
            self.no_descriptors = 900;
        }
    }
}

/// Nothing in half of the runs, else anything up to `max`.
fn rate(rng: &mut Rng, max: u64) -> u64 {
    if rng.chance(500) { 0 } else { rng.between(1, max) }
}
