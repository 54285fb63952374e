//! The one gate for everything a user wrote: what comes out is safe to draw on anyone's terminal
//! and to write into a log.
//!
//! Out comes UTF-8 in which every character is drawn, as itself or as a mark on the one before it.
//! Nothing moves the cursor, rings, reorders or hides text, and 0xFF never occurs. The gate does
//! not judge what is said, nor tell look-alike letters apart.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::limits::COMBINING_MARKS_MAX;

/// What the gate does with a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Takes a place of its own.
    Drawn,
    /// Drawn on the character before it. A few stay.
    Mark,
    /// Shapes or joins its neighbours: ZWNJ and ZWJ, and the selectors of text and emoji style.
    /// Persian, the scripts of India and composed emoji need them. They stay after a character
    /// outside ASCII, and count as marks so that no run of them hides anything.
    Joiner,
    /// Controls, and what draws nothing. Never stays.
    Hidden,
}

/// Returns what may be shown of `bytes`: `bytes` itself if it is printable ASCII, else a copy in
/// `scratch`, which is at most three times as long.
///
/// Invalid UTF-8 becomes U+FFFD and TAB a space; controls and whatever draws nothing are removed.
/// So are marks at the start, where they would sit on the server's own words, marks on a character
/// at which a text may be cut later (`is_cut_at`), because what follows it is a text of its own
/// then, and those after the first `COMBINING_MARKS_MAX` on one character.
pub fn clean<'a>(bytes: &'a [u8], scratch: &'a mut String) -> &'a str {
    if let Some(text) = printable_ascii(bytes) {
        return text;
    }
    scratch.clear();
    let mut gate = Gate { text: scratch, base: None, mark_count: 0 };
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|character| gate.pass(character));
        if !chunk.invalid().is_empty() {
            gate.pass(char::REPLACEMENT_CHARACTER);
        }
    }
    scratch
}

/// Whether the character takes a place of its own on the screen.
#[must_use]
pub fn is_drawn(character: char) -> bool {
    class(character) == Class::Drawn
}

/// Whether a text may be cut behind the character once it has come through the gate: blanks, which
/// are trimmed too, and the signs of commands and addresses.
fn is_cut_at(character: char) -> bool {
    matches!(character, '/' | '|') || character.is_whitespace()
}

/// `bytes` as text if none of it needs a change.
fn printable_ascii(bytes: &[u8]) -> Option<&str> {
    // No early exit: without one the compiler checks many bytes at a time.
    let printable = bytes.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    if printable { str::from_utf8(bytes).ok() } else { None }
}

/// The text that passed so far.
struct Gate<'a> {
    text: &'a mut String,
    /// The last drawn character, if marks may follow; they are drawn on it.
    base: Option<char>,
    /// Marks and joiners kept since `base`.
    mark_count: usize,
}

impl Gate<'_> {
    fn pass(&mut self, character: char) {
        match class(character) {
            Class::Drawn => self.pass_drawn(if character == '\t' { ' ' } else { character }),
            Class::Mark if self.base.is_some() => self.pass_mark(character),
            Class::Joiner if self.base.is_some_and(|base| !base.is_ascii()) => {
                self.pass_mark(character);
            }
            Class::Mark | Class::Joiner | Class::Hidden => {}
        }
    }

    fn pass_drawn(&mut self, character: char) {
        self.text.push(character);
        self.base = Some(character).filter(|character| !is_cut_at(*character));
        self.mark_count = 0;
    }

    fn pass_mark(&mut self, character: char) {
        if self.mark_count < COMBINING_MARKS_MAX {
            self.text.push(character);
            self.mark_count += 1;
        }
    }
}

fn class(character: char) -> Class {
    match character {
        '\t' => Class::Drawn,
        _ if is_common(character) => Class::Drawn,
        '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' => Class::Joiner,
        _ if is_blank(character) => Class::Hidden,
        // Vowels and finals of Hangul written in parts: drawn into the syllable before them.
        '\u{1161}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7fb}' => Class::Mark,
        // Signs that enclose the digits after them: format characters, but visible.
        '\u{600}'..='\u{605}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'
        | '\u{891}'
        | '\u{8e2}'
        | '\u{110bd}'
        | '\u{110cd}' => Class::Drawn,
        _ => class_by_category(character),
    }
}

