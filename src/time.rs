//! Instants as plain numbers, so that the core and the simulation need no clock of their own.

use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

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

    /// Minutes since midnight, UTC; `start` is when `Time::default()` was, in seconds since 1970.
    #[must_use]
    pub fn minute_of_day(self, start: u64) -> u16 {
        let minute = (start + self.0 / 1_000_000_000) / 60 % (24 * 60);
        u16::try_from(minute).expect("a day is short")
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
}
