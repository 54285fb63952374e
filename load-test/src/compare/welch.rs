//! Whether two series of seconds differ by more than chance. Welch's t-test on the logarithms of
//! the seconds, with the seconds that are like the one before taken out of their number.
//!
//! - Logarithms, because latency and CPU are compared as ratios and are skewed: what is tested is
//!   the ratio of geometric means.
//! - Seconds resemble their neighbours, so n of them tell less than n independent ones would. With
//!   the first autocorrelation r they count as n (1 - r) / (1 + r), as for a process of the first
//!   order. From few seconds r comes out too low, by (1 + 4 r) / n (Kendall); that is added.

use crate::limits::{COMPARE_INDEPENDENT_MIN, COMPARE_SECONDS_MIN};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A confidence interval holds 95 of 100 true ratios.
const CONFIDENCE: f64 = 0.95;
/// Above it, seconds are so alike that their number says nothing.
const AUTOCORRELATION_MAX: f64 = 0.99;

/// What the seconds of two runs say about their ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    /// Of the logarithms: the second's mean less the first's.
    difference: f64,
    error: f64,
    freedom: f64,
}

/// Why the seconds say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    /// There are too few.
    Short,
    /// Each is too much like the one before.
    Alike,
    /// Some are zero: too small for the clock that measured them.
    Zero,
}

impl Difference {
    pub(super) fn new(first: &[f64], second: &[f64]) -> Result<Self, Unclear> {
        let (first, second) = (Series::new(first)?, Series::new(second)?);
        let (a, b) = (first.variance_of_mean(), second.variance_of_mean());
        let parts = a * a / (first.independent - 1.0) + b * b / (second.independent - 1.0);
        Ok(Self {
            difference: second.mean - first.mean,
            error: (a + b).sqrt(),
            freedom: if parts > 0.0 { (a + b) * (a + b) / parts } else { f64::INFINITY },
        })
    }

    /// Where the true ratio is with `CONFIDENCE`.
    pub(super) fn interval(&self) -> (f64, f64) {
        let reach = self.error * self.quantile(0.5 + CONFIDENCE / 2.0);
        ((self.difference - reach).exp(), (self.difference + reach).exp())
    }

    /// How likely a difference like this would be if there were none.
    pub(super) fn p(&self) -> f64 {
        (2.0 * self.beyond(self.difference.abs())).min(1.0)
    }

    /// How likely a ratio like this would be if the true one were no greater than `ratio`.
    pub(super) fn p_above(&self, ratio: f64) -> f64 {
        self.beyond(self.difference - ratio.ln())
    }

    /// How likely a value this far above the true one is.
    fn beyond(&self, distance: f64) -> f64 {
        if self.error > 0.0 {
            self.student().sf(distance / self.error)
        } else if distance > 0.0 {
            0.0
        } else {
            1.0
        }
    }

    fn quantile(&self, share: f64) -> f64 {
        if self.error > 0.0 { self.student().inverse_cdf(share) } else { 0.0 }
    }

    fn student(&self) -> StudentsT {
        StudentsT::new(0.0, 1.0, self.freedom).expect("more than one independent second each")
    }
}

/// One run's seconds, as logarithms.
struct Series {
    mean: f64,
    variance: f64,
    /// As how many independent seconds they count.
    independent: f64,
}

impl Series {
    fn new(seconds: &[f64]) -> Result<Self, Unclear> {
        if seconds.len() < COMPARE_SECONDS_MIN {
            return Err(Unclear::Short);
        }
        if !seconds.iter().all(|second| second.is_finite() && *second > 0.0) {
            return Err(Unclear::Zero);
        }
        let count = seconds.len() as f64;
        let values: Vec<f64> = seconds.iter().map(|second| second.ln()).collect();
        let mean = values.iter().sum::<f64>() / count;
        let off: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let squares: f64 = off.iter().map(|off| off * off).sum();
        let products: f64 = off.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let seen = if squares > 0.0 { products / squares } else { 0.0 };
        let likeness = (seen + (1.0 + 4.0 * seen) / count).clamp(0.0, AUTOCORRELATION_MAX);
        let independent = count * (1.0 - likeness) / (1.0 + likeness);
        let series = Self { mean, variance: squares / (count - 1.0), independent };
        if independent < COMPARE_INDEPENDENT_MIN { Err(Unclear::Alike) } else { Ok(series) }
    }

    fn variance_of_mean(&self) -> f64 {
        self.variance / self.independent
    }
}

