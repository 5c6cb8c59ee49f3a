//! Fetches what an entry of the feed asks for: responses that a purge selects, anew, and what is to be stored before
//! clients ask for it.
//!
//! All of it is asked through this edge's own stages. At most [`AT_ONCE`] requests are under way for all tasks together,
//! and a few tasks of each kind; further ones wait.

mod choose;
mod sitemap;
mod warm;

use super::{Task, Work};
use crate::cache::Cache;
use crate::proxy::{Edge, Get, Own};
use crate::snapshot::{Current, Served};
use crate::stage::identify::Scheme;
use crate::stage::lookup::Named;
use api::id::SiteId;
use api::purge::{Purge, WARM_RATE_MAX, Warm};
use bytes::Bytes;
use pingora_proxy::HttpProxy;
use route::Host;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// Requests under way together, of all tasks.
const AT_ONCE: usize = 8;
/// Tasks of one kind under way together.
const TASKS_AT_ONCE: usize = 4;
/// Tasks that may be under way or wait.
const TASKS_MAX: usize = 1_000;
/// How long one exchange may take, with its body.
const EXCHANGE_MAX: Duration = Duration::from_mins(2);
/// Responses a second that a task fetches anew.
const ANEW_PER_SECOND: u32 = 100;
/// What browsers send: of several variants, the one that they get.
const ACCEPT_ENCODING: &str = "gzip, deflate, br, zstd";
/// Between looks at whether an entry is in force.
const FORCE_PAUSE: Duration = Duration::from_millis(5);
/// The port of a host that names none.
const PORT: u16 = 80;

/// Who fetches.
pub(crate) struct Fetcher {
    pub(crate) app: Arc<HttpProxy<Edge>>,
    pub(crate) current: Current,
    pub(crate) cache: &'static Cache,
    pub(crate) work: Arc<Work>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Target {
    scheme: Scheme,
    authority: String,
    /// Path and query.
    target: String,
}

/// One task's way to fetch.
struct Job {
    seq: u64,
    site_id: SiteId,
    own: Own,
    /// Requests a second, at most.
    rate: u32,
}

/// Has each task done, for as long as any may come.
pub(crate) async fn run(fetcher: Arc<Fetcher>, mut tasks: mpsc::Receiver<(u64, Task)>) {
    let requests = Arc::new(Semaphore::new(AT_ONCE));
    let [anew, warm] = [(); 2].map(|()| Arc::new(Semaphore::new(TASKS_AT_ONCE)));
    let mut under_way = JoinSet::new();
    while let Some((seq, task)) = tasks.recv().await {
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= TASKS_MAX {
            fetcher.work.give_up(seq);
            continue;
        }
        let kind = if matches!(task, Task::Warm(_)) { &warm } else { &anew };
        let (kind, requests, fetcher) =
            (Arc::clone(kind), Arc::clone(&requests), Arc::clone(&fetcher));
        under_way.spawn(async move {
            let _place = kind.acquire().await;
            match task {
                // its number is not of the log that is followed by now
                _ if !fetcher.in_force(seq).await => {}
                Task::Purge(purge) => fetcher.refetch(seq, purge, &requests).await,
                Task::Warm(warm) => fetcher.warm(seq, warm, &requests).await,
                Task::Count(_) => {} // nothing to fetch
            }
            fetcher.work.ledger.note(seq, |progress| progress.finished = true);
        });
    }
}

impl Fetcher {
    /// Waits until requests are served by the entry with this number: what they store then isn't older than it. False
    /// where another log is followed before.
    async fn in_force(&self, seq: u64) -> bool {
        let epoch = self.current.load().epoch;
        loop {
            let snapshot = self.current.load();
            if snapshot.epoch != epoch {
                return false;
            }
            if snapshot.applied >= seq {
                return true;
            }
            drop(snapshot);
            sleep(FORCE_PAUSE).await;
        }
    }

    /// Fetches anew what a purge selects of what is in memory, and was asked for most.
    async fn refetch(self: &Arc<Self>, seq: u64, purge: Purge, requests: &Arc<Semaphore>) {
        let Some(served) = self.site(&purge.site_id) else { return };
        let (cache, site_id) = (self.cache, purge.site_id.clone());
        let chosen =
            tokio::task::spawn_blocking(move || choose::most_asked(seq, &purge, &served, cache));
        let targets = match chosen.await {
            Ok(targets) => targets,
            Err(error) => {
                return tracing::error!(%error, "what a purge selects could not be looked for");
            }
        };
        let job = Job { seq, site_id, own: Own::Anew, rate: ANEW_PER_SECOND };
        self.fetch_all(&job, targets, requests).await;
    }

