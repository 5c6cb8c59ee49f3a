//! One generation of everything this edge serves by.

use crate::cache::Head;
use crate::stage::lookup::Named;
use crate::stage::shield::Installation;
use crate::tls::{Certificates, Challenges, Secret};
use api::id::SiteId;
use api::purge::Purge;
use arc_swap::ArcSwap;
use purge::{Purges, Verdict};
use route::{Claimant, Site, Table};
use std::collections::HashSet;
use std::sync::Arc;

/// A site, and its purges.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) site: Arc<Site>,
    /// Those of the site, whatever its document.
    pub(crate) purges: Arc<Purges>,
}

impl Served {
    /// What the purges of the site say of a response that is stored under `name`.
    pub(crate) fn verdict(&self, name: &[u8], head: &Head) -> Verdict {
        // what is known of slices has no name to be read, and is compared where it is used
        self.purges.compare(head.compared(), || Some(Named::read(name)?.facts(head.tags())))
    }

    /// Whether a response that is stored under `name` was purged for good.
    pub(crate) fn is_gone(&self, name: &[u8], head: &Head) -> bool {
        matches!(self.verdict(name, head), Verdict::Gone(_))
    }

    /// The number of the newest hard purge that selects whatever is stored under `name`; 0 for none.
    pub(crate) fn newest_of_name(&self, name: &[u8]) -> u64 {
        let Some(Named { authority, path, query, .. }) = Named::read(name) else { return 0 };
        self.purges.newest_of_name(authority, path, query)
    }

    /// Applies the purge with the number `seq`.
    pub(crate) fn purge(&self, purge: &Purge, seq: u64) {
        self.purges.apply(purge, seq, |path, query| {
            let key = &self.site.rule(path).rule.caching.key;
            key.query(Some(query)).map(|query| query.into_owned().into())
        });
    }
}

impl Claimant for Served {
    type Rank = SiteId;

    /// Ids are in the order in which sites were made: of two that claim a host, the one made first has it.
    fn rank(&self) -> &SiteId {
        &self.site.id
    }
}

/// What one request is served from. Never changed: a change makes a new one.
#[derive(Clone, Default)]
pub(crate) struct Snapshot {
    /// The reading of a log: sequence numbers of different epochs can't be compared, so neither can stored responses.
    pub(crate) epoch: u64,
    /// The sequence number up to which the feed is applied.
    pub(crate) applied: u64,
    pub(crate) table: Table<Arc<Served>>,
    pub(crate) sites: usize,
    /// Of which installation this edge is; none while that is not known.
    pub(crate) installation: Option<Installation>,
    pub(crate) certificates: Certificates,
    /// What certificate authorities are answered.
    pub(crate) challenges: Challenges,
    /// What all edges of the installation have in common; none while that is not known.
    pub(crate) secret: Option<Arc<Secret>>,
    /// Whether this came from control, now or at an earlier start.
    pub(crate) adopted: bool,
}

impl Snapshot {
    /// The site of a host.
    pub(crate) fn site(&self, host: &str) -> Option<&Arc<Served>> {
        self.table.find(host)
    }

    /// Every site once, in no order.
    pub(crate) fn served(&self) -> impl Iterator<Item = &Arc<Served>> {
        let mut met = HashSet::new();
        self.table.values().filter(move |served| met.insert(Arc::as_ptr(served)))
    }

    /// The site that people call `name`.
    pub(crate) fn site_named(&self, name: &str) -> Option<&Arc<Served>> {
        self.table.values().find(|served| *served.site.name == *name)
    }

    /// The generation of these sites.
    #[cfg(test)]
    pub(crate) fn new(epoch: u64, applied: u64, served: impl Iterator<Item = Arc<Served>>) -> Self {
        let (mut table, mut sites) = (Table::default(), 0);
        for served in served {
            sites += 1;
            for host in &served.site.hosts {
                table.put(host, Arc::clone(&served));
            }
        }
        Self { epoch, applied, table, sites, adopted: true, ..Self::default() }
    }
}

/// The generation in use.
pub(crate) type Current = Arc<ArcSwap<Snapshot>>;
