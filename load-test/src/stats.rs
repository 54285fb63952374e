//! Histograms of durations in nanoseconds. Each thread keeps its own; they are added up at the end.
//! A duration past the range is recorded as the longest one, never dropped.

use crate::limits::{
    HEAT_BUCKETS_PER_DECADE, HEAT_FIRST_US, LATENCY_DIGITS, LATENCY_NS_MAX, SECOND_DIGITS,
    SECOND_NS_MIN,
};
use crate::reach::Arrival;
use crate::report::{Broadcast, Histograms, Percentiles, Spread};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};
use serde::{Deserialize, Serialize};

/// Durations of one kind. As JSON they are what `encode` makes of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Option<String>", try_from = "Option<String>")]
pub(crate) struct Durations(hdrhistogram::Histogram<u64>);

/// The same in a few hundred bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Packed(Vec<u8>);

impl Durations {
    pub(crate) fn new() -> Self {
        let histogram = hdrhistogram::Histogram::new_with_max(LATENCY_NS_MAX, LATENCY_DIGITS);
        Self(histogram.expect("the range and digits are valid"))
    }

    /// One in a hundredth of the memory, to 1 %.
    pub(crate) fn coarse() -> Self {
        let (most, digits) = (LATENCY_NS_MAX, SECOND_DIGITS);
        let histogram = hdrhistogram::Histogram::new_with_bounds(SECOND_NS_MIN, most, digits);
        Self(histogram.expect("the range and digits are valid"))
    }

    pub(crate) fn record(&mut self, duration_ns: u64) {
        self.0.saturating_record(duration_ns);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms have one range");
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        Percentiles {
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            p999: self.at(0.999),
            max: self.at(1.0),
            count: self.0.len(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    /// None without durations.
    pub(crate) fn pack(&self) -> Option<Packed> {
        let mut bytes = Vec::new();
        let written = V2Serializer::new().serialize(&self.0, &mut bytes);
        written.expect("memory takes all bytes and counts are below 2^63");
        (!self.0.is_empty()).then_some(Packed(bytes))
    }

    /// As `Second` has it.
    pub(crate) fn heat(&self) -> Vec<(f64, u64)> {
        let mut heat: Vec<(i32, u64)> = Vec::new();
        for value in self.0.iter_recorded() {
            let us = value.value_iterated_to() as f64 / 1e3;
            let decades = (us / HEAT_FIRST_US).log10().max(0.0);
            #[allow(clippy::cast_possible_truncation, reason = "an hour is in bucket 137")]
            let bucket = (decades * HEAT_BUCKETS_PER_DECADE).ceil() as i32;
            match heat.last_mut() {
                Some((last, count)) if *last == bucket => *count += value.count_at_value(),
                _ => heat.push((bucket, value.count_at_value())),
            }
        }
        let upper = |bucket: i32| 10f64.powf(f64::from(bucket) / HEAT_BUCKETS_PER_DECADE);
        heat.into_iter().map(|(bucket, count)| (HEAT_FIRST_US * upper(bucket), count)).collect()
    }

    /// As `Histograms` has it.
    pub(crate) fn encode(&self) -> Option<String> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.0, &mut bytes);
        written.expect("memory takes all bytes and counts are below 2^63");
        (!self.0.is_empty()).then(|| BASE64_STANDARD.encode(bytes))
    }

    fn spread(&self) -> Spread {
        let count = self.0.len();
        Spread { p50: self.at(0.5), p99: self.at(0.99), max: self.at(1.0), count }
    }

    fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}

impl From<Durations> for Option<String> {
    fn from(durations: Durations) -> Self {
        durations.encode()
    }
}

impl TryFrom<Option<String>> for Durations {
    type Error = String;

    fn try_from(text: Option<String>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::new()) };
        let bytes = BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?;
        let histogram = Deserializer::new().deserialize(&mut &bytes[..]);
        histogram.map(Self).map_err(|error| error.to_string())
    }
}

impl Packed {
    pub(crate) fn unpack(&self) -> Durations {
        let unpacked = Deserializer::new().deserialize(&mut &self.0[..]);
        Durations(unpacked.expect("it was packed by us"))
    }
}

/// What one group's deliveries took.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Deliveries {
    /// From the instant the line was due to the receiver's read.
    pub(crate) latency: Durations,
    /// From the write to the receiver's read.
    pub(crate) uncorrected: Durations,
    /// Of each line, the latency of the first, the middle and the last receiver.
    pub(crate) first: Durations,
    pub(crate) median: Durations,
    pub(crate) last: Durations,
    /// From the first to the last.
    pub(crate) spread: Durations,
    /// Measured deliveries.
    pub(crate) count: u64,
}

