//! What this edge has adopted, and how an entry of the feed changes it. Pure: no disk, no network.
//!
//! A copy shares everything with its original, and a change costs what it changes, however many sites there are.

pub(super) mod certificates;

use super::entry::{Entry, Says};
use super::journal::Record;
use crate::snapshot::{Served, Snapshot};
use crate::stage::shield::Installation;
use crate::tls::{self, Certificate, Certificates, Challenges, Secret};
use crate::work::Task;
use api::edge::RejectedSite;
use api::feed::{Hello, Key};
use api::id::{LogId, SiteId};
use api::problem::FieldProblem;
use api::purge::{Mode, Purge, Selector};
use purge::Purges;
use route::{Shards, Site, Table};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The feed applied up to a number.
#[derive(Debug, Clone, Default)]
pub(super) struct Adopted {
    /// The reading of a log that numbers are of ([`epoch`]).
    epoch: u64,
    log: Option<LogId>,
    /// What all followers of the log have in common.
    key: Option<Key>,
    /// The same, as it is used. Invariant: that of `key`.
    secret: Option<Arc<Secret>>,
    /// Invariant: every entry up to this number is applied, and it never decreases within one log.
    pub(super) applied: u64,
    sites: Shards<AdoptedSite>,
    /// Who has which host. Invariant: the hosts of `sites`.
    table: Table<Arc<Served>>,
    /// Sites whose newest document could not be used.
    rejected: Shards<Arc<Rejected>>,
    certificates: Certificates,
    /// Certificates that can't be used, by id.
    unusable: Shards<Arc<Certificate>>,
    challenges: Challenges,
    /// While a log is read from its beginning: the sites, certificates and challenges it has named so far. The others go when
    /// it is caught up with.
    named: Option<BTreeSet<String>>,
}

/// A site that is served.
#[derive(Debug, Clone)]
pub(super) struct AdoptedSite {
    /// The number of the entry that had the document.
    pub(super) seq: u64,
    /// As it was received.
    pub(super) document: Arc<str>,
    pub(super) served: Arc<Served>,
}

/// A document that could not be used.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) told: RejectedSite,
    /// Another version of this program may be able to use it.
    pub(super) document: Arc<str>,
}

/// What applying an entry came to.
#[derive(Debug)]
pub(super) enum Applied {
    /// It was applied before.
    Before,
    /// It changed what is adopted, and asks for this.
    Changed(Option<Task>),
    /// It changed nothing but the number, and asks for this.
    Passed(Option<Task>),
}

/// What it came to that a stream has sent everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CaughtUp {
    /// Nothing is new.
    Same,
    /// There is nothing else up to the number.
    Advanced,
    /// A log was read from its beginning, and is what is adopted now.
    Replaced,
}

impl Adopted {
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

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

    /// What is served, by id, in no order.
    pub(super) fn sites(&self) -> impl Iterator<Item = (&Arc<str>, &AdoptedSite)> {
        self.sites.iter()
    }

    pub(super) fn rejected(&self) -> impl Iterator<Item = &Rejected> {
        self.rejected.iter().map(|(_, rejected)| &**rejected)
    }

    pub(super) fn rejected_sites(&self) -> usize {
        self.rejected.len()
    }

    /// Every site.
    pub(super) fn served(&self) -> impl Iterator<Item = &Served> {
        self.sites().map(|(_, site)| &*site.served)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let installation = self.log.as_ref().zip(self.key.as_ref());
        let installation = installation.and_then(|(log, key)| Installation::new(log.clone(), key));
        Snapshot {
            epoch: self.epoch,
            applied: self.applied,
            table: self.table.clone(),
            sites: self.sites.len(),
            installation,
            certificates: self.certificates.clone(),
            challenges: self.challenges.clone(),
            secret: self.secret.clone(),
            adopted: true,
        }
    }

    /// Begins a stream. Where that has a log read from its beginning, `reading` is a number that no other reading has.
    /// True when that changed what is served by now.
    pub(super) fn greet(&mut self, hello: &Hello, reading: u128) -> bool {
        let has_new_key = self.key != hello.key;
        if has_new_key {
            self.use_key(hello.key.clone());
        }
        if hello.reset || self.log.as_ref() != Some(&hello.log) {
            self.epoch = epoch(&hello.log, reading);
            self.log = Some(hello.log.clone());
            self.applied = 0;
            self.named = Some(BTreeSet::new());
            self.forget_purges();
        }
        has_new_key && !self.is_resetting()
    }

