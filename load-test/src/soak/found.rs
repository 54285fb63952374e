//! What a soak found, and whether that is well.

use super::phase::Kind;
use super::rest::State;
use crate::audit::Totals;
use crate::limits::{SOAK_CYCLES_MIN, SOAK_GROWTH_BYTES_MAX, SOAK_GROWTH_PERCENT_MAX};
use crate::report::Verdict;
use crate::summary::count;
use serde::Serialize;
use std::fmt::{Display, Formatter};

/// The schema of its JSON.
pub(super) const SCHEMA: &str = "load-test/soak/1";

/// Everything.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Soak {
    pub(crate) schema: &'static str,
    pub(crate) command: String,
    pub(crate) started_at: String,
    pub(crate) seed: u64,
    /// The server's own words.
    pub(crate) version: Option<String>,
    pub(crate) verdict: Verdict,
    /// Why it is not a pass.
    pub(crate) reasons: Vec<String>,
    /// Whether it was ended before its time.
    pub(crate) interrupted: bool,
    pub(crate) lasted_s: f64,
    /// Of all phases.
    pub(crate) audit: Totals,
    pub(crate) growth: Option<Growth>,
    /// Before the first client.
    pub(crate) start: State,
    pub(crate) cycles: Vec<Cycle>,
    /// While there was load.
    pub(crate) samples: Vec<Sample>,
}

/// Resident memory at rest: the medians of two thirds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Growth {
    pub(crate) first_third_bytes: u64,
    pub(crate) last_third_bytes: u64,
    /// What the latter may be at most.
    pub(crate) limit_bytes: u64,
}

/// Phases, and the rest after them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Cycle {
    pub(crate) number: u64,
    pub(crate) phases: Vec<PhaseFound>,
    /// When the rest came, and how long it took.
    pub(crate) at_s: f64,
    pub(crate) rest_s: f64,
    /// The most that samples of it had.
    pub(crate) connections_most: u64,
    pub(crate) rest: State,
    /// What had not come back.
    pub(crate) unrest: Vec<String>,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PhaseFound {
    pub(crate) kind: Kind,
    pub(crate) dialect: &'static str,
    pub(crate) clients: u32,
    /// Connections beside it: reset, or with half a line.
    pub(crate) nuisances: Option<u64>,
    pub(crate) verdict: Verdict,
    pub(crate) audit: Totals,
    pub(crate) p99_us: f64,
    /// Why it could not be run to its end.
    pub(crate) failure: Option<String>,
}

/// One look under load.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) at_s: f64,
    pub(crate) connections: u64,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) descriptors: Option<u64>,
    pub(crate) tcp_memory_bytes: Option<u64>,
}

impl Growth {
    /// None if there are too few cycles, or nobody looked.
    fn of(cycles: &[Cycle]) -> Option<Self> {
        let seen = cycles.iter().filter_map(|cycle| cycle.rest.seen.as_ref());
        let rss: Vec<_> = seen.map(|seen| seen.rss_bytes).collect();
        if rss.len() < SOAK_CYCLES_MIN {
            return None;
        }
        let third = rss.len() / 3;
        let median = |of: &[u64]| {
            let mut of = of.to_vec();
            of.sort_unstable();
            of[of.len() / 2]
        };
        let first_third_bytes = median(&rss[..third]);
        let share = first_third_bytes / 100 * SOAK_GROWTH_PERCENT_MAX;
        Some(Self {
            first_third_bytes,
            last_third_bytes: median(&rss[rss.len() - third..]),
            limit_bytes: first_third_bytes + share + SOAK_GROWTH_BYTES_MAX,
        })
    }
}

impl PhaseFound {
    /// What is wrong with it. That its figures are void is no matter here.
    fn fault(&self) -> Option<String> {
        let Self { kind, dialect, verdict, audit, .. } = self;
        let what = match &self.failure {
            Some(failure) => failure.clone(),
            None if *verdict == Verdict::Fail => format!(
                "expected {}, delivered {}, lost {}, duplicated {}, reordered {}, corrupted {}, \
                 foreign {}, clients closed {}",
                audit.expected,
                audit.delivered,
                audit.lost,
                audit.duplicated,
                audit.reordered,
                audit.corrupted,
                audit.foreign,
                audit.closed
            ),
            None => return None,
        };
        Some(format!("{} on {dialect}: {what}", format!("{kind:?}").to_lowercase()))
    }
}

impl Cycle {
    /// What is wrong with it.
    pub(crate) fn faults(&self) -> Vec<String> {
        let of_phases = self.phases.iter().filter_map(PhaseFound::fault);
        let of_rest = self.unrest.iter().map(|what| format!("not at rest: {what}"));
        of_phases.chain(of_rest).collect()
    }

    pub(super) fn head() -> String {
        format!(
            "{:>5}{:>9}{:>8}{:>13}{:>8}{:>10}{:>8}{:>9}{:>9}{:>10}",
            "cycle",
            "time",
            "phases",
            "connections",
            "rest",
            "RSS",
            "fds",
            "threads",
            "sockets",
            "TCP mem"
        )
    }

