//! The process under test: finding its binary, starting and stopping it, what /proc says it used,
//! and which core it runs on.

use crate::children::Offspring;
use crate::limits::{LOG_LINES_MAX, LOOK_INTERVAL, SERVER_TIMEOUT};
use crate::options::tell;
use crate::protocol::Protocol;
use crate::{Failure, failed, usage};
use rustix::process::Signal;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Nanoseconds of a tick in /proc/PID/stat: USER_HZ is 100 on every Linux that has io_uring.
const TICK_NS: u64 = 10_000_000;

/// The number of the signal that asks a process to leave (signal(7)).
const SIGTERM: i32 = Signal::TERM.as_raw();

/// A server this process started; it is stopped when dropped.
pub struct Server {
    child: Offspring,
    name: String,
    addr: SocketAddr,
    heard: Receiver<Heard>,
}

impl Server {
    /// Starts `program` and waits until it says on stderr where it listens. `cpus`: the cores it
    /// may use; if none is named, those of this thread.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        cpus: &[usize],
    ) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        let (log, stderr) = log_pipe()?;
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        // Ctrl-C is for this process, which ends the server when it has seen to it.
        command.process_group(0);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self::spawn(command, log, nowhere, cpus)?;
        server.addr = server.await_listening(false)?;
        Ok(server)
    }

    /// Starts a program that does not say where it listens, and waits until it does at `addr`.
    pub(crate) fn start_at(
        mut command: Command,
        addr: SocketAddr,
        cpus: &[usize],
    ) -> Result<Self, Failure> {
        let (log, stderr) = log_pipe()?;
        let stdout = stderr.try_clone().map_err(|error| failed("a pipe", &error))?;
        command.stdout(stdout).stderr(stderr);
        let server = Self::spawn(command, log, addr, cpus)?;
        let deadline = Instant::now() + SERVER_TIMEOUT;
        while TcpStream::connect(addr).is_err() {
            match server.heard.try_recv() {
                Ok(Heard::End(log)) => return Err(server.left(&log)),
                _ if Instant::now() > deadline => return Err(server.late()),
                _ => std::thread::sleep(LOOK_INTERVAL),
            }
        }
        Ok(server)
    }

    /// The command is dropped with its ends of the pipe, so that the log ends with the program.
    fn spawn(
        mut command: Command,
        log: PipeReader,
        addr: SocketAddr,
        cpus: &[usize],
    ) -> Result<Self, Failure> {
        let name = command.get_program().display().to_string();
        let child = with_affinity(cpus, || Offspring::start(&mut command))??;
        let (hearing, heard) = channel();
        std::thread::spawn(move || follow_log(log, &hearing));
        Ok(Self { child, name, addr, heard })
    }

    /// Starts chatd on a port of its choice, where it speaks `dialect`, with further options.
    pub fn start_chatd(
        program: &Path,
        dialect: Protocol,
        workers: u32,
        options: &[&str],
        cpus: &[usize],
    ) -> Result<Self, Failure> {
        let (place, workers) = (format!("{}://127.0.0.1:0", dialect.name()), workers.to_string());
        let listen = ["--listen", &place, "--workers", &workers];
        let arguments = [&listen[..], options].concat();
        Self::start(program, &arguments, cpus)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it serves its metrics, if it was started to; it says so after where it listens.
    pub fn await_admin(&self) -> Result<SocketAddr, Failure> {
        self.await_listening(true)
    }

    /// Where else it listens, one place after the other, if it was started to.
    pub(crate) fn await_next(&self) -> Result<SocketAddr, Failure> {
        self.await_listening(false)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.child.id()
    }

    /// Asks it to leave; anything but leaving in time, with exit code 0 or of the signal itself, is
    /// an error.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.child.signal(Signal::TERM)?;
        let deadline = Instant::now() + SERVER_TIMEOUT;
        while Instant::now() < deadline {
            match self.child.try_wait()? {
                Some(status) if status.success() || status.signal() == Some(SIGTERM) => {
                    return Ok(());
                }
                Some(status) => return Err(Failure::Run(format!("the server left with {status}"))),
                None => std::thread::sleep(LOOK_INTERVAL),
            }
        }
        Err(Failure::Run(format!("the server did not leave within {SERVER_TIMEOUT:?} of SIGTERM")))
    }

    fn await_listening(&self, wanted_admin: bool) -> Result<SocketAddr, Failure> {
        loop {
            match self.heard.recv_timeout(SERVER_TIMEOUT) {
                Ok(Heard::Listening { addr, admin }) if admin == wanted_admin => return Ok(addr),
                Ok(Heard::Listening { .. }) => {}
                Ok(Heard::End(log)) => return Err(self.left(&log)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.late());
                }
            }
        }
    }

    fn left(&self, log: &[String]) -> Failure {
        let said = if log.is_empty() { "nothing" } else { &log.join("\n") };
        Failure::Run(format!("{} left before it listened: {said}", self.name))
    }

    fn late(&self) -> Failure {
        Failure::Run(format!("{} did not listen within {SERVER_TIMEOUT:?}", self.name))
    }
}

