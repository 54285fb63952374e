//! chatd beside other servers, under one load. Each is started on loopback with limits that the
//! load does not reach, measured, and stopped; they take turns, every second round in the other
//! order, so that what disturbs the machine disturbs all. Ratios are taken round by round.

mod daemons;
mod peer;
mod table;

use crate::options::{parse_duration, run_id, say, tell, write_json};
use crate::scenario::{Connect, Group, Rate, Scenario, Sizes};
use crate::server::{Watch, pin};
use crate::session::raise_descriptor_limit;
use crate::{Failure, Progress, Report, Session, Verdict};
use clap::Args;
use peer::Peer;
use std::path::{Path, PathBuf};
use std::time::Duration;
use table::{Comparison, Row};

/// What to compare, and under which load.
#[derive(Debug, Args)]
pub(crate) struct PeersArguments {
    /// Which, besides chatd; if none is named, all but rid and p2p
    #[arg(value_enum)]
    peers: Vec<Peer>,
    /// How often each of them runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How many connect
    #[arg(long, default_value_t = 1000, value_name = "N")]
    clients: u32,
    /// Rooms they are spread over; p2p and the floor have one
    #[arg(long, default_value_t = 1, value_name = "N")]
    rooms: u32,
    /// How many of them talk, in turns
    #[arg(long, default_value_t = 10, value_name = "N")]
    senders: u32,
    /// Lines a second, of all senders together
    #[arg(long, default_value = "50", value_name = "N")]
    rate: Rate,
    /// Bytes of a line's text; IRC takes no more than 350
    #[arg(long, default_value = "100", value_name = "BYTES|FROM-TO|..")]
    size: Sizes,
    /// How long to measure: 5s, 500ms, 2m
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    duration: Duration,
    /// How long to send before that: audited, not measured
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = parse_duration)]
    warmup: Duration,
    /// Threads of the generator that connect and receive; one more sends
    #[arg(long, default_value_t = 1, value_name = "N")]
    threads: usize,
    /// Workers of chatd
    #[arg(long, default_value_t = 1, value_name = "N")]
    workers: u32,
    /// The cores of the servers
    #[arg(long, value_name = "CPU,..", value_delimiter = ',')]
    pin_server: Vec<usize>,
    /// The cores of this process
    #[arg(long, value_name = "CPU,..", value_delimiter = ',')]
    pin: Vec<usize>,
    /// Write the table and all reports there too; -: only them, on standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs them by turns. The worst verdict of all runs.
pub(crate) fn execute(arguments: &PeersArguments) -> Result<Verdict, Failure> {
    let (mut rows, absent): (Vec<Row>, Vec<Peer>) = arguments.rows();
    let speaks = arguments.json.as_deref() != Some(Path::new("-"));
    for row in &rows {
        arguments.scenario(row.peer).check()?;
    }
    // The servers inherit it.
    raise_descriptor_limit(u64::from(arguments.clients))?;
    pin(&arguments.pin)?;
    for round in 0..arguments.rounds {
        let mut order: Vec<_> = rows.iter_mut().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for row in order {
            if speaks {
                let (round, name) = (round + 1, row.peer.name());
                tell(&format_args!("round {round} of {}: {name}", arguments.rounds));
            }
            let outcome = arguments.measure(row.peer, row.program.as_deref());
            row.take(outcome);
        }
    }
    let scenario = arguments.scenario(Peer::Chatd).options();
    let comparison = Comparison::new(scenario, arguments.rounds, rows, absent);
    if speaks {
        say(&comparison)?;
    }
    arguments.json.as_deref().map_or(Ok(()), |path| write_json(path, &comparison))?;
    Ok(comparison.verdict())
}

impl PeersArguments {
    /// Those that can be started, chatd first, and those that are not installed.
    fn rows(&self) -> (Vec<Row>, Vec<Peer>) {
        let mut wanted = vec![Peer::Chatd];
        let named = if self.peers.is_empty() { &Peer::USUAL[..] } else { &self.peers };
        for peer in named {
            if !wanted.contains(peer) {
                wanted.push(*peer);
            }
        }
        let program = |peer: Peer| (peer, peer.package().map(|_| peer.find()));
        let (absent, present): (Vec<_>, Vec<_>) =
            wanted.into_iter().map(program).partition(|(_, found)| *found == Some(None));
        let row = |(peer, found): (Peer, Option<Option<PathBuf>>)| Row::new(peer, found.flatten());
        (present.into_iter().map(row).collect(), absent.into_iter().map(|(peer, _)| peer).collect())
    }

    fn scenario(&self, peer: Peer) -> Scenario {
        let group = Group {
            clients: self.clients,
            rooms: if peer.protocol().has_rooms() { self.rooms } else { 1 },
            senders: self.senders.min(self.clients),
            rate: self.rate.clone(),
            size: self.size.clone(),
            ..Group::default()
        };
        let plain = Scenario::default();
        Scenario {
            groups: vec![group],
            duration: self.duration,
            warmup: self.warmup,
            connect: Connect { in_flight: peer.connections_in_flight(), ..plain.connect },
            threads: self.threads,
            protocol: peer.protocol(),
            run: run_id(plain.seed),
            ..plain
        }
    }

    fn measure(&self, peer: Peer, program: Option<&Path>) -> Result<Report, Failure> {
        let server = peer.start(program, self.clients, self.workers, &self.pin_server)?;
        let watch = Watch::new(server.pid())?.with_version(peer.version(program));
        let scenario = self.scenario(peer);
        Session::connect_showing(scenario, server.addr(), Progress::silent())?.measure(Some(&watch))
    }
}
