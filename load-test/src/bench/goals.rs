//! What chatd promises, scenario by scenario, and whether a row of a table keeps it.

use super::table::{Range, Row, range};
use super::{BenchArguments, Preset, crowd, joins, slow};

/// A promise about one figure. Medians of the runs, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Goal {
    AtMost(f64),
    /// In every run.
    Always(f64),
    /// Of chatd to the floor.
    RatioAtMost(f64),
    /// So much more than the floor.
    AboveFloorAtMost(f64),
    /// So many times what the second has and so much more.
    LikeSecond {
        times: f64,
        plus: f64,
    },
    /// The ratio to the floor is one that the floor has to itself.
    LikeFloor,
}

/// Each with the name of its figure.
pub(super) type Goals = Vec<(String, Goal)>;

impl Preset {
    pub(super) fn goals(self, arguments: &BenchArguments) -> Goals {
        let named = |goals: &[(&str, Goal)]| {
            goals.iter().map(|(name, goal)| ((*name).to_owned(), *goal)).collect()
        };
        match self {
            Self::Sparse => named(&[
                ("server CPU per delivery", Goal::RatioAtMost(1.1)),
                ("lines lost", Goal::Always(0.0)),
            ]),
            Self::Busy => named(&[
                ("server CPU per delivery", Goal::RatioAtMost(0.6)),
                ("p99", Goal::AboveFloorAtMost(12.0)),
            ]),
            Self::Rate50 | Self::Rate20 => {
                named(&[("server CPU per delivery", Goal::LikeFloor), ("p99", Goal::LikeFloor)])
            }
            Self::Engine => named(&[("generator CPU per delivery", Goal::AtMost(0.8))]),
            Self::Quiet => named(&[("pair p99 / flood p50", Goal::AtMost(0.05))]),
            Self::Slow => named(&[
                ("p99", Goal::LikeSecond { times: 1.25, plus: 1.0 }),
                ("lines lost", Goal::Always(0.0)),
                ("slow readers closed", Goal::Always(slow::count(arguments))),
                ("from the first full socket to that", Goal::AtMost(11.0)),
            ]),
            Self::Memory => named(&[("growth per client", Goal::AtMost(512.0))]),
            Self::Connect => named(&[
                ("all welcome", Goal::AtMost(2.0)),
                ("all welcome", Goal::RatioAtMost(1.5)),
                ("dropped by full listeners", Goal::Always(0.0)),
            ]),
            Self::Capacity => capacity_goals(arguments.clients),
            Self::Joins => {
                let clients = self.groups(arguments)[0].clients;
                let goal = |clients| (joins::figure_name(clients), Goal::AtMost(100.0));
                joins::sizes(clients).map(goal).into()
            }
        }
    }
}

/// All are welcome, and nobody misses one of the lines there are for each.
fn capacity_goals(clients: Option<u32>) -> Goals {
    let goals = |(workers, most)| {
        let all = f64::from(clients.unwrap_or(most));
        let named = |what, goal| (crowd::figure_name(what, workers), goal);
        [named("welcome", Goal::Always(all)), named("lines lost", Goal::Always(0.0))]
    };
    crowd::CAPACITIES.into_iter().flat_map(goals).collect()
}

impl Goal {
    /// `None` if it cannot be told without the floor.
    pub(super) fn is_met(self, row: &Row) -> Option<bool> {
        let own = row.values.first()?;
        let has_floor = row.values.len() > 1;
        match self {
            Self::AtMost(most) => Some(row.medians.first()? <= &most),
            Self::Always(value) => Some(own.iter().all(|own| *own == value)),
            _ if !has_floor => None,
            Self::RatioAtMost(most) => Some(row.ratio.is_some_and(|ratio| ratio.median <= most)),
            Self::AboveFloorAtMost(most) => {
                Some(row.above_floor().is_some_and(|above| above.median <= most))
            }
            Self::LikeSecond { times, plus } => {
                let pairs = own.iter().zip(row.values.get(1)?);
                let above = pairs.map(|(first, second)| first - second * times);
                Some(range(&above.collect::<Vec<_>>()).median <= plus)
            }
            Self::LikeFloor => {
                let most = row.floor_to_itself.map(farthest);
                Some(row.ratio.zip(most).is_some_and(|(ratio, most)| ratio.median <= most))
            }
        }
    }