    pub(super) fn row(&self) -> String {
        let seen = self.rest.seen.as_ref();
        let number = |value: Option<u64>| value.map_or_else(|| "-".into(), count);
        let memory = |value: Option<u64>| value.map_or_else(|| "-".into(), mebibytes);
        let mut row = format!(
            "{:>5}{:>8.0}s{:>8}{:>13}{:>7.2}s{:>10}{:>8}{:>9}{:>9}{:>10}",
            self.number,
            self.at_s,
            self.phases.len(),
            count(self.connections_most),
            self.rest_s,
            memory(seen.map(|seen| seen.rss_bytes)),
            number(seen.map(|seen| seen.descriptors)),
            number(seen.map(|seen| seen.threads)),
            number(seen.map(|seen| seen.sockets)),
            memory(self.rest.tcp_memory_bytes),
        );
        for fault in self.faults() {
            row += &format!("\n      FAULT {fault}");
        }
        row
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl Soak {
    /// Adds everything up.
    pub(super) fn judge(&mut self) {
        for phase in self.cycles.iter().flat_map(|cycle| &cycle.phases) {
            self.audit.add(&phase.audit);
        }
        self.growth = Growth::of(&self.cycles);
        for cycle in &self.cycles {
            let faults = cycle.faults().into_iter();
            self.reasons.extend(faults.map(|fault| format!("cycle {}: {fault}", cycle.number)));
        }
        if let Some(Growth { first_third_bytes, last_third_bytes, limit_bytes }) = self.growth
            && last_third_bytes > limit_bytes
        {
            self.reasons.push(format!(
                "resident memory at rest grew from {} in the first third to {} in the last, more \
                 than to {}",
                mebibytes(first_third_bytes),
                mebibytes(last_third_bytes),
                mebibytes(limit_bytes)
            ));
        }
        self.verdict = if !self.reasons.is_empty() {
            Verdict::Fail
        } else if self.cycles.len() < SOAK_CYCLES_MIN {
            let cycles = self.cycles.len();
            self.reasons.push(format!(
                "{cycles} cycles are too few to tell whether memory grows; it takes \
                 {SOAK_CYCLES_MIN}: a longer --duration"
            ));
            Verdict::Void
        } else {
            Verdict::Pass
        };
    }
}

impl Display for Soak {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        let phases: usize = self.cycles.iter().map(|cycle| cycle.phases.len()).sum();
        let connections = self.cycles.last().map_or(0, |cycle| cycle.rest.accepted);
        writeln!(
            out,
            "\n{} phases in {} cycles, {:.0} s; {} connections, {} of {} deliveries",
            count(phases),
            count(self.cycles.len()),
            self.lasted_s,
            count(connections - self.start.accepted.min(connections)),
            count(self.audit.delivered),
            count(self.audit.expected)
        )?;
        match self.growth {
            Some(growth) => writeln!(
                out,
                "resident memory at rest, median: first third {}, last third {}, at most {}",
                mebibytes(growth.first_third_bytes),
                mebibytes(growth.last_third_bytes),
                mebibytes(growth.limit_bytes)
            )?,
            None => writeln!(out, "resident memory was not compared")?,
        }
        for reason in &self.reasons {
            writeln!(out, "  {reason}")?;
        }
        write!(out, "{}", self.verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rest::Seen;
    use super::*;

    fn soak(rss: &[u64]) -> Soak {
        let cycle = |rss_bytes: &u64| Cycle {
            rest: State {
                seen: Some(Seen { rss_bytes: *rss_bytes << 20, ..Seen::default() }),
                ..State::default()
            },
            ..Cycle::default()
        };
        let mut soak = Soak { cycles: rss.iter().map(cycle).collect(), ..Soak::default() };
        soak.judge();
        soak
    }

    #[test]
    fn memory_may_not_grow_beyond_the_bound() {
        let rows: [(&[u64], Verdict); 6] = [
            (&[], Verdict::Void),
            (&[20, 20], Verdict::Void),
            (&[20, 21, 22], Verdict::Pass),
            (&[20, 22, 24], Verdict::Fail),
            // One that is higher is no growth, nor is what was higher before.
            (&[20, 20, 20, 20, 20, 20, 20, 90, 20], Verdict::Pass),
            (&[40, 40, 20, 20, 20, 20], Verdict::Pass),
        ];
        for (rss, verdict) in rows {
            let soak = soak(rss);
            assert_eq!(soak.verdict, verdict, "{rss:?} {soak}");
        }
    }

    #[test]
    fn any_fault_of_any_phase_fails_it() {
        let phase = PhaseFound {
            kind: Kind::Churn,
            dialect: "rid",
            clients: 2,
            nuisances: None,
            verdict: Verdict::Void,
            audit: Totals::default(),
            p99_us: 1.0,
            failure: None,
        };
        let with = |phase: PhaseFound, unrest: &[&str]| {
            let mut soak = soak(&[20, 20, 20]);
            soak.cycles[1].phases.push(phase);
            soak.cycles[1].unrest = unrest.iter().map(|what| (*what).to_owned()).collect();
            soak.judge();
            soak
        };
        assert_eq!(with(phase.clone(), &[]).verdict, Verdict::Pass);
        let mut lost = phase.clone();
        (lost.audit.expected, lost.audit.lost, lost.verdict) = (1, 1, Verdict::Fail);
        let failed = PhaseFound { failure: Some("refused".into()), ..phase.clone() };
        let rows = [
            (with(lost, &[]), "churn on rid: expected 1, delivered 0, lost 1"),
            (with(failed, &[]), "churn on rid: refused"),
            (with(phase, &["rooms 3, not 2"]), "not at rest: rooms 3, not 2"),
        ];
        for (soak, words) in rows {
            assert_eq!(soak.verdict, Verdict::Fail);
            assert!(soak.to_string().contains(words), "{soak}");
        }
    }
}
