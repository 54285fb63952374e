//! Nicknames in all scripts, and which of them look alike.
//!
//! Opt-in. A name has the form of PRECIS's `UsernameCasePreserved` (RFC 8265): one way to write
//! each letter, nothing invisible, no mixture of directions; of what that leaves, letters, digits,
//! marks, `-` and `_` of one script, or of those that are written together (UTS 39, highly
//! restrictive). Two names look alike if their skeletons (UTS 39) do, as they are or in lower case.

use std::collections::HashMap;
use std::hash::BuildHasher;

use precis_core::profile::PrecisFastInvocation;
use precis_profiles::UsernameCasePreserved;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_security::{GeneralSecurityProfile, RestrictionLevel, RestrictionLevelDetection};

use super::nick::{Name, RESERVED_NAMES, is_name, is_reserved};

/// Which nicknames there may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nicknames {
    /// Of ASCII letters, digits, `-` and `_`: they cannot be mistaken for each other by much.
    #[default]
    Ascii,
    /// Of the letters of all scripts; no two at a time look alike.
    Unicode,
}

impl Nicknames {
    /// The nickname that is meant by `word`, in its one way of writing; `None` if it is none, or
    /// one of the words that would let a user pass for the server.
    pub(super) fn read(self, word: &str) -> Option<Name> {
        match self {
            Self::Ascii => Name::new(word).filter(|_| is_name(word) && !is_reserved(word)),
            Self::Unicode => {
                let name = UsernameCasePreserved::enforce(word).ok()?;
                let begins_with_letter = name.chars().next().is_some_and(|first| !is_mark(first));
                let is_of_letters = name.chars().all(is_name_char) && begins_with_letter;
                let is_clear = name.check_restriction_level(RestrictionLevel::HighlyRestrictive);
                let passes_for = |word: &&str| look_alike(word, &name);
                let is_reserved = RESERVED_NAMES.iter().any(passes_for);
                Name::new(&name).filter(|_| is_of_letters && is_clear && !is_reserved)
            }
        }
    }
}

fn is_name_char(letter: char) -> bool {
    match letter {
        '-' | '_' => true,
        // What is beside ASCII is a letter, a digit or a mark: PRECIS left nothing else.
        _ => letter.is_ascii_alphanumeric() || !letter.is_ascii() && letter.identifier_allowed(),
    }
}

/// Whether it would stand on what is before the name.
fn is_mark(letter: char) -> bool {
    letter.general_category_group() == GeneralCategoryGroup::Mark
}

/// What the present nicknames look like, and whose they are.
#[derive(Debug)]
pub(super) struct Looks<S> {
    owners: HashMap<String, u32, S>,
}

impl<S: BuildHasher> Looks<S> {
    pub(super) fn new(hasher: S) -> Self {
        Self { owners: HashMap::with_hasher(hasher) }
    }

    /// Whether `name` looks like that of another than `number`.
    pub(super) fn are_taken(&self, name: &str, number: u32) -> bool {
        let is_taken = |look: &String| self.owners.get(look).is_some_and(|owner| *owner != number);
        looks_of(name).iter().any(is_taken)
    }

    /// The name is now `number`'s. It looks like nobody else's.
    pub(super) fn insert(&mut self, name: &str, number: u32) {
        self.owners.extend(looks_of(name).map(|look| (look, number)));
    }

    /// The name is nobody's any more.
    pub(super) fn remove(&mut self, name: &str) {
        for look in looks_of(name) {
            self.owners.remove(&look);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }
}

fn look_alike(one: &str, other: &str) -> bool {
    let looks = looks_of(other);
    looks_of(one).iter().any(|look| looks.contains(look))
}

/// As it is written, and in lower case.
fn looks_of(name: &str) -> [String; 2] {
    let skeleton = |name: &str| unicode_security::skeleton(name).collect();
    [skeleton(name), skeleton(&name.to_lowercase())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Option<String> {
        Nicknames::Unicode.read(word).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn names_of_all_scripts() {
        for name in ["plato", "Plato-2_", "Платон", "Πλάτων", "柏拉图", "プラトン", "أفلاطون", "é"]
        {
            assert_eq!(read(name).as_deref(), Some(name));
        }
        // One way to write each: composed, and of the usual width.
        assert_eq!(read("e\u{301}").as_deref(), Some("é"));
        assert_eq!(read("ｐｌａｔｏ").as_deref(), Some("plato"));
    }

    #[test]
    fn what_is_no_name() {
        for word in [
            "",
            "a b",
            "a:1",
            "[a]",
            "a.b",
            "a@b",
            "<a>",
            "a\u{200d}b",
            "a\u{202e}b",
            "\u{301}a",
            "☃",
            "👍",
            // Two scripts that are not written together.
            "pаypal",
            "Платoн",
            "aאb",
            // Words of the server's, the second in Cyrillic letters.
            "server",
            "аӏӏ",
            // More than 20 bytes.
            "Платонпл аф",
            "Платонафина",
        ] {
            assert_eq!(read(word), None, "{word:?}");
        }
    }

    #[test]
    fn names_that_look_alike_are_taken() {
        let mut looks = Looks::new(std::hash::RandomState::new());
        looks.insert("mike", 1);
        looks.insert("ВОВ", 2);
        for (name, taken) in [
            ("mike", true),
            ("rnike", true),
            ("MIKE", true),
            ("BOB", true),
            ("bob", false),
            ("solon", false),
        ] {
            assert_eq!(looks.are_taken(name, 3), taken, "{name}");
        }
        assert!(!looks.are_taken("mike", 1), "one's own");
        looks.remove("mike");
        assert!(!looks.are_taken("rnike", 3));
        looks.remove("ВОВ");
        assert!(looks.is_empty());
    }

    /// All of UTS 39: a letter that can be in a name, and what it looks like.
    #[test]
    fn no_letter_can_stand_for_another() {
        let mut pairs = 0;
        for letter in ('\u{80}'..=char::MAX).filter(|letter| letter.identifier_allowed()) {
            let name = letter.to_string();
            let Some(name) = read(&name) else { continue };
            let alike: String = unicode_security::skeleton(&name).collect();
            let Some(alike) = read(&alike).filter(|alike| *alike != name) else { continue };
            let mut looks = Looks::new(std::hash::RandomState::new());
            looks.insert(&alike, 1);
            assert!(looks.are_taken(&name, 2), "{name} passes for {alike}");
            pairs += 1;
        }
        assert!(pairs > 400, "{pairs} pairs");
    }
}
