//! The generator's own threads: their names, and how much of a core each had and waited for.

use crate::clock::{duration_ns, now_ns};
use crate::report::ThreadReport;
use crate::{Failure, failed};
use rustix::thread::{gettid, set_current_timer_slack};
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// A thread's time so far, from /proc/PID/task/TID/schedstat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Time {
    /// On a core.
    ran_ns: u64,
    /// Able to run, without one.
    waited_ns: u64,
}

/// What a thread leaves behind besides its result.
pub(crate) struct Ended {
    name: String,
    id: i32,
    time: Option<Time>,
    at_ns: u64,
}

/// What all threads of this process had used at an instant.
pub(crate) struct Snapshot {
    at_ns: u64,
    times: BTreeMap<i32, Time>,
}

/// Starts a thread that wakes up on its instants, not up to 50 us later as is the kernel's default
/// (prctl(2), PR_SET_TIMERSLACK).
pub(crate) fn start<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<(T, Ended)>, Failure> {
    let thread_name = name.clone();
    let thread = move || {
        // Without it the thread wakes up a little later, which its figures show.
        let _refused = set_current_timer_slack(NonZeroU64::new(1));
        let result = work();
        let id = gettid().as_raw_nonzero().get();
        (result, Ended { name, id, time: read(Path::new("/proc/thread-self")), at_ns: now_ns() })
    };
    let started = Builder::new().name(thread_name).spawn(thread);
    started.map_err(|error| failed("starting a thread", &error))
}

impl Snapshot {
    pub(crate) fn now() -> Self {
        let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let time = |task: std::fs::DirEntry| {
            Some((task.file_name().to_str()?.parse().ok()?, read(&task.path())?))
        };
        Self { at_ns: now_ns(), times: tasks.filter_map(time).collect() }
    }
}

/// Does the work, and says what this thread used for it; nothing where the kernel does not count,
/// or if it was too short to tell.
pub(crate) fn watched<T>(
    name: &str,
    least: Duration,
    work: impl FnOnce() -> T,
) -> (T, Option<ThreadReport>) {
    let me = Path::new("/proc/thread-self");
    let (id, at_ns, times) = (gettid().as_raw_nonzero().get(), now_ns(), read(me));
    let before = Snapshot { at_ns, times: times.map(|time| (id, time)).into_iter().collect() };
    let result = work();
    let ended = Ended { name: name.into(), id, time: read(me), at_ns: now_ns() };
    let long = ended.at_ns - at_ns >= duration_ns(least);
    (result, ended.since(&before).filter(|_| long))
}

impl Ended {
    /// What it used since then; none where the kernel does not count it (CONFIG_SCHED_INFO).
    pub(crate) fn since(&self, before: &Snapshot) -> Option<ThreadReport> {
        let before_time = before.times.get(&self.id).copied().unwrap_or_default();
        let time = self.time?;
        let passed_ns = self.at_ns.saturating_sub(before.at_ns).max(1) as f64;
        Some(ThreadReport {
            name: self.name.clone(),
            busy: time.ran_ns.saturating_sub(before_time.ran_ns) as f64 / passed_ns,
            waiting: time.waited_ns.saturating_sub(before_time.waited_ns) as f64 / passed_ns,
        })
    }
}

fn read(task: &Path) -> Option<Time> {
    parse(&std::fs::read_to_string(task.join("schedstat")).ok()?)
}

fn parse(schedstat: &str) -> Option<Time> {
    let mut numbers = schedstat.split_ascii_whitespace().map_while(|word| word.parse().ok());
    Some(Time { ran_ns: numbers.next()?, waited_ns: numbers.next()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::thread_cpu_ns;

    #[test]
    fn a_thread_that_spins_is_told_from_one_that_sleeps() {
        assert_eq!(parse("12 3 4\n"), Some(Time { ran_ns: 12, waited_ns: 3 }));
        assert_eq!(parse("12"), None);
        let spin = move || while thread_cpu_ns() < 50_000_000 {};
        let before = Snapshot::now();
        let spinning = start("spin".into(), spin).expect("a thread can be started");
        let sleeping = start("sleep".into(), || ()).expect("a thread can be started");
        let [spun, slept] = [spinning, sleeping].map(|thread| {
            let ((), ended) = thread.join().expect("it does not panic");
            (ended.time.expect("this kernel counts it").ran_ns, ended.since(&before))
        });
        // The kernel brings its count up to date every few milliseconds.
        assert!(spun.0 > 40_000_000 && slept.0 < 40_000_000, "{spun:?}, {slept:?}");
        let work = || while thread_cpu_ns() < 100_000_000 {};
        let (_, used) = watched("work", Duration::from_nanos(1), work);
        let used = used.expect("this kernel counts it");
        assert!(used.name == "work" && used.busy + used.waiting > 0.5, "{used:?}");
        assert!(watched("short", Duration::from_secs(60), || ()).1.is_none());
        let names = [spun.1, slept.1].map(|report| report.expect("as above").name);
        assert_eq!(names, ["spin", "sleep"]);
    }
}
