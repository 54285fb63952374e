//! Which number to try next: doubled until one does not hold, then halved in between. Pure.

use crate::limits::FIND_MAX_STEPS;

/// Between what holds and what does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Where to begin.
    pub(super) start: u32,
    /// None above is tried.
    pub(super) most: u32,
    /// How far apart, as a share, the two may be at the end.
    pub(super) precision: f64,
    pub(super) held: Option<u32>,
    pub(super) broke: Option<u32>,
    pub(super) steps: u32,
}

impl Search {
    pub(super) fn new(start: u32, most: u32, precision: f64) -> Self {
        Self { start: start.min(most), most, precision, held: None, broke: None, steps: 0 }
    }

    /// None once it is known.
    pub(super) fn next(&self) -> Option<u32> {
        let next = match (self.held, self.broke) {
            (None, None) => self.start,
            (Some(held), None) => held.saturating_mul(2).min(self.most),
            (None, Some(broke)) => broke / 2,
            (Some(held), Some(broke)) if self.is_near(held, broke) => held,
            (Some(held), Some(broke)) => held + (broke - held) / 2,
        };
        let is_new = Some(next) != self.held && next > 0;
        (is_new && self.steps < FIND_MAX_STEPS).then_some(next)
    }

    pub(super) fn take(&mut self, number: u32, holds: bool) {
        self.steps += 1;
        *if holds { &mut self.held } else { &mut self.broke } = Some(number);
    }

    /// Whether the next number would be the least.
    pub(super) fn is_near(&self, held: u32, broke: u32) -> bool {
        let apart = f64::from(broke - held);
        apart <= 1.0 || apart <= f64::from(held) * self.precision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is tried where everything up to `limit` holds.
    fn tried(limit: u32, mut search: Search) -> (Vec<u32>, Search) {
        let mut tried = Vec::new();
        while let Some(number) = search.next() {
            tried.push(number);
            search.take(number, number <= limit);
        }
        (tried, search)
    }

    #[test]
    fn ramps_up_and_bisects() {
        let (numbers, search) = tried(3100, Search::new(1000, 1 << 20, 0.05));
        assert_eq!(numbers, [1000, 2000, 4000, 3000, 3500, 3250, 3125]);
        assert_eq!((search.held, search.broke), (Some(3000), Some(3125)));
    }

    #[test]
    fn goes_down_where_the_first_does_not_hold() {
        let (numbers, search) = tried(130, Search::new(1000, 1 << 20, 0.1));
        assert_eq!(numbers, [1000, 500, 250, 125, 187, 156, 140, 132]);
        assert_eq!((search.held, search.broke), (Some(125), Some(132)));
        let (numbers, search) = tried(0, Search::new(8, 1 << 20, 0.1));
        assert_eq!((numbers, search.held), (vec![8, 4, 2, 1], None));
    }

    #[test]
    fn stops_at_its_bounds() {
        let (numbers, search) = tried(u32::MAX, Search::new(1000, 5000, 0.05));
        assert_eq!((numbers, search.held), (vec![1000, 2000, 4000, 5000], Some(5000)));
        let (numbers, _) = tried(u32::MAX, Search::new(1, u32::MAX, 0.0));
        assert!(numbers.len() <= FIND_MAX_STEPS as usize);
        let (numbers, _) = tried(u32::MAX, Search::new(10, 5, 0.0));
        assert_eq!(numbers, [5]);
    }

    #[test]
    fn is_as_near_as_was_asked() {
        for limit in [1, 7, 99, 100, 1234, 99_999] {
            let (_, search) = tried(limit, Search::new(100, 1 << 20, 0.02));
            let (held, broke) = (search.held.expect("1 holds"), search.broke.expect("some do not"));
            assert!(held <= limit && limit < broke && search.is_near(held, broke), "{limit}");
        }
    }
}