/// The everyday ranges in which every character is drawn; spares them the search in the tables.
fn is_common(character: char) -> bool {
    matches!(character,
        ' '..='~'
        | '\u{a0}'..='\u{ac}'
        | '\u{ae}'..='\u{2ff}'
        | '\u{370}'..='\u{482}'
        | '\u{48a}'..='\u{590}'
        | '\u{5d0}'..='\u{5ea}'
        | '\u{620}'..='\u{64a}'
        | '\u{2010}'..='\u{2027}'
        | '\u{3041}'..='\u{3096}'
        | '\u{30a0}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{1f300}'..='\u{1f64f}')
}

/// Characters that draw nothing though their category is not Control or Format: fillers, and
/// Unicode's ranges of ignorable characters, assigned or not, with the other variation selectors.
fn is_blank(character: char) -> bool {
    matches!(character,
        '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2065}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0d}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn class_by_category(character: char) -> Class {
    match character.general_category() {
        // Format holds the bidi controls, the zero-width characters, tags and the soft hyphen.
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Class::Hidden,
        GeneralCategory::NonspacingMark
        | GeneralCategory::SpacingMark
        | GeneralCategory::EnclosingMark => Class::Mark,
        _ => Class::Drawn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cleaned(bytes: &[u8]) -> String {
        clean(bytes, &mut String::new()).to_owned()
    }

    #[test]
    fn printable_ascii_is_borrowed() {
        let bytes: Vec<u8> = (b' '..=b'~').collect();
        let mut scratch = String::new();
        let text = clean(&bytes, &mut scratch);
        assert_eq!(text.as_ptr(), bytes.as_ptr());
        assert_eq!(text.len(), bytes.len());
    }

    #[test]
    fn scratch_is_reused() {
        let mut scratch = String::with_capacity(64);
        let start = scratch.as_ptr();
        for line in ["grüße", "früh", "\u{1b}[2J"] {
            clean(line.as_bytes(), &mut scratch);
        }
        assert_eq!(scratch, "[2J");
        assert_eq!(scratch.as_ptr(), start);
    }

    #[test]
    fn text_stays_as_it_is() {
        for text in [
            "",
            "hello",
            "naïve café – “ok” … €",
            "Привет, мир",
            "你好,世界 こんにちは 안녕하세요",
            "שלום عليكم",
            "e\u{301}a\u{308}\u{304}", // decomposed, as macOS writes it
            "می\u{200c}خواهم",         // Persian needs ZWNJ
            "क\u{94d}\u{200d}ष क\u{94d}\u{200c}ष", // Hindi: half forms
            "👩\u{200d}🚀 👨🏽\u{200d}❤\u{fe0f}\u{200d}👨🏽 🏳\u{fe0f}\u{200d}🌈", // composed emoji
            "🇩🇪 ☺\u{fe0e}",
            "\u{1112}\u{1161}\u{11ab}", // Hangul in parts
            "\u{600}\u{661} \u{6dd}",
            "\u{fffd}",
        ] {
            assert_eq!(cleaned(text.as_bytes()), text);
        }
    }

    #[test]
    fn terminal_sequences_lose_their_teeth() {
        for (bytes, text) in [
            ("\u{1b}[2J\u{1b}[H", "[2J[H"),
            ("a\u{1b}[31mred\u{1b}[0m", "a[31mred[0m"),
            ("\u{1b}]0;title\u{7}", "]0;title"),
            ("\u{1b}]52;c;aGk=\u{1b}\\", "]52;c;aGk=\\"),
            ("\u{1b}P$q\"p\u{1b}\\", "P$q\"p\\"),
            ("\u{1b}_apc\u{1b}\\ \u{1b}^pm \u{1b}Xsos", "_apc\\ ^pm Xsos"),
            ("\u{1b}G Q", "G Q"),
            ("end\u{1b}", "end"),
            ("\u{9b}2J\u{9d}0;t\u{9c}\u{85}", "2J0;t"),
            ("\u{7}\u{7}\u{7}", ""),
            ("a\u{8}\u{b}\u{c}\u{7f}b", "ab"),
            ("a\tb", "a b"),
            ("a\rb\nc\0d", "abcd"),
            ("\u{202e}evil\u{202c} \u{2066}x\u{2069}", "evil x"),
            ("ad\u{200b}min a\u{ad}b \u{feff}c", "admin ab c"),
            ("a\u{2028}b\u{2029}c", "abc"),
            ("a\u{fff9}b\u{fffa}c\u{fffb}", "abc"),
            ("🏴\u{e0067}\u{e007f}x\u{e0100}", "🏴x"),
            ("\u{3164}\u{115f}\u{1160}\u{ffa0}", ""),
        ] {
            assert_eq!(cleaned(bytes.as_bytes()), text, "{bytes:?}");
        }
    }

    #[test]
    fn joiners_stay_only_outside_ascii() {
        for (dirty, text) in [
            ("ad\u{200d}min\u{200c}", "admin"),
            ("\u{200d}\u{fe0f}", ""),
            ("1\u{fe0f}\u{20e3}", "1\u{20e3}"),
            ("e\u{301}\u{200d}", "e\u{301}"),
            (
                &format!("é{}", "\u{200d}".repeat(100)),
                "é\u{200d}\u{200d}\u{200d}\u{200d}\u{200d}\u{200d}",
            ),
        ] {
            assert_eq!(cleaned(dirty.as_bytes()), text, "{dirty:?}");
        }
    }

    #[test]
    fn few_marks_follow_one_character() {
        // Nonspacing, spacing, enclosing, Hangul; removed characters between do not start anew.
        for mark in ["\u{301}", "\u{93e}", "\u{20dd}", "\u{1161}", "\u{302}\u{200b}"] {
            let mut text = cleaned(format!("x{}y", mark.repeat(200)).as_bytes());
            text.retain(|character| character != 'x' && character != 'y');
            assert_eq!(text.chars().count(), COMBINING_MARKS_MAX, "{mark:?}");
        }
        assert_eq!(cleaned("\u{301}\u{302}a\u{303}".as_bytes()), "a\u{303}");
        let each_full = format!("a{marks}b{marks}", marks = "\u{301}".repeat(COMBINING_MARKS_MAX));
        assert_eq!(cleaned(each_full.as_bytes()), each_full);
    }

    #[test]
    fn no_text_begins_with_a_mark_wherever_it_is_cut() {
        for (dirty, text) in [
            (" \u{cbe}||", " ||"),
            ("/msg b \u{301}\u{302}hi", "/msg b hi"),
            ("/\u{301}x", "/x"),
            ("2||\u{301}hi", "2||hi"),
            ("\t\u{20dd}x", " x"),
            ("\u{a0}\u{301}\u{3000}\u{200d}x", "\u{a0}\u{3000}x"),
            ("a \u{200b}\u{301}b", "a b"),
        ] {
            assert_eq!(cleaned(dirty.as_bytes()), text, "{dirty:?}");
        }
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        for (bytes, text) in [
            (&b"a\x80b"[..], "a\u{fffd}b"),
            (b"\xc0\xaf", "\u{fffd}\u{fffd}"),
            (b"\xe0\x80\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf5\x80\xfe\xff", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            (b"ok \xf0\x9f\x98", "ok \u{fffd}"),
            (b"\xc3\x1b\xa9", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(cleaned(bytes), text, "{bytes:?}");
        }
    }

    #[test]
    fn common_ranges_agree_with_the_tables() {
        for character in ('\0'..=char::MAX).filter(|&character| is_common(character)) {
            assert!(!is_blank(character), "{character:?}");
            assert_eq!(class_by_category(character), Class::Drawn, "{character:?}");
        }
    }

    #[test]
    fn every_character_alone() {
        let mut scratch = String::new();
        for character in '\0'..=char::MAX {
            let written = character.to_string();
            let text = clean(written.as_bytes(), &mut scratch);
            let is_removed = character.is_control() && character != '\t'
                || matches!(character,
                    '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                    | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
                    | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
            if is_removed {
                assert_eq!(text, "", "{character:?}");
            } else if character.is_alphanumeric()
                && character.is_alphabetic()
                && !is_blank(character)
            {
                assert!(text == written || class(character) == Class::Mark, "{character:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_clean_stays(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = cleaned(&bytes);
            prop_assert_eq!(&cleaned(text.as_bytes()), &text);
        }

        #[test]
        fn what_follows_a_cut_is_clean(written in "[\u{300}-\u{310}\u{200b}-\u{200f}\u{1161}\u{20dd}\u{cbe} \u{a0}\u{3000}/|a\té]{0,40}") {
            let text = cleaned(written.as_bytes());
            for (place, cut) in text.char_indices().filter(|(_, c)| is_cut_at(*c)) {
                let rest = &text[place + cut.len_utf8()..];
                prop_assert_eq!(cleaned(rest.as_bytes()), rest);
            }
        }

        #[test]
        fn lossy_text_passes_in_order(written in "\\PC{0,40}|[\u{300}-\u{310}\u{200b}-\u{200f}a-e\t\u{1b}é]{0,40}") {
            let text = cleaned(written.as_bytes());
            prop_assert_eq!(&cleaned(text.as_bytes()), &text);
            let mut source = written.chars().map(|c| if c == '\t' { ' ' } else { c });
            prop_assert!(text.chars().all(|kept| source.any(|c| c == kept)), "{:?}", text);
        }
    }
}
