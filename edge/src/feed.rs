//! Follows control's feed: applies its entries in order, keeps what was adopted on disk, and tells control.
//!
//! Three tasks, joined by watches. The follower applies entries and publishes a snapshot after each batch. The keeper
//! writes the newest adopted state to disk, skipping those that were replaced meanwhile. The reporter tells control
//! what is on disk.

mod adopted;
mod keep;
mod link;

pub(crate) use keep::{StateDirectory, StateError};

use crate::clock;
use crate::purges::Bound;
use crate::snapshot::Current;
use crate::sweep::Held;
use crate::telemetry::Telemetry;
use crate::work::{Task, Work};
use adopted::Adopted;
use api::edge::{EdgeReport, REPORT_SECONDS};
use api::feed::{self, HEARTBEAT_SECONDS};
use eventsource_stream::{Event, Eventsource as _};
use futures_util::StreamExt as _;
use link::LinkError;
pub(crate) use link::{Link, Token};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Events applied together, before a snapshot is published.
const BATCH_MAX: usize = 512;
/// A stream that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT_SECONDS);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
const REPORT_PAUSE: Duration = Duration::from_secs(REPORT_SECONDS);

/// What the tasks work with.
pub(crate) struct Feed {
    pub(crate) link: Link,
    pub(crate) directory: StateDirectory,
    pub(crate) current: Current,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) held: Arc<Held>,
    pub(crate) bound: Bound,
    pub(crate) work: Arc<Work>,
    /// Where this edge serves and is watched: host and port.
    pub(crate) http_address: String,
    pub(crate) admin_address: String,
}

impl Feed {
    /// Publishes what was adopted before, without asking control.
    ///
    /// # Errors
    /// When the state on disk can't be read. One that is damaged is set aside, not an error.
    pub(crate) fn start(self) -> Result<Running, StateError> {
        let adopted = self.directory.load()?;
        let feed = Arc::new(self);
        if adopted.is_from_control() {
            feed.publish(&adopted);
        }
        let adopted = Arc::new(adopted);
        Ok(Running {
            feed,
            changed: watch::Sender::new(Arc::clone(&adopted)),
            kept: watch::Sender::new(adopted),
            heard: watch::Sender::new(false),
        })
    }

    fn publish(&self, adopted: &Adopted) {
        let snapshot = Arc::new(adopted.snapshot());
        let metrics = &self.telemetry.metrics;
        self.bound.keep(|| adopted.served(), &metrics.purges.coarsened);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        metrics.feed.adopted.set(number(snapshot.applied));
        metrics.feed.sites.set(number(snapshot.sites as u64));
        metrics.feed.sites_rejected.set(number(adopted.rejected().count() as u64));
        self.held.publish(&self.current, snapshot);
    }
}

/// Tells that something was adopted.
pub(crate) struct Changes(watch::Receiver<Arc<Adopted>>);

impl Changes {
    /// Whether there was any since this was asked last.
    ///
    /// # Errors
    /// When the feed has ended.
    pub(crate) fn seen(&mut self) -> Result<bool, watch::error::RecvError> {
        let has_changed = self.0.has_changed()?;
        self.0.mark_unchanged();
        Ok(has_changed)
    }
}

/// The feed's tasks, and what joins them.
pub(crate) struct Running {
    feed: Arc<Feed>,
    /// The newest state, as the follower has applied it.
    changed: watch::Sender<Arc<Adopted>>,
    /// The newest state that is on disk.
    kept: watch::Sender<Arc<Adopted>>,
    /// Whether control was heard, and all that it had to say is served; or it can't be heard now.
    heard: watch::Sender<bool>,
}

impl Running {
    /// Tells when control was first heard, with all that changed while this edge was away, or could not be.
    pub(crate) fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    /// Tells of everything that is adopted.
    pub(crate) fn changes(&self) -> Changes {
        Changes(self.changed.subscribe())
    }

    /// Runs until dropped.
    pub(crate) async fn run(self) {
        tokio::join!(self.follow(), self.keep(), self.report());
    }

