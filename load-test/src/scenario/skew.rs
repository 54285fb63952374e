//! How clients are spread over rooms.

use super::mix;
use std::fmt;
use std::str::FromStr;

/// The steepest: with it nearly all are in the first room.
const EXPONENT_MAX: f64 = 10.0;

/// Whether rooms are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Skew {
    /// All rooms have the same number of clients, or one more.
    #[default]
    Uniform,
    /// Every room has one client; of the others room `k` gets a share of `1 / k^exponent`.
    Zipf(f64),
}

impl Skew {
    /// The room of each client. By `Zipf`, who is where is left to chance (seeded), so that any
    /// part of the clients, such as the senders, is spread over the rooms as all are.
    pub(super) fn rooms_of(self, clients: u32, rooms: u32, seed: u64) -> Vec<u32> {
        let Self::Zipf(exponent) = self else {
            return (0..clients).map(|client| client % rooms).collect();
        };
        let mut total = 0.0;
        let ends = (1..=rooms).map(|room| {
            total += f64::from(room).powf(-exponent);
            total
        });
        let ends: Vec<f64> = ends.collect();
        // The others stand in a line as long as all shares; each is in the room whose share it is.
        let others = clients - rooms;
        let room_of = |other: u32| {
            let place = (f64::from(other) + 0.5) / f64::from(others) * total;
            (0..rooms - 1).len().min(ends.partition_point(|end| *end <= place))
        };
        let room_of = |other| u32::try_from(room_of(other)).expect("below rooms");
        let mut rooms_of: Vec<_> = (0..rooms).chain((0..others).map(room_of)).collect();
        shuffle(&mut rooms_of, seed);
        rooms_of
    }
}

/// Fisher and Yates's.
fn shuffle(items: &mut [u32], seed: u64) {
    for last in (1..items.len()).rev() {
        let chosen = mix(seed, last as u64) % (last as u64 + 1);
        items.swap(last, usize::try_from(chosen).expect("an index"));
    }
}

impl FromStr for Skew {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "uniform" {
            return Ok(Self::Uniform);
        }
        let exponent = text.strip_prefix("zipf:").and_then(|exponent| exponent.parse().ok());
        let exponent = exponent.filter(|exponent| (0.0..=EXPONENT_MAX).contains(exponent));
        exponent.map(Self::Zipf).ok_or_else(|| {
            format!("{text:?} is neither uniform nor zipf:S with S from 0 to {EXPONENT_MAX}")
        })
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => out.write_str("uniform"),
            Self::Zipf(exponent) => write!(out, "zipf:{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(skew: Skew, clients: u32, rooms: u32) -> Vec<usize> {
        let rooms_of = skew.rooms_of(clients, rooms, 1);
        assert_eq!(rooms_of.len(), clients as usize);
        (0..rooms).map(|room| rooms_of.iter().filter(|other| **other == room).count()).collect()
    }

    #[test]
    fn shares_fall_as_they_should() {
        assert_eq!(sizes(Skew::Uniform, 7, 3), [3, 2, 2]);
        assert_eq!(sizes(Skew::Zipf(1.0), 1104, 4), [529, 265, 177, 133]);
        assert_eq!(sizes(Skew::Zipf(0.0), 8, 4), [2, 2, 2, 2]);
        assert_eq!(sizes(Skew::Zipf(10.0), 100, 4), [97, 1, 1, 1]);
        assert_eq!(sizes(Skew::Zipf(1.0), 3, 3), [1, 1, 1], "each room has one");
        assert_eq!(sizes(Skew::Zipf(1.1), 5, 1), [5]);
    }

    #[test]
    fn who_is_where_follows_from_the_seed_alone() {
        let rooms_of = |seed| Skew::Zipf(1.1).rooms_of(1000, 50, seed);
        assert_eq!(rooms_of(1), rooms_of(1));
        assert_ne!(rooms_of(1), rooms_of(2));
        // The first clients, which talk, are spread as all are.
        let first = rooms_of(1)[..200].iter().filter(|room| **room == 0).count();
        let all = rooms_of(1).iter().filter(|room| **room == 0).count();
        assert!(first * 5 > all / 2 && first * 5 < all * 2, "{first} of 200, {all} of 1000");
    }

    #[test]
    fn skews_are_read_and_written() {
        for text in ["uniform", "zipf:1.1", "zipf:2"] {
            assert_eq!(text.parse::<Skew>().expect(text).to_string(), text);
        }
        for text in ["", "zipf", "zipf:", "zipf:x", "zipf:-1", "zipf:NaN", "zipf:inf", "zipf:11"] {
            assert!(text.parse::<Skew>().is_err(), "{text}");
        }
    }
}
