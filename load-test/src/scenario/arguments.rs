//! The options of a scenario: read by clap from the command line and from the words of a preset, by
//! serde from a file, so that each has one name and one meaning everywhere.

use super::file::File;
use super::presets::Preset;
use super::{Connect, Group, Rate, Scenario, Sizes, Skew};
use crate::options::{duration_text, parse_duration, run_id};
use crate::protocol::Protocol;
use crate::{Failure, usage};
use clap::{Args, Parser};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use toml::Spanned;

/// What is to be done, as typed: any command that drives a target takes it in.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ScenarioArguments {
    /// A named load: `load-test list` tells them; other options win over its own
    #[arg(long, value_name = "NAME", value_parser = Preset::find)]
    preset: Option<&'static Preset>,
    /// A file of these options, in TOML, with several groups of clients if need be
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    scenario: Option<PathBuf>,
    #[command(flatten)]
    group: GroupOptions,
    #[command(flatten)]
    run: RunOptions,
}

/// One group of clients.
#[derive(Clone, Debug, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Clients and lines")]
pub(crate) struct GroupOptions {
    /// What reports call them [default: all]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How many connect [default: 1000]
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// Rooms they are spread over; 0: they stay in the lobby [default: 1]
    #[arg(long, value_name = "N")]
    rooms: Option<u32>,
    /// Whether rooms are alike, or the second has 1 / 2^S of the first, the third 1 / 3^S, ..
    /// [default: uniform]
    #[arg(long, value_name = "uniform|zipf:S")]
    room_skew: Option<Skew>,
    /// How many of them talk, in turns [default: 10, or all if there are fewer]
    #[arg(long, value_name = "N")]
    senders: Option<u32>,
    /// Lines a second of all senders together; several rates follow each other, in equal parts of
    /// the duration (10,50,200) or for their own times (10:2s,50:3s) [default: 10]
    #[arg(long, value_name = "N|N,..|N:TIME,..")]
    rate: Option<Rate>,
    /// Bytes of a line's text: one size, a range (80-400), or several (100:90%,1000:10%)
    /// [default: 100]
    #[arg(long, value_name = "BYTES|FROM-TO|..")]
    size: Option<Sizes>,
    /// Lines due at one instant, from as many senders in turn; the rate stays [default: 1]
    #[arg(long, value_name = "N")]
    burst: Option<u32>,
    /// Lines fall anywhere in their interval rather than at its start
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "true|false", hide_possible_values = true)]
    jitter: Option<bool>,
    /// Clients that leave their room each second; each comes back. Half of those who do not talk
    /// take part, in turn [default: 0]
    #[arg(long, value_name = "N")]
    churn: Option<u32>,
    /// How many, or how many of a hundred, read slowly; none of them talks, and their figures are
    /// kept apart [default: 0]
    #[arg(long, value_name = "N|PERCENT%")]
    slow: Option<Share>,
    /// Bytes a second each of them reads; 0: none at all [default: 0]
    #[arg(long, value_name = "BYTES")]
    slow_rate: Option<u32>,
}

/// What holds for all groups.
#[derive(Clone, Debug, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "The run")]
pub(crate) struct RunOptions {
    /// How long to measure: 5s, 500ms, 2m, 1h [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    #[serde(deserialize_with = "duration")]
    duration: Option<Duration>,
    /// How long to send before that, at the first rate: audited, not measured [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    #[serde(deserialize_with = "duration")]
    warmup: Option<Duration>,
    /// How long to wait after the last line for what is under way [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    #[serde(deserialize_with = "duration")]
    grace: Option<Duration>,
    /// Connects a second; 0: as fast as it can [default: 0]
    #[arg(long, value_name = "N")]
    connect_rate: Option<u32>,
    /// Connections begun and not yet welcome [default: 128]
    #[arg(long, value_name = "N")]
    connections_in_flight: Option<u32>,
    /// Until the last client is in its room [default: 120s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    #[serde(deserialize_with = "duration")]
    connect_timeout: Option<Duration>,
    /// Threads that connect and receive; one more sends [default: 1]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// What the target speaks [default: telnet]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// The same seed gives the same instants, sizes and rooms [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Connect from this address; on loopback, 10,000 clients each from it and those after it
    #[arg(long, value_name = "IP")]
    source: Option<Ipv4Addr>,
    /// One more group of clients, with the options above: name=pair,clients=2,senders=2,rate=50;
    /// may be repeated
    #[arg(long, value_name = "KEY=VALUE,..", value_parser = parse_group)]
    group: Vec<Spanned<GroupOptions>>,
}

