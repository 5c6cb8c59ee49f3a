//! One follower: what it is given next, from `hello` to the end.
//!
//! What it is given is read at different moments, and an entry may move meanwhile: a later one about the same subject
//! takes its place. Invariant: a follower is given, without a gap, parts of the log that were each complete when they
//! were read, and is told `current` only when it has reached the newest number of all those moments. An entry that one
//! part lacks was then replaced by one whose number was not above that, and which it has been given since.

use super::chunk::{Chunk, current_event, event};
use super::encoding::Encoding;
use super::pages::Place;
use super::ring::Taken;
use crate::db::feed::Extent;
use crate::metrics::FollowerGauge;
use crate::problem::Error;
use crate::router::App;
use api::feed::{EVENT_HELLO, HEARTBEAT_SECONDS, Hello, VERSION};
use api::id::{LogId, TokenId};
use bytes::Bytes;
use futures_util::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_SECONDS);

/// One follower.
pub(crate) struct Follower {
    app: Arc<App>,
    token: TokenId,
    encoding: Encoding,
    hello: Option<Hello>,
    /// It was given everything up to this number.
    after: u64,
    /// Up to this number it is given what there is alone: it begins anew, and has nothing that was purged or removed.
    sites_until: u64,
    /// The newest number that anything it was given knew of.
    seen: u64,
    /// Whether it knows that it has everything.
    told: bool,
    /// When something was last sent to it.
    sent: Instant,
    /// When the token was last known to work.
    checked: Instant,
    tip: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
    _gauge: FollowerGauge,
}

impl Follower {
    /// A follower that has everything up to `after` of `log`.
    pub(crate) async fn new(
        app: Arc<App>,
        token: TokenId,
        encoding: Encoding,
        after: u64,
        log: Option<&LogId>,
    ) -> Result<Self, Error> {
        let place = Arc::clone(&app.followers).try_acquire_owned();
        let place = place.map_err(|_| Error::Followers(app.limits.followers_max))?;
        let extent = app.db.extent().await?;
        let newest = extent.newest;
        let reset = !knows(app.db.log(), extent, log, after);
        let anew = reset || log.is_none();
        let hello = Hello {
            version: VERSION,
            log: app.db.log().clone(),
            newest,
            reset,
            key: app.db.key().cloned(),
        };
        let now = Instant::now();
        Ok(Self {
            token,
            encoding,
            hello: Some(hello),
            after: if reset { 0 } else { after },
            sites_until: if anew { app.feed.pages.sites_until(newest) } else { 0 },
            seen: newest,
            told: false,
            sent: now,
            checked: now,
            tip: app.feed.ring.tip(),
            stopping: app.stopping.subscribe(),
            _place: place,
            _gauge: app.metrics.follower(),
            app,
        })
    }

    /// The events, until control stops or the token is revoked.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Error>> {
        futures_util::stream::unfold(Some(self), |follower| async {
            let mut follower = follower?;
            match follower.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(follower))),
                Ok(None) => None,
                Err(error) => {
                    tracing::warn!(token.id = %follower.token, "a follower was let go: {error}");
                    Some((Err(error), None))
                }
            }
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(hello) = self.hello.take() {
            let text = event(EVENT_HELLO, &crate::idempotent::json(&hello));
            return Ok(Some(self.send(self.encoding.encode(&Bytes::from(text)))));
        }
        loop {
            if *self.stopping.borrow() || !self.may_stay().await {
                return Ok(None);
            }
            let given = match self.taken() {
                Taken::Chunk(chunk) => self.give(&chunk),
                Taken::Tip(idle) if self.after >= self.seen && !self.told => {
                    self.tell(idle.as_deref())
                }
                Taken::Tip(_) => {
                    self.wait().await;
                    continue;
                }
                Taken::Behind => {
                    let place = Place { after: self.after, sites_until: self.sites_until };
                    let chunk = self.app.feed.pages.read(&self.app.db, place).await?;
                    if chunk.forgotten > self.after.max(self.sites_until) {
                        // it can't know any more what is gone: it comes again, and begins anew
                        return Ok(None);
                    }
                    self.give(&chunk)
                }
            };
            if !given.is_empty() {
                return Ok(Some(self.send(given)));
            }
        }
    }

    /// What the ring has for it.
    fn taken(&self) -> Taken {
        if self.after < self.sites_until {
            return Taken::Behind;
        }
        self.app.feed.ring.take(self.after)
    }

    /// What it has not got of a chunk.
    fn give(&mut self, chunk: &Chunk) -> Bytes {
        self.seen = self.seen.max(chunk.newest);
        let current = chunk.has_current() && chunk.until >= self.seen;
        let bytes = chunk.give(self.after, current, self.encoding);
        self.after = chunk.until;
        self.told = current;
        bytes
    }

    /// That it has everything.
    fn tell(&mut self, idle: Option<&Chunk>) -> Bytes {
        self.told = true;
        match idle {
            Some(idle) => idle.give(self.after, true, self.encoding),
            None => self.encoding.encode(&Bytes::from(current_event(self.after))),
        }
    }

    fn send(&mut self, bytes: Bytes) -> Bytes {
        self.sent = Instant::now();
        self.app.metrics.sent(self.encoding.name(), bytes.len());
        bytes
    }

    /// Waits for a change, a heartbeat or the end.
    async fn wait(&mut self) {
        let after = self.after;
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
            _ = self.tip.wait_for(|tip| *tip > after) => {}
            () = sleep_until(self.sent + HEARTBEAT) => {
                self.told = false;
                self.sent = Instant::now();
            }
        }
    }

    /// Whether the token still works, asked once in a heartbeat. A database that doesn't answer is no reason to let
    /// anybody go: there is nothing new to tell meanwhile.
    async fn may_stay(&mut self) -> bool {
        if self.checked.elapsed() < HEARTBEAT {
            return true;
        }
        self.checked = Instant::now();
        self.app.db.token_works(&self.token).await.unwrap_or(true)
    }
}

/// Whether a follower's place is one of this log, and nothing was forgotten that it has to hear.
fn knows(log: &LogId, extent: Extent, claimed: Option<&LogId>, after: u64) -> bool {
    match claimed {
        Some(claimed) => claimed == log && (extent.forgotten..=extent.newest).contains(&after),
        None => after == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_in_its_own_log_from_what_was_forgotten_to_the_newest() {
        let ours: LogId = "log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        let other: LogId = "log_11J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        let check = |forgotten, claimed, after, expected| {
            let extent = Extent { newest: 7, forgotten };
            assert_eq!(knows(&ours, extent, claimed, after), expected, "{claimed:?} {after}");
        };
        check(0, Some(&ours), 0, true);
        check(0, Some(&ours), 7, true);
        check(0, Some(&ours), 8, false);
        check(0, Some(&other), 0, false);
        check(0, Some(&other), 7, false);
        check(0, None, 0, true);
        check(0, None, 3, false);
        check(4, Some(&ours), 3, false);
        check(4, Some(&ours), 4, true);
        check(4, None, 0, true);
    }
}
