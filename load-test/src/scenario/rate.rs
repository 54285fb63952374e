//! How many lines a second, and the instants that follow from it.

use super::mix;
use crate::clock::duration_ns;
use crate::limits::RATE_STEPS_MAX;
use crate::options::{duration_text, parse_duration};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const SECOND_NS: u128 = 1_000_000_000;

/// Lines a second: one number, or several, one after the other. `10,50,200` are steps of equal
/// length, `10:2s,50:3s` have their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    lines_per_s: u32,
    /// All steps have it or none.
    lasts: Option<Duration>,
}

impl Rate {
    /// How long all steps take, if they say so.
    pub fn lasts(&self) -> Option<Duration> {
        let steps = self.0.iter().map(|step| step.lasts);
        steps.sum::<Option<Duration>>()
    }

    /// The rate, if it has no steps.
    pub(crate) fn fixed(&self) -> Option<u32> {
        match self.0[..] {
            [Step { lines_per_s, lasts: None }] => Some(lines_per_s),
            _ => None,
        }
    }

    /// Refuses what sends nothing in some step.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.0.iter().any(|step| step.lines_per_s == 0) {
            return Err(format!(
                "--rate {self} sends nothing: at least 1 line a second, or --senders 0 for clients \
                 that only listen"
            ));
        }
        Ok(())
    }

    /// The steps with their lengths: `duration` in equal parts unless they have their own.
    fn steps(&self, duration: Duration) -> impl Iterator<Item = (u32, Duration)> {
        let equal = duration / u32::try_from(self.0.len()).expect("bounded by RATE_STEPS_MAX");
        self.0.iter().map(move |step| (step.lines_per_s, step.lasts.unwrap_or(equal)))
    }
}

impl Default for Rate {
    fn default() -> Self {
        10.into()
    }
}

impl From<u32> for Rate {
    fn from(lines_per_s: u32) -> Self {
        Self(vec![Step { lines_per_s, lasts: None }])
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let steps = text.split(',').map(Step::from_str).collect::<Result<Vec<_>, _>>()?;
        if steps.len() > RATE_STEPS_MAX {
            return Err(format!("{} steps, at most {RATE_STEPS_MAX}", steps.len()));
        }
        let told = steps.iter().filter(|step| step.lasts.is_some()).count();
        if told > 0 && told < steps.len() {
            return Err("either all steps say how long they last, or none".into());
        }
        Ok(Self(steps))
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rate, lasts) = match text.split_once(':') {
            Some((rate, lasts)) => (rate, Some(parse_duration(lasts)?)),
            None => (text, None),
        };
        let lines_per_s = rate.parse().map_err(|_| {
            format!(
                "{rate:?} is no rate: whole lines a second, such as 10, 10,50,200 or 10:2s,50:3s"
            )
        })?;
        Ok(Self { lines_per_s, lasts })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(out, "{comma}{}", step.lines_per_s)?;
            if let Some(lasts) = step.lasts {
                write!(out, ":{}", duration_text(lasts))?;
            }
        }
        Ok(())
    }
}

/// When the lines of a group are due.
#[derive(Debug)]
pub(super) struct Timetable {
    /// The warm-up, at the rate of the first step, and the steps; in order, none without a line.
    parts: Vec<Part>,
    burst: u64,
    jitter: bool,
    pub(super) line_count: u64,
    /// The first lines, which are not measured.
    pub(super) warmup_count: u64,
}

#[derive(Debug)]
struct Part {
    start_ns: u64,
    line_first: u64,
    rate: u64,
}

impl Timetable {
    /// Refuses a step without a line.
    pub(super) fn new(
        rate: &Rate,
        burst: u32,
        jitter: bool,
        (warmup, duration): (Duration, Duration),
    ) -> Result<Self, String> {
        let (parts, burst) = (Vec::new(), u64::from(burst));
        let mut table = Self { parts, burst, jitter, line_count: 0, warmup_count: 0 };
        let mut start = warmup;
        for (index, (lines_per_s, lasts)) in rate.steps(duration).enumerate() {
            if index == 0 {
                table.add(Duration::ZERO, warmup, lines_per_s);
                table.warmup_count = table.line_count;
            }
            if !table.add(start, lasts, lines_per_s) {
                return Err(too_short(lasts, lines_per_s, burst));
            }
            start += lasts;
        }
        Ok(table)
    }

    /// Nothing is ever due.
    pub(super) fn silent() -> Self {
        Self { parts: Vec::new(), burst: 1, jitter: false, line_count: 0, warmup_count: 0 }
    }

    /// Adds the lines of whole bursts that fit; false if there is none.
    fn add(&mut self, start: Duration, lasts: Duration, lines_per_s: u32) -> bool {
        let lines = u128::from(lines_per_s) * lasts.as_nanos() / SECOND_NS;
        let lines = u64::try_from(lines).unwrap_or(u64::MAX) / self.burst * self.burst;
        if lines > 0 {
            let (start_ns, line_first) = (duration_ns(start), self.line_count);
            self.parts.push(Part { start_ns, line_first, rate: u64::from(lines_per_s) });
            self.line_count = self.line_count.saturating_add(lines);
        }
        lines > 0
    }

