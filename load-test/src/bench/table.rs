//! Samples of one or two programs, their medians, and the ratios of the pairs.

use serde::Serialize;
use std::fmt::{Display, Formatter, Result};

/// One run's figures.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) figures: Vec<Figure>,
    /// Something was lost, came twice, ...: the figures are not to be trusted.
    pub(super) faulty: bool,
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
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    scenario: String,
    /// The programs, in the order of the values.
    programs: Vec<String>,
    rows: Vec<Row>,
    pub(super) faulty_runs: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    figure: String,
    unit: &'static str,
    /// For each program, the values of its runs.
    values: Vec<Vec<f64>>,
    medians: Vec<f64>,
    /// Of the first program to the second, pair by pair.
    ratio: Option<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Range {
    median: f64,
    min: f64,
    max: f64,
}

impl Measured {
    /// `samples`: for each program its runs, all with the same figures.
    pub(super) fn new(scenario: String, programs: Vec<String>, samples: &[Vec<Sample>]) -> Self {
        let faulty = |samples: &Vec<Sample>| samples.iter().filter(|run| run.faulty).count();
        let first = samples.first().and_then(|runs| runs.first());
        let figures = first.map_or(&[][..], |run| &run.figures);
        let row = |(index, figure): (usize, &Figure)| {
            let of_program =
                |runs: &Vec<Sample>| runs.iter().map(|run| run.figures[index].value).collect();
            Row::new(figure, samples.iter().map(of_program).collect())
        };
        Self {
            scenario,
            programs,
            rows: figures.iter().enumerate().map(row).collect(),
            faulty_runs: samples.iter().map(faulty).sum(),
        }
    }
}

impl Row {
    fn new(figure: &Figure, values: Vec<Vec<f64>>) -> Self {
        let medians = values.iter().map(|values| range(values).median).collect();
        let ratio = match &values[..] {
            [first, second] if second.iter().all(|value| *value > 0.0) => {
                let pairs = first.iter().zip(second);
                Some(range(&pairs.map(|(first, second)| first / second).collect::<Vec<_>>()))
            }
            _ => None,
        };
        Self { figure: figure.name.clone(), unit: figure.unit, values, medians, ratio }
    }
}

/// Of no values: zeros.
fn range(values: &[f64]) -> Range {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let len = sorted.len();
    let median = f64::midpoint(at(len.saturating_sub(1) / 2), at(len / 2));
    Range { median, min: at(0), max: at(len.saturating_sub(1)) }
}

impl Display for Measured {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        writeln!(out, "{}", self.scenario)?;
        write!(out, "{:<36}", "median")?;
        self.programs.iter().try_for_each(|program| write!(out, "{program:>12}"))?;
        let what = if self.programs.len() == 2 { "ratio (min..max)" } else { "min..max" };
        writeln!(out, "  {what}")?;
        for row in &self.rows {
            let name = format!("{} {}", row.figure, row.unit);
            write!(out, "{name:<36}")?;
            row.medians.iter().try_for_each(|median| write!(out, "{median:>12.3}"))?;
            match (row.ratio, &row.values[..]) {
                (Some(Range { median, min, max }), _) => {
                    writeln!(out, "  {median:.3} ({min:.3}..{max:.3})")?;
                }
                (None, [values]) => {
                    let Range { min, max, .. } = range(values);
                    writeln!(out, "  {min:.3}..{max:.3}")?;
                }
                _ => writeln!(out)?,
            }
        }
        if self.faulty_runs > 0 {
            writeln!(out, "FAULTS in {} runs", self.faulty_runs)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let samples = |values: &[f64]| {
            let sample =
                |&value| Sample { figures: vec![Figure::new("x", "us", value)], faulty: false };
            values.iter().map(sample).collect::<Vec<_>>()
        };
        let names = vec!["a".into(), "b".into()];
        let both = [samples(&[1.0, 20.0, 3.0]), samples(&[1.0, 10.0, 6.0])];
        let measured = Measured::new("test".into(), names, &both);
        assert_eq!(measured.rows[0].medians, [3.0, 6.0]);
        assert_eq!(measured.rows[0].ratio, Some(Range { median: 1.0, min: 0.5, max: 2.0 }));
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
}
