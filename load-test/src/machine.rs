//! The machine the figures are from, and who else used it meanwhile. All from /proc.

use crate::report::{Machine, Pinning};
use crate::server::Watch;
use crate::{Failure, failed};
use rustix::process::{Resource, getrlimit};
use std::time::Instant;

/// Ticks of /proc in a second: USER_HZ is 100 on every Linux that has io_uring.
const TICKS_PER_S: f64 = 100.0;
/// So much of a core that others used makes a run worth a note.
const OTHERS_MAX: f64 = 0.1;

/// As reports have it. `watch`: the server, if it is known which process it is.
pub(crate) fn machine(watch: Option<&Watch>) -> Result<Machine, Failure> {
    let (cpuinfo, meminfo) = (read("/proc/cpuinfo")?, read("/proc/meminfo")?);
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let memory_kib = value(&meminfo, "MemTotal").and_then(|text| text.split(' ').next());
    let memory_kib: u64 = memory_kib.and_then(|kib| kib.parse().ok()).unwrap_or_default();
    Ok(Machine {
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        cpu: value(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
        cores: u32::try_from(cores).unwrap_or(u32::MAX),
        memory_bytes: memory_kib * 1024,
        nofile: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        pinning: Pinning {
            generator: allowed_cpus("self")?,
            server: watch.map(|watch| allowed_cpus(&watch.pid().to_string())).transpose()?,
        },
        load_test: env!("CARGO_PKG_VERSION").into(),
        server: watch.and_then(Watch::version).map(str::to_owned),
        others_cores: None,
    })
}

/// The cores a process may use, as in `0-1,4`.
fn allowed_cpus(pid: &str) -> Result<String, Failure> {
    let status = read(&format!("/proc/{pid}/status"))?;
    Ok(value(&status, "Cpus_allowed_list").unwrap_or_default().to_owned())
}

/// What comes after `NAME:` on the first line that begins with it.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let named = |line: &'a str| line.strip_prefix(name)?.trim_start().strip_prefix(':');
    text.lines().find_map(named).map(str::trim)
}

/// In one line.
pub(crate) fn describe(cpus: &[usize]) -> Result<String, Failure> {
    let (kernel, load) = (read("/proc/sys/kernel/osrelease")?, read("/proc/loadavg")?);
    let cores = cpus.len();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    Ok(format!("Linux {}, {cores} cores, load average {load}", kernel.trim()))
}

/// What all processes, and this one with its children, have used so far.
pub(crate) struct Others {
    all: u64,
    ours: u64,
    since: Instant,
}

impl Others {
    pub(crate) fn new() -> Result<Self, Failure> {
        let (all, ours) = read_ticks()?;
        Ok(Self { all, ours, since: Instant::now() })
    }

    /// A note if others used the machine noticeably since then.
    pub(crate) fn note(&self) -> Result<Option<String>, Failure> {
        let cores = self.cores(0)?;
        let noticed = cores > OTHERS_MAX;
        Ok(noticed.then(|| format!("DISTURBED: other processes used {cores:.2} cores")))
    }

    /// How many cores others kept busy since then. Children that have ended are not others;
    /// `server_ns` is what one that runs on has used.
    pub(crate) fn cores(&self, server_ns: u64) -> Result<f64, Failure> {
        let (all, ours) = read_ticks()?;
        let others = (all - self.all).saturating_sub(ours - self.ours) as f64 / TICKS_PER_S;
        let others = (others - server_ns as f64 / 1e9).max(0.0);
        Ok(others / self.since.elapsed().as_secs_f64())
    }
}

fn read_ticks() -> Result<(u64, u64), Failure> {
    let ticks = all_ticks(&read("/proc/stat")?).zip(own_ticks(&read("/proc/self/stat")?));
    ticks.ok_or_else(|| Failure::Run("/proc/stat cannot be understood".into()))
}

/// User, nice, system and stolen time of all cores. Interrupts are nobody's.
fn all_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.lines().next()?.strip_prefix("cpu")?.split_ascii_whitespace();
    let mut next = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
    Some(next(0)? + next(0)? + next(0)? + next(4)?)
}

/// Fields 14 to 17: user and system time of the process, and of the children it has waited for.
fn own_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let ticks: Option<Vec<u64>> =
        after_name.split(' ').skip(11).take(4).map(|field| field.parse().ok()).collect();
    ticks.filter(|ticks| ticks.len() == 4).map(|ticks| ticks.iter().sum())
}

fn read(path: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| failed(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc() {
        let stat = "cpu  1 20 300 4 5 6 7 4000 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(all_ticks(stat), Some(4321));
        assert_eq!(all_ticks("cpu 1 2"), None);
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 1 20 300 4000 20 0 1 0 99 1 2";
        assert_eq!(own_ticks(stat), Some(4321));
        assert_eq!(own_ticks("42 (a) S 1"), None);
        assert!(read_ticks().is_ok());
        let machine = machine(None).expect("/proc is there");
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && machine.nofile > 0);
        assert!(machine.pinning.generator.starts_with(|first: char| first.is_ascii_digit()));
        assert_eq!(value("a\t: 1\nab:  2 3\n", "ab"), Some("2 3"));
        assert_eq!(value("ab: 1\n", "a"), None);
        assert!(describe(&[0, 1]).expect("/proc is there").contains("2 cores"));
    }
}
