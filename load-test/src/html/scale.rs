//! Axes: where a value is, and which values are written beside them.

use super::units::{self, Quantity};
use crate::limits::NINES_MAX;

/// A value on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    /// From 0 to 1.
    pub(super) at: f64,
    /// Empty for a line without words.
    pub(super) label: String,
    /// Kept where there is little room.
    pub(super) major: bool,
}

/// Seconds between two words of a time axis.
const CLOCK_STEPS: [f64; 15] =
    [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// Words of a time axis, besides the one at 0.
const TIME_TICKS_MAX: f64 = 8.0;

/// Words of an axis that begins at 0: the steps are chosen so that there are fewer.
const LINEAR_TICKS_MAX: u32 = 16;

/// From values to places.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// From 0 to `max`.
    Linear { max: f64, step: f64 },
    /// Both above 0.
    Log { min: f64, max: f64 },
    /// Of quantiles: each nine takes as much room as the one before.
    Nines { nines: f64 },
}

impl Scale {
    /// From 0 to at least `max`, with a whole number of round steps, at most `steps`.
    pub(super) fn linear(max: f64, steps: f64) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = round_up(max / steps);
        Self::Linear { max: (max / step - 1e-9).ceil().max(1.0) * step, step }
    }

    /// From 0 to the end of a run, which need not be round.
    pub(super) fn time(end_s: f64) -> Self {
        let end_s = if end_s.is_finite() && end_s > 0.0 { end_s } else { 1.0 };
        let step = CLOCK_STEPS.into_iter().find(|step| end_s / step <= TIME_TICKS_MAX);
        Self::Linear { max: end_s, step: step.unwrap_or_else(|| round_up(end_s / TIME_TICKS_MAX)) }
    }

    /// From a round value below to one above all `values`; those not above 0 do not count.
    pub(super) fn log(values: impl Iterator<Item = f64>) -> Self {
        let usable = values.filter(|value| value.is_finite() && *value > 0.0);
        let ends = usable.fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(min, max)| (min.min(value), max.max(value))))
        });
        let (min, max) = ends.unwrap_or((1.0, 10.0));
        let (min, max) = (round_down(min), round_up(max));
        Self::Log { min, max: if max / min < 4.0 { round_up(min * 5.0) } else { max } }
    }

    /// As far as `count` samples reach.
    pub(super) fn nines(count: u64) -> Self {
        Self::Nines { nines: (count.max(10) as f64).log10().min(NINES_MAX) }
    }

    /// From 0 to 1; what lies outside is put at the nearer end.
    pub(super) fn place(self, value: f64) -> f64 {
        let place = match self {
            Self::Linear { max, .. } => value / max,
            Self::Log { min, max } => (value / min).ln() / (max / min).ln(),
            Self::Nines { nines } => -(1.0 - value).max(0.0).log10() / nines,
        };
        if place.is_nan() { 0.0 } else { place.clamp(0.0, 1.0) }
    }

    /// The value at a place between 0 and 1; the other way round.
    pub(super) fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear { max, .. } => place * max,
            Self::Log { min, max } => min * (max / min).powf(place),
            Self::Nines { nines } => 1.0 - 10f64.powf(-place * nines),
        }
    }

    pub(super) fn ticks(self, words: impl Fn(f64) -> Quantity) -> Vec<Tick> {
        let tick =
            |value: f64, label: String, major: bool| Tick { at: self.place(value), label, major };
        let written = |value: f64| units::joined(words(value));
        match self {
            Self::Linear { max, step } => (0..LINEAR_TICKS_MAX)
                .map(|index| f64::from(index) * step)
                .take_while(|value| *value <= max + step * 1e-9)
                .map(|value| tick(value, written(value), true))
                .collect(),
            Self::Log { min, max } => {
                // Three decades of words are as many as fit.
                let is_wide = max / min > 1100.0;
                let has_minor = max / min > 60.0;
                let values = steps_between(min, max).map(|(value, is_decade)| {
                    let label = if is_wide && !is_decade { String::new() } else { written(value) };
                    tick(value, label, is_decade || !has_minor)
                });
                values.collect()
            }
            Self::Nines { nines } => {
                let half = [tick(0.5, units::joined(("50".into(), "%")), false)];
                let counts = (1i8..).take_while(|count| f64::from(*count) <= nines);
                let rest = counts.map(|count| {
                    let share = 1.0 - 10f64.powi(-i32::from(count));
                    let decimals = usize::try_from(count - 2).unwrap_or(0);
                    let major = nines < 4.0 || count % 2 == 1;
                    tick(share, format!("{:.decimals$}\u{a0}%", share * 100.0), major)
                });
                half.into_iter().chain(rest).collect()
            }
        }
    }
}

