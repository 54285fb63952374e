//! A report made up of seeded chance, as tests want it: no run takes that long.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
use load_test::report::{
    Broadcast, Generator, Histograms, Machine, Percentiles, Pinning, Receivers, Report, SCHEMA,
    Second, ServerReport, Spread, ThreadReport, Verdict,
};

use std::time::Duration;

/// Numbers that look random.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Of the standard normal distribution, by adding up.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.share()).sum::<f64>() - 6.0
    }
}

/// What a sample is made of.
pub(crate) struct Recipe {
    pub(crate) seed: u64,
    pub(crate) seconds: u32,
    pub(crate) per_second: u32,
    /// The median, in microseconds.
    pub(crate) latency_us: f64,
    pub(crate) cpu_us_per_delivery: f64,
    /// The second in which all is a hundred times slower.
    pub(crate) stall_at: Option<u32>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 1,
            seconds: 30,
            per_second: 1000,
            latency_us: 3200.0,
            cpu_us_per_delivery: 5.2,
            stall_at: None,
        }
    }
}

/// A report without a fault.
pub(crate) fn report(recipe: &Recipe) -> Report {
    let mut chance = Chance::new(recipe.seed);
    let mut all = histogram();
    let mut uncorrected = histogram();
    let mut timeline = Vec::new();
    for second in 0..recipe.seconds {
        let mut of_second = histogram();
        let slower = if recipe.stall_at == Some(second) { 100.0 } else { 1.0 };
        let drift = (chance.normal() * 0.06).exp();
        for _ in 0..recipe.per_second {
            let tail = if chance.share() < 0.01 { 2.5 } else { 1.0 };
            let us = recipe.latency_us * (chance.normal() * 0.35).exp() * tail * drift;
            record(&mut of_second, us * slower);
            record(&mut uncorrected, us * 0.93);
        }
        all.add(&of_second).expect("one range");
        timeline.push(make_second(recipe, second, &of_second, &mut chance));
    }
    let mut lines = [histogram(), histogram(), histogram(), histogram(), histogram(), histogram()];
    for _ in 0..recipe.seconds * 10 {
        let middle = recipe.latency_us * (chance.normal() * 0.08).exp();
        let spread = middle * (0.8 + chance.normal() * 0.05);
        let values =
            [middle - spread * 0.9, middle, middle + spread, spread * 1.9, 60.0, middle / 8.0];
        for (histogram, value) in lines.iter_mut().zip(values) {
            record(histogram, value * (chance.normal() * 0.2).exp());
        }
    }
    assemble(recipe, &all, &uncorrected, &lines, timeline)
}

fn make_second(
    recipe: &Recipe,
    second: u32,
    latency: &Histogram<u64>,
    chance: &mut Chance,
) -> Second {
    let deliveries = u64::from(recipe.per_second);
    let cpu_s = f64::from(recipe.per_second) * recipe.cpu_us_per_delivery / 1e6;
    let cpu_s = cpu_s * (1.0 + chance.normal() * 0.05);
    Second {
        at_s: f64::from(second + 1),
        deliveries,
        latency_us: percentiles(latency),
        heat: heat(latency),
        histogram: encode(latency),
        server_cpu_user_s: Some(cpu_s * 0.08),
        server_cpu_sys_s: Some(cpu_s * 0.92),
        server_rss_bytes: Some(12_300_000 + u64::from(second) * 4096),
        server_voluntary_switches: Some(180 + u64::from(second % 7)),
        server_involuntary_switches: Some(12 + u64::from(second % 5) * 9),
        tcp_sockets: Some(2004),
        tcp_memory_bytes: Some(1_400_000 + chance.next() % 3_000_000),
        generator_cpu_s: cpu_s * 0.4,
        clients: 1000,
    }
}

