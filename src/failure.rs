//! Why the process ends other than by being asked to, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

/// What kind of failure it is. The numbers are those of sysexits.h where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something broke while serving: 1.
    Broken,
    /// What was typed cannot be meant: 2, as for every usage error.
    Usage,
    /// io_uring cannot be used here: 69.
    Unavailable,
    /// An address, a limit or a file is not to be had: 71.
    System,
    /// The configuration file is wrong: 78.
    Configuration,
    /// A second signal came while stopping: 128 and its number, as a shell tells it.
    Killed(u8),
    /// The process that was to take over from another ended with that.
    Successor(u8),
}

/// A failure, told to the operator in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind it is.
    pub kind: Kind,
    /// What is wrong, and where possible the way out.
    pub message: String,
}

impl Failure {
    /// A failure of that kind.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// What the process exits with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.number())
    }
}

impl Kind {
    /// The number of the exit code.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Broken => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::System => 71,
            Self::Configuration => 78,
            Self::Killed(signal) => 128 + signal,
            Self::Successor(code) => code,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
