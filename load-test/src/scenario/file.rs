//! A scenario in a file.

use super::arguments::{GroupOptions, RunOptions};
use crate::{Failure, usage};
use clap::{Args, Command};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The file, read.
pub(super) struct File {
    pub(super) path: PathBuf,
    text: String,
    pub(super) options: RunOptions,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage(format!("{}: {error}", path.display())))?;
        let mut file = Self { path: path.into(), text, options: RunOptions::default() };
        let read = toml::from_str(&file.text);
        file.options = read.map_err(|error| {
            let what = misplaced(error.message()).unwrap_or_else(|| error.message().into());
            file.failure(&error.span().unwrap_or(0..0), &what)
        })?;
        Ok(file)
    }

    /// Says what is wrong where, counted from 1.
    pub(super) fn failure(&self, span: &Range<usize>, what: &str) -> Failure {
        let before = self.text.get(..span.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let (line, column) =
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
        usage(format!("{}:{line}:{column}: {what}", self.path.display()))
    }
}

/// Of a field that serde does not know where it stands: that it belongs elsewhere.
fn misplaced(message: &str) -> Option<String> {
    let (name, _) = message.strip_prefix("unknown field `")?.split_once('`')?;
    if is_option::<GroupOptions>(name) {
        return Some(format!("`{name}` is of a group of clients: put it below a line [[group]]"));
    }
    let place = "above the first [[group]]";
    is_option::<RunOptions>(name).then(|| format!("`{name}` is of the whole run: put it {place}"))
}

fn is_option<T: Args>(name: &str) -> bool {
    let all = T::augment_args(Command::new(""));
    all.get_arguments().any(|option| option.get_long() == Some(name))
}
