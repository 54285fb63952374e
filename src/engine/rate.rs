//! How often something may happen: a burst at once, and then one more in each interval.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// A rate for one party. It keeps the instant from which on everything is allowed again.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Rate {
    settled: Time,
}

impl Rate {
    /// How many may happen now, `burst` at most.
    pub(super) fn allowed(self, now: Time, burst: u32, interval: Duration) -> u32 {
        let used = self.settled.since(now).as_nanos().div_ceil(interval.as_nanos().max(1));
        burst.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// Counts some that happened.
    pub(super) fn spend(&mut self, count: u32, now: Time, interval: Duration) {
        self.settled = self.settled.max(now) + interval * count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_and_then_one_each_interval() {
        let mut rate = Rate::default();
        let start = Time::default() + 100 * SECOND;
        assert_eq!(rate.allowed(start, 3, SECOND), 3);
        rate.spend(3, start, SECOND);
        assert_eq!(rate.allowed(start, 3, SECOND), 0);
        assert_eq!(rate.allowed(start + SECOND / 2, 3, SECOND), 0);
        assert_eq!(rate.allowed(start + SECOND, 3, SECOND), 1);
        assert_eq!(rate.allowed(start + 2 * SECOND, 3, SECOND), 2);
        assert_eq!(rate.allowed(start + 100 * SECOND, 3, SECOND), 3, "never more than the burst");
    }
}
