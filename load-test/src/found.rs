//! What the threads of a process found, added up; and what several processes found, added up. A
//! report is made of it.

use crate::audit::{Faults, Totals, Where};
use crate::limits::{CLOSED_ROWS_MAX, FAULT_ROWS_MAX};
use crate::middle::Kept;
use crate::receive::Received;
use crate::report::{Churn, ClosedClient, FaultRow, ThreadReport};
use crate::scenario::Plan;
use crate::server::Usage;
use crate::stats::{Deliveries, Durations, Packed};
use crate::timeline::Look;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) clients: u32,
    /// Of each group, without those who lag.
    pub(crate) deliveries: Vec<Deliveries>,
    /// Of those who lag, by the group they are in.
    pub(crate) lagging: BTreeMap<usize, Deliveries>,
    pub(crate) audit: Totals,
    pub(crate) faults: Vec<FaultRow>,
    /// Clients that the server closed, by the reason it gave.
    pub(crate) closed: BTreeMap<String, u64>,
    /// Who they were, slow readers left out; the first so many.
    pub(crate) closed_clients: Vec<ClosedClient>,
    pub(crate) churn: Churn,
    pub(crate) connect: Durations,
    pub(crate) join: Durations,
    pub(crate) connect_lag: Durations,
    /// What the receiving threads used while they connected.
    pub(crate) connecting: Vec<ThreadReport>,
    pub(crate) connect_total_ns: u64,
    pub(crate) lag: Durations,
    pub(crate) deferred: u64,
    pub(crate) unsent: u64,
    pub(crate) jitter: Durations,
    pub(crate) threads: Vec<ThreadReport>,
    /// What arrived, by the entries of the timeline.
    pub(crate) arrived: Vec<(usize, Packed)>,
    /// The first when the measured time began, the last at the end.
    pub(crate) looks: Vec<Look>,
    /// How each line came, in the order of the plan; empty where one process has all clients.
    pub(crate) spans: Vec<Span>,
    /// Each delivery, where it takes several processes to find the middle receiver.
    pub(crate) kept: Kept,
}

/// How a line came to the clients of one process, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// How many steady receivers have it.
    pub(crate) count: u32,
    /// The latency of the first and of the last of them.
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

impl Found {
    /// Takes in what a receiving thread found.
    pub(crate) fn add_received(&mut self, plan: &Plan, received: &Received) {
        self.audit.add(&received.totals);
        self.join.add(&received.join);
        for (sum, deliveries) in self.deliveries.iter_mut().zip(&received.deliveries) {
            sum.add(deliveries);
        }
        add_lagging(&mut self.lagging, &received.lagging);
        add_closed(&mut self.closed, &received.closed);
        self.add_closed_clients(&received.closed_clients);
        self.churn.add(&received.churn);
        self.kept.add(&received.kept);
        let row = |(at, faults): (&Where, &Faults)| FaultRow {
            sender: at.sender,
            room: plan.room(u32::try_from(at.receiver).expect("bounded by CLIENTS_MAX")),
            receiver: at.receiver as u64,
            lost: faults.lost,
            duplicated: faults.duplicated,
            reordered: faults.reordered,
            corrupted: faults.corrupted,
            foreign: faults.foreign,
        };
        self.add_faults(received.faults.iter().map(row));
    }

    /// Takes in what another process found.
    pub(crate) fn add(&mut self, other: Self) {
        self.clients += other.clients;
        for (sum, deliveries) in self.deliveries.iter_mut().zip(&other.deliveries) {
            sum.add(deliveries);
        }
        add_lagging(&mut self.lagging, &other.lagging);
        self.audit.add(&other.audit);
        self.add_faults(other.faults.into_iter());
        add_closed(&mut self.closed, &other.closed);
        self.add_closed_clients(&other.closed_clients);
        self.churn.add(&other.churn);
        self.connect.add(&other.connect);
        self.join.add(&other.join);
        self.connect_lag.add(&other.connect_lag);
        self.connecting.extend(other.connecting);
        self.connect_total_ns = self.connect_total_ns.max(other.connect_total_ns);
        self.lag.add(&other.lag);
        self.deferred += other.deferred;
        self.unsent += other.unsent;
        self.jitter.add(&other.jitter);
        self.threads.extend(other.threads);
        self.arrived.extend(other.arrived);
        add_looks(&mut self.looks, &other.looks);
        self.spans.resize(self.spans.len().max(other.spans.len()), Span::default());
        self.spans.iter_mut().zip(&other.spans).for_each(|(span, other)| span.add(other));
        self.kept.add(&other.kept);
    }

