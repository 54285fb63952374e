//! What a person sees while a run lasts: a bar on a terminal, otherwise a line a second at most.
//! All of it goes to standard error.

use crate::limits::PROGRESS_INTERVAL;
use crate::report::Percentiles;
use crate::summary::{count, time};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Instant;

/// How to tell.
pub struct Progress(Kind);

enum Kind {
    Silent,
    /// When the last line was written.
    Lines(Mutex<Option<Instant>>),
    Bar(ProgressBar),
}

impl Progress {
    /// Nothing at all.
    pub fn silent() -> Self {
        Self(Kind::Silent)
    }

    /// As suits the standard error.
    pub fn shown() -> Self {
        if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{wide_msg} [{bar:30}]");
            let style = style.expect("the template is right").progress_chars("=> ");
            Self(Kind::Bar(ProgressBar::new(0).with_style(style)))
        } else {
            Self(Kind::Lines(Mutex::new(None)))
        }
    }

    pub(crate) fn connecting(&self, connected: u64, clients: u64) {
        let what = || format!("connecting {} of {}", count(connected), count(clients));
        self.tell(connected, clients, connected == clients, what);
    }

    pub(crate) fn warming_up(&self) {
        self.tell(0, 1, false, || "warming up".into());
    }

    /// `second` of `seconds` are over; `arrived` is what is known of the last complete one.
    pub(crate) fn measuring(&self, second: u64, seconds: u64, arrived: Option<Percentiles>) {
        self.tell(second, seconds, true, || measured(second, seconds, arrived));
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Kind::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }

    /// `now`: even if the last line is not a second old.
    fn tell(&self, position: u64, len: u64, now: bool, what: impl FnOnce() -> String) {
        match &self.0 {
            Kind::Silent => {}
            Kind::Bar(bar) => {
                bar.set_length(len);
                bar.set_position(position.min(len));
                bar.set_message(what());
            }
            Kind::Lines(last) => {
                let mut last = last.lock().expect("nothing panics with it held");
                if now || last.is_none_or(|last| last.elapsed() >= PROGRESS_INTERVAL) {
                    *last = Some(Instant::now());
                    // Who closed standard error does not want to know.
                    let _closed = writeln!(std::io::stderr(), "{}", what());
                }
            }
        }
    }
}

fn measured(second: u64, seconds: u64, arrived: Option<Percentiles>) -> String {
    let arrived = arrived.filter(|arrived| arrived.count > 0);
    let arrived = arrived.map_or_else(String::new, |arrived| {
        format!(", {} deliveries/s, p99 {}", count(arrived.count), time(arrived.p99))
    });
    let waiting = if second > seconds { ", waiting for the last lines" } else { "" };
    format!("{} of {seconds} s{arrived}{waiting}", second.min(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let of = |count| Some(Percentiles { p99: 15_200.0, count, ..Percentiles::default() });
        let rows = [
            (1, None, "1 of 5 s"),
            (2, of(9990), "2 of 5 s, 9,990 deliveries/s, p99 15.2 ms"),
            (3, of(0), "3 of 5 s"),
            (6, None, "5 of 5 s, waiting for the last lines"),
        ];
        for (second, arrived, text) in rows {
            assert_eq!(measured(second, 5, arrived), text);
        }
    }

    #[test]
    fn lines_are_a_second_apart() {
        let progress = Progress(Kind::Lines(Mutex::new(None)));
        let mut told = 0;
        for connected in 0..5 {
            progress.tell(connected, 9, false, || {
                told += 1;
                String::new()
            });
        }
        assert_eq!(told, 1);
    }
}