fn log_pipe() -> Result<(PipeReader, PipeWriter), Failure> {
    std::io::pipe().map_err(|error| failed("a pipe", &error))
}

/// What the log says: where it listens, or, at its end, its last lines.
enum Heard {
    Listening { addr: SocketAddr, admin: bool },
    End(Vec<String>),
}

/// Reads the log to its end, so that the server never waits for a reader.
fn follow_log(log: PipeReader, heard: &Sender<Heard>) {
    let mut last = VecDeque::with_capacity(LOG_LINES_MAX);
    for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
        let line = without_colour(&String::from_utf8_lossy(&line));
        if let Some(addr) = listening_addr(&line) {
            let admin = line.contains("listening admin");
            // It fails only when the server's guard has gone.
            drop(heard.send(Heard::Listening { addr, admin }));
        }
        if last.len() == LOG_LINES_MAX {
            last.pop_front();
        }
        last.push_back(line);
    }
    drop(heard.send(Heard::End(last.into())));
}

/// The address in `... listening ... addr=127.0.0.1:40123 ...`.
fn listening_addr(line: &str) -> Option<SocketAddr> {
    let (_, after) = line.split_once("listening")?;
    let (_, addr) = after.split_once("addr=")?;
    addr.split_whitespace().next()?.trim_matches('"').parse().ok()
}

/// Takes out the escape sequences of a coloured log.
fn without_colour(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, text)| text));
    }
    plain
}

/// The first line that `program --version` prints.
pub(crate) fn version(program: &Path) -> Option<String> {
    version_by(program, "--version")
}

/// The same for a program that has another option for it.
pub(crate) fn version_by(program: &Path, option: &str) -> Option<String> {
    let output = Command::new(program).arg(option).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().next().map(str::to_owned)
}

/// The binary `name` of this workspace: beside our own executable, else built by cargo.
pub fn locate(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().map_err(|error| failed("finding our own path", &error))?;
    let folder = own.parent().expect("a file is in a folder");
    let beside = folder.join(name);
    if beside.is_file() {
        return Ok(beside);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !workspace.join("Cargo.toml").is_file() {
        return Err(usage(format!("no {name} beside {}: --server PATH", own.display())));
    }
    build(name, &workspace)?;
    let target = folder.parent().unwrap_or(folder);
    let built = target.join("release").join(name);
    if built.is_file() { Ok(built) } else { Err(usage(format!("{} is missing", built.display()))) }
}

fn build(name: &str, workspace: &Path) -> Result<(), Failure> {
    tell(&format_args!("{name} is not built yet: cargo build --release --bin {name}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--bin", name, "--workspace"]).current_dir(workspace);
    let status = command.status().map_err(|error| failed("running cargo", &error))?;
    if status.success() { Ok(()) } else { Err(usage(format!("{name} could not be built"))) }
}

/// A server process to be looked at, from before the first client on.
#[derive(Clone)]
pub struct Watch {
    pid: u32,
    version: Option<String>,
    rss_at_start_bytes: u64,
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time in its own code.
    pub user_ns: u64,
    /// CPU time in the kernel for it.
    pub system_ns: u64,
    /// Resident memory now.
    pub rss_bytes: u64,
    /// How often its threads gave up their core to wait.
    pub voluntary_switches: u64,
    /// How often the kernel took their core from them.
    pub involuntary_switches: u64,
}

impl Usage {
    /// User and system together.
    pub fn cpu_ns(&self) -> u64 {
        self.user_ns + self.system_ns
    }

    /// What was used in between; memory is what it is now.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            user_ns: self.user_ns.saturating_sub(before.user_ns),
            system_ns: self.system_ns.saturating_sub(before.system_ns),
            rss_bytes: self.rss_bytes,
            voluntary_switches: self.voluntary_switches.saturating_sub(before.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(before.involuntary_switches),
        }
    }
}

