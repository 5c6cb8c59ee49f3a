//! Which of the responses that a purge selects were asked for most?

use super::Target;
use crate::cache::{Cache, Head};
use crate::snapshot::Served;
use crate::stage::lookup::Named;
use api::purge::Purge;
use purge::Verdict;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use store::{Met, Visitor};

/// Further ones that are remembered for each that is wanted, and at least: of more, those asked for least are forgotten.
const SPARE: usize = 4;
const SPARE_MIN: usize = 1_000;

/// The URLs of responses in memory that the purge with the number `seq` selects, those asked for most first; variants and
/// slices of one URL count together. At most as many as the purge has fetched again.
pub(super) fn most_asked(
    seq: u64,
    purge: &Purge,
    served: &Served,
    cache: &'static Cache,
) -> Vec<Target> {
    let selected = Served { site: Arc::clone(&served.site), purges: Arc::default() };
    selected.purge(purge, seq);
    let wanted = usize::try_from(purge.refetch).unwrap_or(usize::MAX);
    let mut chooser = Chooser { seq, selected, wanted, found: HashMap::new() };
    cache.store.sweep_memory(&mut chooser);
    chooser.keep(wanted);
    let mut found: Vec<_> = chooser.found.into_iter().collect();
    found.sort_by_key(|(_, requests)| Reverse(*requests));
    found.into_iter().map(|(target, _)| target).collect()
}

struct Chooser {
    seq: u64,
    /// The site, with this purge only.
    selected: Served,
    wanted: usize,
    found: HashMap<Target, u64>,
}

impl Chooser {
    fn meet(&mut self, named: &Named<'_>, head: &Head) {
        let is_older =
            head.kept().applied < self.seq && named.site == self.selected.site.id.as_str();
        let facts = named.facts(head.tags());
        if !is_older || self.selected.purges.verdict(0, &facts) == Verdict::Current {
            return;
        }
        *self.found.entry(named.into()).or_default() += u64::from(head.requests());
        let most = self.wanted.saturating_mul(SPARE).max(SPARE_MIN);
        if self.found.len() > most {
            self.keep(most / 2);
        }
    }

    /// Forgets all but as many, those asked for least.
    fn keep(&mut self, many: usize) {
        if self.found.len() <= many {
            return;
        }
        let mut found: Vec<_> = self.found.drain().collect();
        found.select_nth_unstable_by_key(many, |(_, requests)| Reverse(*requests));
        found.truncate(many);
        self.found.extend(found);
    }
}

impl Visitor<Head> for Chooser {
    fn removes(&mut self, met: &Met<'_, Head>) -> bool {
        if let Some(named) = Named::read(met.name) {
            self.meet(&named, met.head);
        }
        false
    }

    fn removed(&mut self, _: &Met<'_, Head>) {}
}