    /// Fetches what is to be stored, unless it is already.
    async fn warm(self: &Arc<Self>, seq: u64, warm: Warm, requests: &Arc<Semaphore>) {
        let job = Job {
            seq,
            site_id: warm.site_id.clone(),
            own: Own::Stored,
            rate: warm.rate.clamp(1, WARM_RATE_MAX),
        };
        let targets = self.to_warm(&job, &warm, requests).await;
        self.fetch_all(&job, targets, requests).await;
    }

    /// Fetches targets at the job's rate, for as long as its site is served.
    async fn fetch_all(
        self: &Arc<Self>,
        job: &Job,
        targets: Vec<Target>,
        requests: &Arc<Semaphore>,
    ) {
        self.work.ledger.note(job.seq, |progress| progress.to_fetch += targets.len() as u64);
        let mut turns = interval(Duration::from_secs(1) / job.rate);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        for target in targets {
            turns.tick().await;
            while under_way.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(requests).acquire_owned().await else { return };
            if !self.serves(&target, &job.site_id) {
                self.note(job.seq, None);
                continue;
            }
            let (fetcher, seq, own) = (Arc::clone(self), job.seq, job.own);
            under_way.spawn(async move {
                let fetched = fetcher.fetch(&target, ACCEPT_ENCODING, own, |_| true).await;
                fetcher.note(seq, fetched);
                drop(place);
            });
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Fetches one response, whose body is `taken` piece by piece for as long as that says so. Bytes of the body; none
    /// where it was not to be had.
    async fn fetch(
        &self,
        target: &Target,
        accept_encoding: &'static str,
        own: Own,
        mut taken: impl FnMut(Bytes) -> bool,
    ) -> Option<u64> {
        let Target { scheme, authority, target } = target;
        let exchange = async {
            let get = Get { scheme: *scheme, authority, target, accept_encoding, own };
            let mut answer = get.send(&self.app).await.ok()?;
            let mut length = 0;
            while let Some(bytes) = answer.next().await.ok()? {
                length += bytes.len() as u64;
                if !taken(bytes) {
                    return None;
                }
            }
            (answer.status.as_u16() < 400).then_some(length)
        };
        timeout(EXCHANGE_MAX, exchange).await.ok().flatten()
    }

    fn note(&self, seq: u64, fetched: Option<u64>) {
        self.work.ledger.note(seq, |progress| match fetched {
            Some(bytes) => {
                progress.fetched += 1;
                progress.bytes += bytes;
            }
            None => progress.failed += 1,
        });
    }

    fn site(&self, site_id: &SiteId) -> Option<Arc<Served>> {
        let snapshot = self.current.load();
        snapshot.served().find(|served| served.site.id == *site_id).map(Arc::clone)
    }

    /// Whether requests for a target still come to the site.
    fn serves(&self, target: &Target, site_id: &SiteId) -> bool {
        let Ok(host) = Host::parse(&target.authority, PORT) else { return false };
        let snapshot = self.current.load();
        snapshot.site(host.name()).is_some_and(|served| served.site.id == *site_id)
    }

    /// What a URL names, where its host is the site's.
    fn target(&self, url: &str, site_id: &SiteId) -> Option<Target> {
        let purge::Target { host, path, query } = purge::Target::parse(url).ok()?;
        let scheme = Scheme::named(&url.split_once("://")?.0.to_ascii_lowercase())?;
        let authority = host?;
        let host = Host::parse(&authority, PORT).ok()?;
        let snapshot = self.current.load();
        snapshot.site(host.name()).filter(|served| served.site.id == *site_id)?;
        let target = match query {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        Some(Target { scheme, authority, target })
    }
}

impl From<&Named<'_>> for Target {
    fn from(named: &Named<'_>) -> Self {
        Self {
            scheme: named.scheme(),
            authority: named.authority.to_owned(),
            target: named.target().into_owned(),
        }
    }
}
