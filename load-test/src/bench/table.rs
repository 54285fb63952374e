//! Samples of up to three programs, their medians, the ratios of the pairs, and whether the goals
//! are met.

use super::goals::{Goal, Goals};
use serde::Serialize;
use std::fmt::{Display, Formatter, Result, Write};

/// One run's figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) figures: Vec<Figure>,
    /// Something was lost, came twice, ...: the figures are not to be trusted.
    pub(super) faulty: bool,
    /// What the reader of the figures has to know about this run.
    pub(super) notes: Vec<String>,
}

/// One number of a run.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
}

impl Figure {
    pub(super) fn new(name: &str, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value }
    }
}

/// All runs of a scenario.
#[derive(Debug, Default, Serialize)]
pub(super) struct Measured {
    scenario: String,
    /// The programs, in the order of the values.
    programs: Vec<String>,
    rows: Vec<Row>,
    faulty_runs: usize,
    notes: Vec<String>,
    /// Why there are no figures.
    failure: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Row {
    figure: String,
    pub(super) unit: &'static str,
    /// For each program, the values of its runs.
    pub(super) values: Vec<Vec<f64>>,
    pub(super) medians: Vec<f64>,
    /// Of the first program to the second, pair by pair.
    pub(super) ratio: Option<Range>,
    /// Of the third program, which is the second again, to the second.
    pub(super) floor_to_itself: Option<Range>,
    judged: Vec<Judged>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Range {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// A goal of a row.
#[derive(Debug, Serialize)]
struct Judged {
    target: String,
    met: bool,
}

impl Measured {
    /// `samples`: for each program its runs, all with the same figures.
    pub(super) fn new(
        scenario: String,
        programs: Vec<String>,
        samples: &[Vec<Sample>],
        goals: &Goals,
    ) -> Self {
        let faulty = |samples: &Vec<Sample>| samples.iter().filter(|run| run.faulty).count();
        let first = samples.first().and_then(|runs| runs.first());
        let figures = first.map_or(&[][..], |run| &run.figures);
        let row = |(index, figure): (usize, &Figure)| {
            let of_program =
                |runs: &Vec<Sample>| runs.iter().map(|run| run.figures[index].value).collect();
            Row::new(figure, samples.iter().map(of_program).collect(), goals)
        };
        Self {
            rows: figures.iter().enumerate().map(row).collect(),
            faulty_runs: samples.iter().map(faulty).sum(),
            notes: notes(&programs, samples),
            scenario,
            programs,
            failure: None,
        }
    }

    /// A scenario that could not be run to its end.
    pub(super) fn failed(scenario: String, failure: String) -> Self {
        Self { scenario, failure: Some(failure), ..Self::default() }
    }

    /// Whether it ran to its end without a fault and met its goals.
    pub(super) fn is_well(&self) -> bool {
        let mut judged = self.rows.iter().flat_map(|row| &row.judged);
        self.failure.is_none() && self.faulty_runs == 0 && judged.all(|judged| judged.met)
    }
}

/// The notes of all runs, each with its program and its place.
fn notes(programs: &[String], samples: &[Vec<Sample>]) -> Vec<String> {
    let of_program = |(program, runs): (&String, &Vec<Sample>)| {
        let of_run = |(run, sample): (usize, &Sample)| {
            let with_place = |note: &String| format!("{program}, run {}: {note}", run + 1);
            sample.notes.iter().map(with_place).collect::<Vec<_>>()
        };
        runs.iter().enumerate().flat_map(of_run).collect::<Vec<_>>()
    };
    programs.iter().zip(samples).flat_map(of_program).collect()
}

impl Row {
    pub(super) fn new(figure: &Figure, values: Vec<Vec<f64>>, goals: &[(String, Goal)]) -> Self {
        let medians = values.iter().map(|values| range(values).median).collect();
        let mut row = Self {
            figure: figure.name.clone(),
            unit: figure.unit,
            medians,
            ratio: ratio(values.first(), values.get(1)),
            floor_to_itself: ratio(values.get(2), values.get(1)),
            values,
            judged: Vec::new(),
        };
        let mine = goals.iter().filter(|(name, _)| *name == figure.name);
        let judge = |(_, goal): &(String, Goal)| {
            Some(Judged { target: goal.describe(&row), met: goal.is_met(&row)? })
        };
        row.judged = mine.filter_map(judge).collect();
        row
    }

    /// What the first program has more than the second, pair by pair.
    pub(super) fn above_floor(&self) -> Option<Range> {
        let pairs = self.values.first()?.iter().zip(self.values.get(1)?);
        Some(range(&pairs.map(|(first, second)| first - second).collect::<Vec<_>>()))
    }

    /// The ratio, or how far the values of a single program are apart.
    fn spread(&self) -> String {
        let with_ends = |Range { median, min, max }: Range| {
            format!("{} ({}..{})", digits(median), digits(min), digits(max))
        };
        match (self.ratio, &self.values[..]) {
            (Some(ratio), _) => with_ends(ratio),
            (None, [values]) => {
                let Range { min, max, .. } = range(values);
                format!("{}..{}", digits(min), digits(max))
            }
            _ => String::new(),
        }
    }

    fn targets(&self) -> String {
        let targets: Vec<_> = self.judged.iter().map(|judged| judged.target.as_str()).collect();
        targets.join("; ")
    }

    fn verdict(&self) -> &'static str {
        match &self.judged[..] {
            [] => "",
            judged if judged.iter().all(|judged| judged.met) => "ok",
            _ => "MISSED",
        }
    }
}

/// `None` where there is nothing to divide by.
fn ratio(first: Option<&Vec<f64>>, second: Option<&Vec<f64>>) -> Option<Range> {
    let (first, second) = (first?, second?);
    let divisible = !second.is_empty() && second.iter().all(|value| *value > 0.0);
    let pairs = first.iter().zip(second).map(|(first, second)| first / second);
    divisible.then(|| range(&pairs.collect::<Vec<_>>()))
}

/// Of no values: zeros.
pub(super) fn range(values: &[f64]) -> Range {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let len = sorted.len();
    let median = f64::midpoint(at(len.saturating_sub(1) / 2), at(len / 2));
    Range { median, min: at(0), max: at(len.saturating_sub(1)) }
}

/// With three significant digits; more where they stand before the point.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 100.0 || size == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        size if size >= 0.01 => 4,
        _ => 5,
    };
    format!("{value:.places$}")
}