/// All options of a scenario; the words of a preset are read as such.
#[derive(Default, Parser)]
#[command(no_binary_name = true)]
pub(super) struct Words {
    #[command(flatten)]
    group: GroupOptions,
    #[command(flatten)]
    run: RunOptions,
}

/// Some of the clients.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Share {
    Count(u32),
    Percent(u32),
}

/// The words of a `--group`.
#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct GroupWords {
    #[command(flatten)]
    group: GroupOptions,
}

impl ScenarioArguments {
    /// The scenario, not yet checked as a whole.
    pub(crate) fn scenario(&self) -> Result<Scenario, Failure> {
        let Self { preset, scenario: file, group, run } = self;
        let base = match (preset, file) {
            (Some(preset), _) => preset.words(),
            (None, Some(path)) => Words::of_file(&File::read(path)?, group)?,
            (None, None) => Words::default(),
        };
        // Steps of a rate say how long the run is, unless that was typed as well.
        let duration = run.duration.or_else(|| group.rate.as_ref()?.lasts());
        let run = RunOptions { duration, ..run.clone() };
        Ok(Words { group: group.clone().over(base.group), run: run.over(base.run) }.scenario())
    }

    /// Whether the load is named rather than typed.
    pub(crate) fn is_named(&self) -> bool {
        self.preset.is_some() || self.scenario.is_some()
    }
}

impl Words {
    /// The words of a preset, which the tests try.
    pub(super) fn parse(words: &str) -> Result<Self, String> {
        Self::try_parse_from(words.split_whitespace()).map_err(|error| first_line(&error))
    }

    /// The first of its groups is the one that typed options change; of several none can be.
    fn of_file(file: &File, typed: &GroupOptions) -> Result<Self, Failure> {
        let mut run = file.options.clone();
        for group in &run.group {
            let checked = group.get_ref().clone().group(0).check();
            checked.map_err(|why| file.failure(&group.span(), &why))?;
        }
        if run.group.len() > 1 && *typed != GroupOptions::default() {
            return Err(usage(format!(
                "{} has several groups: change their options there, or add one with --group",
                file.path.display()
            )));
        }
        let first = (!run.group.is_empty()).then(|| run.group.remove(0).into_inner());
        Ok(Self { group: first.unwrap_or_default(), run })
    }

    pub(super) fn scenario(self) -> Scenario {
        let plain = Scenario::default();
        let RunOptions { group, duration, .. } = self.run;
        let others = group.into_iter().map(Spanned::into_inner);
        let groups = std::iter::once(self.group).chain(others);
        let groups: Vec<_> = (1..).zip(groups).map(|(number, group)| group.group(number)).collect();
        let lasts = groups.iter().find_map(|group| group.rate.lasts());
        let seed = self.run.seed.unwrap_or(plain.seed);
        Scenario {
            groups,
            warmup: self.run.warmup.unwrap_or(plain.warmup),
            grace: self.run.grace.unwrap_or(plain.grace),
            duration: duration.or(lasts).unwrap_or(plain.duration),
            connect: Connect {
                rate: self.run.connect_rate.unwrap_or(plain.connect.rate),
                in_flight: self.run.connections_in_flight.unwrap_or(plain.connect.in_flight),
                timeout: self.run.connect_timeout.unwrap_or(plain.connect.timeout),
                source: self.run.source,
            },
            threads: self.run.threads.unwrap_or(plain.threads),
            protocol: self.run.protocol.unwrap_or(plain.protocol),
            seed,
            run: run_id(seed),
        }
    }
}

