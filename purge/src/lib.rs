//! A purge is a comparison, not a search.
//!
//! Every change an edge applies has a sequence number. A stored response remembers the number its edge had applied
//! when its fetch began; a purge is a change with a number of its own. A response is purged if a purge that selects it
//! has the higher number. So a purge costs the same whatever it selects, is in force at once for responses stored
//! before it and for those being fetched, and can't be lost between two steps.

use api::purge::Selector;

/// How far the purges of one site reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Horizon {
    /// Invariant: the highest number of a purge of everything; it only rises.
    everything: u64,
}

impl Horizon {
    /// A site whose newest purge of everything has this number; 0 for none.
    #[must_use]
    pub const fn from_everything(seq: u64) -> Self {
        Self { everything: seq }
    }

    /// The number of the newest purge of everything; 0 for none.
    #[must_use]
    pub const fn everything(self) -> u64 {
        self.everything
    }

    /// Applies the purge with number `seq`. Late and repeated purges change nothing.
    pub fn apply(&mut self, selector: &Selector, seq: u64) {
        match selector {
            Selector::Everything => self.everything = self.everything.max(seq),
        }
    }

    /// Whether a response is purged whose fetch began when `applied` was the newest number its edge had applied.
    #[must_use]
    pub const fn purges(self, applied: u64) -> bool {
        applied < self.everything
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_before_a_purge_is_purged() {
        let mut horizon = Horizon::default();
        assert!(!horizon.purges(0), "without a purge, nothing is purged");
        horizon.apply(&Selector::Everything, 8);
        assert!(horizon.purges(7), "stored, or being fetched, when the purge came");
        assert!(!horizon.purges(8) && !horizon.purges(9));
    }

    #[test]
    fn late_and_repeated_purges_change_nothing() {
        let mut horizon = Horizon::from_everything(8);
        horizon.apply(&Selector::Everything, 3);
        horizon.apply(&Selector::Everything, 8);
        assert_eq!(horizon, Horizon::from_everything(8));
    }
}
