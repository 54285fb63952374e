//! What several commands take from their options, and where they write what they found.

use crate::scenario::mix;
use crate::{Failure, clock, failed, usage};
use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// A number that no other run on the same server is likely to have.
pub(crate) fn run_id(seed: u64) -> u32 {
    let id = mix(seed ^ clock::now_ns(), u64::from(std::process::id()));
    u32::try_from(id & 0xffff_ffff).expect("masked to 32 bits")
}

/// Prints a text and a line end; fails if nobody reads it.
pub(crate) fn say(text: &dyn Display) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| failed("standard output", &error))
}

/// Prints a text and a line end on standard error. Who closed that does not want to know.
pub(crate) fn tell(text: &dyn Display) {
    let _closed = writeln!(std::io::stderr(), "{text}");
}

/// Refuses a file that cannot be written, before there is something to write.
pub(crate) fn check_writable(path: &Path) -> Result<(), Failure> {
    let is_new = !path.exists();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let kept = opened.and_then(|_| if is_new { std::fs::remove_file(path) } else { Ok(()) });
    kept.map_err(|error| usage(format!("{}: {error}", path.display())))
}

/// Writes JSON to a file; `-` is the standard output.
pub(crate) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| failed("JSON", &error))?;
    text.push('\n');
    let written = if path == Path::new("-") {
        std::io::stdout().write_all(text.as_bytes())
    } else {
        std::fs::write(path, text)
    };
    written.map_err(|error| failed(&path.display().to_string(), &error))
}

/// `5s`, `500ms`, `2m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "expected 5s, 500ms, 2m or 1h".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err("the unit is ms, s, m or h".into()),
    }
}

/// The duration as `parse_duration` reads it.
pub(crate) fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let rows = [
            ("5s", Some(5000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("", None),
            ("1h", Some(3_600_000)),
            ("1d", None),
        ];
        for (text, ms) in rows {
            let duration = parse_duration(text).ok();
            assert_eq!(duration, ms.map(Duration::from_millis), "{text}");
            let again = duration.map(|duration| parse_duration(&duration_text(duration)));
            assert_eq!(again, duration.map(Ok), "{text}");
        }
    }
}