fn assemble(
    recipe: &Recipe,
    all: &Histogram<u64>,
    uncorrected: &Histogram<u64>,
    [first, median, last, spread, lag, connect]: &[Histogram<u64>; 6],
    timeline: Vec<Second>,
) -> Report {
    let seconds = f64::from(recipe.seconds);
    let deliveries = u64::from(recipe.seconds) * u64::from(recipe.per_second);
    let cpu_s = deliveries as f64 * recipe.cpu_us_per_delivery / 1e6;
    Report {
        schema: SCHEMA.into(),
        command: "load-test --clients 1000 --rate 4 --duration 30s --html report.html".into(),
        started_at: "2026-11-21T16:20:09Z".into(),
        seed: recipe.seed,
        target: "127.0.0.1:40123".into(),
        protocol: "telnet".into(),
        duration_s: seconds,
        scenario: "1,000 clients in one room, 4 lines/s of 100 bytes from 10 of them".into(),
        machine: machine(),
        verdict: Verdict::Pass,
        void_reasons: Vec::new(),
        slo: Vec::new(),
        clients: 1000,
        measured: deliveries,
        audit: load_test::Totals {
            expected: deliveries,
            delivered: deliveries,
            ..load_test::Totals::default()
        },
        closed_reasons: Vec::new(),
        closed_clients: Vec::new(),
        churn: None,
        faults: Vec::new(),
        latency_us: percentiles(all),
        latency_uncorrected_us: percentiles(uncorrected),
        schedule_lag_us: percentiles(lag),
        connect_us: percentiles(connect),
        join_us: Percentiles::default(),
        connect_lag_us: Percentiles::default(),
        connect_total_s: 0.31,
        receivers: Receivers { least: 999, most: 999 },
        broadcast_us: Broadcast {
            first: of_lines(first),
            median: of_lines(median),
            last: of_lines(last),
            spread: of_lines(spread),
        },
        groups: Vec::new(),
        server: Some(ServerReport {
            cpu_user_s: cpu_s * 0.08,
            cpu_sys_s: cpu_s * 0.92,
            cpu_us_per_delivery: Some(recipe.cpu_us_per_delivery),
            deliveries_per_cpu_s: Some(1e6 / recipe.cpu_us_per_delivery),
            rss_bytes: 12_400_000,
            rss_bytes_per_connection: 335.4,
            voluntary_switches: 5500,
            involuntary_switches: 930,
            tcp_memory_bytes: Some(2_100_000),
        }),
        generator: generator(lag),
        timeline,
        histograms: Histograms {
            latency: encode(all),
            latency_uncorrected: encode(uncorrected),
            schedule_lag: encode(lag),
            connect: encode(connect),
            join: None,
            first: encode(first),
            median: encode(median),
            last: encode(last),
            spread: encode(spread),
        },
    }
}

fn machine() -> Machine {
    Machine {
        kernel: "6.18.2".into(),
        cpu: "AMD EPYC 9B14".into(),
        cores: 2,
        memory_bytes: 25_000_000_000,
        nofile: 1_048_576,
        pinning: Pinning { generator: "1".into(), server: Some("0".into()) },
        load_test: "0.1.0".into(),
        server: Some("chatd 0.1.0".into()),
        others_cores: Some(0.03),
    }
}

fn generator(lag: &Histogram<u64>) -> Generator {
    let thread = |name: &str, busy, waiting| ThreadReport { name: name.into(), busy, waiting };
    Generator {
        cpu_us_per_delivery: Some(0.71),
        busy: 0.31,
        threads: vec![
            thread("receive-0", 0.27, 0.004),
            thread("send", 0.02, 0.001),
            thread("jitter", 0.012, 0.0),
        ],
        jitter_us: percentiles(lag),
        connecting: Vec::new(),
        sends_deferred: 0,
        unsent: 0,
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(3600 * 1_000_000_000, 3).expect("a range")
}

fn record(histogram: &mut Histogram<u64>, us: f64) {
    let duration = Duration::from_secs_f64(us.max(1.0) / 1e6);
    histogram.saturating_record(u64::try_from(duration.as_nanos()).expect("below 584 years"));
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
        count: histogram.len(),
    }
}

fn of_lines(histogram: &Histogram<u64>) -> Spread {
    let Percentiles { p50, p99, max, count, .. } = percentiles(histogram);
    Spread { p50, p99, max, count }
}

/// 16 buckets a decade from 10 us.
fn heat(histogram: &Histogram<u64>) -> Vec<(f64, u64)> {
    let mut heat: Vec<(f64, u64)> = Vec::new();
    for value in histogram.iter_recorded() {
        let us = value.value_iterated_to() as f64 / 1e3;
        let upper_us = 10f64.powf(((us.log10() - 1.0) * 16.0).ceil() / 16.0 + 1.0);
        match heat.last_mut() {
            Some((last, count)) if *last == upper_us => *count += value.count_at_value(),
            _ => heat.push((upper_us, value.count_at_value())),
        }
    }
    heat
}

fn encode(histogram: &Histogram<u64>) -> Option<String> {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    written.expect("a vector takes everything");
    Some(STANDARD.encode(bytes))
}
