//! Why a connection ended.

use serde::{Deserialize, Serialize};

/// Why a connection ended. Each has a counter, a word for the log, and, where the server ends it, a
/// sentence for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum CloseReason {
    /// The other end closed.
    EndOfFile,
    /// The other end said `/quit`.
    Quit,
    /// The connection broke.
    Reset,
    /// It stopped answering: the kernel gave up on it.
    TimedOut,
    /// It read too slowly.
    Slow,
    /// It read slowly, and memory was short.
    Shed,
    /// It sent without ever ending a line.
    EndlessLine,
    /// It sent faster than the server could stop reading.
    Flood,
    /// It spoke another protocol.
    Foreign,
    /// There was no room for it.
    Full,
    /// Its address had as many connections as one may have.
    AddressFull,
    /// Its address connected too often.
    AddressRate,
    /// The server stopped.
    Stop,
    /// The server could not go on with it: memory was short, or a bug was caught.
    Internal,
}

impl CloseReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::EndOfFile,
        Self::Quit,
        Self::Reset,
        Self::TimedOut,
        Self::Slow,
        Self::Shed,
        Self::EndlessLine,
        Self::Flood,
        Self::Foreign,
        Self::Full,
        Self::AddressFull,
        Self::AddressRate,
        Self::Stop,
        Self::Internal,
    ];

    /// The word that stands for it in the log and in the metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::EndOfFile => "eof",
            Self::Quit => "quit",
            Self::Reset => "reset",
            Self::TimedOut => "timeout",
            Self::Slow => "slow",
            Self::Shed => "shed",
            Self::EndlessLine => "endless_line",
            Self::Flood => "flood",
            Self::Foreign => "foreign",
            Self::Full => "full",
            Self::AddressFull => "address_full",
            Self::AddressRate => "address_rate",
            Self::Stop => "stop",
            Self::Internal => "internal",
        }
    }
}
