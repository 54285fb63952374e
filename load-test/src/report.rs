//! What a run found: the report, schema `load-test/1`. `REPORT.md` explains each key; within a
//! schema keys are only ever added. What was not measured is absent: null, an empty list, or
//! percentiles with a `count` of 0.

use crate::audit::Totals;
use serde::{Deserialize, Serialize};

/// The schema these types are.
pub const SCHEMA: &str = "load-test/1";

/// Everything a run found. Times in microseconds unless the name says otherwise.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// `SCHEMA`.
    pub schema: String,
    /// The command line, quoted for a shell.
    pub command: String,
    /// When the measured time began: RFC 3339, UTC.
    pub started_at: String,
    /// The same seed gives the same schedule.
    pub seed: u64,
    /// Address and port of the server.
    pub target: String,
    /// What it speaks.
    pub protocol: String,
    /// The measured time.
    pub duration_s: f64,
    /// What was asked for, in one line.
    pub scenario: String,
    /// Where it ran.
    pub machine: Machine,
    /// Whether all went well.
    pub verdict: Verdict,
    /// Why the figures are not the server's, in words.
    pub void_reasons: Vec<String>,
    /// What the figures had to hold, and whether they did.
    pub slo: Vec<SloRow>,
    /// How many connected.
    pub clients: u32,
    /// Deliveries in the histograms: those of the measured time.
    pub measured: u64,
    /// What happened to the lines, the warm-up's included.
    pub audit: Totals,
    /// The clients that the server closed, by the reason it gave.
    pub closed_reasons: Vec<ClosedReason>,
    /// Who they were, slow readers left out; the first 1,024 by number.
    #[serde(default)]
    pub closed_clients: Vec<ClosedClient>,
    /// Where the faults are.
    pub faults: Vec<FaultRow>,
    /// How often members left and returned, if some did.
    #[serde(default)]
    pub churn: Option<Churn>,
    /// From the instant a line was due to the receiver's read.
    pub latency_us: Percentiles,
    /// From its write to the receiver's read.
    pub latency_uncorrected_us: Percentiles,
    /// From the instant a line was due to its write.
    pub schedule_lag_us: Percentiles,
    /// From a client's connect until its welcome.
    pub connect_us: Percentiles,
    /// From a client's request for a room until its answer, of those who returned too.
    pub join_us: Percentiles,
    /// How late connections began, where each had its instant (`--connect-rate`).
    #[serde(default)]
    pub connect_lag_us: Percentiles,
    /// From the first connect until all clients were where they should be.
    pub connect_total_s: f64,
    /// How many get a measured line, of those who neither leave and return nor read slowly.
    #[serde(default)]
    pub receivers: Receivers,
    /// How a line spreads, among them.
    pub broadcast_us: Broadcast,
    /// The same for each group of clients, by who talks; then its slow readers, who are in no other
    /// figure.
    pub groups: Vec<GroupReport>,
    /// What the server used in the measured time, if it is known which process it is.
    pub server: Option<ServerReport>,
    /// What this process used.
    pub generator: Generator,
    /// The measured time, second by second.
    pub timeline: Vec<Second>,
    /// The histograms behind the percentiles.
    pub histograms: Histograms,
}

/// Where a run took place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Linux's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// Cores online, as the kernel counts them.
    pub cores: u32,
    /// Memory in all.
    pub memory_bytes: u64,
    /// Descriptors that the generator may have (`RLIMIT_NOFILE`).
    pub nofile: u64,
    /// Who may run on which cores.
    pub pinning: Pinning,
    /// Version of the generator.
    pub load_test: String,
    /// What the server says its version is, if the generator started it.
    pub server: Option<String>,
    /// Cores that other processes kept busy during the measured time.
    pub others_cores: Option<f64>,
}

/// Lists of cores, as in `0-1,4`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Pinning {
    pub generator: String,
    pub server: Option<String>,
}

/// In order of precedence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Lines did not come as they should, or clients were closed: the audit says how many. Unless
    /// `Void` explains that clients were closed.
    Fail,
    /// The generator was the bottleneck: the figures say nothing of the server.
    Void,
    /// Something asked for with `--slo` did not hold.
    Slo,
    /// None of these.
    #[default]
    Pass,
}

/// A bound on a figure.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SloRow {
    /// As it was typed.
    pub name: String,
    /// The most it may be: microseconds, bytes or a count.
    pub limit: f64,
    /// What it was; none if it was not measured.
    pub value: Option<f64>,
    /// Whether it was measured and within the limit.
    pub held: bool,
}

/// Clients that were closed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedReason {
    /// What the server said last, or what the kernel said of the connection.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A client that the server closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedClient {
    /// Its number.
    pub client: u32,
    /// The number of its room.
    pub room: u32,
    /// The name of its group.
    pub group: String,
    /// As in `ClosedReason`.
    pub reason: String,
}

/// Members that came and went, the warm-up included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Churn {
    /// They left, and the server confirmed it.
    pub left: u64,
    /// They came back, and the server confirmed it.
    pub returned: u64,
    /// It was their turn to leave, but they were not back yet.
    pub missed: u64,
}

impl Churn {
    pub(crate) fn add(&mut self, other: &Self) {
        self.left += other.left;
        self.returned += other.returned;
        self.missed += other.missed;
    }
}

