//! The one clock: CLOCK_MONOTONIC in nanoseconds, the same for every process of the machine. The
//! time of day is only for people.

use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const SECOND_NS: u64 = 1_000_000_000;

/// Now.
pub(crate) fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// CPU time this process has used, user and system.
pub(crate) fn process_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// CPU time the calling thread has used.
#[cfg(test)]
pub(crate) fn thread_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ThreadCPUTime))
}

/// The time of day as RFC 3339 has it, in UTC, to the second.
pub(crate) fn utc() -> String {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).expect("0 is below 10^9");
    now.format(&Rfc3339).expect("a year of four digits")
}

/// Sleeps until the instant; at once if it has passed.
pub(crate) fn sleep_until(instant_ns: u64) {
    let instant = timespec(instant_ns);
    while clock_nanosleep_absolute(ClockId::Monotonic, &instant).is_err() && now_ns() < instant_ns {
    }
}

/// A duration as nanoseconds; 584 years at most.
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds as the kernel takes them.
pub(crate) fn timespec(ns: u64) -> Timespec {
    let tv_sec = i64::try_from(ns / SECOND_NS).expect("2^64 ns are fewer than 2^63 s");
    let tv_nsec = i64::try_from(ns % SECOND_NS).expect("below 10^9");
    Timespec { tv_sec, tv_nsec }
}

fn nanoseconds(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * SECOND_NS + u64::try_from(time.tv_nsec).unwrap_or(0)
}
