//! The most clients, or the highest rate, with which a server holds what is asked of it. Each step
//! is a run of its own, by default on a server of its own.
//!
//! A step that is void says nothing of the server: it is run once more, and if it is void again,
//! that is where the generator ends, and is told so. A step that went wrong, where fewer went well,
//! did not hold.

mod search;

use crate::limits::{CLIENTS_MAX, FIND_MAX_RATE};
use crate::options::{check_writable, say, write_json};
use crate::outcome::command;
use crate::report::{Report, Verdict};
use crate::scenario::{Scenario, ScenarioArguments};
use crate::slo::{HELP, Slo, shown};
use crate::summary::{count, time};
use crate::target::TargetArguments;
use crate::{Failure, run, usage};
use clap::{Args, ValueEnum};
use search::Search;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The schema of its JSON.
const SCHEMA: &str = "load-test/find-max/1";

/// What to find, and how exactly.
#[derive(Debug, Args)]
pub(crate) struct FindMaxArguments {
    /// What to raise; the first step is the scenario as it is
    #[arg(long, value_enum, value_name = "WHAT")]
    by: By,
    #[arg(long, required = true, value_name = "NAME=MOST,..", value_delimiter = ',')]
    #[arg(value_parser = Slo::parse, help = "What each step has to hold", long_help = HELP)]
    slo: Vec<Slo>,
    /// Try no more than this [default: 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    most: Option<u32>,
    /// How far what holds may be below what does not
    #[arg(long, default_value = "5%", value_name = "PERCENT", value_parser = parse_precision)]
    precision: f64,
    /// Write all steps there too, with their reports; -: only that, on standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    scenario: ScenarioArguments,
    #[command(flatten)]
    target: TargetArguments,
}

/// What is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum By {
    /// Clients of the first group
    Clients,
    /// Lines a second of the first group
    Rate,
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Found {
    schema: &'static str,
    command: String,
    by: By,
    /// The most that held; none if nothing did.
    most: Option<u32>,
    /// The least that did not.
    broke: Option<u32>,
    /// What kept it from being more.
    limit: Limit,
    precision: f64,
    steps: Vec<Step>,
}

/// Where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Limit {
    /// The server did not hold what was asked.
    Server,
    /// The generator, or its machine, cannot do more.
    Generator,
    /// More is not possible as it was started: with so few descriptors, for example.
    Setup,
    /// `--most`, or the number of steps.
    Search,
}

/// One number that was tried.
#[derive(Debug, Serialize)]
struct Step {
    number: u32,
    outcome: Outcome,
    /// Why it did not hold, in words.
    why: Vec<String>,
    /// None if it went wrong.
    report: Option<Report>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Held,
    Broke,
    /// The generator was the bottleneck, or could not even begin.
    Void,
}

/// Finds it. Passes if anything held.
pub(crate) fn execute(arguments: &FindMaxArguments) -> Result<Verdict, Failure> {
    let json_only = arguments.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = arguments.json.as_deref().filter(|_| !json_only) {
        check_writable(path)?;
    }
    let told = |text: String| if json_only { Ok(()) } else { say(&text) };
    let mut search = arguments.search()?;
    told(format!("load-test {}", arguments.scenario.scenario()?.options()))?;
    told(Step::head(arguments.by))?;
    let mut steps: Vec<Step> = Vec::new();
    while let Some(number) = search.next() {
        let step = arguments.step(number, steps.is_empty())?;
        told(step.row())?;
        search.take(number, step.outcome == Outcome::Held);
        steps.push(step);
    }
    let found = Found::new(arguments.by, arguments.precision, &search, steps);
    told(found.conclusion())?;
    arguments.json.as_deref().map_or(Ok(()), |path| write_json(path, &found))?;
    Ok(found.verdict())
}

/// `5%` or `5`, as a share.
fn parse_precision(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let number = number.ok().filter(|number| (0.0..=100.0).contains(number));
    number.map(|number| number / 100.0).ok_or_else(|| "expected 0% to 100%".into())
}

impl FindMaxArguments {
    fn search(&self) -> Result<Search, Failure> {
        let scenario = self.scenario.scenario()?;
        scenario.check()?;
        let first = &scenario.groups[0];
        let (start, most) = match self.by {
            By::Clients => (first.clients, CLIENTS_MAX),
            By::Rate => {
                let rate = first.rate.fixed().ok_or_else(|| {
                    usage("--by rate raises one --rate; one in steps cannot be raised".into())
                })?;
                if first.senders == 0 {
                    return Err(usage("--by rate needs --senders".into()));
                }
                (rate, FIND_MAX_RATE)
            }
        };
        Ok(Search::new(start, self.most.unwrap_or(most).min(most), self.precision))
    }

