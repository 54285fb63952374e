//! chatd beside the floor: a program that does for each line only what no server on io_uring can
//! leave out. Both run by turns on one core, the generator on another, so that what disturbs the
//! machine disturbs both; the ratio of each pair is taken, and the median of the ratios. Where the
//! goal is to be no worse than the floor, the floor runs twice: how far apart equals come out. Some
//! scenarios measure chatd alone.

mod crowd;
mod engine;
mod generator;
mod goals;
mod joins;
mod load;
mod quiet;
mod slow;
mod table;

use crate::options::{parse_duration, say, tell, write_json};
use crate::server::{locate, own_cpus, pin};
use crate::{Failure, usage};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;
use table::{Measured, Sample};

/// What to compare, and how.
#[derive(Debug, Default, Args)]
pub(crate) struct BenchArguments {
    /// Which scenarios; all if none is named
    #[arg(value_enum)]
    scenarios: Vec<Preset>,
    /// How often each of the two runs
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: u32,
    /// Instead of each scenario's own number
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// Instead of each scenario's own time
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// The core of the server
    #[arg(long, default_value_t = 0, value_name = "CPU")]
    pin_server: usize,
    /// The cores of the generator
    #[arg(long, default_value = "1", value_name = "CPU,..", value_delimiter = ',')]
    pin: Vec<usize>,
    /// The chatd to measure; otherwise the one beside this program, built if need be
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// The floor to compare with; otherwise the one beside this program, built if need be
    #[arg(long, value_name = "PATH")]
    floor: Option<PathBuf>,
    /// Measure chatd without the floor
    #[arg(long, conflicts_with_all = ["floor", "self_check"])]
    alone: bool,
    /// Compare the floor with itself: how far apart equals come out
    #[arg(long)]
    self_check: bool,
    /// Leave out what should be reached: it is meant for this kind of machine, and for each
    /// scenario's own number and time
    #[arg(long)]
    no_targets: bool,
    /// Write the tables there too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A named load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// 10,000 clients, 10 lines/s from one sender
    Sparse,
    /// 1,000 clients, 1,000 lines/s from ten senders
    Busy,
    /// 1,000 clients, 50 lines/s
    Rate50,
    /// 1,000 clients, 20 lines/s
    Rate20,
    /// A pair talks while 10,000 others get 10 lines/s (chatd only)
    Quiet,
    /// 700 clients with 300 beside them who do not read, and without (chatd only)
    Slow,
    /// 10,000 connects as fast as possible
    Connect,
    /// Memory of 10,000 idle clients (chatd only)
    Memory,
    /// What 10,000 clients who join a room one after the other make the server send (chatd only)
    Joins,
    /// 19,000 clients on one worker, 40,000 on three (chatd only)
    Capacity,
    /// The generator's own cost: busy, read as always and by a plain reader (chatd only)
    Engine,
}

/// A program to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Chatd,
    Floor,
    /// chatd, with slow readers.
    Beset,
    /// chatd, and the generator as it is.
    Engine,
    /// chatd, and a generator that throws away what it reads.
    Plain,
}

/// The result, as it is written.
#[derive(Serialize)]
struct BenchReport {
    command: String,
    machine: String,
    scenarios: Vec<Measured>,
}

/// The programs and where they run.
struct Bench<'a> {
    arguments: &'a BenchArguments,
    chatd: Option<PathBuf>,
    floor: Option<PathBuf>,
    /// All cores, for a server with several workers.
    cpus: Vec<usize>,
}

/// Runs the scenarios one after the other. True if all ran without a fault and met their goals.
pub(crate) fn execute(arguments: &BenchArguments) -> Result<bool, Failure> {
    let bench = Bench::new(arguments)?;
    pin(&arguments.pin)?;
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let mut report = BenchReport { command, machine: bench.describe()?, scenarios: Vec::new() };
    say(&format_args!("{}\n{}\n", report.command, report.machine))?;
    for preset in bench.presets() {
        let measured = match bench.measure(preset) {
            Err(Failure::Run(why)) => Measured::failed(preset.describe(arguments), why),
            measured => measured?,
        };
        say(&measured)?;
        report.scenarios.push(measured);
    }
    if let Some(path) = &arguments.json {
        write_json(path, &report)?;
    }
    Ok(report.scenarios.iter().all(Measured::is_well))
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a BenchArguments) -> Result<Self, Failure> {
        let mut bench = Self { arguments, chatd: None, floor: None, cpus: own_cpus()? };
        let presets = bench.presets();
        let given_or_found =
            |given: &Option<PathBuf>, name| given.clone().map_or_else(|| locate(name), Ok);
        if !arguments.self_check {
            bench.chatd = Some(given_or_found(&arguments.server, "chatd")?);
        }
        if !arguments.alone && presets.iter().any(|preset| preset.has_floor()) {
            bench.floor = Some(given_or_found(&arguments.floor, "floor")?);
        }
        if presets.is_empty() {
            return Err(usage("none of these scenarios can be run by the floor".into()));
        }
        Ok(bench)
    }

    fn describe(&self) -> Result<String, Failure> {
        let BenchArguments { pin_server, pin, .. } = self.arguments;
        let machine = crate::machine::describe(&self.cpus)?;
        Ok(format!("{machine}; the server on core {pin_server}, the generator on {pin:?}"))
    }

    fn presets(&self) -> Vec<Preset> {
        let named = &self.arguments.scenarios;
        let chosen = if named.is_empty() { Preset::value_variants() } else { named };
        let possible = |preset: &&Preset| preset.has_floor() || !self.arguments.self_check;
        chosen.iter().filter(possible).copied().collect()
    }

    fn measure(&self, preset: Preset) -> Result<Measured, Failure> {
        let sides = self.sides(preset);
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); sides.len()];
        let rounds = preset.rounds(self.arguments.pairs);
        for round in 1..=rounds {
            for (side, samples) in sides.iter().zip(&mut samples) {
                tell(&format_args!("{} {round} of {rounds}: {}", preset.name(), side.name()));
                samples.push(self.run(preset, *side)?);
            }
        }
        let names = sides.iter().map(|side| side.name()).collect();
        let without = self.arguments.no_targets || self.arguments.self_check;
        let goals = if without { Vec::new() } else { preset.goals(self.arguments) };
        Ok(Measured::new(preset.describe(self.arguments), names, &samples, &goals))
    }

    fn sides(&self, preset: Preset) -> Vec<Side> {
        match self.arguments {
            _ if preset == Preset::Engine => vec![Side::Engine, Side::Plain],
            _ if preset == Preset::Slow => vec![Side::Beset, Side::Chatd],
            BenchArguments { self_check: true, .. } => vec![Side::Floor, Side::Floor],
            BenchArguments { alone: true, .. } => vec![Side::Chatd],
            _ if preset.is_like_floor() => vec![Side::Chatd, Side::Floor, Side::Floor],
            _ if preset.has_floor() => vec![Side::Chatd, Side::Floor],
            _ => vec![Side::Chatd],
        }
    }
}

impl Side {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl Preset {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether the floor can do it: it knows no rooms, and memory is no part of it.
    fn has_floor(self) -> bool {
        !matches!(
            self,
            Self::Quiet | Self::Slow | Self::Memory | Self::Joins | Self::Capacity | Self::Engine
        )
    }

    /// Whether the floor has to be compared with itself.
    fn is_like_floor(self) -> bool {
        matches!(self, Self::Rate50 | Self::Rate20)
    }

    fn rounds(self, pairs: u32) -> u32 {
        if self == Self::Capacity { 1 } else { pairs }
    }
}