    fn use_key(&mut self, key: Option<Key>) {
        self.secret = key.as_ref().and_then(Secret::new).map(Arc::new);
        self.key = key;
        if let Some(secret) = &self.secret {
            self.certificates.unlock(secret);
        }
    }

    /// Purges are numbers of one reading, and nothing is stored under the name of a new one.
    fn forget_purges(&mut self) {
        let sites: Vec<AdoptedSite> = self.sites.iter().map(|(_, site)| site.clone()).collect();
        for site in sites {
            let served = Served { site: Arc::clone(&site.served.site), purges: Arc::default() };
            self.serve(AdoptedSite { served: Arc::new(served), ..site });
        }
    }

    /// Applies an entry. `concerns` tells whether this edge is in one of the regions of a purge or a task; the number
    /// counts all the same.
    pub(super) fn apply(
        &mut self,
        entry: Entry<'_>,
        concerns: impl Fn(&[String]) -> bool,
    ) -> Applied {
        let Entry { seq, says } = entry;
        if seq <= self.applied {
            return Applied::Before;
        }
        self.applied = seq;
        match says {
            Says::Put { site_id, document } => self.put(&site_id, seq, document),
            Says::Removed { site_id } => self.remove(&site_id),
            Says::Purge(purge) => {
                if !concerns(&purge.regions) {
                    return Applied::Passed(None);
                }
                if let Some(site) = self.sites.get(purge.site_id.as_str()) {
                    site.served.purge(&purge, seq);
                }
                return Applied::Changed(Some(Task::Purge(purge)));
            }
            Says::Count(count) => {
                return Applied::Passed(concerns(&count.regions).then_some(Task::Count(count)));
            }
            Says::Warm(warm) => {
                return Applied::Passed(concerns(&warm.regions).then_some(Task::Warm(warm)));
            }
            Says::Certificate { told, text } => {
                // what nobody would miss is looked at when it is asked for
                self.put_certificate(seq, told, text, !self.is_resetting());
            }
            Says::CertificateRemoved { certificate_id } => {
                self.remove_certificate(certificate_id.as_str());
            }
            Says::Challenge { told, text } => self.put_challenge(seq, told, text),
            Says::UnreadablePurge { site_id } => self.purge_all_of(site_id.as_ref(), seq),
            Says::Unreadable => return Applied::Passed(None),
        }
        Applied::Changed(None)
    }

    /// Everything up to `newest` has been sent.
    pub(super) fn catch_up(&mut self, newest: u64) -> CaughtUp {
        let ahead = newest > self.applied;
        self.applied = self.applied.max(newest);
        let Some(named) = self.named.take() else {
            return if ahead { CaughtUp::Advanced } else { CaughtUp::Same };
        };
        let known = self.sites.iter().map(|(site_id, _)| site_id);
        let known = known.chain(self.rejected.iter().map(|(site_id, _)| site_id));
        let gone: Vec<SiteId> = known
            .filter(|site_id| !named.contains(&***site_id))
            .filter_map(|site_id| site_id.parse().ok())
            .collect();
        gone.iter().for_each(|site_id| self.remove(site_id));
        self.keep_named_certificates(&named);
        CaughtUp::Replaced
    }

    /// Takes up what a journal says. None where that makes no sense.
    pub(super) fn restore(&mut self, record: Record<'_>) -> Option<()> {
        match record {
            Record::Head { epoch, log } => *self = Self { epoch, log, ..Self::default() },
            Record::Site { seq, site_id, document, purges } => {
                let (site_id, purges): (SiteId, _) = (site_id.parse().ok()?, Purges::read(purges)?);
                // a document this version can't use any more is reported like one from the feed
                self.put_with(&site_id, seq, document, |_| Arc::new(purges));
            }
            Record::Rejected { seq, site_id, document, applied } => {
                let site_id: SiteId = site_id.parse().ok()?;
                self.put_with(&site_id, seq, document, |site| new_purges(site, applied));
            }
            Record::Entry { seq, text } => {
                // what didn't concern this edge was not written
                self.apply(Entry::read(text, Some(seq))?, |_| true);
            }
            Record::Advanced(seq) => self.applied = self.applied.max(seq),
            Record::Key(digits) => self.use_key(Some(Key::kept(digits.to_owned()))),
            Record::Certificate { seq, text } => match Entry::read(text, Some(seq))?.says {
                Says::Certificate { told, text } => self.put_certificate(seq, told, text, false),
                Says::Challenge { told, text } => self.put_challenge(seq, told, text),
                _ => return None,
            },
        }
        Some(())
    }

