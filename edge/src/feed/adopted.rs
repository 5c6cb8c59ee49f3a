//! What this edge has adopted, and how an entry of the feed changes it. Pure: no disk, no network.

use crate::snapshot::{Served, Snapshot};
use api::edge::RejectedSite;
use api::feed::{Change, Entry, Hello};
use api::id::{LogId, SiteId};
use purge::Purges;
use route::Site;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The feed applied up to a number.
#[derive(Debug, Clone, Default)]
pub(super) struct Adopted {
    /// The reading of a log that numbers are of ([`epoch`]).
    epoch: u64,
    log: Option<LogId>,
    /// Invariant: every entry up to this number is applied, and it never decreases within one log.
    pub(super) applied: u64,
    sites: BTreeMap<SiteId, AdoptedSite>,
    /// Sites whose newest document could not be used.
    rejected: BTreeMap<SiteId, RejectedSite>,
    /// While a log is read from its beginning: the sites it has named so far. The others go when it is caught up with.
    named: Option<BTreeSet<SiteId>>,
}

#[derive(Debug, Clone)]
struct AdoptedSite {
    document: Arc<serde_json::Value>,
    served: Arc<Served>,
}

/// The form on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    version: u16,
    epoch: u64,
    log: Option<LogId>,
    applied: u64,
    sites: Vec<WrittenSite>,
    rejected: Vec<RejectedSite>,
}

#[derive(Debug, Serialize, Deserialize)]
struct WrittenSite {
    site_id: SiteId,
    document: Arc<serde_json::Value>,
    /// As [`Purges::write`] has them.
    #[serde(default)]
    purges: Vec<u8>,
}

/// The version of [`Written`].
const VERSION: u16 = 3;

impl Adopted {
    pub(super) fn log(&self) -> Option<&LogId> {
        self.log.as_ref()
    }

    /// Whether a feed was ever caught up with.
    pub(super) fn is_from_control(&self) -> bool {
        self.log.is_some() && !self.is_resetting()
    }

    /// Whether a log is being read from its beginning. What is adopted meanwhile isn't kept: a start from the middle
    /// would not know which sites are gone.
    pub(super) fn is_resetting(&self) -> bool {
        self.named.is_some()
    }

    pub(super) fn rejected(&self) -> impl Iterator<Item = &RejectedSite> {
        self.rejected.values()
    }

    /// Every site.
    pub(super) fn served(&self) -> impl Iterator<Item = &Served> {
        self.sites.values().map(|site| &*site.served)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let sites = self.sites.values().map(|site| Arc::clone(&site.served));
        Snapshot::new(self.epoch, self.applied, sites)
    }

    /// Begins a stream. Where that has a log read from its beginning, `reading` is a number that no other reading has.
    pub(super) fn greet(&mut self, hello: &Hello, reading: u128) {
        if hello.reset || self.log.as_ref() != Some(&hello.log) {
            self.epoch = epoch(&hello.log, reading);
            self.log = Some(hello.log.clone());
            self.applied = 0;
            self.named = Some(BTreeSet::new());
        }
    }

    /// Applies an entry. False for one that was applied before.
    pub(super) fn apply(&mut self, entry: Entry) -> bool {
        if entry.seq <= self.applied {
            return false;
        }
        match entry.change {
            Change::SitePut { site_id, site } => self.put(site_id, entry.seq, site),
            Change::SiteRemoved { site_id } => {
                self.sites.remove(&site_id);
                self.rejected.remove(&site_id);
            }
            Change::Purge(purge) => {
                if let Some(site) = self.sites.get_mut(&purge.site_id) {
                    site.served.purge(&purge, entry.seq);
                }
            }
            // work that nobody does yet
            Change::Count(_) | Change::Warm(_) => {}
            Change::Unknown => tracing::warn!(
                seq = entry.seq,
                "passed over an entry of a kind this version doesn't know"
            ),
        }
        self.applied = entry.seq;
        true
    }

    /// Everything up to `newest` has been sent. True when that changed something.
    pub(super) fn catch_up(&mut self, newest: u64) -> bool {
        let named = self.named.take();
        if let Some(named) = &named {
            self.sites.retain(|site_id, _| named.contains(site_id));
            self.rejected.retain(|site_id, _| named.contains(site_id));
        }
        let ahead = newest > self.applied;
        self.applied = self.applied.max(newest);
        named.is_some() || ahead
    }