impl Deliveries {
    pub(crate) fn new() -> Self {
        let empty = Durations::new();
        Self {
            latency: empty.clone(),
            uncorrected: empty.clone(),
            first: empty.clone(),
            median: empty.clone(),
            last: empty.clone(),
            spread: empty,
            count: 0,
        }
    }

    /// A line has come to one more of so many receivers.
    pub(crate) fn record_arrival(&mut self, arrival: Arrival, receivers: u32, latency_ns: u64) {
        let Arrival { place, first_ns } = arrival;
        for (at, durations) in [
            (0, &mut self.first),
            ((receivers - 1) / 2, &mut self.median),
            (receivers - 1, &mut self.last),
        ] {
            if place == at {
                durations.record(latency_ns);
            }
        }
        if place == receivers - 1 {
            self.spread.record(latency_ns.saturating_sub(first_ns));
        }
    }

    /// Forgets who was where in a line, which only one who has all receivers knows.
    pub(crate) fn forget_places(&mut self) {
        for durations in [&mut self.first, &mut self.median, &mut self.last, &mut self.spread] {
            durations.clear();
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.uncorrected.add(&other.uncorrected);
        self.first.add(&other.first);
        self.median.add(&other.median);
        self.last.add(&other.last);
        self.spread.add(&other.spread);
        self.count += other.count;
    }

    /// All but those that are not about deliveries.
    pub(crate) fn histograms(&self) -> Histograms {
        Histograms {
            latency: self.latency.encode(),
            latency_uncorrected: self.uncorrected.encode(),
            first: self.first.encode(),
            median: self.median.encode(),
            last: self.last.encode(),
            spread: self.spread.encode(),
            ..Histograms::default()
        }
    }

    pub(crate) fn broadcast(&self) -> Broadcast {
        Broadcast {
            first: self.first.spread(),
            median: self.median.spread(),
            last: self.last.spread(),
            spread: self.spread.spread(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sample_is_dropped() {
        let mut durations = Durations::new();
        for duration in [0, 1, 999, LATENCY_NS_MAX, LATENCY_NS_MAX * 4, u64::MAX] {
            durations.record(duration);
        }
        let mut sum = Durations::new();
        sum.add(&durations);
        sum.add(&durations);
        assert_eq!(sum.0.len(), 12);
        assert!(sum.percentiles().max >= LATENCY_NS_MAX as f64 / 1e3);
    }

    #[test]
    fn histograms_are_what_other_programs_read() {
        let mut durations = Durations::new();
        assert_eq!(durations.encode(), None);
        durations.record(1_000_000);
        let text = durations.encode().expect("it has a value");
        // "HIST" is what every base64 of the format begins with.
        assert!(text.starts_with("HISTFA"), "{text}");
        let json = serde_json::to_string(&[durations.clone(), Durations::new()]);
        let read: [Durations; 2] =
            serde_json::from_str(&json.expect("text")).expect("V2, deflated, base64");
        assert_eq!(read[0].0, durations.0);
        assert_eq!(read[1].percentiles().count, 0);
        assert!(Durations::try_from(Some("HISTFA!".into())).is_err());
    }

    #[test]
    fn heat_is_counted_in_buckets_of_a_sixteenth_of_a_decade() {
        let mut durations = Durations::coarse();
        // Microseconds; 1 % above and below an edge, since the histogram is that coarse.
        for us in [1, 9, 99, 101, 102, 990, 1_010_000] {
            durations.record(us * 1000);
        }
        let heat = durations.heat();
        let expected = [(10.0, 2), (100.0, 1), (115.478, 2), (1000.0, 1), (1_154_782.0, 1)];
        assert_eq!(heat.len(), expected.len(), "{heat:?}");
        for ((upper, count), (expected_upper, expected_count)) in heat.iter().zip(expected) {
            assert!((upper / expected_upper - 1.0).abs() < 1e-4, "{heat:?}");
            assert_eq!(*count, expected_count, "{heat:?}");
        }
        assert_eq!(durations.pack().expect("it has values").unpack().0, durations.0);
    }

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut durations = Durations::new();
        (1..=1000).for_each(|us| durations.record(us * 1000));
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.002;
        let Percentiles { p50, p90, p99, p999, max, count } = durations.percentiles();
        assert_eq!(count, 1000);
        for (value, expected) in
            [(p50, 500.0), (p90, 900.0), (p99, 990.0), (p999, 999.0), (max, 1000.0)]
        {
            assert!(near(value, expected), "{value} for {expected}");
        }
    }
}
