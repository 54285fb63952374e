//! Instants as plain numbers, so that the core and the simulation need no clock of their own.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant: nanoseconds since the server's start. Monotonic; a jump of the wall clock does not
/// touch it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Later than any instant a server reaches (584 years after its start).
    pub const NEVER: Self = Self(u64::MAX);

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// Where a worker's time comes from: the kernel's monotonic clock, or a simulation's.
pub trait Clock {
    /// The present instant; never earlier than one given before.
    fn now(&self) -> Time;

    /// What the wall clock says, in seconds since 1970: for people, to whom it is shown. It may
    /// jump either way, so that nothing else goes by it.
    fn wall(&self) -> u64;
}

/// Minutes since midnight, UTC, by a wall clock.
#[must_use]
pub fn minute_of_day(wall: u64) -> u16 {
    u16::try_from(wall / 60 % (24 * 60)).expect("a day is short")
}

/// The kernel's monotonic clock, counted from one start shared by all workers.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    start: Instant,
}

impl Monotonic {
    /// A clock that reads zero at `start`.
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        Self { start }
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Time {
        Time::default() + self.start.elapsed()
    }

    fn wall(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_those_of_the_day() {
        for (wall, minute) in [(0, 0), (59, 0), (60, 1), (86_399, 1_439), (86_400, 0)] {
            assert_eq!(minute_of_day(wall), minute);
        }
    }
}