impl GroupOptions {
    /// These options, and those of `base` where nothing was said here.
    fn over(self, base: Self) -> Self {
        Self {
            name: self.name.or(base.name),
            clients: self.clients.or(base.clients),
            rooms: self.rooms.or(base.rooms),
            room_skew: self.room_skew.or(base.room_skew),
            senders: self.senders.or(base.senders),
            rate: self.rate.or(base.rate),
            size: self.size.or(base.size),
            burst: self.burst.or(base.burst),
            jitter: self.jitter.or(base.jitter),
            churn: self.churn.or(base.churn),
            slow: self.slow.or(base.slow),
            slow_rate: self.slow_rate.or(base.slow_rate),
        }
    }

    /// The group; without a name it is called by its number, the first one `all`.
    fn group(self, number: usize) -> Group {
        let plain = Group::default();
        let clients = self.clients.unwrap_or(plain.clients);
        let unnamed = if number > 1 { format!("group {number}") } else { plain.name };
        Group {
            name: self.name.unwrap_or(unnamed),
            clients,
            rooms: self.rooms.unwrap_or(plain.rooms),
            skew: self.room_skew.unwrap_or(plain.skew),
            senders: self.senders.unwrap_or(plain.senders.min(clients)),
            rate: self.rate.unwrap_or(plain.rate),
            size: self.size.unwrap_or(plain.size),
            burst: self.burst.unwrap_or(plain.burst),
            jitter: self.jitter.unwrap_or(plain.jitter),
            churn: self.churn.unwrap_or(plain.churn),
            slow: self.slow.map_or(plain.slow, |slow| slow.of(clients)),
            slow_rate: self.slow_rate.unwrap_or(plain.slow_rate),
        }
    }
}

impl RunOptions {
    /// These options, and those of `base` where nothing was said here; the groups of both.
    fn over(self, base: Self) -> Self {
        Self {
            duration: self.duration.or(base.duration),
            warmup: self.warmup.or(base.warmup),
            grace: self.grace.or(base.grace),
            connect_rate: self.connect_rate.or(base.connect_rate),
            connections_in_flight: self.connections_in_flight.or(base.connections_in_flight),
            connect_timeout: self.connect_timeout.or(base.connect_timeout),
            threads: self.threads.or(base.threads),
            protocol: self.protocol.or(base.protocol),
            seed: self.seed.or(base.seed),
            source: self.source.or(base.source),
            group: [base.group, self.group].concat(),
        }
    }
}

impl Scenario {
    /// The options that make this scenario, in one line.
    pub(crate) fn options(&self) -> String {
        let plain = Self::default();
        let [first, others @ ..] = &self.groups[..] else { return String::new() };
        let mut words = Vec::from_iter(group_options(first, 1));
        words.push(("warmup", duration_text(self.warmup)));
        words.push(("duration", duration_text(self.duration)));
        let unusual = |usual: bool, name, text: String| (!usual).then_some((name, text));
        words.extend(unusual(self.grace == plain.grace, "grace", duration_text(self.grace)));
        let (connect, usual) = (&self.connect, &plain.connect);
        words.extend(unusual(connect.rate == usual.rate, "connect-rate", connect.rate.to_string()));
        let in_flight = connect.in_flight.to_string();
        words.extend(unusual(
            connect.in_flight == usual.in_flight,
            "connections-in-flight",
            in_flight,
        ));
        let timeout = duration_text(connect.timeout);
        words.extend(unusual(connect.timeout == usual.timeout, "connect-timeout", timeout));
        words.extend(connect.source.map(|source| ("source", source.to_string())));
        words.extend(unusual(self.threads == plain.threads, "threads", self.threads.to_string()));
        let speaks_telnet = self.protocol == plain.protocol;
        words.extend(unusual(speaks_telnet, "protocol", self.protocol.name().into()));
        words.push(("seed", self.seed.to_string()));
        for (number, group) in (2..).zip(others) {
            let pairs = group_options(group, number);
            let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
            words.push(("group", pairs.join(",")));
        }
        let words: Vec<_> = words.iter().map(|(name, value)| format!("--{name} {value}")).collect();
        words.join(" ")
    }
}