    /// When line `index`, which must be below the count, is due after the start.
    pub(super) fn after_ns(&self, index: u64, seed: u64) -> u64 {
        let after = self.parts.partition_point(|part| part.line_first <= index);
        let part = &self.parts[after - 1];
        let burst_first = (index - part.line_first) / self.burst * self.burst;
        let start_ns = part.start_ns + burst_first * 1_000_000_000 / part.rate;
        let interval_ns = self.burst * 1_000_000_000 / part.rate;
        let jitter = self.jitter && interval_ns > 0;
        start_ns + if jitter { mix(seed, part.line_first + burst_first) % interval_ns } else { 0 }
    }
}

fn too_short(lasts: Duration, lines_per_s: u32, burst: u64) -> String {
    let needed_ms = (burst * 1000).div_ceil(u64::from(lines_per_s));
    let needed = duration_text(Duration::from_millis(needed_ms));
    let burst = if burst > 1 { format!(" --burst {burst}") } else { String::new() };
    let lasts = duration_text(lasts);
    format!(
        "{lasts} is too short for a line at --rate {lines_per_s}{burst}: at least {needed}, by a \
         longer --duration or a higher --rate"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Milliseconds at which lines are due; the measured ones after the bar.
    fn instants(rate: &str, burst: u32, warmup_ms: u32, duration_ms: u32) -> (Vec<u64>, Vec<u64>) {
        let rate = rate.parse().expect("a rate");
        let table = Timetable::new(&rate, burst, false, (MS * warmup_ms, MS * duration_ms));
        let table = table.expect("long enough");
        let due = |index| table.after_ns(index, 1) / 1_000_000;
        ((0..table.warmup_count).map(due).collect(), {
            (table.warmup_count..table.line_count).map(due).collect()
        })
    }

    #[test]
    fn steps_follow_each_other() {
        assert_eq!(instants("2", 1, 500, 1500), (vec![0], vec![500, 1000, 1500]));
        let (warm, measured) = instants("2,4", 1, 1000, 2000);
        assert_eq!(warm, [0, 500], "the warm-up has the first rate");
        assert_eq!(measured, [1000, 1500, 2000, 2250, 2500, 2750]);
        let (_, measured) = instants("2:1s,10:200ms,1:1s", 1, 0, 2200);
        assert_eq!(measured, [0, 500, 1000, 1100, 1200]);
    }

    #[test]
    fn a_burst_is_due_at_one_instant_and_the_rate_holds() {
        let (warm, measured) = instants("4", 2, 600, 1400);
        assert_eq!((warm, measured), (vec![0, 0], vec![600, 600, 1100, 1100]), "whole bursts only");
        let (_, measured) = instants("10,20", 5, 0, 2000);
        assert_eq!(measured.len(), 10 + 20);
        assert_eq!(measured[8..12], [500, 500, 1000, 1000]);
    }

    #[test]
    fn jitter_moves_a_burst_as_one() {
        let table =
            Timetable::new(&100.into(), 4, true, (Duration::ZERO, MS * 2000)).expect("long enough");
        let due: Vec<_> = (0..table.line_count).map(|index| table.after_ns(index, 7)).collect();
        for (slot, burst) in (0..).zip(due.chunks(4)) {
            assert!(burst.iter().all(|due| *due == burst[0]));
            assert_eq!(burst[0] / 40_000_000, slot);
        }
        assert!(due.iter().any(|due| due % 40_000_000 > 0));
    }

    #[test]
    fn a_step_without_a_line_is_refused() {
        let rows =
            [("1", 1, 999), ("10", 20, 1999), ("100,1", 1, 1998), ("100:1s,10:99ms", 1, 1099)];
        for (rate, burst, duration_ms) in rows {
            let rate: Rate = rate.parse().expect("a rate");
            let times = (Duration::ZERO, MS * duration_ms);
            let refusal = Timetable::new(&rate, burst, false, times).expect_err("too short");
            assert!(refusal.contains("too short"), "{refusal}");
            let times = (Duration::ZERO, MS * (duration_ms + 2));
            let told = rate.lasts().is_some();
            assert_eq!(Timetable::new(&rate, burst, false, times).is_err(), told, "{rate}");
        }
    }

    #[test]
    fn rates_are_read_and_written() {
        for text in ["1", "10,50,200", "10:2s,50:1500ms"] {
            assert_eq!(text.parse::<Rate>().expect(text).to_string(), text);
        }
        assert_eq!("10:2s,5:1m".parse::<Rate>().expect("a rate").lasts(), Some(MS * 62_000));
        assert_eq!("10,5".parse::<Rate>().expect("a rate").lasts(), None);
        for text in ["", "x", "-1", "1.5", "10,", "10:2s,5", "10:2", "10:s", "4294967296"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["0", "10,0"] {
            assert!(text.parse::<Rate>().expect("a rate").check().is_err(), "{text}");
        }
    }
}
