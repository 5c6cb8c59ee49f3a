//! How many selectors of purges are held, all sites together, and what goes where that is too many.

use crate::snapshot::{Served, Snapshot};
use crate::work::Task;
use api::purge::{Purge, Selector};
use prometheus::IntCounter;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

/// Bytes of a selector in memory; between 20 and 39, by how full a table is.
const SELECTOR_BYTES: u64 = 32;
/// What is left free of the bound where it was reached, so that it isn't reached again at once.
const SPARE_SHARE: usize = 8;

/// A bound on selectors.
pub(crate) struct Bound {
    max: usize,
    /// At least as many as are held, as far as is known without counting.
    held: Mutex<usize>,
}

impl Bound {
    /// As many as `bytes` have room for. What is held is not known yet.
    pub(crate) fn new(bytes: u64) -> Self {
        let max = usize::try_from(bytes / SELECTOR_BYTES).unwrap_or(usize::MAX);
        Self { max, held: Mutex::new(usize::MAX) }
    }

    /// Notes that a purge was applied.
    pub(crate) fn note(&self, purge: &Purge) {
        let Selector::Any(selectors) = &purge.selector else { return };
        // a URL may be held as it is, and as what counts of it
        let count = selectors.tags.len()
            + 2 * selectors.urls.len()
            + selectors.prefixes.len()
            + selectors.hosts.len();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = held.saturating_add(count);
    }

    /// Notes that what an entry asks for was applied, if it is a purge.
    pub(crate) fn note_task(&self, task: &Task) {
        if let Task::Purge(purge) = task {
            self.note(purge);
        }
    }

    /// Where more may be held than there is room for, counts them, and makes room: the site with the most has the older
    /// half of its purges made one of everything, until it is enough. Counts how often. `sites` has each once.
    pub(crate) fn keep<'s, S: Iterator<Item = &'s Served>>(
        &self,
        sites: impl FnOnce() -> S,
        coarsened: &IntCounter,
    ) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if *held <= self.max {
            return;
        }
        let sites: Vec<_> = sites().filter(|served| !served.purges.is_empty()).collect();
        *held = sites.iter().map(|served| served.purges.len()).sum();
        if *held <= self.max {
            return;
        }
        let by_length = sites.iter().enumerate().map(|(at, served)| (served.purges.len(), at));
        let mut by_length: BinaryHeap<_> = by_length.collect();
        while *held > self.max - self.max / SPARE_SHARE
            && let Some((length, at)) = by_length.pop()
        {
            let served = sites[at];
            served.purges.coarsen();
            coarsened.inc();
            let left = served.purges.len();
            *held -= length.saturating_sub(left);
            tracing::warn!(site.id = %served.site.id, dropped = length - left, "there is no room for so many purges: the older ones of a site purge everything of it now");
            if (1..length).contains(&left) {
                by_length.push((left, at));
            }
        }
    }
}

/// How many selectors are held.
pub(crate) fn held(snapshot: &Snapshot) -> usize {
    snapshot.served().map(|served| served.purges.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;
    use api::purge::{Mode, Selectors};
    use std::sync::Arc;

    fn tags(served: &Served, count: usize, seq: u64) -> Purge {
        let tags = (0..count).map(|tag| format!("{seq}-{tag}")).collect();
        let selector = Selector::Any(Selectors { tags, ..Selectors::default() });
        let (mode, regions, site_id) = (Mode::Hard, Vec::new(), served.site.id.clone());
        Purge { site_id, selector, mode, regions, refetch: 0 }
    }

    #[test]
    fn the_site_with_the_most_makes_room() {
        let sites = [(); 3].map(|()| Arc::clone(&testing::routed().served));
        let bound = Bound::new(100 * SELECTOR_BYTES);
        let coarsened = IntCounter::new("a", "b").unwrap();
        let keep = || bound.keep(|| sites.iter().map(|served| &**served), &coarsened);
        let apply = |site: usize, count: usize, seq: u64| {
            let purge = tags(&sites[site], count, seq);
            sites[site].purge(&purge, seq);
            bound.note(&purge);
            keep();
            sites.each_ref().map(|served| served.purges.len())
        };
        keep();
        assert_eq!(apply(0, 30, 1), [30, 0, 0]);
        assert_eq!(apply(1, 40, 2), [30, 40, 0]);
        assert_eq!(apply(1, 30, 3), [30, 70, 0]);
        assert_eq!((apply(2, 1, 4), coarsened.get()), ([30, 30, 1], 1));
        assert_eq!(apply(2, 500, 5), [30, 30, 0], "one that is too large alone");
        sites[0].purges.retire(9, 9);
        assert_eq!((apply(2, 60, 6), coarsened.get()), ([0, 30, 60], 2), "there is room again");
    }
}