impl Watch {
    /// Call before the first client connects: memory is counted from here.
    pub fn new(pid: u32) -> Result<Self, Failure> {
        let mut watch = Self { pid, version: None, rss_at_start_bytes: 0 };
        watch.rss_at_start_bytes = watch.usage()?.rss_bytes;
        Ok(watch)
    }

    /// The same with what the program says its version is, for the report.
    pub fn with_version(self, version: Option<String>) -> Self {
        Self { version, ..self }
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory before the first client.
    pub fn rss_at_start_bytes(&self) -> u64 {
        self.rss_at_start_bytes
    }

    /// What it has used so far.
    pub fn usage(&self) -> Result<Usage, Failure> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.pid);
            std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))
        };
        let (stat, statm) = (read("stat")?, read("statm")?);
        let usage = parse_usage(&stat, &statm).ok_or_else(|| {
            let stat = format!("/proc/{}/stat", self.pid);
            Failure::Run(format!("{stat}: the process has ended, or this cannot be understood"))
        })?;
        let (voluntary_switches, involuntary_switches) = self.switches()?;
        Ok(Usage { voluntary_switches, involuntary_switches, ..usage })
    }

    /// Its open descriptors. What io_uring holds without a descriptor is not among them.
    pub(crate) fn descriptors(&self) -> Result<u64, Failure> {
        let path = format!("/proc/{}/fd", self.pid);
        let entries = std::fs::read_dir(&path).map_err(|error| failed(&path, &error))?;
        Ok(entries.count() as u64)
    }

    /// Its threads, without those that the kernel adds and takes away for io_uring.
    pub(crate) fn threads(&self) -> Result<u64, Failure> {
        let path = format!("/proc/{}/task", self.pid);
        let tasks = std::fs::read_dir(&path).map_err(|error| failed(&path, &error))?;
        let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
        // One that has ended meanwhile is left out.
        let own = names.flatten().filter(|name| !name.starts_with("iou-"));
        Ok(own.count() as u64)
    }

    /// Of all threads that are there now: the process's own count is the first thread's.
    fn switches(&self) -> Result<(u64, u64), Failure> {
        let path = format!("/proc/{}/task", self.pid);
        let tasks = std::fs::read_dir(&path).map_err(|error| failed(&path, &error))?;
        let statuses = tasks.flatten().map(|task| task.path().join("status"));
        // One that has ended meanwhile is left out.
        let switches = statuses.filter_map(|path| std::fs::read_to_string(path).ok());
        let switches = switches.filter_map(|status| parse_switches(&status));
        Ok(switches.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1)))
    }

    /// Waits until resident memory has stayed the same for `reads` looks, `interval` apart; returns
    /// it then, or at the deadline.
    pub fn settled_rss_bytes(
        &self,
        reads: u32,
        interval: Duration,
        deadline: Duration,
    ) -> Result<u64, Failure> {
        let end = Instant::now() + deadline;
        let (mut rss_bytes, mut same) = (self.usage()?.rss_bytes, 0);
        while same < reads && Instant::now() < end {
            std::thread::sleep(interval);
            let now_bytes = self.usage()?.rss_bytes;
            same = if now_bytes == rss_bytes { same + 1 } else { 0 };
            rss_bytes = now_bytes;
        }
        Ok(rss_bytes)
    }
}

