//! The lines sent before, to be called back.
//!
//! The editor's own history will not do: it takes a line in when its reading of lines ends, and
//! here it never does (see `editor`).

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::limits::HISTORY_LINES_MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recall {
    /// The latest last.
    lines: VecDeque<String>,
    /// How many steps back from the line being typed, 0: none.
    back: usize,
    /// What was being typed when going back began.
    draft: String,
    file: Option<File>,
}

impl Recall {
    /// With the lines of a file, to which each new one is appended.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // What is said to one person is in it.
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut recall = Self::default();
        String::from_utf8_lossy(&bytes).lines().for_each(|line| recall.keep(line));
        recall.file = Some(file);
        Ok(recall)
    }

    /// A line was sent.
    pub(crate) fn add(&mut self, line: &str) {
        self.back = 0;
        self.draft.clear();
        if self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        self.keep(line);
        if let Some(file) = &mut self.file {
            // Not worth a word in the middle of a conversation.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }

    fn keep(&mut self, line: &str) {
        if self.lines.len() >= HISTORY_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// The line before the one shown.
    pub(crate) fn older(&mut self, shown: &str) -> Option<String> {
        self.go(shown, |back| back.checked_add(1))
    }

    /// The line after the one shown; after the last, what was being typed.
    pub(crate) fn newer(&mut self, shown: &str) -> Option<String> {
        self.go(shown, |back| back.checked_sub(1))
    }

    /// The next older line that contains what was being typed.
    pub(crate) fn find(&mut self, shown: &str) -> Option<String> {
        if self.line_back(self.back) != Some(shown) {
            self.back = 0;
        }
        let wanted = if self.back == 0 { shown } else { &self.draft }.to_owned();
        let back = (self.back + 1..=self.lines.len()).find(|&back| {
            self.line_back(back).is_some_and(|line| line != shown && line.contains(&wanted))
        })?;
        self.go(shown, |_| Some(back))
    }

    fn go(&mut self, shown: &str, step: impl Fn(usize) -> Option<usize>) -> Option<String> {
        let back = step(self.back).filter(|&back| back <= self.lines.len())?;
        if self.back == 0 {
            shown.clone_into(&mut self.draft);
        }
        self.back = back;
        Some(self.line_back(back).unwrap_or(&self.draft).to_owned())
    }

    fn line_back(&self, back: usize) -> Option<&str> {
        let index = self.lines.len().checked_sub(back)?;
        self.lines.get(index).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recall(lines: &[&str]) -> Recall {
        let mut recall = Recall::default();
        lines.iter().for_each(|line| recall.add(line));
        recall
    }

    #[test]
    fn back_and_forth() {
        let mut recall = recall(&["one", "two", "two"]);
        assert_eq!(recall.newer("draft"), None);
        assert_eq!(recall.older("draft").as_deref(), Some("two"));
        assert_eq!(recall.older("two").as_deref(), Some("one"));
        assert_eq!(recall.older("one"), None);
        assert_eq!(recall.newer("one").as_deref(), Some("two"));
        assert_eq!(recall.newer("two").as_deref(), Some("draft"));
        assert_eq!(recall.newer("draft"), None);
    }

    #[test]
    fn sending_begins_anew() {
        let mut recall = recall(&["one", "two"]);
        recall.older("");
        recall.older("two");
        recall.add("three");
        assert_eq!(recall.older("").as_deref(), Some("three"));
    }

    #[test]
    fn lines_are_found_by_what_they_contain() {
        let mut recall = recall(&["see cave", "x", "the cave", "y"]);
        assert_eq!(recall.find("cave").as_deref(), Some("the cave"));
        assert_eq!(recall.find("the cave").as_deref(), Some("see cave"));
        assert_eq!(recall.find("see cave"), None);
        assert_eq!(recall.find("edited x").as_deref(), None);
        assert_eq!(recall.find("x").as_deref(), None, "the line itself is no find");
    }

    #[test]
    fn a_bounded_number_is_kept() {
        let mut recall = Recall::default();
        (0..=HISTORY_LINES_MAX).for_each(|n| recall.add(&n.to_string()));
        assert_eq!(recall.lines.len(), HISTORY_LINES_MAX);
        assert_eq!(recall.lines.front().map(String::as_str), Some("1"));
    }

    #[test]
    fn a_file_keeps_them() {
        let path = std::env::temp_dir().join(format!("chat-recall-{}", std::process::id()));
        Recall::open(&path).expect("created").add("kept");
        let mut recall = Recall::open(&path).expect("opened");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(recall.older("").as_deref(), Some("kept"));
    }
}
