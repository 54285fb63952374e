//! How long lines are.

use super::mix;
use crate::limits::{SIZES_MAX, TEXT_LEN_MAX};
use crate::wire::HEADER_LEN;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Bytes of a line's text, without its end: `100`, anything in `80-400`, or of several kinds, as
/// `100:90%,80-1000:10%`; kinds without a share are equally frequent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes(Vec<Kind>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    lengths: RangeInclusive<usize>,
    /// All kinds have it or none; in all they make 100.
    percent: Option<u32>,
}

impl Sizes {
    /// The shortest and the longest.
    pub(crate) fn bounds(&self) -> (usize, usize) {
        let first = self.0.iter().map(|kind| *kind.lengths.start()).min();
        let last = self.0.iter().map(|kind| *kind.lengths.end()).max();
        (first.unwrap_or(0), last.unwrap_or(0))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let (least, most) = self.bounds();
        if (HEADER_LEN..=TEXT_LEN_MAX).contains(&least) && most <= TEXT_LEN_MAX {
            return Ok(());
        }
        Err(format!("--size {self}: a line has {HEADER_LEN} (its header) to {TEXT_LEN_MAX} bytes"))
    }

    /// The length of one line, by chance.
    pub(super) fn pick(&self, seed: u64, line: u64) -> usize {
        let [only] = &self.0[..] else { return self.pick_kind(seed, line) };
        pick_length(&only.lengths, mix(seed, line))
    }

    fn pick_kind(&self, seed: u64, line: u64) -> usize {
        let chance = mix(seed, line);
        let equal = self.0[0].percent.is_none();
        let total = if equal { self.0.len() as u64 } else { 100 };
        // The low bits choose the kind, the high ones the length.
        let mut place = (chance & 0xffff_ffff) % total;
        for kind in &self.0 {
            let share = kind.percent.map_or(1, u64::from);
            if place < share {
                return pick_length(&kind.lengths, chance >> 32);
            }
            place -= share;
        }
        unreachable!("the shares make up the total")
    }
}

fn pick_length(lengths: &RangeInclusive<usize>, chance: u64) -> usize {
    let count = (lengths.end() - lengths.start() + 1) as u64;
    lengths.start() + usize::try_from(chance % count).expect("below a count of lengths")
}

impl From<usize> for Sizes {
    fn from(len: usize) -> Self {
        Self(vec![Kind { lengths: len..=len, percent: None }])
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = text.split(',').map(Kind::from_str).collect::<Result<Vec<_>, _>>()?;
        if kinds.len() > SIZES_MAX {
            return Err(format!("{} kinds of lines, at most {SIZES_MAX}", kinds.len()));
        }
        let told = kinds.iter().filter_map(|kind| kind.percent);
        let (count, sum) =
            told.fold((0, 0u64), |(count, sum), percent| (count + 1, sum + u64::from(percent)));
        match count {
            0 => Ok(Self(kinds)),
            _ if count < kinds.len() => Err("either all sizes have a share, or none".into()),
            _ if sum != 100 => Err(format!("the shares make {sum} %, not 100")),
            _ => Ok(Self(kinds)),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no size: such as 100, 80-400 or 100:90%,1000:10%");
        let (lengths, percent) = match text.split_once(':') {
            Some((lengths, share)) => {
                let number = share.strip_suffix('%').ok_or_else(wrong)?;
                (lengths, Some(number.parse().map_err(|_| wrong())?))
            }
            None => (text, None),
        };
        let (first, last) = lengths.split_once('-').unwrap_or((lengths, lengths));
        let (first, last) =
            (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if first > last {
            return Err(format!("{text:?} has the larger size first"));
        }
        Ok(Self { lengths: first..=last, percent })
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Kind { lengths, percent }) in self.0.iter().enumerate() {
            let (first, last) = (lengths.start(), lengths.end());
            write!(out, "{}{first}", if index > 0 { "," } else { "" })?;
            if first != last {
                write!(out, "-{last}")?;
            }
            if let Some(percent) = percent {
                write!(out, ":{percent}%")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str) -> Sizes {
        text.parse().expect(text)
    }

    #[test]
    fn sizes_are_read_and_written() {
        for text in ["100", "80-400", "100:90%,80-1000:10%", "100,200,300-400"] {
            assert_eq!(sizes(text).to_string(), text);
            assert_eq!(sizes(text).check(), Ok(()), "{text}");
        }
        let wrong =
            ["", "x", "-5", "100-", "400-80", "100:90%", "100:50%,200", "100:90,200:10", "1,"];
        for text in wrong {
            assert!(text.parse::<Sizes>().is_err(), "{text}");
        }
        let header = HEADER_LEN - 1;
        for text in ["0", "1025", "100-2000", &format!("{header}-100"), "100,5"] {
            assert!(sizes(text).check().is_err(), "{text}");
        }
    }

    #[test]
    fn lengths_come_by_their_shares() {
        let picked: Vec<_> =
            (0..10_000).map(|line| sizes("100:90%,200-299:10%").pick(1, line)).collect();
        let long: Vec<_> = picked.iter().filter(|&&len| len != 100).collect();
        assert!((900..1100).contains(&long.len()), "{}", long.len());
        assert!(long.iter().all(|len| (200..300).contains(*len)));
        for part in 0..4 {
            let part = 200 + 25 * part..225 + 25 * part;
            assert!(long.iter().filter(|len| part.contains(**len)).count() > 150, "{part:?}");
        }
        let equal = (0..10_000).filter(|&line| sizes("100,200").pick(1, line) == 100).count();
        assert!((4700..5300).contains(&equal), "{equal}");
        assert_eq!(sizes("90-90").pick(5, 6), 90);
    }
}