    fn put(&mut self, site_id: SiteId, seq: u64, document: serde_json::Value) {
        if let Some(named) = &mut self.named {
            named.insert(site_id.clone());
        }
        match Site::resolve(site_id.clone(), &document) {
            Ok(site) => {
                // within one log, a new document doesn't undo purges
                let known = self.sites.get(&site_id).filter(|_| self.named.is_none());
                let purges =
                    known.map(|known| Arc::clone(&known.served.purges)).unwrap_or_default();
                let served = Arc::new(Served { site: Arc::new(site), purges });
                self.rejected.remove(&site_id);
                self.sites.insert(site_id, AdoptedSite { document: Arc::new(document), served });
            }
            Err(problems) => {
                tracing::warn!(site.id = %site_id, seq, problems = problems.len(), "a site's document can't be used; its last good one stays");
                self.rejected.insert(site_id.clone(), RejectedSite { site_id, seq, problems });
            }
        }
    }

    pub(super) fn written(&self) -> Written {
        let sites = self.sites.iter().map(|(site_id, site)| WrittenSite {
            site_id: site_id.clone(),
            document: Arc::clone(&site.document),
            purges: written(&site.served.purges),
        });
        Written {
            version: VERSION,
            epoch: self.epoch,
            log: self.log.clone(),
            applied: self.applied,
            sites: sites.collect(),
            rejected: self.rejected.values().cloned().collect(),
        }
    }

    /// None for a version this program doesn't know.
    pub(super) fn read(written: Written) -> Option<Self> {
        if written.version != VERSION {
            return None;
        }
        let mut adopted = Self {
            epoch: written.epoch,
            log: written.log,
            applied: written.applied,
            ..Self::default()
        };
        for site in written.sites {
            // a document this version can't use any more is reported like one from the feed
            adopted.put(site.site_id.clone(), written.applied, Arc::unwrap_or_clone(site.document));
            if let Some(put) = adopted.sites.get_mut(&site.site_id) {
                let purges = Arc::new(Purges::read(&site.purges)?);
                put.served = Arc::new(Served { site: Arc::clone(&put.served.site), purges });
            }
        }
        adopted.rejected.extend(
            written.rejected.into_iter().map(|rejected| (rejected.site_id.clone(), rejected)),
        );
        Some(adopted)
    }
}

fn written(purges: &Purges) -> Vec<u8> {
    let mut bytes = Vec::new();
    purges.write(&mut bytes);
    bytes
}

