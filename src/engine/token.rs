//! What stands in an operation's user data: what it was, and for which occupant of which slot.

use crate::limits::SLOTS_MAX;

/// The meaning of a completion's 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// An accept in a lane.
    Accept {
        /// The lane.
        lane: u32,
    },
    /// A receive of a connection.
    Recv(Key),
    /// A send to a connection.
    Send(Key),
    /// A wait until a connection takes bytes again.
    Poll(Key),
    /// The close of a connection.
    Close(Key),
    /// The wait for the doorbell.
    Bell,
    /// Something whose outcome nobody waits for: a cancel, or the preparation of an abort.
    Ignored,
}

/// A connection on its own worker: the slot, and which occupant of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The slot in the ring's table and in the worker's.
    pub slot: u32,
    /// Counts the occupants of the slot.
    pub generation: u32,
}

/// Bits of a slot's number.
pub const SLOT_BITS: u32 = 20;
const GENERATION_SHIFT: u32 = SLOT_BITS;
const KIND_SHIFT: u32 = 60;
const _: () = assert!(SLOTS_MAX <= 1 << SLOT_BITS);
const _: () = assert!(GENERATION_SHIFT + u32::BITS <= KIND_SHIFT);

impl Token {
    /// The 64 bits.
    #[must_use]
    pub fn encode(self) -> u64 {
        let (kind, key) = match self {
            Self::Accept { lane } => (1, Key { slot: lane, generation: 0 }),
            Self::Recv(key) => (2, key),
            Self::Send(key) => (3, key),
            Self::Poll(key) => (4, key),
            Self::Close(key) => (5, key),
            Self::Bell => (6, Key { slot: 0, generation: 0 }),
            Self::Ignored => (7, Key { slot: 0, generation: 0 }),
        };
        kind << KIND_SHIFT | u64::from(key.generation) << GENERATION_SHIFT | u64::from(key.slot)
    }

    /// What the bits mean.
    ///
    /// # Panics
    /// When they were not made by `encode`: the ring only returns what it was given.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the mask and the shift keep it in range")]
    pub fn decode(bits: u64) -> Self {
        let slot = (bits & ((1 << SLOT_BITS) - 1)) as u32;
        let generation = (bits >> GENERATION_SHIFT) as u32;
        let key = Key { slot, generation };
        match bits >> KIND_SHIFT {
            1 => Self::Accept { lane: slot },
            2 => Self::Recv(key),
            3 => Self::Send(key),
            4 => Self::Poll(key),
            5 => Self::Close(key),
            6 => Self::Bell,
            7 => Self::Ignored,
            kind => unreachable!("no operation of kind {kind} is ever started"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_comes_back() {
        for generation in [0, 1, u32::MAX] {
            for slot in [0, 1, SLOTS_MAX - 1] {
                let key = Key { slot, generation };
                for token in [
                    Token::Accept { lane: slot },
                    Token::Recv(key),
                    Token::Send(key),
                    Token::Poll(key),
                    Token::Close(key),
                    Token::Bell,
                    Token::Ignored,
                ] {
                    assert_eq!(Token::decode(token.encode()), token);
                }
            }
        }
    }
}