    /// Says in the names of its threads which process they are of.
    pub(crate) fn of_process(mut self, number: usize) -> Self {
        for thread in self.threads.iter_mut().chain(&mut self.connecting) {
            thread.name = format!("{} of process {number}", thread.name);
        }
        self
    }

    /// CPU time of the generator in the measured time.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let ends = self.looks.first().zip(self.looks.last());
        ends.map_or(0, |(first, last)| last.own_cpu_ns.saturating_sub(first.own_cpu_ns))
    }

    /// How long the measured time took, with the wait for the last lines.
    pub(crate) fn passed_ns(&self) -> u64 {
        let ends = self.looks.first().zip(self.looks.last());
        ends.map_or(0, |(first, last)| last.at_ns.saturating_sub(first.at_ns))
    }

    /// What the server used in that time; its memory at the end.
    pub(crate) fn server_usage(&self) -> Option<Usage> {
        let (before, after) = (self.looks.first()?.server?, self.looks.last()?.server?);
        Some(after.since(&before))
    }

    /// Takes over what one who has no clients of its own saw of the server meanwhile.
    pub(crate) fn look_with(&mut self, looks: Vec<Look>) {
        let others = std::mem::replace(&mut self.looks, looks);
        add_looks(&mut self.looks, &others);
    }

    /// Finds the first and the last receiver of each line among those of all processes, and the
    /// one in the middle if each delivery was kept.
    pub(crate) fn set_spans(&mut self, plan: &Plan) {
        for deliveries in &mut self.deliveries {
            deliveries.forget_places();
        }
        self.kept.sort();
        for due in plan.schedule().filter(|due| due.measured) {
            let sender = plan.sender(due.sender).expect("it is in the schedule");
            let line = plan.line(sender, due.seq).expect("it is in the schedule");
            let span = self.spans.get(line.index).filter(|span| span.count > 0);
            let deliveries = &mut self.deliveries[sender.group];
            if let Some(span) = span {
                deliveries.first.record(span.first_ns);
                let receivers = plan.steady_receivers(sender);
                let median_ns = self.kept.at(line.index, (receivers - 1) / 2);
                median_ns.into_iter().for_each(|ns| deliveries.median.record(ns));
                if span.count == receivers {
                    deliveries.last.record(span.last_ns);
                    deliveries.spread.record(span.last_ns - span.first_ns);
                }
            }
        }
    }

    fn add_closed_clients(&mut self, others: &[ClosedClient]) {
        self.closed_clients.extend_from_slice(others);
        self.closed_clients.sort_unstable_by_key(|closed| closed.client);
        self.closed_clients.truncate(CLOSED_ROWS_MAX);
    }

    /// Sorted, so that it does not matter in which order threads and processes were added.
    fn add_faults(&mut self, rows: impl Iterator<Item = FaultRow>) {
        self.faults.extend(rows);
        self.faults.sort_unstable_by_key(|row| (row.receiver, row.sender));
        self.faults.truncate(FAULT_ROWS_MAX);
    }
}

impl Span {
    fn add(&mut self, other: &Self) {
        let first_ns = match (self.count, other.count) {
            (_, 0) => self.first_ns,
            (0, _) => other.first_ns,
            _ => self.first_ns.min(other.first_ns),
        };
        *self = Self {
            count: self.count + other.count,
            first_ns,
            last_ns: self.last_ns.max(other.last_ns),
        };
    }
}

/// They were at the same instants; who has fewer of them was done.
fn add_looks(sum: &mut [Look], others: &[Look]) {
    for (index, look) in sum.iter_mut().enumerate() {
        if let Some(other) = others.get(index).or(others.last()) {
            look.own_cpu_ns += other.own_cpu_ns;
            look.clients += other.clients;
        }
    }
}

fn add_lagging(sum: &mut BTreeMap<usize, Deliveries>, others: &BTreeMap<usize, Deliveries>) {
    for (group, deliveries) in others {
        sum.entry(*group).or_insert_with(Deliveries::new).add(deliveries);
    }
}

fn add_closed(sum: &mut BTreeMap<String, u64>, others: &BTreeMap<String, u64>) {
    for (reason, count) in others {
        *sum.entry(reason.clone()).or_default() += count;
    }
}