    async fn follow(&self) {
        let mut adopted = Adopted::clone(&self.changed.borrow());
        let mut pause = RETRY_FIRST;
        let mut told = String::new();
        loop {
            let before = adopted.applied;
            let error = self.follow_once(&mut adopted).await;
            self.feed.telemetry.metrics.feed.connected.set(0);
            self.heard.send_replace(true);
            let reason = error.to_string();
            if reason != told {
                tracing::warn!("the feed is not followed: {reason}");
                told = reason;
            }
            if adopted.applied > before {
                pause = RETRY_FIRST;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Follows one stream until it ends, and says why it did.
    async fn follow_once(&self, adopted: &mut Adopted) -> LinkError {
        let response = match self.feed.link.open_feed(adopted.applied, adopted.log()).await {
            Ok(response) => response,
            Err(error) => return error,
        };
        let mut batches =
            link::bounded(response.bytes_stream()).eventsource().ready_chunks(BATCH_MAX);
        loop {
            let batch = match timeout(SILENCE, batches.next()).await {
                Ok(Some(batch)) => batch,
                Ok(None) => return LinkError::Ended,
                Err(_) => return LinkError::Silent,
            };
            let (mut changed, mut is_current, mut broken) = (false, false, None);
            for event in batch {
                let event = event.map_err(|error| LinkError::Stream(error.to_string()));
                is_current |= event.as_ref().is_ok_and(|event| event.event == feed::EVENT_CURRENT);
                match event.and_then(|event| self.apply(adopted, &event)) {
                    Ok(applied) => changed |= applied,
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            // what was applied before the stream broke is not sent again, so it is served from now on
            if changed {
                self.feed.publish(adopted);
                if !adopted.is_resetting() {
                    self.changed.send_replace(Arc::new(adopted.clone()));
                }
            }
            if is_current {
                self.heard.send_replace(true);
            }
            if let Some(error) = broken {
                return error;
            }
        }
    }

    /// Applies one event. True when something changed.
    fn apply(&self, adopted: &mut Adopted, event: &Event) -> Result<bool, LinkError> {
        let metrics = &self.feed.telemetry.metrics;
        let newest =
            |newest: u64| metrics.feed.newest.set(i64::try_from(newest).unwrap_or(i64::MAX));
        match event.event.as_str() {
            feed::EVENT_HELLO => {
                let hello: feed::Hello = link::parse(&event.data)?;
                tracing::info!(feed.log = %hello.log, feed.newest = hello.newest, reset = hello.reset, "following the feed");
                metrics.feed.connected.set(1);
                newest(hello.newest);
                adopted.greet(&hello, ulid::Ulid::from_datetime(clock::wall()).into());
                Ok(false)
            }
            feed::EVENT_ENTRY => {
                let entry: feed::Entry = link::parse(&event.data)?;
                metrics.feed.entries.inc();
                newest(entry.seq);
                let (seq, task) = (entry.seq, Task::of(&entry.change));
                let is_new = adopted.apply(entry);
                if let Some(task) = task.filter(|_| is_new) {
                    self.feed.bound.note_task(&task);
                    if !adopted.is_resetting() {
                        self.feed.work.begin(seq, task);
                    }
                }
                Ok(is_new)
            }
            feed::EVENT_CURRENT => {
                let current: feed::Current = link::parse(&event.data)?;
                newest(current.newest);
                Ok(adopted.catch_up(current.newest))
            }
            _ => Ok(false), // of a later version
        }
    }

    async fn keep(&self) {
        let mut changes = self.changed.subscribe();
        while changes.changed().await.is_ok() {
            let adopted = Arc::clone(&changes.borrow_and_update());
            while let Err(error) = self.feed.directory.save(Arc::clone(&adopted)).await {
                tracing::error!(%error, "what was adopted can't be kept; it is served, and not acknowledged");
                sleep(RETRY_MAX).await;
            }
            self.kept.send_replace(adopted);
        }
    }

    async fn report(&self) {
        let mut kept = self.kept.subscribe();
        loop {
            let report = self.report_of(&kept.borrow_and_update());
            let ledger = &self.feed.work.ledger;
            match self.feed.link.report(self.feed.directory.edge_id(), &report).await {
                Ok(()) => ledger.told(&report.progress),
                Err(error) => tracing::debug!("the report did not reach control: {error}"),
            }
            // a report is due when something was adopted or done, and otherwise as a sign of life
            let news = async {
                tokio::select! {
                    _ = kept.changed() => {}
                    () = ledger.changed() => {}
                }
            };
            timeout(REPORT_PAUSE, news).await.ok();
        }
    }

    fn report_of(&self, adopted: &Adopted) -> EdgeReport {
        EdgeReport {
            http_address: self.feed.http_address.clone(),
            admin_address: self.feed.admin_address.clone(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            log: adopted.log().cloned(),
            adopted: adopted.applied,
            rejected: adopted.rejected().take(api::edge::REJECTED_MAX).cloned().collect(),
            region: None,
            progress: self.feed.work.ledger.news(),
        }
    }
}
