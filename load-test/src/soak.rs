//! Loads of every kind, mixed for hours against one server. After each cycle of them everybody
//! leaves, and the server must come back to rest: by its own counters, and by what the kernel says
//! of its descriptors, threads and sockets. In the end its memory must not have grown.

mod found;
mod nuisance;
mod phase;
mod rest;

pub(crate) use found::{Cycle, Sample, Soak};

use crate::children::ask_on_signals;
use crate::clock::utc;
use crate::html;
use crate::limits::{
    CLIENTS_PER_ADDRESS_MAX, COLUMNS_MAX, SOAK_DURATION_MAX, SOAK_REST_MAX, SOAK_SAMPLE_INTERVAL,
    WORKERS_MAX,
};
use crate::options::{check_writable, parse_duration, run_id, say, tell, write_json};
use crate::outcome::command;
use crate::protocol::Protocol;
use crate::report::Verdict;
use crate::server::{Server, Watch, locate, version};
use crate::target::{parse_addr, watch};
use crate::threads::{self, Ended};
use crate::{Failure, failed, run, usage};
use clap::{Args, ValueEnum};
use found::{PhaseFound, SCHEMA};
use phase::{CLIENTS_MIN, Kind, Mix, Phase};
use rest::{Place, State};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long, how much, against what.
#[derive(Debug, Args)]
pub(crate) struct SoakArguments {
    /// When no new phase begins any more; Ctrl-C ends it before, with the report so far
    #[arg(long, default_value = "1h", value_parser = parse_duration, value_name = "TIME")]
    duration: Duration,
    /// End after so many cycles, if that comes first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    cycles: Option<u64>,
    /// How long the server may take to come to rest after a cycle
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    rest: Duration,
    /// The same seed gives the same phases
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The most clients of a phase
    #[arg(long, default_value_t = 1000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32)
        .range(i64::from(CLIENTS_MIN)..=i64::from(CLIENTS_PER_ADDRESS_MAX)))]
    clients: u32,
    /// How long each phase lasts, besides connecting
    #[arg(long, default_value = "5s", value_parser = parse_duration, value_name = "TIME")]
    phase: Duration,
    /// Kinds of phases to choose from; all if none is named
    #[arg(long, value_enum, value_name = "KIND,..", value_delimiter = ',')]
    phases: Vec<Kind>,
    /// Write everything there too; -: only that, on standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write it as one HTML file with its curves
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Use the chatd that listens there for people rather than starting one
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_addr, requires = "admin_url")]
    #[arg(conflicts_with_all = ["server", "workers"])]
    target: Option<SocketAddr>,
    /// With --target: where it serves its metrics
    #[arg(long, value_name = "URL", value_parser = parse_admin_url, requires = "target")]
    admin_url: Option<SocketAddr>,
    /// With --target: where it speaks rid
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_addr, requires = "target")]
    target_rid: Option<SocketAddr>,
    /// With --target: where it speaks p2p
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_addr, requires = "target")]
    target_p2p: Option<SocketAddr>,
    /// With --target: its process, to see its memory, descriptors and threads
    #[arg(long, value_name = "PID", requires = "target")]
    server_pid: Option<u32>,
    /// The chatd to start; otherwise the one beside this program, built if need be
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Workers of the chatd it starts
    #[arg(long, default_value_t = 2, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=WORKERS_MAX))]
    workers: u32,
}

/// The server, and where it speaks what.
struct Subject {
    listeners: Vec<(Protocol, SocketAddr)>,
    place: Place,
    /// It is stopped when dropped.
    server: Option<Server>,
}

