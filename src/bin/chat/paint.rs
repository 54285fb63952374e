//! How a line looks: colour, time, bell.

use time::{OffsetDateTime, UtcOffset};

use crate::seen::Line;

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
/// Foregrounds that can be read on light and on dark, those of errors and links left out.
const NAME_COLOURS: [u8; 8] = [32, 33, 35, 36, 92, 93, 95, 96];

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    /// Takes lines apart.
    pub(crate) read: for<'a> fn(&'a str) -> Line<'a>,
    /// What stands before a line that was sent.
    pub(crate) prompt: &'static str,
    pub(crate) colours: bool,
    /// Where the clock is, if times are shown.
    pub(crate) clock: Option<UtcOffset>,
    pub(crate) bell: bool,
    /// Marks what the client itself says. Not for screen readers, who would hear the marks.
    pub(crate) marks: bool,
}

impl Paint {
    /// A line that arrived.
    pub(crate) fn arrived(&self, line: &str, is_mention: bool) -> String {
        let bell = if self.bell && is_mention { "\x07" } else { "" };
        let time = self.time();
        let read = (self.read)(line);
        let Some(author) = read.author.filter(|_| self.colours) else {
            return format!("{bell}{time}{line}");
        };
        let head = &line[..line.len() - read.text.len()];
        let colour = colour(author);
        let bold = if is_mention { BOLD } else { "" };
        format!("{bell}{time}\x1b[{colour}m{head}{RESET}{bold}{}{RESET}", read.text)
    }

    /// A line that was sent.
    pub(crate) fn sent(&self, line: &str) -> String {
        format!("{}{}{line}", self.time(), self.dim(self.prompt))
    }

    /// What the client itself has to say.
    pub(crate) fn state(&self, words: &str) -> String {
        let mark = if self.marks { "-- " } else { "" };
        format!("{}{}", self.time(), self.dim(&format!("{mark}{words}")))
    }

    fn dim(&self, words: &str) -> String {
        if self.colours { format!("{DIM}{words}{RESET}") } else { words.to_owned() }
    }

    fn time(&self) -> String {
        self.clock.map_or_else(String::new, |offset| {
            let now = OffsetDateTime::now_utc().to_offset(offset);
            self.dim(&format!("{:02}:{:02} ", now.hour(), now.minute()))
        })
    }
}

/// The same for a name always and everywhere (FNV-1a).
fn colour(name: &str) -> u8 {
    let fold = |hash: u32, byte: u8| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    };
    let hash = name.bytes().fold(0x811c_9dc5, fold);
    NAME_COLOURS[(hash ^ (hash >> 16)) as usize % NAME_COLOURS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Paint = Paint {
        read: crate::seen::read,
        prompt: "> ",
        colours: false,
        clock: None,
        bell: false,
        marks: true,
    };

    #[test]
    fn without_wishes_a_line_stays_as_it_is() {
        assert_eq!(PLAIN.arrived("[plato] hi", true), "[plato] hi");
        assert_eq!(PLAIN.sent("hi"), "> hi");
        assert_eq!(PLAIN.state("lost"), "-- lost");
        assert_eq!(Paint { marks: false, ..PLAIN }.state("lost"), "lost");
    }

    #[test]
    fn names_have_their_colour() {
        let paint = Paint { colours: true, ..PLAIN };
        let plato = colour("plato");
        assert_eq!(plato, colour("Plato"));
        let line = paint.arrived("[plato] hi", false);
        assert_eq!(line, format!("\x1b[{plato}m[plato]{RESET} hi{RESET}"));
        let timed = paint.arrived("12:34 [plato] hi", false);
        assert_eq!(timed, format!("\x1b[{plato}m12:34 [plato]{RESET} hi{RESET}"));
        assert_eq!(paint.arrived("Client joined plato", false), "Client joined plato");
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let colours: std::collections::BTreeSet<_> = names.map(colour).into();
        assert!(colours.len() > 3, "{colours:?}");
    }

    #[test]
    fn the_bell_is_for_mentions() {
        let paint = Paint { bell: true, ..PLAIN };
        assert_eq!(paint.arrived("[a] hi", true), "\x07[a] hi");
        assert_eq!(paint.arrived("[a] hi", false), "[a] hi");
    }

    #[test]
    fn time_comes_first() {
        let paint = Paint { clock: Some(UtcOffset::UTC), ..PLAIN };
        let line = paint.arrived("hi", false);
        assert_eq!((line.len(), &line[2..3], &line[5..]), (8, ":", " hi"), "{line:?}");
    }
}
