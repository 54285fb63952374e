//! The log: lines on stderr, written by a thread of its own.
//!
//! Whoever logs never waits: a full queue drops lines and counts them, so that a terminal that is
//! held, or a journal that hangs, stops nobody.

use std::fmt;
use std::io::{self, IsTerminal};
use std::panic;

use time::OffsetDateTime;
use tracing::{Event, Level, Subscriber, error};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::limits::LOG_LINES_MAX;

/// The log while it is open. Dropping it writes out what waits, for at most a second.
#[derive(Debug)]
pub struct Log {
    dropped: ErrorCounter,
    _guard: WorkerGuard,
}

/// How many log lines were dropped.
#[derive(Clone, Debug)]
pub struct DroppedLines(Option<ErrorCounter>);

impl Log {
    /// Opens the log of this process. A panic is logged too.
    #[must_use]
    pub fn open(level: Level) -> Self {
        let (writer, guard) = NonBlockingBuilder::default()
            .buffered_lines_limit(LOG_LINES_MAX)
            .lossy(true)
            .thread_name("log")
            .finish(io::stderr());
        let dropped = writer.error_counter();
        // Fails when a log is open already: then that one goes on.
        let _ = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(io::stderr().is_terminal())
            .event_format(Line)
            .with_writer(writer)
            .try_init();
        panic::set_hook(Box::new(|panic| error!("{panic}")));
        Self { dropped, _guard: guard }
    }

    /// The count of dropped lines.
    #[must_use]
    pub fn dropped(&self) -> DroppedLines {
        DroppedLines(Some(self.dropped.clone()))
    }
}

impl DroppedLines {
    /// Of a log that drops nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// The count.
    #[must_use]
    pub fn count(&self) -> u64 {
        let count = self.0.as_ref().map_or(0, ErrorCounter::dropped_lines);
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// `2026-11-21T13:00:00.000Z INFO message name=value`
#[derive(Debug)]
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let now = Stamp::now();
        let level = *event.metadata().level();
        if writer.has_ansi_escapes() {
            write!(writer, "\x1b[2m{now:.3}\x1b[0m \x1b[{}m{level}\x1b[0m ", colour(level))?;
        } else {
            write!(writer, "{now:.3} {level} ")?;
        }
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 34,
    }
}

/// An instant of the wall clock as RFC 3339 has it, in UTC: `{}` to the second, `{:.3}` to the
/// millisecond.
#[derive(Clone, Copy, Debug)]
pub struct Stamp(OffsetDateTime);

impl Stamp {
    /// The present instant.
    #[must_use]
    pub fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second, ms) = self.0.to_hms_milli();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if f.precision().is_some() {
            write!(f, ".{ms:03}")?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stamp_is_rfc_3339() {
        let instant = OffsetDateTime::from_unix_timestamp_nanos(1_795_266_003_004_999_999);
        let stamp = Stamp(instant.expect("within range"));
        assert_eq!(stamp.to_string(), "2026-11-21T13:00:03Z");
        assert_eq!(format!("{stamp:.3}"), "2026-11-21T13:00:03.004Z");
    }

    #[test]
    fn a_line_is_stamp_level_message_and_fields() {
        let memory = Memory::default();
        let target = memory.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(Line)
            .with_writer(move || target.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(dialect = %"telnet", addr = %"127.0.0.1:1", "listening");
        });
        let written = memory.0.lock().expect("no writer panics");
        let line = std::str::from_utf8(&written).expect("a line is text");
        let (stamp, rest) = line.split_at("2026-11-21T13:00:00.000Z".len());
        assert!(stamp.ends_with('Z') && stamp.contains("T"), "{line}");
        assert_eq!(rest, " INFO listening dialect=telnet addr=127.0.0.1:1\n");
    }
}
