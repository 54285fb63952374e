//! Whether a run's figures are the server's. A generator that is late, or has no core to run on,
//! makes a server look slow; such a run is void. The rules, each with its number in `limits.rs`:
//!
//! - **Lines left late.** Latency counts from the instant a line was due, so the lateness of the
//!   sender is in it, whoever's fault. It is never the server's: a send does not wait, and what the
//!   kernel does not take counts as sent. So it is measured exactly, and what decides is its share
//!   of the latency that is reported, at the median and at p99: the lag there, but no more than
//!   the latency shrinks to when it is counted from the write, since it may be that few late lines
//!   had few receivers. Compared with the interval between two lines lateness says little: at 1,000
//!   lines/s a line that is 2 ms late is later than two intervals, and still a small part of a
//!   latency of 15 ms. Below `LAG_FLOOR_US` it is that of any wake-up on a machine that does
//!   something else, too.
//! - **A receiving thread was occupied.** One that runs, or could run and has no core, all the time
//!   reads lines later than they arrive, and latency counts to the read. Running and waiting are
//!   added up: how busy it can be depends on what else wants its core. The sender is left out, its
//!   lateness being known line by line.
//! - **The machine woke threads up late.** A receiving thread that is rarely occupied may still be
//!   held up at the wrong times by others; a thread that does nothing but wake up shows it. It
//!   shares the cores with the receiving threads, whose own work it may have to wait for, so this
//!   needs more than the first rule does.
//! - **Connecting.** Where each connection has its instant, late ones are another load than the one
//!   asked for; they count like late wake-ups. And a receiving thread that was occupied while it
//!   connected read welcomes and answers late. Where it is to connect as fast as it can it is meant
//!   to be occupied, so that is looked at only with a rate, or where these times are bounded.
//!
//! A run with faults is no less faulty for it: its verdict is `fail`. There is one exception. A
//! server closes clients that do not read, and they do not if the thread that reads for them is
//! occupied. So if that is all that is wrong, some clients closed and what they missed after the
//! last line that they got, and the second rule holds, the run is void. If all clients were closed,
//! it is the server that left, and it has failed.

use crate::limits::{
    JITTER_FLOOR_US, JITTER_SHARE_MAX, LAG_FLOOR_US, LAG_SHARE_MAX, RECEIVER_OCCUPIED_MAX,
};
use crate::report::{Report, SloRow, ThreadReport, Verdict};
use crate::slo::Slo;
use std::fmt::{Display, Formatter};
use std::process::ExitCode;

/// The names of receiving threads begin with it.
pub(crate) const RECEIVER_NAME: &str = "receive";

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(match verdict {
            Verdict::Pass => 0,
            Verdict::Fail => 1,
            Verdict::Void => 98,
            Verdict::Slo => 99,
        })
    }
}

impl Display for Verdict {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Void => "VOID",
            Self::Slo => "SLO BREACH",
        })
    }
}

impl Report {
    /// Adds what the run had to hold, and judges it again.
    pub fn hold(&mut self, slos: &[Slo]) {
        let rows: Vec<_> = slos.iter().map(|slo| slo.row(self)).collect();
        self.slo = rows;
        self.judge();
    }

    /// Judges the run by what it found and what was asked of it.
    pub(crate) fn judge(&mut self) {
        self.void_reasons = void_reasons(self);
        let starved = self.audit.only_closed()
            && self.audit.closed < u64::from(self.clients)
            && self.generator.threads.iter().any(is_occupied);
        if starved {
            self.void_reasons.push(format!(
                "clients closed by the server: {}; that they did not read may be the generator's \
                 fault",
                self.audit.closed
            ));
        }
        self.verdict = if self.audit.any_fault() && !starved {
            Verdict::Fail
        } else if !self.void_reasons.is_empty() {
            Verdict::Void
        } else if self.slo.iter().any(|row| !row.held) {
            Verdict::Slo
        } else {
            Verdict::Pass
        };
    }
}

fn void_reasons(report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    let (latency, lag) = (&report.latency_us, &report.schedule_lag_us);
    let written = &report.latency_uncorrected_us;
    for (name, lag_us, latency_us, from_write_us) in
        [("median", lag.p50, latency.p50, written.p50), ("p99", lag.p99, latency.p99, written.p99)]
    {
        // A line may also have waited for a socket that the server did not empty.
        let own_us = lag_us.min(latency_us - from_write_us);
        if latency.count > 0 && own_us > LAG_FLOOR_US && own_us > latency_us * LAG_SHARE_MAX {
            let share = own_us / latency_us * 100.0;
            reasons.push(format!(
                "lines left late by {} at the {name}, {share:.0} % of the latency reported: give \
                 the generator a core of its own (--pin), or send fewer lines",
                ms(lag_us)
            ));
        }
    }
    for thread in &report.generator.threads {
        if is_occupied(thread) {
            reasons.push(format!(
                "{} ran {:.0} % of the time and waited for a core {:.0} %, so it read late: more \
                 --threads, cores of its own (--pin), or fewer deliveries",
                thread.name,
                thread.busy * 100.0,
                thread.waiting * 100.0
            ));
        }
    }
    connecting(report, &mut reasons);
    let jitter_us = report.generator.jitter_us.p99;
    let heavy = jitter_us > JITTER_FLOOR_US && jitter_us > latency.p99 * JITTER_SHARE_MAX;
    if latency.count > 0 && heavy {
        reasons.push(format!(
            "threads of the generator woke up late by {} at the p99, {:.0} % of the latency \
             reported: stop what else uses its cores",
            ms(jitter_us),
            jitter_us / latency.p99 * 100.0
        ));
    }
    reasons
}

