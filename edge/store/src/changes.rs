//! Was what is stored under a name changed since a moment? What was begun before may be older than the change.

use std::collections::VecDeque;

/// Changes that are remembered one by one. What was begun before more than these counts as overtaken.
const REMEMBERED: usize = 4_096;

/// The names that were changed last.
#[derive(Default)]
pub(crate) struct Changes {
    /// Invariant: the names of the last changes, the newest last; never more than [`REMEMBERED`].
    names: VecDeque<[u8; 16]>,
    count: u64,
}

impl Changes {
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

    /// Whether `name` was changed after the first `count` changes, or may have been.
    pub(crate) fn reach(&self, name: &[u8; 16], count: u64) -> bool {
        let since = usize::try_from(self.count.saturating_sub(count)).unwrap_or(usize::MAX);
        since > self.names.len()
            || self.names.iter().rev().take(since).any(|changed| changed == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_what_began_before_it() {
        let mut changes = Changes::default();
        let before = changes.now();
        changes.add([1; 16]);
        assert!(changes.reach(&[1; 16], before));
        assert!(!changes.reach(&[2; 16], before));
        assert!(!changes.reach(&[1; 16], changes.now()));
    }

    #[test]
    fn what_is_no_longer_remembered_reaches_every_name() {
        let mut changes = Changes::default();
        let before = changes.now();
        (0..REMEMBERED).for_each(|_| changes.add([1; 16]));
        assert!(!changes.reach(&[2; 16], before));
        changes.add([1; 16]);
        assert!(changes.reach(&[2; 16], before));
        assert!(!changes.reach(&[2; 16], changes.now()));
    }
}
