//! Named loads: what a chat operator asks first.

use super::arguments::Words;
use std::fmt::Write;

/// A load with a name.
#[derive(Debug)]
pub(crate) struct Preset {
    name: &'static str,
    about: &'static str,
    /// The options it stands for.
    words: &'static str,
}

const PRESETS: &[Preset] = &[
    Preset {
        name: "room",
        about: "1,000 people in one room, ten of whom talk: what no option does",
        words: "--clients 1000 --rooms 1 --senders 10 --rate 10",
    },
    Preset {
        name: "lobby",
        about: "the same in the lobby, where everyone starts",
        words: "--clients 1000 --rooms 0 --senders 10 --rate 10",
    },
    Preset {
        name: "big-room",
        about: "10,000 people in one room hear 10 lines a second: how long until the last has it",
        words: "--clients 10000 --rooms 1 --senders 1 --rate 10",
    },
    Preset {
        name: "many-rooms",
        about: "5,000 people in 500 rooms alike, one talker in each",
        words: "--clients 5000 --rooms 500 --senders 500 --rate 500",
    },
    Preset {
        name: "town",
        about: "5,000 people in 500 rooms as towns have them: few large, many small (Zipf), \
                short lines and long ones",
        words: "--clients 5000 --rooms 500 --room-skew zipf:1.1 --senders 500 --rate 200 \
                --size 80-200:90%,200-1000:10%",
    },
    Preset {
        name: "flood",
        about: "1,000 people in one room, 1,000 lines a second: a million deliveries a second",
        words: "--clients 1000 --rooms 1 --senders 10 --rate 1000",
    },
    Preset {
        name: "steps",
        about: "1,000 people in one room, ever more lines: where latency begins to grow",
        words: "--clients 1000 --rooms 1 --senders 10 --rate 10:2s,50:2s,100:2s,200:2s,400:2s",
    },
    Preset {
        name: "bursts",
        about: "50 lines at one instant, once a second: pastes, and people who all answer at once",
        words: "--clients 1000 --rooms 1 --senders 50 --rate 50 --burst 50",
    },
    Preset {
        name: "quiet-pair",
        about: "two people talk in a room of their own while 10,000 in the lobby hear a flood",
        words: "--name flood --clients 10000 --rooms 0 --senders 1 --rate 10 \
                --group name=pair,clients=2,rooms=1,senders=2,rate=50,jitter=true",
    },
    Preset {
        name: "churn",
        about: "1,000 people in 20 rooms, of whom 100 a second leave and come back",
        words: "--clients 1000 --rooms 20 --senders 40 --rate 200 --churn 100",
    },
    Preset {
        name: "slow-readers",
        about: "one in a hundred does not read at all: do the others notice",
        words: "--clients 1000 --rooms 1 --senders 10 --rate 50 --size 500 --slow 1% \
                --duration 15s",
    },
    Preset {
        name: "connect-storm",
        about: "10,000 connect as fast as they can, as after a restart; nobody talks",
        words: "--clients 10000 --rooms 0 --senders 0 --warmup 0s --duration 1s",
    },
    Preset {
        name: "idle",
        about: "10,000 people who say nothing: what the server uses for them",
        words: "--clients 10000 --rooms 0 --senders 0 --warmup 0s --duration 10s",
    },
    Preset {
        name: "capacity",
        about: "19,000 clients, as many as a limit of 20,000 open files allows; each hears 2 lines/s",
        words: "--clients 19000 --rooms 0 --senders 2 --rate 2",
    },
];

impl Preset {
    /// As an option names it.
    pub(super) fn find(name: &str) -> Result<&'static Self, String> {
        let found = PRESETS.iter().find(|preset| preset.name == name);
        found.ok_or_else(|| "there is no such preset; load-test list names them".into())
    }

    pub(super) fn words(&self) -> Words {
        Words::parse(self.words).expect("the tests parse each of them")
    }
}

/// The presets, for people.
pub(crate) fn list() -> String {
    let mut out = String::new();
    for Preset { name, about, words } in PRESETS {
        // Writing to a string cannot fail.
        let _infallible = write!(out, "{name}\n    {about}\n    {words}\n");
    }
    out + "\nload-test --preset NAME runs one; other options win over its own."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::arguments::ScenarioArguments;

    #[test]
    fn all_are_right_and_one_is_what_no_option_does() {
        for (index, preset) in PRESETS.iter().enumerate() {
            let words = Words::parse(preset.words).map_err(|why| format!("{}: {why}", preset.name));
            let scenario = words.expect("it parses").scenario();
            scenario.check().unwrap_or_else(|why| panic!("{}: {why}", preset.name));
            assert!(Preset::find(preset.name).is_ok());
            assert!(PRESETS[..index].iter().all(|other| other.name != preset.name));
            assert!(list().contains(preset.about));
        }
        let plain = ScenarioArguments::default().scenario().expect("no options");
        let first = Preset::find("room").expect("listed").words().scenario();
        assert_eq!(first.options(), plain.options());
    }
}
