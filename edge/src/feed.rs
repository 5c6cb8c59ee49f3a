//! Follows control's feed: applies its entries in order, keeps what was adopted on disk, and tells control.
//!
//! Three tasks. The follower applies entries, whichever way they come, publishes a snapshot after each batch, and waits
//! for neither of the others. The keeper has the journal on disk follow. The reporter tells control what is on disk, and
//! what was done for entries.

mod adopted;
mod entry;
mod events;
mod follow;
mod journal;
mod keep;
mod keeper;
mod link;
mod nats;
mod report;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod testing;

pub(crate) use keep::{Owner, StateDirectory, StateError};
pub(crate) use link::{Link, Token};
pub(crate) use nats::{Nats, Secret};

use crate::purges::Bound;
use crate::snapshot::Current;
use crate::sweep::Held;
use crate::telemetry::Telemetry;
use crate::work::Work;
use adopted::Adopted;
use follow::Follower;
use keep::Journal;
use keeper::{Keeper, Unwritten};
use std::sync::Arc;
use tokio::sync::watch;

/// What the tasks work with.
pub(crate) struct Feed {
    pub(crate) link: Link,
    /// The other way to the same entries.
    pub(crate) nats: Option<Nats>,
    pub(crate) directory: StateDirectory,
    pub(crate) current: Current,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) held: Arc<Held>,
    pub(crate) bound: Bound,
    /// The newest number that is applied.
    pub(crate) changed: watch::Sender<u64>,
    /// Where what entries ask for is done.
    pub(crate) work: Arc<Work>,
    /// Where this edge serves and is watched: host and port.
    pub(crate) http_address: String,
    pub(crate) https_address: Option<String>,
    pub(crate) admin_address: String,
    /// Where it is, in the words of those who purge.
    pub(crate) region: Option<String>,
}

impl Feed {
    /// Publishes what was adopted before, without asking control.
    ///
    /// # Errors
    /// When the state on disk can't be read. One that is damaged is set aside, not an error.
    pub(crate) fn start(self) -> Result<Running, StateError> {
        let (adopted, journal) = self.directory.load()?;
        if adopted.is_from_control() {
            self.publish(&adopted);
        }
        self.changed.send_replace(adopted.applied);
        Ok(Running {
            feed: self,
            journal,
            unwritten: Unwritten::default(),
            heard: watch::Sender::new(false),
            adopted,
        })
    }

    fn publish(&self, adopted: &Adopted) {
        let snapshot = Arc::new(adopted.snapshot());
        let metrics = &self.telemetry.metrics;
        self.bound.keep(|| adopted.served(), &metrics.purges.coarsened);
        let metrics = &metrics.feed;
        metrics.adopted.set(number(snapshot.applied));
        metrics.sites.set(number(snapshot.sites as u64));
        metrics.sites_rejected.set(number(adopted.rejected_sites() as u64));
        let (certificates, unusable) = adopted.certificate_counts();
        metrics.certificates.set(number(certificates as u64));
        metrics.certificates_unusable.set(number(unusable as u64));
        self.held.publish(&self.current, snapshot);
    }
}

/// As a metric has it.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Tells that something was adopted.
#[derive(Clone)]
pub(crate) struct Changes(watch::Receiver<u64>);

impl Changes {
    /// Tells of all that is adopted, by whoever follows.
    pub(crate) fn of(changed: &watch::Sender<u64>) -> Self {
        Self(changed.subscribe())
    }

    /// Whether there was any since this was asked last.
    ///
    /// # Errors
    /// When the feed has ended.
    pub(crate) fn seen(&mut self) -> Result<bool, watch::error::RecvError> {
        let has_changed = self.0.has_changed()?;
        self.0.mark_unchanged();
        Ok(has_changed)
    }

    /// Waits for the next change.
    ///
    /// # Errors
    /// When the feed has ended.
    pub(crate) async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.0.changed().await
    }
}

/// The feed's tasks, and what joins them.
pub(crate) struct Running {
    feed: Feed,
    /// What was on disk at the start.
    adopted: Adopted,
    journal: Option<Journal>,
    unwritten: Unwritten,
    /// Whether control was heard, and all that it had to say is served; or it can't be heard now.
    heard: watch::Sender<bool>,
}

impl Running {
    /// Tells when control was first heard, with all that changed while this edge was away, or could not be.
    pub(crate) fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    /// Runs until dropped.
    pub(crate) async fn run(self) {
        let Self { feed, adopted, journal, unwritten, heard } = self;
        let kept = watch::Sender::new(adopted.clone());
        let metrics = &feed.telemetry.metrics.feed;
        let size = |bytes| metrics.journal_bytes.set(number(bytes));
        let keeper = Keeper::new(feed.directory.path(), journal, adopted.clone());
        let keeper = keeper.holding(feed.directory.lock());
        let follower = Follower::new(&feed, &unwritten, &feed.changed, &heard, adopted);
        tokio::join!(
            follower.run(),
            keeper.run(&unwritten, &kept, size),
            report::run(&feed, kept.subscribe()),
        );
    }
}