/// Does it, and tells how it went.
pub(crate) fn execute(arguments: &SoakArguments) -> Result<Verdict, Failure> {
    arguments.check()?;
    let asked = ask_on_signals()?;
    let subject = arguments.subject()?;
    let json_only = arguments.json.as_deref() == Some(Path::new("-"));
    let told = |text: &dyn std::fmt::Display| if json_only { Ok(()) } else { say(text) };
    told(&format_args!("{}\nseed {}\n\n{}", command(), arguments.seed, Cycle::head()))?;
    let mut soak = arguments.soak(&subject, asked, &|cycle| told(&cycle.row()))?;
    if let Some(server) = subject.server
        && let Err(failure) = server.stop()
    {
        soak.reasons.push(failure.to_string());
    }
    soak.judge();
    arguments.json.as_deref().map_or(Ok(()), |path| write_json(path, &soak))?;
    if let Some(path) = &arguments.html {
        let written = std::fs::write(path, html::soak_page(&soak));
        written.map_err(|error| failed(&path.display().to_string(), &error))?;
    }
    told(&soak)?;
    Ok(soak.verdict)
}

/// `http://HOST:PORT/metrics`, or only `HOST:PORT`.
fn parse_admin_url(text: &str) -> Result<SocketAddr, String> {
    let place = text.strip_prefix("http://").unwrap_or(text);
    let (place, path) = place.split_once('/').unwrap_or((place, ""));
    if !["", "metrics"].contains(&path) {
        return Err("expected http://HOST:PORT/metrics".into());
    }
    parse_addr(place)
}

impl SoakArguments {
    fn check(&self) -> Result<(), Failure> {
        if self.duration > SOAK_DURATION_MAX {
            return Err(usage("--duration: a week (168h) at most".into()));
        }
        if self.rest > SOAK_REST_MAX {
            return Err(usage("--rest: an hour at most".into()));
        }
        if self.phase.is_zero() || self.phase > self.duration {
            return Err(usage("--phase: more than nothing, and at most --duration".into()));
        }
        self.mix(&[(Protocol::Telnet, SocketAddr::from(([127, 0, 0, 1], 1)))])
            .cycle(0)
            .iter()
            .try_for_each(|phase| phase.scenario.check())?;
        let files = [&self.json, &self.html].into_iter().flatten();
        files.filter(|path| *path != Path::new("-")).try_for_each(|path| check_writable(path))
    }

    fn mix(&self, listeners: &[(Protocol, SocketAddr)]) -> Mix {
        let all = Kind::value_variants();
        Mix {
            seed: self.seed,
            kinds: if self.phases.is_empty() { all.to_vec() } else { self.phases.clone() },
            dialects: listeners.iter().map(|(dialect, _)| *dialect).collect(),
            clients: self.clients,
            lasts: self.phase,
        }
    }

    fn subject(&self) -> Result<Subject, Failure> {
        let Some((target, admin)) = self.target.zip(self.admin_url) else {
            return self.start();
        };
        let more = [(Protocol::Rid, self.target_rid), (Protocol::P2p, self.target_p2p)];
        let more = more.into_iter().filter_map(|(dialect, addr)| Some((dialect, addr?)));
        let listeners: Vec<_> = [(Protocol::Telnet, target)].into_iter().chain(more).collect();
        let watch = self.server_pid.map(watch).transpose()?;
        Ok(Subject::new(listeners, admin, watch, None))
    }

    fn start(&self) -> Result<Subject, Failure> {
        let program = match &self.server {
            Some(program) if program.is_file() => program.clone(),
            Some(program) => {
                let program = program.display();
                return Err(usage(format!("--server {program}: there is no such file")));
            }
            None => locate("chatd")?,
        };
        let nowhere = "127.0.0.1:0";
        let [rid, p2p] = ["rid", "p2p"].map(|dialect| format!("{dialect}://{nowhere}"));
        let options = ["--listen", &rid, "--listen", &p2p, "--admin", nowhere];
        let server = Server::start_chatd(&program, Protocol::Telnet, self.workers, &options, &[])?;
        let (rid, p2p) = (server.await_next()?, server.await_next()?);
        let admin = server.await_admin()?;
        let watch = Watch::new(server.pid())?.with_version(version(&program));
        let listeners =
            vec![(Protocol::Telnet, server.addr()), (Protocol::Rid, rid), (Protocol::P2p, p2p)];
        Ok(Subject::new(listeners, admin, Some(watch), Some(server)))
    }

