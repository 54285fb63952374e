//! The message of the day, read once when the server starts.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::failure::{Failure, Kind};
use crate::limits::MOTD_LEN_MAX;
use crate::text;

/// Reads it; each line goes through the gate, so that it cannot harm a terminal either.
///
/// # Errors
/// When the file cannot be read, is too long, or is no text.
pub fn read(path: &Path) -> Result<Arc<str>, Failure> {
    let failure = |told: String| {
        Failure::new(
            Kind::Configuration,
            format_args!("the message of the day, {}: {told}", path.display()),
        )
    };
    let mut bytes = Vec::new();
    // One byte more than may be: whatever is there, a device too, is never read on.
    let bound = u64::try_from(MOTD_LEN_MAX + 1).expect("a few bytes");
    File::open(path)
        .and_then(|file| file.take(bound).read_to_end(&mut bytes))
        .map_err(|error| failure(error.to_string()))?;
    if bytes.len() > MOTD_LEN_MAX {
        let told = format!("at most {MOTD_LEN_MAX} bytes; shorten it");
        return Err(failure(told));
    }
    let text = str::from_utf8(&bytes)
        .map_err(|error| failure(format!("no UTF-8 text from byte {} on", error.valid_up_to())))?;
    Ok(clean(text).into())
}

fn clean(text: &str) -> String {
    let mut scratch = String::new();
    let lines = text.lines().map(|line| text::clean(line.as_bytes(), &mut scratch).to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(bytes: &[u8]) -> Result<String, String> {
        let name = format!("chatd-motd-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).expect("a writable directory");
        let motd = read(&path);
        fs::remove_file(&path).expect("it was just written");
        let shown = path.display().to_string();
        motd.map(|motd| motd.to_string()).map_err(|failure| {
            assert_eq!(failure.kind, Kind::Configuration);
            failure.message.replace(&shown, "FILE")
        })
    }

    #[test]
    fn lines_go_through_the_gate() {
        for (bytes, motd) in [
            (&b""[..], ""),
            (b"Be kind\r\n\n\x1b[31mplease\x07\n", "Be kind\n\n[31mplease"),
            ("gr\u{fc}\u{df}e \u{202e}x".as_bytes(), "gr\u{fc}\u{df}e x"),
        ] {
            assert_eq!(of(bytes).as_deref(), Ok(motd));
        }
    }

    #[test]
    fn what_is_no_message_of_the_day_is_named() {
        assert_eq!(of(&[b'x'; MOTD_LEN_MAX]).map(|motd| motd.len()), Ok(MOTD_LEN_MAX));
        let long = of(&[b'x'; MOTD_LEN_MAX + 1]).expect_err("it is too long");
        assert_eq!(long, "the message of the day, FILE: at most 4096 bytes; shorten it");
        assert_eq!(
            of(b"ab\xff").expect_err("no text"),
            "the message of the day, FILE: no UTF-8 text from byte 2 on"
        );
        let none = read(Path::new("/nowhere/motd")).expect_err("no file");
        assert_eq!(
            none.message,
            "the message of the day, /nowhere/motd: No such file or directory (os error 2)"
        );
        let endless = read(Path::new("/dev/zero")).expect_err("too long");
        assert!(endless.message.contains("at most 4096 bytes"), "{}", endless.message);
    }
}