    fn scenario_with(&self, number: u32) -> Result<Scenario, Failure> {
        let mut scenario = self.scenario.scenario()?;
        let first = &mut scenario.groups[0];
        match self.by {
            By::Clients => {
                first.clients = number;
                first.senders = first.senders.min(number);
                first.rooms = first.rooms.min(number);
            }
            By::Rate => first.rate = number.into(),
        }
        Ok(scenario)
    }

    /// One number, twice if it is void. What goes wrong in the first step is most likely not for
    /// the number.
    fn step(&self, number: u32, is_first: bool) -> Result<Step, Failure> {
        let mut step = self.try_once(number, is_first)?;
        if step.report.as_ref().is_some_and(|report| report.verdict == Verdict::Void) {
            step = self.try_once(number, is_first)?;
        }
        Ok(step)
    }

    fn try_once(&self, number: u32, is_first: bool) -> Result<Step, Failure> {
        match self.run(number) {
            Ok(report) => Ok(Step::new(number, report)),
            Err(failure) if is_first => Err(failure),
            Err(Failure::Usage(why)) => Ok(Step::without(number, Outcome::Void, why)),
            Err(Failure::Run(why)) => Ok(match self.lack(number)? {
                Some(lack) => Step::without(number, Outcome::Void, format!("{lack}; {why}")),
                None => Step::without(number, Outcome::Broke, why),
            }),
        }
    }

    /// Why chatd could not take the clients of this step, if it is that.
    fn lack(&self, number: u32) -> Result<Option<Failure>, Failure> {
        let lack = self.target.lack(self.scenario_with(number)?.client_count());
        Ok(lack.filter(|_| self.by == By::Clients))
    }

    fn run(&self, number: u32) -> Result<Report, Failure> {
        let scenario = self.scenario_with(number)?;
        scenario.check()?;
        self.target.check(scenario.client_count())?;
        let target = self.target.open(scenario.protocol)?;
        let mut report = run(scenario, target.addr, target.watch.as_ref())?;
        report.hold(&self.slo);
        target.close()?;
        Ok(report)
    }
}

impl Step {
    fn new(number: u32, report: Report) -> Self {
        let outcome = match report.verdict {
            Verdict::Pass => Outcome::Held,
            Verdict::Fail | Verdict::Slo => Outcome::Broke,
            Verdict::Void => Outcome::Void,
        };
        Self { number, outcome, why: whys(&report), report: Some(report) }
    }

    fn without(number: u32, outcome: Outcome, why: String) -> Self {
        Self { number, outcome, why: vec![why], report: None }
    }

    fn head(by: By) -> String {
        let by = match by {
            By::Clients => "clients",
            By::Rate => "lines/s",
        };
        format!("{by:>10}{:>12}{:>12}{:>12}{:>12}", "p50", "p99", "last p99", "CPU")
    }

    fn row(&self) -> String {
        let cells = self.report.as_ref().map_or_else(Default::default, |report| {
            let cpu = report.server.as_ref().and_then(|server| server.cpu_us_per_delivery);
            [
                time(report.latency_us.p50),
                time(report.latency_us.p99),
                time(report.broadcast_us.last.p99),
                cpu.map_or_else(String::new, |cpu_us| format!("{cpu_us:.2} us")),
            ]
        });
        let cells: String = cells.iter().map(|cell| format!("{cell:>12}")).collect();
        let outcome = match self.outcome {
            Outcome::Held => "held",
            Outcome::Broke => "BROKE",
            Outcome::Void => "VOID",
        };
        let row = format!("{:>10}{cells}  {outcome:6}{}", count(self.number), self.why.join("; "));
        row.trim_end().to_owned()
    }
}

/// Why a step did not hold.
fn whys(report: &Report) -> Vec<String> {
    let mut whys = report.void_reasons.clone();
    let audit = &report.audit;
    let faults = [
        ("lost", audit.lost),
        ("duplicated", audit.duplicated),
        ("reordered", audit.reordered),
        ("corrupted", audit.corrupted),
        ("foreign", audit.foreign),
        ("clients closed", audit.closed),
    ];
    let found = faults.into_iter().filter(|(_, number)| *number > 0);
    whys.extend(found.map(|(name, number)| format!("{name} {}", count(number))));
    for row in report.slo.iter().filter(|row| !row.held) {
        let was = row.value.map_or_else(|| "not measured".into(), |was| shown(&row.name, was));
        whys.push(format!("{} {was}, at most {}", row.name, shown(&row.name, row.limit)));
    }
    whys
}

impl Found {
    fn new(by: By, precision: f64, search: &Search, steps: Vec<Step>) -> Self {
        let at_broke = steps.iter().rev().find(|step| Some(step.number) == search.broke);
        let is_near = |(held, broke)| search.is_near(held, broke);
        let limit = match at_broke.map(|step| (step.outcome, &step.report)) {
            _ if !search.held.zip(search.broke).is_none_or(is_near) => Limit::Search,
            Some((Outcome::Void, None)) => Limit::Setup,
            Some((Outcome::Void, Some(_))) => Limit::Generator,
            Some((Outcome::Broke | Outcome::Held, _)) => Limit::Server,
            None => Limit::Search,
        };
        Self {
            schema: SCHEMA,
            command: command(),
            by,
            most: search.held,
            broke: search.broke,
            limit,
            precision,
            steps,
        }
    }