    /// Cycle after cycle, until the time is over, somebody asks for the end, or something cannot go
    /// on.
    fn soak(
        &self,
        subject: &Subject,
        asked: &AtomicBool,
        tell_cycle: &dyn Fn(&Cycle) -> Result<(), Failure>,
    ) -> Result<Soak, Failure> {
        let (place, begun) = (&subject.place, Instant::now());
        let start = place.first_look()?;
        if start.connections > 0 {
            return Err(usage(format!(
                "the server has {} connections; a soak needs it for itself",
                start.connections
            )));
        }
        let sampling = Sampling::start(place.clone(), begun, self.duration)?;
        let mix = self.mix(&subject.listeners);
        let mut soak = Soak {
            schema: SCHEMA,
            command: command(),
            started_at: utc(),
            seed: self.seed,
            version: place.watch.as_ref().and_then(Watch::version).map(str::to_owned),
            ..Soak::default()
        };
        for number in 0..self.cycles.unwrap_or(u64::MAX) {
            let over = || begun.elapsed() >= self.duration || asked.load(Ordering::Relaxed);
            if over() {
                break;
            }
            let mut cycle = Cycle { number: number + 1, ..Cycle::default() };
            for phase in mix.cycle(number) {
                if over() {
                    break;
                }
                tell(&phase.words(cycle.number, begun.elapsed()));
                let found = subject.run(phase);
                let failed = found.failure.is_some();
                cycle.phases.push(found);
                if failed {
                    break;
                }
            }
            let from_s = soak.cycles.last().map_or(0.0, |cycle: &Cycle| cycle.at_s);
            let went_on = cycle.come_to_rest(place, &start, self.rest);
            cycle.at_s = begun.elapsed().as_secs_f64();
            cycle.connections_most = sampling.connections_most(from_s);
            tell_cycle(&cycle)?;
            let failed = cycle.phases.iter().any(|phase| phase.failure.is_some());
            soak.cycles.push(cycle);
            if failed || !went_on {
                break;
            }
        }
        soak.interrupted = asked.load(Ordering::Relaxed);
        soak.lasted_s = begun.elapsed().as_secs_f64();
        soak.samples = sampling.end()?;
        soak.start = start;
        Ok(soak)
    }
}

impl Cycle {
    /// False if it could not even be seen.
    fn come_to_rest(&mut self, place: &Place, start: &State, timeout: Duration) -> bool {
        match place.rest(start, timeout) {
            Ok((took, state, unrest)) => {
                (self.rest, self.rest_s, self.unrest) = (state, took.as_secs_f64(), unrest);
                true
            }
            Err(failure) => {
                self.unrest = vec![failure.to_string()];
                false
            }
        }
    }
}

impl Subject {
    fn new(
        listeners: Vec<(Protocol, SocketAddr)>,
        admin: SocketAddr,
        watch: Option<Watch>,
        server: Option<Server>,
    ) -> Self {
        let ports = listeners.iter().map(|(_, addr)| addr.port()).collect();
        Self { listeners, place: Place { admin, watch, ports }, server }
    }

