//! Histograms as the tools of HdrHistogram read them: a `.hgrm` table for each, which its plotters
//! draw, and a `.hlog` of intervals. Both in milliseconds, as these tools expect.

use crate::report::{Report, Second};
use crate::{Failure, failed};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogWriter, IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializeError, V2DeflateSerializer};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Histograms are in nanoseconds.
const MILLISECOND: f64 = 1e6;
/// Rows until half of what is left, as Java's default is and the plotters expect.
const TICKS_PER_HALF: u32 = 5;

/// What a report holds as text; none if it is no histogram or an empty one.
pub(crate) fn decode(saved: &str) -> Option<Histogram<u64>> {
    let bytes = BASE64_STANDARD.decode(saved).ok()?;
    let histogram = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
    Some(histogram).filter(|histogram: &Histogram<u64>| !histogram.is_empty())
}

/// Writes a table for each histogram of the report into a folder, which it makes if need be.
pub(crate) fn write_hgrm(folder: &Path, report: &Report) -> Result<(), Failure> {
    let error = |error| failed(&folder.display().to_string(), &error);
    std::fs::create_dir_all(folder).map_err(error)?;
    for (name, histogram) in named(report) {
        std::fs::write(folder.join(format!("{name}.hgrm")), hgrm(&histogram)).map_err(error)?;
    }
    Ok(())
}

/// Writes latency second by second, and, with their tags, the histograms of the whole run.
pub(crate) fn write_hlog(path: &Path, report: &Report) -> Result<(), Failure> {
    let log = hlog(report).map_err(|error| failed("the interval log", &error))?;
    std::fs::write(path, log).map_err(|error| failed(&path.display().to_string(), &error))
}

/// Those that are there, named as in the report.
fn named(report: &Report) -> Vec<(&'static str, Histogram<u64>)> {
    let saved = &report.histograms;
    let all = [
        ("latency", &saved.latency),
        ("latency_uncorrected", &saved.latency_uncorrected),
        ("schedule_lag", &saved.schedule_lag),
        ("connect", &saved.connect),
        ("join", &saved.join),
        ("first", &saved.first),
        ("median", &saved.median),
        ("last", &saved.last),
        ("spread", &saved.spread),
    ];
    let read = |(name, saved): (_, &Option<String>)| Some((name, decode(saved.as_ref()?)?));
    all.into_iter().filter_map(read).collect()
}

/// As Java's `outputPercentileDistribution` prints it.
fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut count = 0;
    for value in histogram.iter_quantiles(TICKS_PER_HALF) {
        count += value.count_since_last_iteration();
        let (share, ms) =
            (value.quantile_iterated_to(), value.value_iterated_to() as f64 / MILLISECOND);
        write!(text, "{ms:12.3} {share:2.12} {count:10}").expect("a string takes everything");
        if share < 1.0 {
            write!(text, " {:14.2}", 1.0 / (1.0 - share)).expect("a string takes everything");
        }
        text.push('\n');
    }
    let (mean, deviation) = (histogram.mean() / MILLISECOND, histogram.stdev() / MILLISECOND);
    let (max, total) = (histogram.max() as f64 / MILLISECOND, histogram.len());
    let buckets = histogram.buckets();
    // The least power of two that tells all digits apart, above and below.
    let sub_buckets = (2 * 10u64.pow(u32::from(histogram.sigfig()))).next_power_of_two();
    write!(
        text,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {max:12.3}, Total count    = {total:12}]\n\
         #[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]\n"
    )
    .expect("a string takes everything");
    text
}

type LogError = IntervalLogWriterError<V2DeflateSerializeError>;

fn hlog(report: &Report) -> Result<Vec<u8>, LogError> {
    let start = OffsetDateTime::parse(&report.started_at, &Rfc3339);
    let start = start.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    let (mut log, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Latency of load-test in ns, the interval's maximum in ms]")
        .add_comment("[Without a tag: second by second, to 1 %. With one: the whole run]")
        .with_start_time(start)
        .with_base_time(start)
        .with_max_value_divisor(MILLISECOND)
        .begin_log_with(&mut log, &mut serializer)?;
    let whole = seconds(report.duration_s);
    for (name, histogram) in named(report) {
        writer.write_histogram(&histogram, Duration::ZERO, whole, Tag::new(name))?;
    }
    write_seconds(&mut writer, &report.timeline)?;
    Ok(log)
}

fn write_seconds(
    writer: &mut IntervalLogWriter<'_, '_, Vec<u8>, V2DeflateSerializer>,
    timeline: &[Second],
) -> Result<(), LogError> {
    let mut from_s = 0.0;
    for second in timeline {
        let length = seconds(second.at_s - from_s);
        if let Some(histogram) = second.histogram.as_deref().and_then(decode) {
            writer.write_histogram(&histogram, seconds(from_s), length, None)?;
        }
        from_s = second.at_s;
    }
    Ok(())
}

/// What is no time is none: a report may come from anywhere.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Durations;

    /// The values and the layout that Java's HdrHistogram has for them.
    #[test]
    fn a_table_is_laid_out_as_the_plotters_expect() {
        let mut durations = Durations::new();
        (1..=100).for_each(|ms| durations.record(ms * 1_000_000));
        let histogram = decode(&durations.encode().expect("not empty")).expect("a histogram");
        let text = hgrm(&histogram);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        assert_eq!(lines[3], "      10.002 0.100000000000         10           1.11");
        assert_eq!(lines[lines.len() - 4], "     100.008 1.000000000000        100");
        assert_eq!(
            lines[lines.len() - 3],
            "#[Mean    =       50.499, StdDeviation   =       28.866]"
        );
        assert_eq!(
            lines[lines.len() - 2],
            "#[Max     =      100.008, Total count    =          100]"
        );
        assert_eq!(
            lines[lines.len() - 1],
            "#[Buckets =           32, SubBuckets     =         2048]"
        );
    }

    #[test]
    fn what_is_no_histogram_is_none() {
        assert!(decode("").is_none());
        assert!(decode("!").is_none());
        assert!(decode("AAAA").is_none());
        assert!(Durations::new().encode().is_none());
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
        assert_eq!(seconds(-1.0), Duration::ZERO);
    }
}
