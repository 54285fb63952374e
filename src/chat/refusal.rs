//! What clients were refused, to be counted.

use super::message::{Message, RichMode};

/// Why something that a client asked for was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is named as the message is that tells of it")]
pub enum Refusal {
    UnknownCommand,
    Usage,
    BadName,
    NameTaken,
    NoSuchUser,
    NoSuchRoom,
    NobodyToReplyTo,
    IgnoresYou,
    CannotIgnore,
    TooManyIgnored,
    AlreadyIn,
    TooManyRooms,
    TooManyJoined,
    LineTooLong,
    RemarkTooLong,
    Invalid,
    Rich,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::UnknownCommand,
        Self::Usage,
        Self::BadName,
        Self::NameTaken,
        Self::NoSuchUser,
        Self::NoSuchRoom,
        Self::NobodyToReplyTo,
        Self::IgnoresYou,
        Self::CannotIgnore,
        Self::TooManyIgnored,
        Self::AlreadyIn,
        Self::TooManyRooms,
        Self::TooManyJoined,
        Self::LineTooLong,
        Self::RemarkTooLong,
        Self::Invalid,
        Self::Rich,
    ];

    /// What the message refuses, if it does.
    #[must_use]
    pub fn of<T>(message: &Message<T>) -> Option<Self> {
        Some(match message {
            Message::UnknownCommand { .. } | Message::NoCommand => Self::UnknownCommand,
            Message::Usage { .. } => Self::Usage,
            Message::BadName { .. } => Self::BadName,
            Message::NameTaken { .. } => Self::NameTaken,
            Message::NoSuchUser { .. } => Self::NoSuchUser,
            Message::NoSuchRoom { .. } => Self::NoSuchRoom,
            Message::NobodyToReplyTo => Self::NobodyToReplyTo,
            Message::IgnoresYou { .. } => Self::IgnoresYou,
            Message::CannotIgnore => Self::CannotIgnore,
            Message::TooManyIgnored => Self::TooManyIgnored,
            Message::AlreadyIn { .. } => Self::AlreadyIn,
            Message::TooManyRooms => Self::TooManyRooms,
            Message::TooManyJoined => Self::TooManyJoined,
            Message::LineTooLong => Self::LineTooLong,
            Message::RemarkTooLong => Self::RemarkTooLong,
            Message::Invalid => Self::Invalid,
            Message::Rich { mode: RichMode::Refused | RichMode::MudClient } => Self::Rich,
            _ => return None,
        })
    }

    /// The word that stands for it in the metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UnknownCommand => "unknown_command",
            Self::Usage => "usage",
            Self::BadName => "bad_name",
            Self::NameTaken => "name_taken",
            Self::NoSuchUser => "no_such_user",
            Self::NoSuchRoom => "no_such_room",
            Self::NobodyToReplyTo => "nobody_to_reply_to",
            Self::IgnoresYou => "ignores_you",
            Self::CannotIgnore => "cannot_ignore",
            Self::TooManyIgnored => "too_many_ignored",
            Self::AlreadyIn => "already_in",
            Self::TooManyRooms => "too_many_rooms",
            Self::TooManyJoined => "too_many_joined",
            Self::LineTooLong => "line_too_long",
            Self::RemarkTooLong => "remark_too_long",
            Self::Invalid => "invalid",
            Self::Rich => "rich",
        }
    }
}
