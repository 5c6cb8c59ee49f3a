//! What does a follower of the feed hear, and when? Server-sent events, as `api::feed` says.
//!
//! A follower reads the log from the database a page at a time, and a page only when the one before has gone out: a
//! slow one holds one page. One task of the process looks for the changes of other replicas, not each follower.

use crate::db::Db;
use crate::db::feed::Page;
use crate::metrics::FollowerGauge;
use crate::problem::Error;
use crate::router::App;
use api::feed::{
    Current, EVENT_CURRENT, EVENT_ENTRY, EVENT_HELLO, HEARTBEAT_SECONDS, Hello, VERSION,
};
use api::id::{LogId, TokenId};
use bytes::Bytes;
use futures_util::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

const POLL: Duration = Duration::from_millis(400);
const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_SECONDS);

/// One follower.
pub(crate) struct Follower {
    app: Arc<App>,
    token: TokenId,
    /// The newest entry it was given.
    after: u64,
    /// What the log had come to when the follower was given everything.
    seen: u64,
    step: Step,
    /// When the token was last known to work.
    checked: Instant,
    newest: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
    _gauge: FollowerGauge,
}

/// What a follower is given next.
enum Step {
    Hello(Hello),
    Page,
    Wait,
}

impl Follower {
    /// A follower that has everything up to `after` of `log`.
    pub(crate) async fn new(
        app: Arc<App>,
        token: TokenId,
        after: u64,
        log: Option<&LogId>,
    ) -> Result<Self, Error> {
        let place = Arc::clone(&app.followers).try_acquire_owned();
        let place = place.map_err(|_| Error::Followers(app.limits.followers_max))?;
        let newest = app.db.read_newest().await?;
        let reset = !knows(app.db.log(), newest, log, after);
        let hello = Hello { version: VERSION, log: app.db.log().clone(), newest, reset };
        Ok(Self {
            token,
            after: if reset { 0 } else { after },
            seen: 0,
            step: Step::Hello(hello),
            checked: Instant::now(),
            newest: app.db.newest(),
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
        if let Step::Hello(hello) = &self.step {
            let bytes = event(EVENT_HELLO, None, &crate::idempotent::json(hello));
            self.step = Step::Page;
            return Ok(Some(Bytes::from(bytes)));
        }
        if let Step::Wait = self.step {
            self.wait().await;
        }
        if *self.stopping.borrow() || !self.may_stay().await? {
            return Ok(None);
        }
        let page = self.app.db.feed_page(self.after).await?;
        Ok(Some(self.give(&page)))
    }

    /// Waits for a change, a heartbeat or the end.
    async fn wait(&mut self) {
        let seen = self.seen;
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => {}
            _ = self.newest.wait_for(|newest| *newest > seen) => {}
            () = sleep(HEARTBEAT) => {}
        }
    }

    /// Whether the token still works, asked once in a heartbeat.
    async fn may_stay(&mut self) -> Result<bool, Error> {
        if self.checked.elapsed() < HEARTBEAT {
            return Ok(true);
        }
        self.checked = Instant::now();
        Ok(self.app.db.token_works(&self.token).await?)
    }

    /// The events of a page, and `current` behind the last.
    fn give(&mut self, page: &Page) -> Bytes {
        let mut text = String::new();
        for (seq, entry) in &page.entries {
            text.push_str(&event(EVENT_ENTRY, Some(*seq), entry));
            self.after = *seq;
        }
        self.step = Step::Page;
        if page.last {
            let current = Current { newest: page.newest };
            text.push_str(&event(EVENT_CURRENT, None, &crate::idempotent::json(&current)));
            (self.after, self.seen) = (page.newest, page.newest);
            self.step = Step::Wait;
        }
        Bytes::from(text)
    }
}

/// Whether a follower's place is one of this log.
fn knows(log: &LogId, newest: u64, claimed: Option<&LogId>, after: u64) -> bool {
    match claimed {
        Some(claimed) => claimed == log && after <= newest,
        None => after == 0,
    }
}

/// An event whose data is one line.
fn event(name: &str, id: Option<u64>, data: &str) -> String {
    match id {
        Some(id) => format!("event: {name}\nid: {id}\ndata: {data}\n\n"),
        None => format!("event: {name}\ndata: {data}\n\n"),
    }
}

/// Looks for what other processes wrote, for ever.
pub(crate) async fn watch_log(db: Arc<Db>) {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answered = true;
    loop {
        ticks.tick().await;
        let read = db.read_newest().await;
        match &read {
            Err(error) if answered => tracing::warn!("the log cannot be read: {error}"),
            Ok(_) if !answered => tracing::info!("the log can be read again"),
            Ok(_) | Err(_) => {}
        }
        answered = read.is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_in_its_own_log_up_to_the_newest() {
        let ours: LogId = "log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        let other: LogId = "log_11J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        for (claimed, after, expected) in [
            (Some(&ours), 0, true),
            (Some(&ours), 7, true),
            (Some(&ours), 8, false),
            (Some(&other), 0, false),
            (Some(&other), 7, false),
            (None, 0, true),
            (None, 3, false),
        ] {
            assert_eq!(knows(&ours, 7, claimed, after), expected, "{claimed:?} {after}");
        }
    }
}
