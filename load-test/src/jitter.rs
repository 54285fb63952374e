//! How late a thread wakes up that has nothing to do but that: a thousand times a second, on
//! absolute instants, with the generator's own cores. The receiving threads wake up no better, so
//! this is what the machine adds to every latency. Instants that passed while the thread could not
//! run count too, each with its own lateness.

use crate::clock::{duration_ns, now_ns, sleep_until};
use crate::limits::JITTER_INTERVAL;
use crate::stats::Durations;
use std::sync::mpsc::{Receiver, TryRecvError};

/// Measures until `over` has no sender any more.
pub(crate) fn measure(over: &Receiver<()>) -> Durations {
    let mut late = Durations::new();
    let interval_ns = duration_ns(JITTER_INTERVAL);
    let mut next_ns = now_ns() + interval_ns;
    while over.try_recv() == Err(TryRecvError::Empty) {
        sleep_until(next_ns);
        let now_ns = now_ns();
        while next_ns <= now_ns {
            late.record(now_ns - next_ns);
            next_ns += interval_ns;
        }
    }
    late
}