    /// All its clients have gone when it returns.
    fn run(&self, phase: Phase) -> PhaseFound {
        let Phase { kind, mut scenario, nuisance } = phase;
        scenario.run = run_id(scenario.seed);
        let dialect = scenario.protocol;
        let mut found = PhaseFound {
            kind,
            dialect: dialect.name(),
            clients: scenario.groups.iter().map(|group| group.clients).sum(),
            nuisances: None,
            verdict: Verdict::Fail,
            audit: Default::default(),
            p99_us: 0.0,
            failure: None,
        };
        let mut listeners = self.listeners.iter();
        let (_, target) = listeners.find(|(speaks, _)| *speaks == dialect).expect("chosen of them");
        let go = || {
            let going = nuisance.map(|nuisance| nuisance.start(*target, dialect)).transpose()?;
            let report = run(scenario, *target, self.place.watch.as_ref());
            found.nuisances = going.map(nuisance::Going::end).transpose()?;
            let report = report?;
            (found.verdict, found.audit) = (report.verdict, report.audit);
            found.p99_us = report.latency_us.p99;
            Ok(())
        };
        let gone: Result<(), Failure> = go();
        found.failure = gone.err().map(|failure| failure.to_string());
        found
    }
}

impl Phase {
    /// What is about to happen.
    fn words(&self, cycle: u64, since: Duration) -> String {
        let clients: u32 = self.scenario.groups.iter().map(|group| group.clients).sum();
        let kind = self.kind.to_possible_value().map(|value| value.get_name().to_owned());
        format!(
            "{:>6} s  cycle {cycle}: {} on {}, {clients} clients",
            since.as_secs(),
            kind.unwrap_or_default(),
            self.scenario.protocol.name()
        )
    }
}

/// A thread that looks at the server now and then.
struct Sampling {
    over: Sender<()>,
    thread: JoinHandle<((), Ended)>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

impl Sampling {
    fn start(place: Place, begun: Instant, lasts: Duration) -> Result<Self, Failure> {
        let columns = u32::try_from(COLUMNS_MAX).expect("hundreds");
        let interval = (lasts / columns).max(SOAK_SAMPLE_INTERVAL);
        let (over, is_over) = channel();
        let samples = Arc::default();
        let sampled = Arc::clone(&samples);
        let sampling = move || sample(&place, begun, interval, &is_over, &sampled);
        Ok(Self { over, thread: threads::start("sample".into(), sampling)?, samples })
    }

    /// Since then.
    fn connections_most(&self, from_s: f64) -> u64 {
        let samples = self.samples.lock().expect("nothing panics with it held");
        let since = samples.iter().rev().take_while(|sample| sample.at_s >= from_s);
        since.map(|sample| sample.connections).max().unwrap_or_default()
    }

    fn end(self) -> Result<Vec<Sample>, Failure> {
        drop(self.over);
        let ended = self.thread.join();
        ended.map_err(|_| Failure::Run("a thread of the generator failed".into()))?;
        Ok(std::mem::take(&mut *self.samples.lock().expect("nothing panics with it held")))
    }
}

/// Until it is over. What cannot be seen just now is left out: whether the server is well is told
/// at rest.
fn sample(
    place: &Place,
    begun: Instant,
    interval: Duration,
    over: &Receiver<()>,
    samples: &Mutex<Vec<Sample>>,
) {
    while over.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let Ok(State { connections, seen, tcp_memory_bytes, .. }) = place.look() else { continue };
        let sample = Sample {
            at_s: begun.elapsed().as_secs_f64(),
            connections,
            rss_bytes: seen.as_ref().map(|seen| seen.rss_bytes),
            descriptors: seen.as_ref().map(|seen| seen.descriptors),
            tcp_memory_bytes,
        };
        samples.lock().expect("nothing panics with it held").push(sample);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_where_the_url_says() {
        let rows = [
            ("http://127.0.0.1:9000/metrics", Some("127.0.0.1:9000")),
            ("http://127.0.0.1:9000", Some("127.0.0.1:9000")),
            ("127.0.0.1:9000", Some("127.0.0.1:9000")),
            ("http://127.0.0.1:9000/other", None),
            ("http://127.0.0.1", None),
            ("https://127.0.0.1:9000", None),
        ];
        for (text, addr) in rows {
            let read = parse_admin_url(text).ok().map(|addr| addr.to_string());
            assert_eq!(read.as_deref(), addr, "{text}");
        }
    }
}