/// Fields 14 and 15 of stat, after the name in parentheses; field 2 of statm, in pages.
fn parse_usage(stat: &str, statm: &str) -> Option<Usage> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut ticks = after_name.split(' ').skip(11);
    let mut next_ns = || Some(ticks.next()?.parse::<u64>().ok()? * TICK_NS);
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // One that has ended and was not waited for has no memory any more.
    let page_len = u64::try_from(rustix::param::page_size()).ok().filter(|_| pages > 0)?;
    Some(Usage {
        user_ns: next_ns()?,
        system_ns: next_ns()?,
        rss_bytes: pages * page_len,
        voluntary_switches: 0,
        involuntary_switches: 0,
    })
}

fn parse_switches(status: &str) -> Option<(u64, u64)> {
    let number = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    };
    Some((number("voluntary_ctxt_switches:")?, number("nonvoluntary_ctxt_switches:")?))
}

/// TCP sockets in use, and the memory in their buffers, in bytes, of the network namespace.
pub(crate) fn tcp_sockets() -> Option<(u64, u64)> {
    parse_tcp_sockets(&std::fs::read_to_string("/proc/net/sockstat").ok()?)
}

fn parse_tcp_sockets(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    let number = |name| {
        let mut words = line.split(' ');
        words.find(|word| *word == name)?;
        words.next()?.parse::<u64>().ok()
    };
    let page_len = u64::try_from(rustix::param::page_size()).ok()?;
    Some((number("inuse")?, number("mem")? * page_len))
}

/// TCP sockets that are bound to one of these local ports here, listening ones and those in
/// TIME_WAIT (which are no sockets any more) left out: connections, whoever still has them.
pub(crate) fn connections_at(ports: &[u16]) -> Result<u64, Failure> {
    let mut connections = 0;
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match std::fs::read_to_string(path) {
            Ok(text) => connections += count_connections(&text, ports),
            // A kernel without IPv6 has no tcp6.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path, &error)),
        }
    }
    Ok(connections)
}

/// Fields of a line: number, local address, remote address, state.
fn count_connections(text: &str, ports: &[u16]) -> u64 {
    let is_connection = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let port = fields.next().and_then(|local| local.rsplit_once(':'));
        let port = port.and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        let state = fields.nth(1).unwrap_or_default();
        port.is_some_and(|port| ports.contains(&port)) && !["06", "0A"].contains(&state)
    };
    text.lines().skip(1).filter(is_connection).count() as u64
}

/// How often the kernel dropped connections because a listener was full: the values of
/// ListenOverflows and ListenDrops in /proc/net/netstat.
pub fn listen_drops() -> Result<u64, Failure> {
    let path = "/proc/net/netstat";
    let text = std::fs::read_to_string(path).map_err(|error| failed(path, &error))?;
    parse_listen_drops(&text).ok_or_else(|| Failure::Run(format!("{path} has no ListenDrops")))
}

fn parse_listen_drops(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let values = names.split(' ').zip(values.split(' '));
    let drops = values.filter(|(name, _)| ["ListenOverflows", "ListenDrops"].contains(name));
    let drops: Vec<u64> = drops.map_while(|(_, value)| value.parse().ok()).collect();
    (drops.len() == 2).then(|| drops.iter().sum())
}

/// Binds the calling thread, and all it will start, to these cores.
pub fn pin(cpus: &[usize]) -> Result<(), Failure> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(usage(format!("there is no core {cpu}")));
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| {
        usage(format!("binding to the cores {cpus:?}: {error}; are there such?"))
    })?;
    // The kernel takes those there are.
    let bound = own_cpus()?;
    match cpus.iter().find(|cpu| !bound.contains(cpu)) {
        Some(cpu) => Err(usage(format!("there is no core {cpu}"))),
        None => Ok(()),
    }
}

/// The cores this thread may use.
pub(crate) fn own_cpus() -> Result<Vec<usize>, Failure> {
    let own = sched_getaffinity(None).map_err(|error| failed("reading the CPU mask", &error))?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| own.is_set(*cpu)).collect())
}

