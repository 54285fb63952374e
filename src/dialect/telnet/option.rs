//! One side of one telnet option: whether it is on, by the method that cannot loop (RFC 1143).

use serde::{Deserialize, Serialize};

/// Whether one end does what an option is about: this end (WILL and WONT go out, DO and DONT come
/// in) or the other (the other way round).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Side {
    #[default]
    Off,
    On,
    /// It was asked for, and is not wanted any more if `taken_back`.
    Asked {
        taken_back: bool,
    },
    /// Its end was asked for, and it is wanted again if `again`.
    Ending {
        again: bool,
    },
}
use Side::{Asked, Ending, Off, On};

impl Side {
    pub(super) fn is_on(self) -> bool {
        self == On
    }

    /// It is off, and nothing is under way to change that.
    pub(super) fn is_off(self) -> bool {
        self == Off
    }

    /// A request to turn it on is agreed to.
    pub(super) fn agree(&mut self) {
        *self = On;
    }

    /// It is wanted or not; what to send for that.
    pub(super) fn want(&mut self, on: bool) -> Option<bool> {
        let (next, send) = match (*self, on) {
            (Off, true) => (Asked { taken_back: false }, Some(true)),
            (On, false) => (Ending { again: false }, Some(false)),
            (Asked { .. }, _) => (Asked { taken_back: !on }, None),
            (Ending { .. }, _) => (Ending { again: on }, None),
            (Off, false) | (On, true) => return None,
        };
        *self = next;
        send
    }

    /// The other end said yes or no; what to send for that. Not for a yes while it is off, which is
    /// a request.
    pub(super) fn hear(&mut self, yes: bool) -> Option<bool> {
        let (next, send) = match (*self, yes) {
            (On, false) => (Off, Some(false)),
            (Asked { taken_back: true }, true) => (Ending { again: false }, Some(false)),
            (Ending { again: true }, false) => (Asked { taken_back: false }, Some(true)),
            (Asked { .. } | Ending { again: true }, true) => (On, None),
            // A yes to an end is wrong, and the end.
            (Asked { .. } | Ending { .. }, _) => (Off, None),
            (Off, _) | (On, true) => return None,
        };
        *self = next;
        send
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn asked_for_and_ended() {
        let mut side = Off;
        assert_eq!(side.want(true), Some(true));
        assert_eq!(side.want(true), None);
        assert_eq!(side.hear(true), None);
        assert!(side.is_on());
        assert_eq!(side.hear(true), None);
        assert_eq!(side.want(false), Some(false));
        assert!(!side.is_on() && !side.is_off());
        assert_eq!(side.hear(false), None);
        assert!(side.is_off());
        assert_eq!(side.want(true), Some(true));
        assert_eq!(side.hear(false), None);
        assert!(side.is_off());
    }

    #[test]
    fn the_other_end_ends_it() {
        let mut side = On;
        assert_eq!(side.hear(false), Some(false));
        assert!(side.is_off());
        assert_eq!(side.hear(false), None);
    }

    proptest! {
        /// However the wishes change while answers are on their way: it ends as it was wished last,
        /// where the other end agrees to all, and it ends.
        #[test]
        fn the_last_wish_holds(wishes in proptest::collection::vec((any::<bool>(), 0..4), 0..40)) {
            let mut side = Off;
            let mut there = false;
            let mut asked = VecDeque::new();
            let mut last = false;
            for (wish, answers) in wishes {
                last = wish;
                asked.extend(side.want(wish));
                for _ in 0..answers {
                    let Some(ask) = asked.pop_front() else { break };
                    if std::mem::replace(&mut there, ask) != ask {
                        asked.extend(side.hear(ask));
                    }
                }
            }
            let mut count = 0;
            while let Some(ask) = asked.pop_front() {
                count += 1;
                prop_assert!(count < 10, "it goes on and on");
                if std::mem::replace(&mut there, ask) != ask {
                    asked.extend(side.hear(ask));
                }
            }
            prop_assert_eq!(side, if last { On } else { Off });
            prop_assert_eq!(there, last);
        }
    }
}
