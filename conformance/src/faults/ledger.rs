//! Which versions of a page may be served?
//!
//! A page's version rises at its origin. What is stored of an older one may be used until it is invalidated (by an unsafe
//! request through the edge, RFC 9111 §4.4) or purged, and both are answered to whoever asked for it: a request that
//! begins after the answer must not be given anything older. What holds after the edge was killed is less: an
//! invalidation counts if the edge had nothing left to write some time after it was answered, with every directory in
//! use; a purge always, since an edge says that it has one when that is on disk. Damage done to files may be to what says
//! that something was removed: after that, only purges count.

use super::content::{Manner, Page, SITES};
use std::sync::atomic::{AtomicU64, Ordering};

/// What happened to the stored responses since floors were set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The edge ended as it was told.
    Orderly,
    /// It was killed.
    Killed,
    /// Files were damaged.
    Damaged,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Vec<Versions>,
}

#[derive(Debug)]
struct Versions {
    /// What the origin has.
    current: AtomicU64,
    /// The oldest that may be served.
    floor: AtomicU64,
    /// The same after the edge was killed.
    written: AtomicU64,
    /// The same whatever happens.
    purged: AtomicU64,
}

impl Default for Versions {
    fn default() -> Self {
        let one = || AtomicU64::new(1);
        Self { current: one(), floor: one(), written: one(), purged: one() }
    }
}

/// The oldest versions that may be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Floor {
    /// To a request that joins a fetch which was under way.
    pub(crate) removed: u64,
    /// To any other.
    pub(crate) validated: u64,
}

/// Versions of pages at some moment, in their order.
pub(crate) struct Moment(Vec<u64>);

impl Ledger {
    /// So many pages for each site, at their first versions.
    pub(crate) fn new(pages_per_site: usize) -> Self {
        let pages = (0..pages_per_site * SITES).map(|_| Versions::default()).collect();
        Self { pages }
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The page with this index.
    pub(crate) const fn page(index: usize) -> Page {
        Page { site: index % SITES, number: index / SITES }
    }

    const fn index(page: Page) -> usize {
        page.number * SITES + page.site
    }

    fn of(&self, page: Page) -> Option<&Versions> {
        self.pages.get(Self::index(page))
    }

    /// What the origin has; none where there is no such page.
    pub(crate) fn current(&self, page: Page) -> Option<u64> {
        self.of(page).map(|own| own.current.load(Ordering::SeqCst))
    }

    /// Gives a page its next version.
    pub(crate) fn publish(&self, page: Page) -> Option<u64> {
        self.of(page).map(|own| own.current.fetch_add(1, Ordering::SeqCst) + 1)
    }

    /// The oldest version that a request may be given which begins now.
    pub(crate) fn floor(&self, page: Page) -> Floor {
        let Some(own) = self.of(page) else { return Floor::default() };
        let removed = own.floor.load(Ordering::SeqCst);
        let validated = match page.manner() {
            Manner::Validated => own.current.load(Ordering::SeqCst),
            Manner::Plain | Manner::Varied | Manner::Brief | Manner::Large => removed,
        };
        Floor { removed, validated }
    }

    /// An invalidation was answered: nothing before `version` may be served.
    pub(crate) fn invalidated(&self, page: Page, version: u64) {
        if let Some(own) = self.of(page) {
            own.floor.fetch_max(version, Ordering::SeqCst);
        }
    }

    /// What the origins have now, to be told when a purge that begins now was answered.
    pub(crate) fn now(&self) -> Moment {
        self.moment(|own| &own.current)
    }

    /// All before `moment` of a site was purged.
    pub(crate) fn purged(&self, site: usize, moment: &Moment) {
        for (index, (own, version)) in self.pages.iter().zip(&moment.0).enumerate() {
            if Self::page(index).site == site {
                own.floor.fetch_max(*version, Ordering::SeqCst);
                own.purged.fetch_max(*version, Ordering::SeqCst);
            }
        }
    }

    /// What may be served now, to be told when all that was removed up to now is written.
    pub(crate) fn floors(&self) -> Moment {
        self.moment(|own| &own.floor)
    }

    /// All removals up to `moment` are written.
    pub(crate) fn written(&self, moment: &Moment) {
        for (own, version) in self.pages.iter().zip(&moment.0) {
            own.written.fetch_max(*version, Ordering::SeqCst);
        }
    }

    /// The edge has ended, and nobody asks it.
    pub(crate) fn ended(&self, ending: Ending) {
        for own in &self.pages {
            let purged = own.purged.load(Ordering::SeqCst);
            let lasting = match ending {
                Ending::Orderly => own.floor.load(Ordering::SeqCst),
                Ending::Killed => own.written.load(Ordering::SeqCst).max(purged),
                Ending::Damaged => purged,
            };
            own.floor.store(lasting, Ordering::SeqCst);
            own.written.store(lasting, Ordering::SeqCst);
        }
    }

    fn moment(&self, of: impl Fn(&Versions) -> &AtomicU64) -> Moment {
        Moment(self.pages.iter().map(|own| of(own).load(Ordering::SeqCst)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_or_purged_outlasts_a_kill() {
        let ledger = Ledger::new(1);
        let page = Ledger::page(0);
        ledger.publish(page);
        ledger.invalidated(page, 2);
        assert_eq!(ledger.floor(page).removed, 2);
        ledger.ended(Ending::Killed);
        assert_eq!(ledger.floor(page).removed, 1);
        ledger.invalidated(page, 2);
        ledger.written(&ledger.floors());
        ledger.ended(Ending::Killed);
        assert_eq!(ledger.floor(page).removed, 2);
        ledger.publish(page);
        ledger.purged(0, &ledger.now());
        ledger.ended(Ending::Damaged);
        assert_eq!(ledger.floor(page).removed, 3);
    }

    #[test]
    fn a_purge_is_of_one_site() {
        let ledger = Ledger::new(2);
        (0..4).for_each(|index| {
            ledger.publish(Ledger::page(index));
        });
        ledger.purged(1, &ledger.now());
        assert_eq!(
            (0..4).map(|index| ledger.floor(Ledger::page(index)).removed).collect::<Vec<_>>(),
            [1, 2, 1, 2]
        );
    }
}