impl Share {
    /// A share of something is at least one.
    fn of(self, clients: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                let count = (u64::from(clients) * u64::from(percent)).div_ceil(100);
                u32::try_from(count).unwrap_or(clients)
            }
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%');
        let number = percent.unwrap_or(text).parse();
        let number =
            number.map_err(|_| format!("{text:?} is neither a number nor a percentage"))?;
        match percent {
            Some(_) if number > 100 => Err(format!("{text} are more than all")),
            Some(_) => Ok(Self::Percent(number)),
            None => Ok(Self::Count(number)),
        }
    }
}

/// What makes the group: what a reader looks for, and what is not as usual.
fn group_options(group: &Group, number: usize) -> impl Iterator<Item = (&'static str, String)> {
    let plain = GroupOptions::default().group(number);
    let talks = group.senders > 0;
    [
        ("name", group.name != plain.name, group.name.clone()),
        ("clients", true, group.clients.to_string()),
        ("rooms", true, group.rooms.to_string()),
        ("room-skew", group.skew != plain.skew, group.skew.to_string()),
        ("senders", true, group.senders.to_string()),
        ("rate", talks, group.rate.to_string()),
        ("size", talks, group.size.to_string()),
        ("burst", group.burst != plain.burst, group.burst.to_string()),
        ("jitter", group.jitter != plain.jitter, group.jitter.to_string()),
        ("churn", group.churn != plain.churn, group.churn.to_string()),
        ("slow", group.slow != plain.slow, group.slow.to_string()),
        ("slow-rate", group.slow_rate != plain.slow_rate, group.slow_rate.to_string()),
    ]
    .into_iter()
    .filter(|(_, said, _)| *said)
    .map(|(name, _, value)| (name, value))
}

/// `KEY=VALUE,..`; a part without `=` belongs to the value before it, as in `rate=10,50`.
fn parse_group(text: &str) -> Result<Spanned<GroupOptions>, String> {
    let mut words: Vec<String> = Vec::new();
    for part in text.split(',') {
        match words.last_mut() {
            Some(value) if !part.contains('=') => *value += &format!(",{part}"),
            _ => words.push(format!("--{part}")),
        }
    }
    let group = GroupWords::try_parse_from(words).map_err(|error| first_line(&error))?.group;
    Ok(Spanned::new(0..0, group))
}

/// What clap says, without its frame.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Reads from a file what is a word on the command line: a string, or a number.
fn from_word<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    struct Word<T>(PhantomData<T>);

    impl<T: FromStr<Err = String>> de::Visitor<'_> for Word<T> {
        type Value = T;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a string or a whole number")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }

    from.deserialize_any(Word(PhantomData))
}

macro_rules! deserialize_from_word {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from_word(from)
            }
        }
    )*};
}
deserialize_from_word!(Rate, Sizes, Skew, Share);

