//! Names: what may be one, how one is kept, how one is found.
//!
//! Users and rooms follow the same rules of form and are told apart without regard to case. Where
//! other letters than ASCII's are allowed, `looks` has the rules.
//! A user without a nickname goes by its address, which can never be taken for a nickname: it
//! contains `:`.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

use crate::limits::{NAME_LEN_MAX, SHOWN_NAME_LEN_MAX};

/// Everybody in the lobby, as an address.
pub(super) const ALL: &str = "all";

/// Words that nobody may be called, whatever their case: `all` is an address, `you` is the reader
/// (`[plato -> you]`), the others would let a user pass for the server.
pub const RESERVED_NAMES: [&str; 5] = [ALL, "chatd", "server", "system", "you"];

/// A nickname or the name of a room.
pub(super) type Name = Inline<NAME_LEN_MAX>;

/// A name as people see it: a nickname, the name of a room, or an address.
pub(super) type ShownName = Inline<SHOWN_NAME_LEN_MAX>;

/// A short text that lives where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inline<const LEN_MAX: usize> {
    len: u8,
    bytes: [u8; LEN_MAX],
}

/// Finds a number by a name, without regard to case. The names themselves are kept by the
/// owner of the numbers, who hands them in as `name_of`.
#[derive(Debug)]
pub(super) struct NameIndex<S> {
    numbers: HashTable<u32>,
    hasher: S,
}

/// Whether `name` has the form of a name.
pub(super) fn is_name(name: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(is_name_byte)
}

/// Whether `name` is one of the words that nobody may be called.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED_NAMES.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

impl<const LEN_MAX: usize> Inline<LEN_MAX> {
    /// No text.
    pub(super) const EMPTY: Self = Self { len: 0, bytes: [0; LEN_MAX] };

    /// Keeps `text`, if it fits.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut inline = Self::EMPTY;
        fmt::Write::write_str(&mut inline, text).ok().map(|()| inline)
    }

    /// The text.
    pub(super) fn as_str(&self) -> &str {
        let bytes = &self.bytes[..usize::from(self.len)];
        str::from_utf8(bytes).expect("only whole strings are written to it")
    }
}

impl<const LEN_MAX: usize> fmt::Write for Inline<LEN_MAX> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let start = usize::from(self.len);
        let end = start + text.len();
        let room = self.bytes.get_mut(start..end).ok_or(fmt::Error)?;
        self.len = u8::try_from(end).map_err(|_| fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<S: BuildHasher> NameIndex<S> {
    /// An empty index that takes `capacity` names before it allocates again.
    pub(super) fn with_capacity(capacity: usize, hasher: S) -> Self {
        Self { numbers: HashTable::with_capacity(capacity), hasher }
    }

    /// How many names there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The number that goes by `name`. Addresses need not be unique (one client port may be
    /// connected to two listeners); then it is any of them.
    pub(super) fn find(&self, name: &str, name_of: impl Fn(u32) -> ShownName) -> Option<u32> {
        let is_named = |number: &u32| folded(name_of(*number).as_str()).eq(folded(name));
        self.numbers.find(hash(&self.hasher, name), is_named).copied()
    }

    /// Adds a number under its present name.
    pub(super) fn insert(&mut self, number: u32, name_of: impl Fn(u32) -> ShownName) {
        let hash_of = |number: &u32| hash(&self.hasher, name_of(*number).as_str());
        self.numbers.insert_unique(hash_of(&number), number, hash_of);
    }

    /// Takes a number out that was added under `name`.
    pub(super) fn remove(&mut self, number: u32, name: &str) {
        let entry = self.numbers.find_entry(hash(&self.hasher, name), |other| *other == number);
        entry.expect("every number is in the index under its present name").remove();
    }
}

fn hash(hasher: &impl BuildHasher, name: &str) -> u64 {
    let mut state = hasher.build_hasher();
    for letter in folded(name) {
        state.write_u32(letter.into());
    }
    state.finish()
}

/// Without regard to case.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_1_to_20_letters_digits_hyphens_and_underscores() {
        for name in ["a", "Z", "0", "-", "_", "plato", "a-b_C-9", "aaaaaaaaaaaaaaaaaaaa"] {
            assert!(is_name(name), "{name:?}");
        }
        for word in ["", "aaaaaaaaaaaaaaaaaaaaa", "a b", "a.b", "[a]", "a:1", "é", "a\n", "@"] {
            assert!(!is_name(word), "{word:?}");
        }
    }

    #[test]
    fn reserved_words_are_names_in_form() {
        for word in RESERVED_NAMES {
            assert!(is_name(word) && is_reserved(word) && is_reserved(&word.to_uppercase()));
        }
        assert!(!is_reserved("allan"));
    }

    #[test]
    fn inline_keeps_what_fits() {
        assert_eq!(Inline::<3>::new("abc").as_ref().map(Inline::as_str), Some("abc"));
        assert_eq!(Inline::<3>::new("").as_ref().map(Inline::as_str), Some(""));
        assert_eq!(Inline::<3>::new("abcd"), None);
    }
}
