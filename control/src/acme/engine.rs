//! Who works on domains, and on which? The replica that holds the lease, on those that are due, several at a time.

use super::authority::{Authority, AuthorityError};
use super::backoff::{Delays, after};
use super::case::Case;
use super::dns::{Dns, EdgeName};
use super::provider::Provider;
use crate::clock::now;
use crate::config::Acme;
use crate::db::leases::Term;
use crate::router::App;
use api::domains::ChallengeMethod;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

const LEASE: &str = "acme";
/// How long a lease is held without being renewed: after so long another replica takes over from one that was killed.
const LEASE_HELD: Duration = Duration::from_secs(6);
const LEASE_RENEWED: Duration = Duration::from_secs(2);
/// How often it is looked for domains that are due, where nobody says that there are some.
const POLL: Duration = Duration::from_secs(1);
/// Domains that are attended at one time.
const CASES_MAX: u32 = 64;
/// Certificates that are removed in one go.
const RELEASED_MAX: u32 = 64;

/// How domains are worked on.
pub(crate) struct Settings {
    pub(crate) delays: Delays,
    pub(crate) challenges: Vec<ChallengeMethod>,
    pub(crate) dns_wait: Duration,
    pub(crate) edge_names: Vec<EdgeName>,
}

/// Who works on domains.
pub(crate) struct Engine {
    pub(crate) app: Arc<App>,
    pub(crate) settings: Settings,
    pub(crate) dns: Dns,
    pub(crate) provider: Provider,
    pub(crate) authority: Option<Authority>,
    /// A permit for each further order.
    pub(crate) orders: Semaphore,
    /// By which replicas are told apart.
    holder: String,
}

/// What ended the work of a term.
enum End {
    Stopping,
    Lost,
}

impl Engine {
    /// As control is set up.
    pub(crate) fn new(app: Arc<App>, config: &Acme) -> Result<Self, AuthorityError> {
        let settings = Settings {
            delays: Delays { first: Duration::from_secs(config.retry_seconds) },
            challenges: config.challenges.clone(),
            dns_wait: Duration::from_secs(config.dns_seconds),
            edge_names: config.edge_names.clone(),
        };
        Ok(Self {
            app,
            settings,
            dns: Dns::new(&config.dns_servers)?,
            provider: Provider::new(config)?,
            authority: Authority::new(config)?,
            orders: Semaphore::new(config.orders_max),
            holder: ulid::Ulid::new().to_string(),
        })
    }

    /// Works while this replica holds the lease, until control stops.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut stopping = self.app.stopping.subscribe();
        loop {
            if let Some(term) = self.take_lease().await {
                tracing::debug!(term = term.number, "works on domains");
                if matches!(self.lead(term).await, End::Stopping) {
                    return;
                }
                tracing::warn!("another replica works on domains now");
            }
            if timeout(LEASE_RENEWED, stopped(&mut stopping)).await.is_ok() {
                return;
            }
        }
    }

    async fn take_lease(&self) -> Option<Term> {
        let now = now();
        let taken = self.app.db.take_lease(LEASE, &self.holder, after(now, LEASE_HELD), now).await;
        taken.unwrap_or_else(|error| {
            tracing::debug!("the lease for domains can't be had: {error}");
            None
        })
    }

    /// Works as long as the lease is held.
    async fn lead(self: &Arc<Self>, term: Term) -> End {
        let mut stopping = self.app.stopping.subscribe();
        let (done, mut ended) = mpsc::unbounded_channel();
        let mut under_way = HashSet::new();
        let (mut renewed, mut asked) = (Instant::now(), Instant::now());
        self.wake_those_without_authority(term).await;
        loop {
            if asked.elapsed() >= LEASE_RENEWED {
                asked = Instant::now();
                match self.take_lease().await {
                    Some(held) if held == term => renewed = asked,
                    Some(_) => return End::Lost,
                    None if renewed.elapsed() >= LEASE_HELD => return End::Lost,
                    None => {}
                }
            }
            self.remove_released(term).await;
            self.begin_due(term, &mut under_way, &done).await;
            tokio::select! {
                () = stopped(&mut stopping) => {
                    self.give_back().await;
                    return End::Stopping;
                }
                Some(host) = ended.recv() => { under_way.remove(&host); }
                () = self.app.domains.word.notified() => {}
                () = sleep(POLL) => {}
            }
            while let Ok(host) = ended.try_recv() {
                under_way.remove(&host);
            }
        }
    }

    async fn give_back(&self) {
        if let Err(error) = self.app.db.give_lease_back(LEASE, &self.holder).await {
            tracing::debug!("the lease for domains can't be given back: {error}");
        }
    }

    /// Begins with the domains that are due, each in a task of its own. It goes on when this replica loses the lease, and
    /// what it writes then is refused.
    async fn begin_due(
        self: &Arc<Self>,
        term: Term,
        under_way: &mut HashSet<String>,
        done: &mpsc::UnboundedSender<String>,
    ) {
        let room = (CASES_MAX as usize).saturating_sub(under_way.len());
        if room == 0 {
            return;
        }
        // those under way may be due too
        let due = match self.app.db.due_domains(now(), CASES_MAX).await {
            Ok(due) => due,
            Err(error) => return tracing::warn!("domains can't be read: {error}"),
        };
        let due = due.into_iter().filter(|domain| !under_way.contains(&domain.host));
        for domain in due.take(room).collect::<Vec<_>>() {
            under_way.insert(domain.host.clone());
            let (engine, done) = (Arc::clone(self), done.clone());
            tokio::spawn(async move {
                let host = domain.host.clone();
                Case::new(&engine, term, domain).attend().await;
                // a term that ended waits for nobody
                let _ = done.send(host);
            });
        }
    }

    /// Has domains that wait for an authority go on, now that there is one.
    async fn wake_those_without_authority(&self, term: Term) {
        if self.authority.is_some()
            && let Err(error) = self.app.db.wake_domains("off", now(), term).await
        {
            tracing::warn!("domains can't be written: {error}");
        }
    }

    /// Removes the certificates of domains that are gone.
    async fn remove_released(&self, term: Term) {
        if let Err(error) = self.try_remove_released(term).await {
            tracing::warn!("certificates that no domain has can't be removed: {error}");
        }
    }

    async fn try_remove_released(&self, term: Term) -> sqlx::Result<()> {
        for id in self.app.db.released_certificates(RELEASED_MAX).await? {
            let mut change = self.app.db.change().await?;
            if !change.holds(term).await? {
                return Ok(());
            }
            change.forget_released(&id).await?;
            change.commit().await?;
            tracing::info!(certificate.id = %id, "removed the certificate of a domain that is gone");
        }
        Ok(())
    }
}

/// Waits until control stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // the other end is in the app
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