/// Calls `start` bound to the cores: a child inherits them with its first instruction.
fn with_affinity<T>(cpus: &[usize], start: impl FnOnce() -> T) -> Result<T, Failure> {
    let own = sched_getaffinity(None).map_err(|error| failed("reading the CPU mask", &error))?;
    pin(cpus)?;
    let started = start();
    sched_setaffinity(None, &own).map_err(|error| failed("restoring the CPU mask", &error))?;
    Ok(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_a_log() {
        let rows = [
            ("INFO listening dialect=telnet addr=127.0.0.1:40123", Some("127.0.0.1:40123")),
            ("listening addr=127.0.0.1:7", Some("127.0.0.1:7")),
            ("listening dialect=telnet addr=[::1]:2626 workers=2", Some("[::1]:2626")),
            (
                "\x1b[2m12:00\x1b[0m listening \x1b[3maddr\x1b[0m\x1b[2m=\x1b[0m127.0.0.1:9",
                Some("127.0.0.1:9"),
            ),
            ("not yet addr=127.0.0.1:9", None),
            ("listening addr=nowhere", None),
        ];
        for (line, addr) in rows {
            let found = listening_addr(&without_colour(line));
            assert_eq!(found, addr.map(|addr| addr.parse().expect("an address")), "{line}");
        }
    }

    #[test]
    fn reads_proc() {
        let stat = "42 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 123 45 0 0 20 0 1 0 99 1 2";
        let usage = parse_usage(stat, "1000 25 3 4 5 6 7").expect("well formed");
        let page_len = rustix::param::page_size() as u64;
        let expected = Usage {
            user_ns: 1_230_000_000,
            system_ns: 450_000_000,
            rss_bytes: 25 * page_len,
            voluntary_switches: 0,
            involuntary_switches: 0,
        };
        assert_eq!(usage, expected);
        let status = "Name: x\nvoluntary_ctxt_switches:\t20\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(parse_switches(status), Some((20, 3)));
        let sockets = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 3 alloc 8 mem 2\nUDP: inuse 1";
        assert_eq!(parse_tcp_sockets(sockets), Some((5, 2 * page_len)));
        assert_eq!(parse_usage("42 (a", ""), None);
        assert_eq!(parse_usage(stat, "0 0 0 0 0 0 0"), None, "it has ended");

        let own = Watch::new(std::process::id()).expect("this process is there");
        assert!(own.rss_at_start_bytes() > 0);
        let usage = own.usage().expect("this process is there");
        assert!(usage.voluntary_switches + usage.involuntary_switches > 0);
        assert!(tcp_sockets().is_some());
        assert!(listen_drops().is_ok());
    }

    #[test]
    fn a_process_that_has_ended_uses_nothing_whether_it_was_waited_for_or_not() {
        let mut child = Command::new("sleep").arg("3600").spawn().expect("it starts");
        let watch = Watch::new(child.id()).expect("it runs");
        child.kill().expect("it is ours");
        let end = Instant::now() + SERVER_TIMEOUT;
        while watch.usage().is_ok() {
            assert!(Instant::now() < end, "it was killed");
            std::thread::sleep(LOOK_INTERVAL);
        }
        child.wait().expect("it was killed");
        assert!(watch.usage().is_err());
    }

    #[test]
    fn connections_are_counted_by_their_local_port() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 0100007F:0A42 00000000:0000 0A 0:0\n\
            1: 0100007F:0A42 0100007F:C350 01 0:0\n\
            2: 0100007F:0A42 0100007F:C351 06 0:0\n\
            3: 0100007F:C350 0100007F:0A42 01 0:0\n\
            4: 0100007F:0A43 0100007F:C352 08 0:0\n";
        assert_eq!(count_connections(text, &[0x0A42]), 1);
        assert_eq!(count_connections(text, &[0x0A42, 0x0A43]), 2);
        assert_eq!(count_connections(text, &[1]), 0);
        assert!(connections_at(&[1]).is_ok());
    }

    #[test]
    fn adds_up_listen_drops() {
        let text = "TcpExt: A ListenOverflows B ListenDrops\nTcpExt: 1 20 300 4000\nIpExt: X\n";
        assert_eq!(parse_listen_drops(text), Some(4020));
        assert_eq!(parse_listen_drops("TcpExt: A\nTcpExt: 1\n"), None);
    }

    #[test]
    fn a_server_that_leaves_is_reported_with_its_log() {
        let script = ["-c", "echo no ring >&2; exit 69"];
        let failure = Server::start(Path::new("/bin/sh"), &script, &[]).err().expect("it left");
        assert!(failure.to_string().contains("no ring"), "{failure}");
    }
}
