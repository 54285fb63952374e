//! A run by several processes, for more clients than one has descriptors. This one starts them,
//! looks at the server and adds up what they found; each of them has the same plan, every nth
//! client, and sends the lines of those of its clients who send. They start at one instant, their
//! clock being that of the machine.
//!
//! ```text
//! parent                        child                       on its standard input and output
//!   order: the scenario, its part ▶
//!                               ◀ ready                     when its clients are where they belong
//!   the instant of the start ▶
//!                               ◀ what it found             when the last line has come, or the
//!                                                           time for it is over
//!   (ends it)                                               its connections last until then
//! ```

use crate::children::{Offspring, Orders};
use crate::clock::{self, duration_ns, now_ns, sleep_until};
use crate::found::Found;
use crate::limits::{
    DESCRIPTORS_SPARE, PROCESSES_LINES_MAX, PROCESSES_MAX, PROCESSES_START_DELAY, THREADS_MAX,
};
use crate::machine::{Others, machine};
use crate::options::say;
use crate::outcome::Findings;
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::{Plan, Scenario};
use crate::server::Watch;
use crate::session::{Part, Session};
use crate::threads;
use crate::timeline::Timeline;
use crate::{Failure, failed, usage};
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

/// The command that such a process executes.
const COMMAND: &str = "share";

/// What one of them is to do.
#[derive(Serialize, Deserialize)]
struct Order {
    scenario: Scenario,
    target: SocketAddr,
    part: Part,
}

/// How many processes it takes.
pub(crate) fn needed(scenario: &Scenario) -> u32 {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let each = most.saturating_sub(DESCRIPTORS_SPARE).max(1);
    u32::try_from(scenario.client_count().div_ceil(each)).unwrap_or(u32::MAX).max(1)
}

/// Starts the processes, measures, and ends them.
pub(crate) fn run(
    scenario: Scenario,
    target: SocketAddr,
    watch: Option<&Watch>,
    processes: u32,
    progress: Progress,
) -> Result<Report, Failure> {
    let plan = Plan::new(scenario.clone())?;
    check(&plan, processes)?;
    let begun_ns = now_ns();
    let start = |index| {
        let part = Part { index, of: processes };
        Process::start(&Order { scenario: scenario.clone(), target, part })
    };
    let mut children = (0..processes).map(start).collect::<Result<Vec<_>, _>>()?;
    for (ready, child) in (1..).zip(&mut children) {
        child.await_ready()?;
        let clients = u64::from(plan.client_count);
        progress.connecting(clients * ready / u64::from(processes), clients);
    }
    let connect_total_ns = now_ns() - begun_ns;

    let mut machine = machine(watch)?;
    let start_ns = now_ns() + duration_ns(PROCESSES_START_DELAY);
    let begin_ns = start_ns + duration_ns(plan.scenario.warmup);
    children.iter_mut().try_for_each(|child| child.tell(&start_ns))?;
    let timeline = Arc::new(Timeline::new(plan.scenario.duration));
    timeline.begin(begin_ns);
    let progress = Arc::new(progress);
    progress.warming_up();
    sleep_until(begin_ns);
    let started_at = clock::utc();
    let others = Others::new()?;
    let (looking_over, over) = channel();
    let looking = {
        let (timeline, progress) = (Arc::clone(&timeline), Arc::clone(&progress));
        let watch = watch.cloned();
        let look = move || timeline.look(watch.as_ref(), &progress, &over);
        threads::start("look".into(), look)?
    };
    let mut found: Option<Found> = None;
    for (number, child) in (1..).zip(&mut children) {
        let one = child.found()?.of_process(number);
        match &mut found {
            None => found = Some(one),
            Some(found) => found.add(one),
        }
    }
    drop(looking_over);
    let looks = looking.join().map_err(|_| Failure::Run("the looking thread failed".into()))?.0;
    progress.end();
    let mut found = found.ok_or_else(|| Failure::Run("there are no processes to ask".into()))?;
    found.connect_total_ns = connect_total_ns;
    // The kernel counts children as ours only when they have ended.
    let children_ns = found.cpu_ns();
    found.look_with(looks);
    let server_ns = found.server_usage().map_or(0, |usage| usage.cpu_ns());
    machine.others_cores = Some(others.cores(server_ns + children_ns)?);
    found.set_spans(&plan);
    let findings =
        Findings { plan: &plan, target, machine, started_at, begin_ns, watch, found: &found };
    Ok(findings.report())
}