fn connecting(report: &Report, reasons: &mut Vec<String>) {
    let (lag, connect) = (&report.connect_lag_us, &report.connect_us);
    if lag.p99 > JITTER_FLOOR_US && lag.p99 > connect.p99 * JITTER_SHARE_MAX {
        reasons.push(format!(
            "connections began late by {} at the p99: a lower --connect-rate, more --threads, or \
             cores of its own (--pin)",
            ms(lag.p99)
        ));
    }
    let bounded = |row: &SloRow| row.name.starts_with("connect_") || row.name.starts_with("join_");
    if lag.count == 0 && !report.slo.iter().any(bounded) {
        return;
    }
    for thread in report.generator.connecting.iter().filter(|thread| is_occupied(thread)) {
        reasons.push(format!(
            "{} ran {:.0} % of the time in which it connected and waited for a core {:.0} %, so it \
             read welcomes late: a lower --connect-rate, more --threads, or cores of its own (--pin)",
            thread.name,
            thread.busy * 100.0,
            thread.waiting * 100.0
        ));
    }
}

fn is_occupied(thread: &ThreadReport) -> bool {
    let occupied = thread.busy + thread.waiting;
    thread.name.starts_with(RECEIVER_NAME) && occupied > RECEIVER_OCCUPIED_MAX
}