    pub(super) fn describe(self, row: &Row) -> String {
        match self {
            Self::AtMost(most) => format!("<= {most}{}", spaced(row.unit)),
            Self::Always(value) => format!("{value} always"),
            Self::RatioAtMost(most) => format!("ratio <= {most}"),
            Self::AboveFloorAtMost(most) => format!("<= floor + {most}{}", spaced(row.unit)),
            Self::LikeSecond { times, plus } => {
                format!("<= {times} x chatd + {plus}{}", spaced(row.unit))
            }
            Self::LikeFloor => match row.floor_to_itself.map(farthest) {
                Some(most) => format!("ratio <= {most:.3}, floor to itself"),
                None => "ratio as floor to itself".into(),
            },
        }
    }
}

/// How far apart equals came out, whichever of them was ahead.
fn farthest(ratio: Range) -> f64 {
    ratio.max.max(1.0 / ratio.min.max(f64::MIN_POSITIVE))
}

fn spaced(unit: &str) -> String {
    if unit.is_empty() { String::new() } else { format!(" {unit}") }
}

#[cfg(test)]
mod tests {
    use super::super::table::Figure;
    use super::*;
    use clap::ValueEnum;

    fn row(values: &[&[f64]]) -> Row {
        let values = values.iter().map(|values| values.to_vec()).collect();
        Row::new(&Figure::new("x", "ms", 0.0), values, &[])
    }

    #[test]
    fn verdicts() {
        let one = row(&[&[1.0, 2.0, 9.0]]);
        // Ratios 0.5, 1, 1.5; differences -2, 0, 3.
        let two = row(&[&[2.0, 5.0, 9.0], &[4.0, 5.0, 6.0]]);
        // The floor to itself: 0.8, 1, 1.1: as far as 1.25.
        let like = row(&[&[11.0, 12.0, 13.0], &[10.0, 10.0, 10.0], &[8.0, 10.0, 11.0]]);
        let unlike = row(&[&[11.0, 13.0, 14.0], &[10.0, 10.0, 10.0], &[8.0, 10.0, 11.0]]);
        let nothing = row(&[&[1.0], &[0.0], &[0.0]]);
        let rows = [
            (Goal::AtMost(2.0), &one, Some(true)),
            (Goal::AtMost(1.9), &one, Some(false)),
            (Goal::Always(0.0), &one, Some(false)),
            (Goal::Always(1.0), &nothing, Some(true)),
            (Goal::RatioAtMost(1.0), &one, None),
            (Goal::RatioAtMost(1.0), &two, Some(true)),
            (Goal::RatioAtMost(0.9), &two, Some(false)),
            (Goal::RatioAtMost(9.0), &nothing, Some(false)),
            (Goal::AboveFloorAtMost(0.0), &one, None),
            (Goal::AboveFloorAtMost(0.0), &two, Some(true)),
            (Goal::AboveFloorAtMost(-0.1), &two, Some(false)),
            (Goal::LikeSecond { times: 1.5, plus: 1.0 }, &two, Some(true)),
            (Goal::LikeSecond { times: 1.0, plus: -1.0 }, &two, Some(false)),
            (Goal::LikeSecond { times: 1.0, plus: 1.0 }, &one, None),
            (Goal::LikeFloor, &one, None),
            (Goal::LikeFloor, &two, Some(false)),
            (Goal::LikeFloor, &like, Some(true)),
            (Goal::LikeFloor, &unlike, Some(false)),
            (Goal::LikeFloor, &nothing, Some(false)),
        ];
        for (goal, row, met) in rows {
            assert_eq!(goal.is_met(row), met, "{goal:?} of {:?}", row.values);
        }
        assert_eq!(Goal::LikeFloor.describe(&like), "ratio <= 1.250, floor to itself");
        assert_eq!(Goal::AboveFloorAtMost(12.0).describe(&two), "<= floor + 12 ms");
    }

    #[test]
    fn every_scenario_has_goals() {
        for preset in Preset::value_variants() {
            assert!(!preset.goals(&BenchArguments::default()).is_empty(), "{preset:?}");
        }
    }
}