fn check(plan: &Plan, processes: u32) -> Result<(), Failure> {
    if processes > PROCESSES_MAX || processes > plan.client_count {
        return Err(usage(format!(
            "{} clients would take {processes} processes, and there are {PROCESSES_MAX} at most, \
             each with a client: a higher limit of descriptors (ulimit -n), or fewer --clients",
            plan.client_count
        )));
    }
    let threads = plan.scenario.threads * processes as usize;
    if threads > THREADS_MAX {
        return Err(usage(format!(
            "{processes} processes would have {threads} receiving threads in all, more than \
             {THREADS_MAX}: fewer --threads"
        )));
    }
    if plan.line_count > PROCESSES_LINES_MAX {
        return Err(usage(format!(
            "{} lines are more than {processes} processes can compare, {PROCESSES_LINES_MAX}: fewer \
             lines or clients",
            plan.line_count
        )));
    }
    if plan.movers().next().is_some() {
        return Err(usage(format!(
            "clients that leave and return have to be in one process, and {} would be in \
             {processes}: no --churn, a higher limit of descriptors (ulimit -n), or fewer --clients",
            plan.client_count
        )));
    }
    Ok(())
}

/// One of them, as its parent has it; it is ended when dropped.
struct Process {
    /// Before the input, so that it is ended rather than left to itself.
    _child: Offspring,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(order: &Order) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| failed("our own path", &error))?;
        let mut command = Command::new(program);
        command.arg(COMMAND).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Offspring::start(&mut command)?;
        let input = child.child.stdin.take().expect("it was asked for");
        let output = BufReader::new(child.child.stdout.take().expect("it was asked for"));
        let mut process = Self { _child: child, input, output };
        process.tell(order)?;
        Ok(process)
    }

    fn tell(&mut self, what: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(what).map_err(|error| failed("JSON", &error))?;
        line.push(b'\n');
        self.input.write_all(&line).map_err(|error| failed("a process of ours has gone", &error))
    }

    /// It bounds the time itself.
    fn await_ready(&mut self) -> Result<(), Failure> {
        match self.next_line()?.as_str() {
            "ready\n" => Ok(()),
            _ => Err(Failure::Run("one of the processes could not connect all its clients".into())),
        }
    }

    fn found(&mut self) -> Result<Found, Failure> {
        let line = self.next_line()?;
        serde_json::from_str(&line)
            .map_err(|error| failed("what one of the processes found", &error))
    }

    fn next_line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        read.map_err(|error| failed("listening to one of the processes", &error))?;
        Ok(line)
    }
}

/// What one of them does.
pub(crate) fn work() -> Result<(), Failure> {
    let orders = Orders::new();
    let order: Order = parse(&orders.next()?)?;
    let session =
        Session::connect_part(order.scenario, order.target, Progress::silent(), order.part)?;
    say(&"ready")?;
    let start_ns: u64 = parse(&orders.next()?)?;
    let measured = session.find(start_ns, None)?;
    let line = serde_json::to_string(&measured.found).map_err(|error| failed("JSON", &error))?;
    say(&line)?;
    // Ended by its parent, when all others are done.
    orders.next().map(drop)
}

fn parse<T: for<'a> Deserialize<'a>>(line: &str) -> Result<T, Failure> {
    serde_json::from_str(line).map_err(|error| failed("an order", &error))
}