    fn put(&mut self, site_id: &SiteId, seq: u64, document: &str) {
        self.put_with(site_id, seq, document, |site| new_purges(site, seq));
    }

    /// Adopts a document. `purges` makes those of a site that isn't served yet: no document undoes purges.
    fn put_with(
        &mut self,
        site_id: &SiteId,
        seq: u64,
        document: &str,
        purges: impl FnOnce(&Arc<Site>) -> Arc<Purges>,
    ) {
        self.name(site_id.as_str());
        match resolve(site_id, document) {
            Ok(site) => {
                let site = Arc::new(site);
                let known = self.sites.get(site_id.as_str());
                let purges = match known {
                    Some(known) => Arc::clone(&known.served.purges),
                    None => purges(&site),
                };
                // a URL is purged by what counts of its query, and this may have been something else before
                let counts_other =
                    known.is_some_and(|known| !known.served.site.counts_alike(&site));
                self.rejected.remove(site_id.as_str());
                let served = Arc::new(Served { site, purges });
                if counts_other {
                    served.purge(&everything(site_id), seq);
                }
                self.serve(AdoptedSite { seq, document: document.into(), served });
            }
            Err(problems) => {
                tracing::warn!(site.id = %site_id, seq, problems = problems.len(), "a site's document can't be used; its last good one stays");
                let told = RejectedSite { site_id: site_id.clone(), seq, problems };
                let rejected = Rejected { told, document: document.into() };
                self.rejected.insert(site_id.as_str(), Arc::new(rejected));
            }
        }
    }

    /// Notes that a log names this.
    fn name(&mut self, id: &str) {
        if let Some(named) = &mut self.named {
            named.insert(id.to_owned());
        }
    }

    /// Serves a site by this document from now on.
    fn serve(&mut self, adopted: AdoptedSite) {
        let site = &adopted.served.site;
        if let Some(known) = self.sites.get(site.id.as_str()) {
            let given_up = known.served.site.hosts.iter().filter(|host| !site.hosts.contains(host));
            given_up.for_each(|host| self.table.remove(host, &site.id));
        }
        for host in &site.hosts {
            self.table.put(host, Arc::clone(&adopted.served));
        }
        let served = Arc::clone(&adopted.served);
        self.sites.insert(served.site.id.as_str(), adopted);
    }

    fn remove(&mut self, site_id: &SiteId) {
        self.rejected.remove(site_id.as_str());
        if let Some(known) = self.sites.remove(site_id.as_str()) {
            let hosts = known.served.site.hosts.iter();
            hosts.for_each(|host| self.table.remove(host, site_id));
        }
    }

    /// Purges everything of a site, or of all.
    fn purge_all_of(&self, site_id: Option<&SiteId>, seq: u64) {
        match site_id {
            Some(site_id) => {
                if let Some(site) = self.sites.get(site_id.as_str()) {
                    site.served.purge(&everything(site_id), seq);
                }
            }
            None => {
                for (_, site) in self.sites.iter() {
                    site.served.purge(&everything(&site.served.site.id), seq);
                }
            }
        }
    }
}

fn resolve(site_id: &SiteId, document: &str) -> Result<Site, Vec<FieldProblem>> {
    match serde_json::from_str(document) {
        Ok(value) => {
            let site = Site::resolve(site_id.clone(), &value)?;
            match site.tls.client_auth.as_deref().map(tls::check_client_auth) {
                Some(Err(error)) => Err(vec![FieldProblem {
                    field: "tls.client_auth.ca".to_owned(),
                    detail: error.to_string(),
                    value: None,
                }]),
                Some(Ok(())) | None => Ok(site),
            }
        }
        Err(error) => {
            let detail = format!("is no JSON: {error}");
            Err(vec![FieldProblem { field: String::new(), detail, value: None }])
        }
    }
}

/// The purges of a site that is first served with the number `seq`. What is stored of it by an earlier time, before it
/// could not be served, may have been purged meanwhile.
fn new_purges(site: &Arc<Site>, seq: u64) -> Arc<Purges> {
    let served = Served { site: Arc::clone(site), purges: Arc::default() };
    served.purge(&everything(&site.id), seq);
    served.purges
}

fn everything(site_id: &SiteId) -> Purge {
    let (selector, mode) = (Selector::Everything, Mode::Hard);
    Purge { site_id: site_id.clone(), selector, mode, regions: Vec::new(), refetch: 0 }
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
pub(super) mod tests;