/// Of a histogram.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    /// How many durations; with none, the others say nothing.
    pub count: u64,
}

/// Of a histogram with one value per line.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// How many lines; with none, the others say nothing.
    pub count: u64,
}

/// Of a line. Rooms may be unlike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receivers {
    /// In the smallest room in which somebody talks.
    pub least: u32,
    /// In the largest; 0 if nobody talks.
    pub most: u32,
}

/// The latency of one receiver of each line.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Broadcast {
    /// Who got it first.
    pub first: Spread,
    /// Before whom and after whom as many got it.
    pub median: Spread,
    /// Who got it last.
    pub last: Spread,
    /// From the first to the last.
    pub spread: Spread,
}

/// One group of clients.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct GroupReport {
    /// Its name in the scenario.
    pub name: String,
    /// Deliveries in its histograms.
    pub measured: u64,
    /// From the instant a line was due to the receiver's read.
    pub latency_us: Percentiles,
    /// How a line spreads.
    pub broadcast_us: Broadcast,
}

/// The server process, from /proc.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ServerReport {
    /// CPU time in its own code, over the measured time.
    pub cpu_user_s: f64,
    /// CPU time in the kernel for it.
    pub cpu_sys_s: f64,
    /// Both, for each measured delivery.
    pub cpu_us_per_delivery: Option<f64>,
    /// Measured deliveries for each second of both.
    pub deliveries_per_cpu_s: Option<f64>,
    /// Resident memory at the end, with all clients connected.
    pub rss_bytes: u64,
    /// Its growth since before the first connect, for each client.
    pub rss_bytes_per_connection: f64,
    /// How often its threads gave up their core to wait, over the measured time.
    pub voluntary_switches: u64,
    /// How often the kernel took their core from them.
    pub involuntary_switches: u64,
    /// Memory in socket buffers at the end, of all TCP sockets of the network namespace: both ends
    /// of a connection on loopback.
    pub tcp_memory_bytes: Option<u64>,
}

/// This process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Generator {
    /// CPU time for each measured delivery.
    pub cpu_us_per_delivery: Option<f64>,
    /// CPU time over the time that passed: 1 is one core without a pause.
    pub busy: f64,
    /// Its threads, over the measured time; none where the kernel does not count (schedstat).
    pub threads: Vec<ThreadReport>,
    /// Its receiving threads, over the time in which they connected, if that was not too short.
    #[serde(default)]
    pub connecting: Vec<ThreadReport>,
    /// How late a thread wakes up that has nothing else to do, a thousand times a second.
    pub jitter_us: Percentiles,
    /// Lines the kernel did not take whole at once.
    pub sends_deferred: u64,
    /// Lines not sent because their sender's connection was closed.
    pub unsent: u64,
}

/// A thread of the generator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ThreadReport {
    /// `receive-N`, `send`, `jitter`, ...
    pub name: String,
    /// CPU time over the time that passed.
    pub busy: f64,
    /// Time in which it could run and had no core, over the time that passed.
    pub waiting: f64,
}

/// One second of the measured time; the last may be shorter or longer. Deliveries count where they
/// arrived.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Second {
    /// When it ended, from the beginning of the measured time.
    pub at_s: f64,
    /// Measured lines that were read in it, all receivers together.
    pub deliveries: u64,
    /// Of these deliveries; to 1 %.
    pub latency_us: Percentiles,
    /// The same as counts: the upper end of a bucket in microseconds, and how many fell between it
    /// and the one before. 16 buckets a decade; empty ones are left out.
    pub heat: Vec<(f64, u64)>,
    /// The same as a histogram; see `Histograms`. None without deliveries.
    pub histogram: Option<String>,
    /// CPU time of the server in its own code.
    pub server_cpu_user_s: Option<f64>,
    /// In the kernel for it.
    pub server_cpu_sys_s: Option<f64>,
    /// Resident memory of the server.
    pub server_rss_bytes: Option<u64>,
    /// How often its threads gave up their core to wait.
    pub server_voluntary_switches: Option<u64>,
    /// How often the kernel took their core from them.
    pub server_involuntary_switches: Option<u64>,
    /// TCP sockets of the network namespace, both ends of a connection on loopback.
    pub tcp_sockets: Option<u64>,
    /// Memory in the buffers of these sockets.
    pub tcp_memory_bytes: Option<u64>,
    /// CPU time of the generator.
    pub generator_cpu_s: f64,
    /// Clients connected.
    pub clients: u32,
}

/// HdrHistogram V2, deflated, base64: what its tools and libraries read. Values in nanoseconds.
/// None where nothing was recorded.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "named like the percentiles")]
pub struct Histograms {
    pub latency: Option<String>,
    pub latency_uncorrected: Option<String>,
    pub schedule_lag: Option<String>,
    pub connect: Option<String>,
    pub join: Option<String>,
    pub first: Option<String>,
    pub median: Option<String>,
    pub last: Option<String>,
    pub spread: Option<String>,
}

/// The faults between a sender and a receiver.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; Totals explains them")]
pub struct FaultRow {
    /// None: a corrupted line does not tell.
    pub sender: Option<u32>,
    pub room: u32,
    pub receiver: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    pub foreign: u64,
}
