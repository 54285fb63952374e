//! A terminal's parser that chatd does not share: what is sent to people must hold text, line
//! ends, and only those control functions that somebody meant to send.

use vte::{Params, Parser, Perform};

/// Parses `bytes`; panics at a control function that may not be there.
pub(crate) fn show(bytes: &[u8], may_move: bool) {
    let mut parser = Parser::new();
    let mut screen = Screen { may_move };
    parser.advance(&mut screen, bytes);
    // What is begun and not ended takes what is sent next for its own.
    let mut end = End::default();
    parser.advance(&mut end, b"Q");
    assert!(end.printed, "a control function without its end: {}", bytes.escape_ascii());
}

struct Screen {
    /// The line being typed is drawn: the cursor moves, and what stands after it is erased.
    may_move: bool,
}

impl Perform for Screen {
    fn print(&mut self, shown: char) {
        assert!(!shown.is_control(), "{shown:?}");
    }

    fn execute(&mut self, byte: u8) {
        assert!(matches!(byte, b'\r' | b'\n'), "{byte:#04x}");
    }

    fn csi_dispatch(&mut self, params: &Params, between: &[u8], ignored: bool, action: char) {
        let is_plain = self.may_move && between.is_empty() && !ignored && params.len() <= 1;
        assert!(is_plain && matches!(action, 'A' | 'B' | 'C' | 'D' | 'H' | 'J'), "CSI {action}");
    }

    fn esc_dispatch(&mut self, _: &[u8], _: bool, byte: u8) {
        panic!("ESC {byte:#04x}");
    }

    fn hook(&mut self, _: &Params, _: &[u8], _: bool, action: char) {
        panic!("DCS {action}");
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _: bool) {
        panic!("OSC {params:?}");
    }
}

/// Whether the letter that ends a test is printed.
#[derive(Default)]
struct End {
    printed: bool,
}

impl Perform for End {
    fn print(&mut self, _: char) {
        self.printed = true;
    }
}