/// Which of several tests pass at `level` all together (Holm): the chance that any of them passes
/// wrongly is below it. None is a test that could not be made.
pub(super) fn passing(p: &[Option<f64>], level: f64) -> Vec<bool> {
    let mut order: Vec<(usize, f64)> =
        p.iter().enumerate().filter_map(|(index, p)| Some((index, (*p)?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let tests = order.len();
    let mut passing = vec![false; p.len()];
    for (rank, (index, p)) in order.into_iter().enumerate() {
        if p > level / (tests - rank) as f64 {
            break;
        }
        passing[index] = true;
    }
    passing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::mix;

    /// Of the standard normal distribution, nearly.
    fn normal(seed: u64, index: u64) -> f64 {
        let share = |part| (mix(seed, index * 12 + part) >> 11) as f64 / (1u64 << 53) as f64;
        (0..12).map(share).sum::<f64>() - 6.0
    }

    /// Seconds around `median`, each like the one before to the degree of `likeness`.
    fn seconds(seed: u64, count: u64, median: f64, likeness: f64) -> Vec<f64> {
        let mut state = normal(seed, count);
        let mut next = |index| {
            let fresh = (1.0 - likeness * likeness).sqrt();
            state = likeness * state + fresh * normal(seed, index);
            median * (state * 0.1).exp()
        };
        (0..count).map(&mut next).collect()
    }

    /// How many of 1000 pairs of runs are told apart at 5 %.
    fn told_apart(count: u64, ratio: f64, likeness: f64) -> usize {
        let is_found = |seed: &u64| {
            let first = seconds(seed * 2, count, 3000.0, likeness);
            let second = seconds(seed * 2 + 1, count, 3000.0 * ratio, likeness);
            Difference::new(&first, &second).is_ok_and(|difference| difference.p() < 0.05)
        };
        (0..1000).filter(is_found).count()
    }

    #[test]
    fn equal_runs_are_seldom_told_apart_even_where_seconds_are_alike() {
        for (count, likeness) in [(10, 0.0), (30, 0.0), (30, 0.5), (120, 0.5), (120, 0.8)] {
            let wrong = told_apart(count, 1.0, likeness);
            assert!(wrong <= 75, "{wrong} of 1000 with {count} seconds, alike to {likeness}");
        }
    }

    #[test]
    fn unequal_runs_are_told_apart() {
        for (count, ratio, likeness) in [(30, 1.15, 0.0), (30, 0.85, 0.0), (120, 1.15, 0.5)] {
            let found = told_apart(count, ratio, likeness);
            assert!(found >= 950, "{found} of 1000 with {count} seconds at {ratio}");
        }
    }

    #[test]
    fn the_interval_holds_the_ratio_and_agrees_with_p() {
        let first = seconds(1, 60, 3000.0, 0.0);
        let second = seconds(2, 60, 3300.0, 0.0);
        let difference = Difference::new(&first, &second).expect("enough");
        let (low, high) = difference.interval();
        assert!(low < 1.1 && 1.1 < high && difference.difference.exp() > low);
        // At the end of the interval, p is what lies beyond it.
        assert!((difference.p_above(low) - 0.025).abs() < 1e-6);
        assert!((difference.p_above(high) - 0.975).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        let enough = seconds(1, 30, 3000.0, 0.0);
        let unclear = |seconds: &[f64]| Difference::new(&enough, seconds).expect_err("unclear");
        assert_eq!(unclear(&enough[..COMPARE_SECONDS_MIN - 1]), Unclear::Short);
        assert_eq!(unclear(&[]), Unclear::Short);
        let rising: Vec<f64> = (1..=12).map(f64::from).collect();
        assert_eq!(unclear(&rising), Unclear::Alike);
        let with_zero: Vec<f64> = [0.0].into_iter().chain(enough.iter().copied()).collect();
        assert_eq!(unclear(&with_zero), Unclear::Zero);
    }

    #[test]
    fn constant_seconds_are_equal_or_not() {
        let same = Difference::new(&[2.0; 20], &[2.0; 20]).expect("enough");
        assert_eq!((same.p(), same.interval()), (1.0, (1.0, 1.0)));
        let twice = Difference::new(&[2.0; 20], &[4.0; 20]).expect("enough");
        assert_eq!((twice.p(), twice.p_above(1.5)), (0.0, 0.0));
        assert_eq!((twice.p_above(2.5), twice.interval()), (1.0, (2.0, 2.0)));
    }

    #[test]
    fn several_tests_share_one_level() {
        let p = [Some(0.04), Some(0.001), None, Some(0.02), Some(0.9)];
        assert_eq!(passing(&p, 0.05), [false, true, false, false, false]);
        assert_eq!(passing(&[Some(0.04)], 0.05), [true]);
        assert_eq!(passing(&[Some(0.01), Some(0.04), Some(0.02)], 0.05), [true, true, true]);
    }
}