impl Display for Measured {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        writeln!(out, "{}", self.scenario)?;
        if let Some(failure) = &self.failure {
            return writeln!(out, "FAILED: {failure}");
        }
        let what = if self.programs.len() > 1 { "ratio (min..max)" } else { "min..max" };
        let programs: Vec<_> = self.programs.iter().map(|name| format!("{name:>12}")).collect();
        line(out, "median", &programs.concat(), what, "target", "")?;
        for row in &self.rows {
            let name = format!("{} {}", row.figure, row.unit);
            let medians: Vec<_> =
                row.medians.iter().map(|median| format!("{:>12}", digits(*median))).collect();
            line(out, &name, &medians.concat(), &row.spread(), &row.targets(), row.verdict())?;
        }
        self.notes.iter().try_for_each(|note| writeln!(out, "{note}"))?;
        if self.faulty_runs > 0 {
            writeln!(out, "FAULTS in {} runs", self.faulty_runs)?;
        }
        Ok(())
    }
}

fn line(
    out: &mut Formatter<'_>,
    name: &str,
    medians: &str,
    spread: &str,
    target: &str,
    verdict: &str,
) -> Result {
    let mut text = String::new();
    write!(text, "{name:<36}{medians}  {spread:<24}  {target:<32}  {verdict}")?;
    writeln!(out, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Vec<Sample> {
        let figure = |value| Figure::new("x", "us", value);
        let sample = |&value| Sample { figures: vec![figure(value)], ..Sample::default() };
        values.iter().map(sample).collect()
    }

    fn measured(values: &[&[f64]], goals: &Goals) -> Measured {
        let names = ["a", "b", "c"].iter().take(values.len()).map(|name| (*name).into());
        let samples: Vec<_> = values.iter().map(|values| samples(values)).collect();
        Measured::new("test".into(), names.collect(), &samples, goals)
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let measured =
            measured(&[&[1.0, 20.0, 3.0], &[1.0, 10.0, 6.0], &[2.0, 10.0, 6.0]], &Vec::new());
        let row = &measured.rows[0];
        assert_eq!(row.medians, [3.0, 6.0, 6.0]);
        assert_eq!(row.ratio, Some(Range { median: 1.0, min: 0.5, max: 2.0 }));
        assert_eq!(row.floor_to_itself, Some(Range { median: 1.0, min: 1.0, max: 2.0 }));
        assert_eq!(row.above_floor(), Some(Range { median: 0.0, min: -3.0, max: 10.0 }));
    }

    #[test]
    fn a_goal_that_is_missed_is_said_and_not_well() {
        let goals =
            |most| vec![("x".to_owned(), Goal::AtMost(most)), ("y".into(), Goal::LikeFloor)];
        for (most, verdict, well) in [(2.0, "ok", true), (1.0, "MISSED", false)] {
            let measured = measured(&[&[1.0, 2.0, 3.0]], &goals(most));
            assert_eq!((measured.rows[0].verdict(), measured.is_well()), (verdict, well));
            let expected = format!("x us  2.00 1.00..3.00 <= {most} us {verdict}");
            let shown = measured.to_string();
            let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
            assert!(shown.lines().any(|line| words(line) == words(&expected)), "{shown}");
        }
    }

    #[test]
    fn what_went_wrong_is_said_and_not_well() {
        assert!(measured(&[&[1.0]], &Vec::new()).is_well());
        assert!(!Measured::failed("x".into(), "gone".into()).is_well());
        let faulty = Sample { faulty: true, notes: vec!["late".into()], ..Sample::default() };
        let runs = [vec![Sample::default(), faulty]];
        let measured = Measured::new("test".into(), vec!["a".into()], &runs, &Vec::new());
        assert!(!measured.is_well());
        let shown = measured.to_string();
        assert!(shown.contains("a, run 2: late\nFAULTS in 1 runs\n"), "{shown}");
    }

    #[test]
    fn medians_of_few_values() {
        let rows: [(&[f64], [f64; 3]); 4] = [
            (&[], [0.0, 0.0, 0.0]),
            (&[5.0], [5.0, 5.0, 5.0]),
            (&[4.0, 1.0], [2.5, 1.0, 4.0]),
            (&[9.0, 1.0, 2.0], [2.0, 1.0, 9.0]),
        ];
        for (values, [median, min, max]) in rows {
            assert_eq!(range(values), Range { median, min, max }, "{values:?}");
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        let rows = [
            (0.0, "0"),
            (40_000.0, "40000"),
            (123.4, "123"),
            (12.34, "12.3"),
            (-1.234, "-1.23"),
            (0.1234, "0.123"),
            (0.012_34, "0.0123"),
            (0.001_234, "0.00123"),
        ];
        for (value, text) in rows {
            assert_eq!(digits(value), text);
        }
    }
}
