//! What is done to the server: phases, each a scenario of one dialect, some with small clients
//! beside it that mean no good. Pure, and the same for the same seed.

use super::nuisance::Nuisance;
use crate::limits::SOAK_PHASES;
use crate::protocol::Protocol;
use crate::scenario::{Group, Scenario, Skew, mix};
use clap::ValueEnum;
use serde::Serialize;
use std::time::Duration;

/// The name of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// All clients, in rooms large and small
    Crowds,
    /// A quarter of the clients in one room, 200 lines/s
    Floods,
    /// Members that leave and return
    Churn,
    /// Half of the clients in one room; three in ten never read
    Slow,
    /// All clients connect at once, and leave
    Storms,
    /// A pair talks while connections are made and reset at once
    Resets,
    /// A pair talks while half of the clients send half a line and stay
    Slowloris,
    /// A pair talks beside a room that hears much
    Quiet,
}

/// One phase.
#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) kind: Kind,
    pub(super) scenario: Scenario,
    /// What goes on beside it.
    pub(super) nuisance: Option<Nuisance>,
}

/// What phases are chosen from, and how large they are.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    pub(super) seed: u64,
    pub(super) kinds: Vec<Kind>,
    pub(super) dialects: Vec<Protocol>,
    /// The most clients of a phase.
    pub(super) clients: u32,
    /// How long each of them is measured.
    pub(super) lasts: Duration,
}

impl Mix {
    /// The phases of a cycle. The first one has each kind in each dialect, at its full size, so
    /// that what the server keeps for the most it ever needed is there from then on.
    pub(super) fn cycle(&self, number: u64) -> Vec<Phase> {
        if number == 0 {
            let pairs = self
                .kinds
                .iter()
                .flat_map(|kind| self.dialects.iter().map(move |dialect| (*kind, *dialect)));
            let phases = (0..).zip(pairs).map(|(index, (kind, dialect))| {
                self.phase(kind, dialect, self.clients, mix(self.seed, index))
            });
            return phases.collect();
        }
        let phases = (0..SOAK_PHASES).map(|index| {
            let draw = |what: u64| mix(self.seed, (number << 16) + (index << 8) + what);
            let kind = choose(&self.kinds, draw(0));
            let dialect = choose(&self.dialects, draw(1));
            let clients = self.clients / 4 * choose(&[1, 2, 3, 4], draw(2));
            self.phase(kind, dialect, clients, draw(3))
        });
        phases.collect()
    }

    fn phase(&self, kind: Kind, dialect: Protocol, most: u32, seed: u64) -> Phase {
        let most = most.max(CLIENTS_MIN);
        let room = |clients| Group { clients, senders: 10, rate: 50.into(), ..Group::default() };
        let pair = || Group { name: "pair".into(), senders: 2, jitter: true, ..room(2) };
        let mut nuisance = None;
        let mut in_flight = 128;
        let groups = match kind {
            Kind::Crowds => {
                let rooms = if dialect.has_rooms() { most.div_ceil(100) } else { 1 };
                let skew = if rooms > 1 { Skew::Zipf(1.1) } else { Skew::Uniform };
                vec![Group { rooms, skew, ..room(most) }]
            }
            Kind::Floods => vec![Group { rate: 200.into(), ..room(most / 4) }],
            Kind::Churn => {
                let clients = most / 4;
                let rooms = if dialect.has_rooms() { clients.div_ceil(50) } else { 1 };
                vec![Group { rooms, churn: clients.div_ceil(8), ..room(clients) }]
            }
            Kind::Slow => {
                let clients = most / 2;
                vec![Group { slow: clients * 3 / 10, size: 500.into(), ..room(clients) }]
            }
            Kind::Storms => {
                in_flight = 1024;
                vec![Group { senders: 0, ..room(most) }]
            }
            Kind::Resets => {
                nuisance = Some(Nuisance::Resets);
                vec![pair()]
            }
            Kind::Slowloris => {
                nuisance = Some(Nuisance::Slowloris { connections: most / 2 });
                vec![pair()]
            }
            Kind::Quiet if dialect.has_rooms() => vec![room(most / 2), pair()],
            Kind::Quiet => vec![room(most / 2)],
        };
        let mut scenario = Scenario {
            groups,
            warmup: Duration::ZERO,
            duration: self.lasts,
            protocol: dialect,
            seed,
            ..Scenario::default()
        };
        scenario.connect.in_flight = in_flight;
        Phase { kind, scenario, nuisance }
    }
}

fn choose<T: Copy>(from: &[T], draw: u64) -> T {
    let place = draw % u64::try_from(from.len()).expect("few");
    from[usize::try_from(place).expect("few")]
}

/// The least for which each kind makes sense: a quarter of them has ten senders and two others who
/// leave and return.
pub(super) const CLIENTS_MIN: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn all(seed: u64, clients: u32) -> Mix {
        Mix {
            seed,
            kinds: Kind::value_variants().to_vec(),
            dialects: vec![Protocol::Telnet, Protocol::Rid, Protocol::P2p],
            clients,
            lasts: Duration::from_secs(1),
        }
    }

    #[test]
    fn every_phase_is_a_scenario_that_can_be_run() {
        for clients in [CLIENTS_MIN, 61, 1000, 9999] {
            let mix = all(1, clients);
            for kind in Kind::value_variants() {
                for dialect in &mix.dialects {
                    let phase = mix.phase(*kind, *dialect, clients, 1);
                    let checked = phase.scenario.check();
                    checked.unwrap_or_else(|why| panic!("{kind:?} {dialect:?} {clients}: {why}"));
                }
            }
        }
    }

    #[test]
    fn the_seed_chooses_and_the_first_cycle_has_all() {
        let shape = |mix: &Mix, number| -> Vec<String> {
            let phases = mix.cycle(number);
            phases.iter().map(|phase| format!("{:?} {:?}", phase.kind, phase.scenario)).collect()
        };
        let first = all(7, 200).cycle(0);
        let has = |kind, dialect| {
            let of_both = |phase: &&Phase| (phase.kind, phase.scenario.protocol) == (kind, dialect);
            first.iter().filter(of_both).count()
        };
        for kind in Kind::value_variants() {
            for dialect in all(7, 200).dialects {
                assert_eq!(has(*kind, dialect), 1, "{kind:?} on {dialect:?}");
            }
        }
        for number in 0..20 {
            assert_eq!(shape(&all(7, 200), number), shape(&all(7, 200), number));
            assert_ne!(shape(&all(7, 200), number), shape(&all(8, 200), number));
        }
        let later = || (1..100).flat_map(|number| all(7, 200).cycle(number));
        for kind in Kind::value_variants() {
            assert!(later().any(|phase| phase.kind == *kind), "{kind:?} comes");
        }
        for dialect in all(7, 200).dialects {
            assert!(later().any(|phase| phase.scenario.protocol == dialect), "{dialect:?} comes");
        }
    }
}