    fn verdict(&self) -> Verdict {
        match (self.most, self.limit) {
            (Some(_), _) => Verdict::Pass,
            (None, Limit::Generator | Limit::Setup) => Verdict::Void,
            (None, Limit::Server | Limit::Search) => Verdict::Slo,
        }
    }

    fn conclusion(&self) -> String {
        let unit = match self.by {
            By::Clients => "clients",
            By::Rate => "lines/s",
        };
        let broke = self.broke.map_or_else(String::new, count);
        let Some(most) = self.most else {
            return match self.limit {
                Limit::Generator | Limit::Setup => {
                    "\nNothing can be told: no step could be measured".to_owned()
                }
                Limit::Server | Limit::Search => format!("\nNot even {broke} {unit} held"),
            };
        };
        let most = count(most);
        match self.limit {
            Limit::Server => format!("\n{most} {unit} held, {broke} did not"),
            Limit::Generator => format!(
                "\nAt least {most} {unit} held. {broke} are more than the generator can do here: \
                 the limit is its own, not the server's"
            ),
            Limit::Setup => {
                let refused = self.steps.iter().rev().find(|step| Some(step.number) == self.broke);
                let why = refused.map_or_else(String::new, |step| step.why.join("; "));
                format!(
                    "\nAt least {most} {unit} held. {broke} are not possible as this was started, \
                     whatever the server can do: {why}"
                )
            }
            Limit::Search => format!("\nAt least {most} {unit} held; no more was tried"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SloRow;

    fn step(number: u32, verdict: Verdict) -> Step {
        Step::new(number, Report { verdict, ..Report::default() })
    }

    /// What is concluded where each number up to `limit` holds and the others end as `beyond`.
    fn found(limit: u32, beyond: impl Fn(u32) -> Step, most: u32) -> Found {
        let mut search = Search::new(100, most, 0.05);
        let mut steps = Vec::new();
        while let Some(number) = search.next() {
            let holds = number <= limit;
            let step = if holds { step(number, Verdict::Pass) } else { beyond(number) };
            search.take(number, step.outcome == Outcome::Held);
            steps.push(step);
        }
        Found::new(By::Clients, 0.05, &search, steps)
    }

    #[test]
    fn the_server_s_limit_is_told_from_the_generator_s() {
        let slow = |number| step(number, Verdict::Slo);
        let faulty = |number| step(number, Verdict::Fail);
        let void = |number| step(number, Verdict::Void);
        let refused = |number| Step::without(number, Outcome::Void, "no descriptors".into());
        let rows: [(Found, Limit, Verdict, &str); 8] = [
            (found(300, slow, 5000), Limit::Server, Verdict::Pass, "300 clients held, 312 did not"),
            (found(300, faulty, 5000), Limit::Server, Verdict::Pass, "312 did not"),
            (found(300, void, 5000), Limit::Generator, Verdict::Pass, "not the server's"),
            (found(300, refused, 5000), Limit::Setup, Verdict::Pass, "can do: no descriptors"),
            (found(0, refused, 5000), Limit::Setup, Verdict::Void, "Nothing can be told"),
            (found(9999, slow, 400), Limit::Search, Verdict::Pass, "400 clients held; no more"),
            (found(0, slow, 5000), Limit::Server, Verdict::Slo, "Not even 1 clients held"),
            (found(0, void, 5000), Limit::Generator, Verdict::Void, "Nothing can be told"),
        ];
        for (found, limit, verdict, words) in rows {
            let conclusion = found.conclusion();
            assert_eq!((found.limit, found.verdict()), (limit, verdict), "{conclusion}");
            assert!(conclusion.contains(words), "{conclusion}");
        }
    }

    #[test]
    fn a_step_says_why_it_did_not_hold() {
        let mut report = Report { verdict: Verdict::Fail, ..Report::default() };
        report.audit.lost = 1234;
        report.slo.push(SloRow { name: "p99".into(), limit: 5e4, value: Some(8e4), held: false });
        let row = Step::new(2000, report).row();
        assert!(row.contains("2,000") && row.contains("BROKE"), "{row}");
        assert!(row.contains("lost 1,234; p99 80.0 ms, at most 50.0 ms"), "{row}");
    }

    #[test]
    fn precision_is_a_percentage() {
        let rows = [("5%", Some(0.05)), ("0", Some(0.0)), ("-1%", None), ("x", None), ("", None)];
        for (text, share) in rows {
            assert_eq!(parse_precision(text).ok(), share, "{text}");
        }
    }
}