macro_rules! serialize_as_word {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
    )*};
}
serialize_as_word!(Rate, Sizes, Skew);

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    parse_duration(&text).map(Some).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Typed {
        #[command(flatten)]
        scenario: ScenarioArguments,
    }

    fn typed(words: &str) -> Result<Scenario, String> {
        let typed = Typed::try_parse_from(words.split_whitespace());
        let typed = typed.map_err(|error| first_line(&error))?;
        typed.scenario.scenario().map_err(|failure| failure.to_string())
    }

    fn options(words: &str) -> String {
        typed(words).expect(words).options()
    }

    /// Reads the text as a file named `x.toml`, with what was typed beside it.
    fn file(text: &str, words: &str) -> Result<Scenario, String> {
        let name = format!("load-test-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name).display().to_string();
        std::fs::write(&path, text).expect("a writable directory");
        let scenario = typed(&format!("--scenario {path} {words}"));
        std::fs::remove_file(&path).expect("it was written");
        scenario.map_err(|why| why.replace(&path, "x.toml"))
    }

    #[test]
    fn a_scenario_tells_the_options_that_make_it() {
        let rows = [
            "--clients 1000 --rooms 1 --senders 10 --rate 10 --size 100 --warmup 1s --duration 5s \
             --seed 1",
            "--name crowd --clients 20 --rooms 4 --room-skew zipf:1.5 --senders 5 \
             --rate 10:1s,20:1500ms --size 80-90:50%,100:50% --burst 3 --jitter true --churn 5 \
             --slow 4 --slow-rate 100 --warmup 0s \
             --duration 2500ms --grace 1s --connect-rate 7 --connections-in-flight 9 \
             --connect-timeout 1s \
             --source 127.0.0.9 --threads 2 --protocol nats --seed 5 \
             --group name=pair,clients=2,rooms=1,senders=2,rate=5,6,size=100 \
             --group clients=9,rooms=0,senders=0",
        ];
        for row in rows {
            let row = row.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(options(&row.replace("--jitter true", "--jitter")), row);
        }
        let (one, other) = (typed("").expect("no options"), Scenario::default());
        assert_eq!(one.groups, other.groups);
        assert_eq!(options(""), other.options());
    }

    #[test]
    fn typed_options_win_over_a_named_load() {
        let pair = options("--preset quiet-pair --clients 50 --duration 2s --seed 9");
        assert_eq!(
            pair,
            "--name flood --clients 50 --rooms 0 --senders 1 --rate 10 --size 100 --warmup 1s \
             --duration 2s --seed 9 \
             --group name=pair,clients=2,rooms=1,senders=2,rate=50,size=100,jitter=true"
        );
        // Steps of a rate say how long it takes.
        let steps = typed("--preset connect-storm --senders 1 --rate 1:2s,2:2s").expect("right");
        assert_eq!(steps.duration, Duration::from_secs(4));
        let both = typed("--rate 1:2s,2:2s --duration 5s").expect("read").check();
        assert!(both.is_err(), "they do not agree");
        assert_eq!(typed("--clients 3").expect("right").groups[0].senders, 3, "all there are");
        assert_eq!(typed("--clients 3 --senders 4").expect("read").groups[0].senders, 4);
        let slow = |words| typed(words).expect(words).groups[0].slow;
        assert_eq!(slow("--clients 50 --slow 1%"), 1, "no share is nobody");
        assert_eq!(slow("--clients 50 --slow 10%"), 5);
        assert_eq!(slow("--clients 50 --slow 7"), 7);
    }

    #[test]
    fn what_is_wrong_is_told_in_a_line() {
        let rows = [
            ("--preset x", "there is no such preset; load-test list names them"),
            ("--preset room --scenario x", "cannot be used with"),
            ("--scenario /nowhere/x.toml", "/nowhere/x.toml: No such file or directory"),
            ("--group name=x,people=3", "unexpected argument '--people' found"),
            ("--group clients=x", "invalid value 'x' for '--clients <N>'"),
            ("--group duration=5s", "unexpected argument '--duration' found"),
            ("--rate 10:2s,5", "either all steps say how long they last, or none"),
            ("--size 100:90%", "the shares make 90 %, not 100"),
            ("--room-skew zipf", "is neither uniform nor zipf:S"),
            ("--slow 101%", "101% are more than all"),
            ("--slow x%", "is neither a number nor a percentage"),
            ("--duration 5", "the unit is ms, s, m or h"),
            ("--clients -1", "unexpected argument '-1' found"),
        ];
        for (words, told) in rows {
            let why = typed(words).expect_err(words);
            assert!(why.contains(told), "{words}: {why}");
            assert!(!why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn a_file_has_the_same_options() {
        let one = "duration = '2s'\n[[group]]\nclients = 7\nrate = '1:1s,2:1s'\nsize = 90\n";
        let expected = "--clients 7 --rooms 1 --senders 7 --rate 1:1s,2:1s --size 90 --warmup 1s \
            --duration 2s --seed 1";
        assert_eq!(file(one, "").expect("right").options(), expected);
        let changed = file(one, "--clients 5 --rate 3 --seed 2 --group clients=2").expect("right");
        assert_eq!(
            changed.options(),
            "--clients 5 --rooms 1 --senders 5 --rate 3 --size 90 --warmup 1s --duration 2s \
             --seed 2 --group clients=2,rooms=1,senders=2,rate=10,size=100"
        );
        assert_eq!(file("", "").expect("right").options(), options(""));
        let two = "[[group]]\nname = 'a'\n[[group]]\nname = 'b'\n";
        assert_eq!(file(two, "--warmup 2s").expect("right").groups[1].name, "b");
        let why = file(two, "--clients 2").expect_err("which?");
        assert!(why.starts_with("x.toml has several groups: "), "{why}");
    }

    #[test]
    fn a_wrong_file_is_told_by_its_place() {
        let rows = [
            ("rate = 10", "x.toml:1:1: `rate` is of a group of clients: put it below a line [[g"),
            ("[[group]]\nseed = 1", "x.toml:2:1: `seed` is of the whole run: put it above the fi"),
            ("rates = 10", "x.toml:1:1: unknown field `rates`, expected one of `duration`, "),
            ("[[group]]\nclient = 1", "x.toml:2:1: unknown field `client`, expected one of "),
            ("seed = -1", "x.toml:1:8: invalid value: integer `-1`, expected u64"),
            ("duration = 5", "x.toml:1:12: invalid type: integer `5`, expected a string"),
            ("\nwarmup = '5d'", "x.toml:2:10: the unit is ms, s, m or h"),
            ("[[group]]\nsize = '9-5'", "x.toml:2:8: \"9-5\" has the larger size first"),
            ("[[group]]\nrate = true", "x.toml:2:8: invalid type: boolean `true`, expected a str"),
            ("[[group]]\nsize = 20", "x.toml:1:1: --size 20: a line has 68 "),
            ("[[group]]\n\n[[group]]\nrooms = 2000", "x.toml:3:1: 2000 rooms for 1000 clients: "),
            ("group = 5", "x.toml:1:9: invalid type: integer `5`, expected a sequence"),
            ("x", "x.toml:1:2: "),
        ];
        for (text, told) in rows {
            let why = file(text, "").expect_err(text);
            assert!(why.starts_with(told), "{text}: {why}");
            assert!(!why.contains('\n'), "{why}");
        }
    }

    #[test]
    fn the_example_is_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files = std::fs::read_dir(folder).expect("examples");
        for path in files.map(|file| file.expect("an example").path()) {
            let scenario = typed(&format!("--scenario {}", path.display())).expect("it is read");
            scenario.check().unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            assert!(scenario.groups.len() > 1, "several groups are what a file is for");
        }
    }

    #[test]
    fn the_defaults_told_are_those_taken() {
        let help = <Typed as clap::CommandFactory>::command().render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let scenario = Scenario::default();
        let told = [
            ("clients", scenario.groups[0].clients.to_string()),
            ("rooms", scenario.groups[0].rooms.to_string()),
            ("room-skew", scenario.groups[0].skew.to_string()),
            ("senders", format!("{}, or all if there are fewer", scenario.groups[0].senders)),
            ("rate", scenario.groups[0].rate.to_string()),
            ("size", scenario.groups[0].size.to_string()),
            ("burst", scenario.groups[0].burst.to_string()),
            ("churn", scenario.groups[0].churn.to_string()),
            ("slow", scenario.groups[0].slow.to_string()),
            ("slow-rate", scenario.groups[0].slow_rate.to_string()),
            ("duration", duration_text(scenario.duration)),
            ("grace", duration_text(scenario.grace)),
            ("warmup", duration_text(scenario.warmup)),
            ("connect-rate", scenario.connect.rate.to_string()),
            ("connections-in-flight", scenario.connect.in_flight.to_string()),
            ("connect-timeout", duration_text(scenario.connect.timeout)),
            ("threads", scenario.threads.to_string()),
            ("seed", scenario.seed.to_string()),
        ];
        for (name, default) in told {
            let (_, after) = help.split_once(&format!("--{name} <")).expect(name);
            let (_, told) = after.split_once("[default: ").expect(name);
            assert!(told.starts_with(&format!("{default}]")), "{name}: {told}");
        }
    }
}
