//! What does a pass make of each stored response?

use crate::cache::Head;
use crate::listing;
use crate::snapshot::Current;
use crate::stage::lookup::Named;
use crate::work::Work;
use api::id::SiteId;
use purge::Verdict;
use std::collections::HashMap;
use std::sync::Arc;
use store::{Met, Tier, Visitor};

/// Matches that are noted together.
const NOTED_AT_ONCE: u64 = 256;

/// One who removes what can't be used any more, and counts what purges match.
pub(super) struct Judge {
    /// What is served by now: a pass over disks takes a while.
    current: Current,
    work: Arc<Work>,
    /// Soft purges with numbers up to this were counted on disk by an earlier pass.
    counted: u64,
    /// By purge: what was removed, and not noted yet.
    removed: HashMap<u64, u64>,
    unnoted: u64,
    pub(super) found: Found,
}

/// What a pass has found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) removed: u64,
    /// By soft purge: what it matches that is on disk alone.
    stale: HashMap<u64, u64>,
    /// By site: the lowest number of the soft purges that something stored is stale by.
    pub(super) stale_by: HashMap<SiteId, u64>,
}

impl Judge {
    pub(super) fn new(current: Current, work: Arc<Work>, counted: u64) -> Self {
        let (removed, unnoted, found) = (HashMap::new(), 0, Found::default());
        Self { current, work, counted, removed, unnoted, found }
    }

    /// Of which site it is, and what the purges of that say; none of what can't be asked for any more.
    fn verdict(&self, met: &Met<'_, Head>) -> Option<(SiteId, Verdict)> {
        let named = Named::read(met.name)?;
        let snapshot = self.current.load();
        let served = listing::served(&named, &snapshot)?;
        Some((served.site.id.clone(), served.verdict(met.name, met.head)))
    }

    fn meet_stale(&mut self, site: SiteId, seq: u64, met: &Met<'_, Head>) {
        let lowest = self.found.stale_by.entry(site).or_insert(seq);
        *lowest = seq.min(*lowest);
        match met.tier {
            Tier::Disk if met.is_in_memory_too || seq <= self.counted => {}
            Tier::Disk => *self.found.stale.entry(seq).or_default() += 1,
            Tier::Memory | Tier::Filling => {
                if met.head.is_first_met_by(seq) {
                    self.count(seq);
                }
            }
        }
    }

    fn count(&mut self, seq: u64) {
        *self.removed.entry(seq).or_default() += 1;
        self.unnoted += 1;
        if self.unnoted == NOTED_AT_ONCE {
            self.note();
        }
    }

    fn note(&mut self) {
        self.unnoted = 0;
        for (seq, count) in self.removed.drain() {
            self.work.ledger.note_begun(seq, |progress| progress.matched += count);
        }
    }

    /// What it has found, with all of it noted that is sure.
    pub(super) fn end(mut self) -> Found {
        self.note();
        self.found
    }
}

impl Visitor<Head> for Judge {
    fn removes(&mut self, met: &Met<'_, Head>) -> bool {
        if Named::read(met.name).is_none() {
            // what is known of slices isn't used without them
            return false;
        }
        match self.verdict(met) {
            None | Some((_, Verdict::Gone(_))) => true,
            Some((_, Verdict::Current)) => false,
            Some((site, Verdict::Stale(seq))) => {
                self.meet_stale(site, seq, met);
                false
            }
        }
    }

    fn removed(&mut self, met: &Met<'_, Head>) {
        self.found.removed += 1;
        if let Some((_, Verdict::Gone(seq))) = self.verdict(met) {
            self.count(seq);
        }
    }
}

impl Found {
    /// Takes in what another judge of the same pass has found.
    pub(super) fn add(&mut self, other: Self) {
        self.removed += other.removed;
        for (seq, count) in other.stale {
            *self.stale.entry(seq).or_default() += count;
        }
        for (site, seq) in other.stale_by {
            let lowest = self.stale_by.entry(site).or_insert(seq);
            *lowest = seq.min(*lowest);
        }
    }

    /// Notes what is sure once a pass has ended that met everything.
    pub(super) fn note(&self, work: &Work) {
        for (&seq, count) in &self.stale {
            work.ledger.note_begun(seq, |progress| progress.matched += count);
        }
    }
}