/// Tells a reading of a log from all others: numbers of two can't be compared. A log that is read anew may be one that was
/// restored and has given the same numbers again; and what was stored by them outlives a state directory that is lost.
fn epoch(log: &LogId, reading: u128) -> u64 {
    let mut hash = [0; 8];
    let mut hasher = blake3::Hasher::new();
    hasher.update(log.as_str().as_bytes()).update(&reading.to_le_bytes());
    hasher.finalize_xof().fill(&mut hash);
    u64::from_le_bytes(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::purge::{Mode, Purge, Selector};
    use serde_json::json;

    fn id(last: char) -> SiteId {
        SiteId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{last}")).unwrap()
    }

    fn log(last: char) -> LogId {
        LogId::from_ulid(&format!("01J9Z3K8Q4W5E6R7T8Y9V0B1N{last}")).unwrap()
    }

    fn put(seq: u64, site: char, host: &str) -> Entry {
        let site_document = json!({
            "name": "a", "hosts": [host], "origins": [{"name": "main", "url": "http://127.0.0.1:9"}],
        });
        Entry {
            version: 1,
            seq,
            change: Change::SitePut { site_id: id(site), site: site_document },
        }
    }

    fn following() -> Adopted {
        let mut adopted = Adopted::default();
        adopted.greet(&Hello { version: 1, log: log('1'), newest: 1, reset: true }, 1);
        adopted.apply(put(1, 'A', "a.example"));
        adopted.catch_up(1);
        adopted
    }

    fn hosts(adopted: &Adopted) -> String {
        let snapshot = adopted.snapshot();
        let hosts = ["a.example", "b.example", "c.example"];
        hosts.into_iter().filter(|host| snapshot.site(host).is_some()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn entries_apply_once_and_in_order() {
        let mut adopted = following();
        assert!(adopted.apply(put(3, 'B', "b.example")));
        assert!(!adopted.apply(put(2, 'C', "c.example")), "late");
        assert_eq!((hosts(&adopted).as_str(), adopted.applied), ("a.example b.example", 3));
        adopted.apply(Entry {
            version: 1,
            seq: 4,
            change: Change::SiteRemoved { site_id: id('A') },
        });
        adopted.apply(Entry { version: 1, seq: 5, change: Change::Unknown });
        assert_eq!((hosts(&adopted).as_str(), adopted.applied), ("b.example", 5));
    }

    #[test]
    fn a_wrong_document_leaves_the_last_good_one() {
        let mut adopted = following();
        adopted.apply(put(2, 'A', "not a host"));
        adopted.apply(put(3, 'B', "b.example"));
        assert_eq!(hosts(&adopted), "a.example b.example");
        let rejected: Vec<_> =
            adopted.rejected().map(|rejected| (rejected.seq, rejected.problems.len())).collect();
        assert_eq!(rejected, [(2, 1)]);
        adopted.apply(put(4, 'A', "c.example"));
        assert_eq!(
            (hosts(&adopted).as_str(), adopted.rejected().count()),
            ("b.example c.example", 0)
        );
    }

    #[test]
    fn another_log_replaces_everything_once_it_is_read() {
        let mut adopted = following();
        let epoch = adopted.snapshot().epoch;
        adopted.greet(&Hello { version: 1, log: log('2'), newest: 1, reset: true }, 1);
        assert_eq!((hosts(&adopted).as_str(), adopted.is_resetting()), ("a.example", true));
        adopted.apply(put(1, 'B', "b.example"));
        assert!(adopted.catch_up(1));
        assert_eq!((hosts(&adopted).as_str(), adopted.is_resetting()), ("b.example", false));
        assert!(
            adopted.snapshot().epoch != epoch,
            "responses of the old log are not compared with the new one's numbers"
        );
    }

    #[test]
    fn an_epoch_is_one_reading_of_one_log() {
        let read = |log, reading| {
            let mut adopted = Adopted::default();
            adopted.greet(&Hello { version: 1, log, newest: 1, reset: true }, reading);
            adopted.snapshot().epoch
        };
        let first = read(log('1'), 1);
        assert_ne!(first, read(log('2'), 1), "another log");
        assert_ne!(first, read(log('1'), 2), "the same log, and the state directory was lost");
        let mut adopted = following();
        assert_eq!(adopted.snapshot().epoch, first);
        adopted.greet(&Hello { version: 1, log: log('1'), newest: 9, reset: false }, 2);
        assert_eq!(adopted.snapshot().epoch, first, "it goes on where it was");
        adopted.greet(&Hello { version: 1, log: log('1'), newest: 0, reset: true }, 3);
        assert_ne!(adopted.snapshot().epoch, first, "the same log, restored");
        let text = serde_json::to_string(&adopted.written()).unwrap();
        let again = Adopted::read(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(again.snapshot().epoch, adopted.snapshot().epoch);
    }

    #[test]
    fn a_purge_outlives_new_documents_and_restarts() {
        let mut adopted = following();
        let purge = Purge {
            site_id: id('A'),
            selector: Selector::Everything,
            mode: Mode::Hard,
            regions: Vec::new(),
            refetch: 0,
        };
        adopted.apply(Entry { version: 1, seq: 7, change: Change::Purge(purge) });
        adopted.apply(put(8, 'A', "a.example"));
        let text = serde_json::to_string(&adopted.written()).unwrap();
        let again = Adopted::read(serde_json::from_str(&text).unwrap()).unwrap();
        for adopted in [adopted, again] {
            let served = Arc::clone(adopted.snapshot().site("a.example").unwrap());
            assert_eq!(served.purges.newest(), 7);
            assert_eq!(adopted.applied, 8);
        }
    }
}
