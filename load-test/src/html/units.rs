//! Numbers as a reader likes them: three digits that count, and a unit that fits.

/// Keeps a number and its unit on one line.
const SPACE: char = '\u{a0}';

/// A number and its unit, apart, for where they are set in different sizes.
pub(super) type Quantity = (String, &'static str);

pub(super) fn joined((number, unit): Quantity) -> String {
    if unit.is_empty() { number } else { format!("{number}{SPACE}{unit}") }
}

/// Microseconds, in the unit that fits.
pub(super) fn duration(us: f64) -> Quantity {
    let (value, unit) = match us {
        us if us < 999.5 => (us, "µs"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    (three_digits(value), unit)
}

pub(super) fn bytes(bytes: f64) -> Quantity {
    let (value, unit) = match bytes.abs() {
        size if size < 999.5 => (bytes, "B"),
        size if size < 999_500.0 => (bytes / 1e3, "kB"),
        size if size < 999.5e6 => (bytes / 1e6, "MB"),
        _ => (bytes / 1e9, "GB"),
    };
    (three_digits(value), unit)
}

/// A number of things: `2,000` or `1.5 M`.
pub(super) fn many(value: f64) -> Quantity {
    if value < 999_500.0 { (three_digits(value), "") } else { (three_digits(value / 1e6), "M") }
}

/// A share as a percentage.
pub(super) fn percent(share: f64) -> Quantity {
    (three_digits(share * 100.0), "%")
}

/// `1,234,567`
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let head = digits.len() % 3;
    let mut text = digits[..head].to_owned();
    for group in digits.as_bytes()[head..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().copied().map(char::from));
    }
    text
}

/// Seconds after the start of something that took `of_s`: as on a clock if that is minutes.
pub(super) fn clock(seconds: f64, of_s: f64) -> String {
    if of_s < 180.0 {
        return format!("{}{SPACE}s", three_digits(seconds));
    }
    let whole = seconds.round();
    let (minutes, seconds) = ((whole / 60.0).floor(), whole % 60.0);
    if of_s < 3600.0 {
        return format!("{minutes:.0}:{seconds:02.0}");
    }
    format!("{:.0}:{:02.0}:{seconds:02.0}", (minutes / 60.0).floor(), minutes % 60.0)
}

/// `0`, `0.42`, `3.1`, `42`, `1,234`: never more digits than are known, and no zeros at the end.
fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => return grouped(value.round()),
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn grouped(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    let digits = format!("{:.0}", value.abs());
    digits.parse().map_or(format!("{sign}{digits}"), |whole| format!("{sign}{}", count(whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let rows = [
            (duration(0.0), "0 µs"),
            (duration(0.42), "0.42 µs"),
            (duration(999.4), "999 µs"),
            (duration(999.6), "1 ms"),
            (duration(3141.6), "3.14 ms"),
            (duration(84_000.0), "84 ms"),
            (duration(999_700.0), "1 s"),
            (duration(12_345_678.0), "12.3 s"),
            (duration(3.6e9), "3,600 s"),
            (bytes(335.0), "335 B"),
            (bytes(12_400_000.0), "12.4 MB"),
            (bytes(-2048.0), "-2.05 kB"),
            (percent(0.3456), "34.6 %"),
            (many(99_900.0), "99,900"),
            (many(0.42), "0.42"),
            (many(1_500_000.0), "1.5 M"),
        ];
        for (quantity, expected) in rows {
            assert_eq!(joined(quantity).replace(SPACE, " "), expected);
        }
    }

    #[test]
    fn counts_are_grouped_and_times_read_like_a_clock() {
        let counts =
            [(0, "0"), (999, "999"), (1000, "1,000"), (u64::MAX, "18,446,744,073,709,551,615")];
        for (number, text) in counts {
            assert_eq!(count(number), text);
        }
        let times = [
            (2.5, 30.0, "2.5 s"),
            (0.0, 300.0, "0:00"),
            (3.0, 300.0, "0:03"),
            (3723.0, 7200.0, "1:02:03"),
        ];
        for (seconds, of_s, text) in times {
            assert_eq!(clock(seconds, of_s).replace(SPACE, " "), text);
        }
    }
}
