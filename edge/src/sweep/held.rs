//! Is anything under way that began before? The generations that requests are served from, as long as any is.
//!
//! A request holds the generation it began with until nothing of it can be stored any more: what it stores was fetched
//! with that one's number applied. What it found in the store it has judged by then too.

use crate::snapshot::{Current, Snapshot};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Generations that were published.
#[derive(Default)]
pub(crate) struct Held(Mutex<Vec<Weak<Snapshot>>>);

/// Generations that something may be served from.
pub(crate) struct Older(Vec<Weak<Snapshot>>);

impl Held {
    /// Has requests served from a generation from now on. Nothing else may put one in use: what is held by a request and
    /// not known here is not waited for.
    pub(crate) fn publish(&self, current: &Current, snapshot: Arc<Snapshot>) {
        self.note(&snapshot);
        current.store(snapshot);
    }

    /// Notes one that is about to be put in use.
    fn note(&self, snapshot: &Arc<Snapshot>) {
        let mut held = self.lock();
        if held.len() == held.capacity() {
            held.retain(|one| one.strong_count() > 0);
        }
        held.push(Arc::downgrade(snapshot));
    }

    /// The lowest number that anything is applied by in the epoch of the `present` generation: whatever is stored from
    /// now on was fetched with this number applied, or a higher one.
    pub(super) fn floor(&self, present: &Snapshot) -> u64 {
        let mut held = self.lock();
        held.retain(|one| one.strong_count() > 0);
        let held = held.iter().filter_map(Weak::upgrade).filter(|one| one.epoch == present.epoch);
        held.map(|one| one.applied).min().unwrap_or(present.applied).min(present.applied)
    }

    /// Puts a copy of the present generation in its place. Returns what was published before.
    pub(super) fn renew(&self, current: &Current) -> Older {
        let present = current.load_full();
        let copy = Arc::new(Snapshot::clone(&present));
        self.note(&copy);
        // where another has taken its place by now, that is as good
        current.compare_and_swap(&present, Arc::clone(&copy));
        let present = current.load_full();
        let held = self.lock();
        Older(held.iter().filter(|one| one.as_ptr() != Arc::as_ptr(&present)).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Snapshot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Older {
    /// Whether nothing is served from any of them any more.
    pub(super) fn are_over(&self) -> bool {
        self.0.iter().all(|one| one.strong_count() == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(held: &Held, current: &Current, epoch: u64, applied: u64) {
        let snapshot = Snapshot::new(epoch, applied, std::iter::empty());
        held.publish(current, Arc::new(snapshot));
    }

    #[test]
    fn what_began_earlier_holds_the_floor() {
        let (held, current) = (Held::default(), Current::default());
        publish(&held, &current, 1, 3);
        let request = current.load_full();
        for applied in 4..100 {
            publish(&held, &current, 1, applied);
        }
        assert_eq!(held.floor(&current.load()), 3);
        drop(request);
        assert_eq!(held.floor(&current.load()), 99);
        let request = current.load_full();
        publish(&held, &current, 2, 5);
        assert_eq!(held.floor(&current.load()), 5, "another epoch's numbers say nothing");
        drop(request);
    }

    #[test]
    fn what_was_under_way_is_over_when_nothing_holds_what_it_began_with() {
        let (held, current) = (Held::default(), Current::default());
        publish(&held, &current, 1, 3);
        // as a hit does it
        let request = current.load();
        let older = held.renew(&current);
        let later = current.load_full();
        assert!(!older.are_over());
        drop(request);
        assert!(older.are_over(), "what began since doesn't count");
        assert_eq!((later.applied, later.epoch), (3, 1));
    }
}