/// 1, 2, 5, 10, 20, ... within the two, and whether each is a power of ten.
fn steps_between(min: f64, max: f64) -> impl Iterator<Item = (f64, bool)> {
    let decades = f64::MIN_10_EXP..=f64::MAX_10_EXP;
    decades
        .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| (digit * 10f64.powi(decade), digit == 1.0)))
        .filter(move |(value, _)| *value >= min * 0.999 && *value <= max * 1.001)
}

/// The least of 1, 2, 5, 10, 20, ... that is not below.
fn round_up(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let digits = [1.0, 2.0, 5.0, 10.0];
    let digit = digits.into_iter().find(|digit| digit * decade >= value * 0.999_999);
    digit.unwrap_or(10.0) * decade
}

/// The greatest of them that is not above.
fn round_down(value: f64) -> f64 {
    let decade = 10f64.powf(value.log10().floor());
    let digits = [5.0, 2.0, 1.0];
    let digit = digits.into_iter().find(|digit| digit * decade <= value * 1.000_001);
    digit.unwrap_or(1.0) * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, words: impl Fn(f64) -> Quantity) -> Vec<String> {
        let ticks = scale.ticks(words).into_iter();
        ticks.map(|tick| tick.label.replace('\u{a0}', " ")).collect()
    }

    #[test]
    fn ends_are_round() {
        let Scale::Linear { max, step } = Scale::linear(37.0, 4.0) else { panic!() };
        assert_eq!((max, step), (40.0, 10.0));
        let Scale::Log { min, max } = Scale::log([330.0, 0.0, f64::NAN, 41_000.0].into_iter())
        else {
            panic!()
        };
        assert_eq!((min.round(), max.round()), (200.0, 50_000.0));
    }

    #[test]
    fn times_are_those_of_a_clock() {
        let rows = [(5.0, 1.0), (30.0, 5.0), (600.0, 120.0), (86_400.0, 20_000.0)];
        for (end_s, expected) in rows {
            let Scale::Linear { max, step } = Scale::time(end_s) else { panic!() };
            assert_eq!((max, step), (end_s, expected));
        }
    }

    #[test]
    fn ticks_are_in_words() {
        assert_eq!(labels(Scale::linear(37.0, 4.0), units::many), ["0", "10", "20", "30", "40"]);
        let narrow = Scale::log([2100.0, 8000.0].into_iter());
        assert_eq!(labels(narrow, units::duration), ["2 ms", "5 ms", "10 ms"]);
        let wide = Scale::log([330.0, 410_000.0].into_iter());
        let wide = labels(wide, units::duration);
        assert_eq!(wide[..6], ["", "", "1 ms", "", "", "10 ms"]);
        assert_eq!(
            labels(Scale::nines(99_999), |_| unreachable!("quantiles have words of their own")),
            ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]
        );
    }

    #[test]
    fn places_and_values_are_each_others_inverse() {
        let scales = [
            Scale::linear(100.0, 4.0),
            Scale::log([10.0, 1e6].into_iter()),
            Scale::nines(1_000_000),
        ];
        for scale in scales {
            for place in [0.0, 0.25, 0.5, 0.9] {
                assert!((scale.place(scale.value(place)) - place).abs() < 1e-6, "{scale:?}");
            }
        }
    }

    #[test]
    fn no_value_leaves_the_axis() {
        let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300];
        let scales = [
            Scale::linear(f64::NAN, 4.0),
            Scale::linear(f64::INFINITY, 4.0),
            Scale::log(std::iter::empty()),
            Scale::log([1e-300, 1e300].into_iter()),
            Scale::nines(0),
            Scale::nines(u64::MAX),
        ];
        for scale in scales {
            for value in values {
                assert!((0.0..=1.0).contains(&scale.place(value)), "{scale:?} {value}");
            }
            let ticks = scale.ticks(units::duration);
            assert!(ticks.len() < 2000 && ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)));
        }
    }
}
