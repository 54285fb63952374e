//! Instants as plain numbers, so that the core and the simulation need no clock of their own.

use std::io;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// An instant: nanoseconds since the server's start. Monotonic; a jump of the wall clock does not
/// touch it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
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

    /// When it reads zero, for another process: nanoseconds of CLOCK_MONOTONIC, which all have in
    /// common (clock_gettime(2)).
    ///
    /// # Errors
    /// When the kernel has no such clock.
    pub fn zero(&self) -> io::Result<Duration> {
        // Read in this order, the other's clock is never behind this one.
        let now = since_boot()?;
        Ok(now.saturating_sub(self.start.elapsed()))
    }

    /// The clock of another process, by its `zero`.
    ///
    /// # Errors
    /// When that is no instant of this machine's past.
    pub fn with_zero(zero: Duration) -> io::Result<Self> {
        let now = Instant::now();
        let elapsed = since_boot()?.checked_sub(zero);
        let start = elapsed.and_then(|elapsed| now.checked_sub(elapsed));
        start.map(Self::starting_at).ok_or_else(|| io::Error::other("its clock is not ours"))
    }
}

fn since_boot() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
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

    #[test]
    fn a_clock_goes_on_in_another_process() {
        let clock = Monotonic::starting_at(Instant::now() - Duration::from_secs(10));
        let zero = clock.zero().expect("a clock");
        let before = clock.now();
        let other = Monotonic::with_zero(zero).expect("a past instant");
        let (now, after) = (other.now(), clock.now());
        assert!(before <= now, "never earlier than one given before");
        assert!(now - after < Duration::from_secs(5), "nor from the future");
        let future = Duration::from_secs(1 << 40);
        assert!(Monotonic::with_zero(future).is_err());
    }
}