fn ms(us: f64) -> String {
    format!("{:.1} ms", us / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Totals;
    use crate::report::Percentiles;

    fn percentiles(p50: f64, p99: f64) -> Percentiles {
        Percentiles { p50, p90: p99, p99, p999: p99, max: p99, count: 1000 }
    }

    fn report(lag: (f64, f64), jitter_p99: f64, thread: (&str, f64, f64)) -> Report {
        let (name, busy, waiting) = thread;
        let mut report = Report {
            latency_us: percentiles(6000.0, 15_000.0),
            latency_uncorrected_us: percentiles(6000.0 - lag.0, 15_000.0 - lag.1),
            schedule_lag_us: percentiles(lag.0, lag.1),
            ..Report::default()
        };
        report.generator.jitter_us = percentiles(10.0, jitter_p99);
        report.generator.threads = vec![ThreadReport { name: name.into(), busy, waiting }];
        report
    }

    #[test]
    fn a_late_or_starved_generator_voids_the_run() {
        const CALM: (&str, f64, f64) = ("receive-0", 0.51, 0.1);
        // (lag p50 and p99, jitter p99, thread, a word of the reason) at a latency of 6 and 15 ms
        let rows = [
            ((60.0, 200.0), 300.0, CALM, None),
            // 1,000 lines/s, a core at 51 %.
            ((70.0, 2300.0), 2400.0, CALM, None),
            ((60.0, 4000.0), 300.0, CALM, Some("late by 4.0 ms at the p99")),
            ((2000.0, 3000.0), 300.0, CALM, Some("late by 2.0 ms at the median")),
            ((60.0, 200.0), 300.0, ("receive-1", 0.95, 0.0), Some("receive-1 ran 95 %")),
            ((60.0, 200.0), 300.0, ("receive-0", 0.25, 0.7), Some("waited for a core 70 %")),
            ((60.0, 200.0), 300.0, ("send", 0.5, 0.5), None),
            ((60.0, 200.0), 8000.0, CALM, Some("woke up late by 8.0 ms")),
        ];
        for (lag, jitter_p99, thread, reason) in rows {
            let mut report = report(lag, jitter_p99, thread);
            report.judge();
            let reasons = report.void_reasons.join("; ");
            assert_eq!(report.verdict == Verdict::Void, reason.is_some(), "{reasons}");
            assert!(reason.is_none_or(|reason| reasons.contains(reason)), "{reasons}");
        }
        // Few lines were late, and their deliveries are beyond p99.
        let mut few = report((60.0, 9000.0), 300.0, CALM);
        few.latency_uncorrected_us = percentiles(5950.0, 14_000.0);
        few.judge();
        assert_eq!(few.verdict, Verdict::Pass);
        // Lateness below the floor is no matter, whatever its share.
        let mut quick = report((60.0, 200.0), 300.0, CALM);
        quick.latency_us = percentiles(70.0, 210.0);
        quick.latency_uncorrected_us = percentiles(10.0, 10.0);
        quick.judge();
        assert_eq!(quick.verdict, Verdict::Pass);
        // Without deliveries there is no latency for it to be part of.
        let mut idle = report((5000.0, 9000.0), 9000.0, CALM);
        idle.latency_us = Percentiles::default();
        idle.judge();
        assert_eq!(idle.verdict, Verdict::Pass);
    }

    #[test]
    fn a_generator_that_cannot_connect_in_time_voids_the_run() {
        const CALM: f64 = 0.5;
        // Lag and connect at p99, how often the lag was measured, how occupied, what is bounded,
        // and a word of the reason.
        let rows = [
            (4000.0, 1000.0, 9, CALM, "p99", None),
            (9000.0, 20_000.0, 9, CALM, "p99", None),
            (9000.0, 1000.0, 9, CALM, "p99", Some("began late by 9.0 ms")),
            (0.0, 1000.0, 9, 0.95, "p99", Some("receive-0 ran 95 % of the time in which")),
            (0.0, 1000.0, 0, 0.95, "p99", None),
            (0.0, 1000.0, 0, 0.95, "connect_p99", Some("so it read welcomes late")),
            (0.0, 1000.0, 0, 0.95, "join_max", Some("so it read welcomes late")),
            (0.0, 1000.0, 0, CALM, "connect_total", None),
        ];
        for (lag, connect, count, busy, bounded, reason) in rows {
            let mut report = report((0.0, 0.0), 0.0, ("receive-0", 0.1, 0.0));
            report.connect_lag_us = Percentiles { count, ..percentiles(0.0, lag) };
            report.connect_us = percentiles(0.0, connect);
            let name = "receive-0".into();
            report.generator.connecting = vec![ThreadReport { name, busy, waiting: 0.0 }];
            report.slo = vec![SloRow { name: bounded.into(), held: true, ..SloRow::default() }];
            report.judge();
            let reasons = report.void_reasons.join("; ");
            assert_eq!(report.verdict == Verdict::Void, reason.is_some(), "{reasons}");
            assert!(reason.is_none_or(|reason| reasons.contains(reason)), "{reasons}");
        }
    }

    #[test]
    fn who_is_closed_because_the_generator_did_not_read_is_no_fault_of_the_server() {
        const OCCUPIED: (&str, f64, f64) = ("receive-0", 0.5, 0.45);
        const CALM: (&str, f64, f64) = ("receive-0", 0.5, 0.1);
        let closed = |closed| Totals {
            expected: 100,
            delivered: 90,
            lost: 10,
            lost_after_close: 10,
            closed,
            ..Totals::default()
        };
        let rows = [
            (closed(3), OCCUPIED, Verdict::Void),
            (closed(3), CALM, Verdict::Fail),
            (closed(3), ("send", 1.0, 0.0), Verdict::Fail),
            // All of them: the server has left.
            (closed(5), OCCUPIED, Verdict::Fail),
            // One was lost before.
            (Totals { lost_after_close: 9, ..closed(3) }, OCCUPIED, Verdict::Fail),
            (Totals { duplicated: 1, ..closed(3) }, OCCUPIED, Verdict::Fail),
            (Totals { foreign: 1, ..closed(3) }, OCCUPIED, Verdict::Fail),
            (closed(0), OCCUPIED, Verdict::Fail),
        ];
        for (audit, thread, verdict) in rows {
            let mut report = report((0.0, 0.0), 0.0, thread);
            (report.clients, report.audit) = (5, audit);
            report.judge();
            assert_eq!(report.verdict, verdict, "{audit:?} {thread:?}");
            let told =
                report.void_reasons.iter().any(|why| why.contains("closed by the server: 3"));
            assert_eq!(told, verdict == Verdict::Void, "{:?}", report.void_reasons);
        }
    }

    #[test]
    fn a_fault_comes_before_void_and_void_before_a_breach() {
        let breach = || SloRow { name: "p99".into(), limit: 1.0, value: None, held: false };
        for (lost, late, breached, verdict) in [
            (1, true, true, Verdict::Fail),
            (0, true, true, Verdict::Void),
            (0, false, true, Verdict::Slo),
            (0, false, false, Verdict::Pass),
        ] {
            let lag = if late { 9000.0 } else { 0.0 };
            let mut report = report((lag, lag), 0.0, ("receive-0", 0.1, 0.0));
            report.audit.lost = lost;
            report.audit.expected = lost;
            report.slo.extend(breached.then(breach));
            report.judge();
            assert_eq!(report.verdict, verdict);
        }
    }
}
