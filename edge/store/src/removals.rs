//! Was a name removed since a fetch of its response began? What such a fetch brings may be older than the removal.

use std::collections::VecDeque;

/// Removals that are remembered one by one. A fetch that began before more than these counts as overtaken.
const REMEMBERED: usize = 4_096;

/// The latest removals.
#[derive(Default)]
pub(crate) struct Removals {
    /// Invariant: the names of the last removals, the newest last; never more than [`REMEMBERED`].
    names: VecDeque<[u8; 16]>,
    count: u64,
}

impl Removals {
    /// How many there were so far.
    pub(crate) fn now(&self) -> u64 {
        self.count
    }

    pub(crate) fn add(&mut self, name: [u8; 16]) {
        if self.names.len() == REMEMBERED {
            self.names.pop_front();
        }
        self.names.push_back(name);
        self.count += 1;
    }

    /// Whether `name` was removed after the first `count` removals, or may have been.
    pub(crate) fn reach(&self, name: &[u8; 16], count: u64) -> bool {
        let since = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        since > self.names.len()
            || self.names.iter().rev().take(since).any(|removed| removed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_reaches_what_began_before_it() {
        let mut removals = Removals::default();
        let before = removals.now();
        removals.add([1; 16]);
        assert!(removals.reach(&[1; 16], before));
        assert!(!removals.reach(&[2; 16], before));
        assert!(!removals.reach(&[1; 16], removals.now()));
    }

    #[test]
    fn what_is_no_longer_remembered_reaches_every_name() {
        let mut removals = Removals::default();
        let before = removals.now();
        (0..REMEMBERED).for_each(|_| removals.add([1; 16]));
        assert!(!removals.reach(&[2; 16], before));
        removals.add([1; 16]);
        assert!(removals.reach(&[2; 16], before));
        assert!(!removals.reach(&[2; 16], removals.now()));
    }
}
