//! Who waits for edges, and how do they learn that there is nothing left to wait for?
//!
//! One task of the process reads where all edges are, and only while somebody waits: when an edge has reported here or,
//! where the database tells of it, to another replica, and several times a second where it doesn't. What it read is shared
//! by all who wait.

use crate::clock::{Moment, now};
use crate::db::edges::Edge;
use crate::db::purges::Work;
use crate::problem::Error;
use crate::router::App;
use crate::standing::{is_awaited, is_connected, is_stalled, standing, status};
use api::edge::AWAY_SECONDS;
use api::purge::PurgeStatus;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

/// How often it is looked for what edges reported to other replicas.
const POLL: Duration = Duration::from_millis(100);
/// Between two readings, at least; longer where a reading takes long.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two looks at what one request asked to be done.
const WORK_PAUSE: Duration = Duration::from_millis(50);

/// The requests that wait for edges.
pub(crate) struct Waiting {
    edges: watch::Sender<Arc<Vec<Edge>>>,
    /// Somebody new waits, or an edge has reported.
    word: Notify,
    places: Arc<Semaphore>,
    places_max: usize,
}

/// A place among those that wait. It is given back when it is dropped.
pub(crate) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Waiting {
    /// With room for so many requests.
    pub(crate) fn new(places_max: usize) -> Self {
        Self {
            edges: watch::Sender::default(),
            word: Notify::new(),
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
        }
    }

    /// A place to wait at.
    ///
    /// # Errors
    /// When all are taken.
    pub(crate) fn enter(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.places).try_acquire_owned();
        permit.map(Place).map_err(|_| Error::Waiters(self.places_max))
    }

    /// How many places are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.places_max.saturating_sub(self.places.available_permits()) as u64
    }

    /// Has those that wait look again: an edge has reported.
    pub(crate) fn word(&self) {
        self.word.notify_one();
    }

    fn join(&self) -> watch::Receiver<Arc<Vec<Edge>>> {
        let edges = self.edges.subscribe();
        self.word();
        edges
    }
}

/// Reads where the edges are while somebody waits, for ever.
pub(crate) async fn read_edges(app: Arc<App>) {
    let mut notices = app.db.notices();
    loop {
        if app.waiting.edges.receiver_count() == 0 {
            app.waiting.word.notified().await;
        }
        let began = Instant::now();
        let since = now().before(Duration::from_secs(AWAY_SECONDS));
        // where the database fails, those that wait do so until it answers or their time is up
        if let Ok(edges) = app.db.edges_since(since).await {
            app.waiting.edges.send_replace(Arc::new(edges));
        }
        sleep(began.elapsed().saturating_mul(4).clamp(PAUSE, POLL)).await;
        let word = async {
            tokio::select! {
                () = app.waiting.word.notified() => {}
                _ = notices.changed() => {}
            }
        };
        // a poll that is due is no failure
        let _ = timeout(POLL, word).await;
    }
}

/// Waits until no edge has to be waited for any more. It ends when dropped, and when control stops.
pub(crate) async fn until_settled(app: &App, work: &Work) {
    let mut stopping = app.stopping.subscribe();
    tokio::select! {
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = settle(app, work) => {}
    }
}

async fn settle(app: &App, work: &Work) {
    let mut edges = app.waiting.join();
    let mut plain = work.clone();
    plain.asked.has_work = false;
    // the other end is in `app`
    while edges.changed().await.is_ok() {
        let (connected, now) = (Arc::clone(&edges.borrow_and_update()), now());
        let limit = app.limits.ack_limit;
        let is_settled = |work: &Work| {
            !connected.iter().any(|edge| is_awaited(standing(edge, work, None, limit, now)))
        };
        if !is_settled(&plain) {
            continue;
        }
        // in its place in the log there may be a later one by now
        let Ok(effective_seq) = effective_seq(app, work).await else { continue };
        plain.effective_seq = effective_seq;
        if !is_settled(&plain) {
            continue;
        }
        if !work.asked.has_work || is_finished(app, work).await {
            return;
        }
        sleep(WORK_PAUSE).await;
    }
}

/// The number that has to be adopted, as the database has it now.
async fn effective_seq(app: &App, work: &Work) -> sqlx::Result<u64> {
    let found = app.db.work(work.seq).await?;
    Ok(found.map_or(work.effective_seq, |found| found.effective_seq))
}

async fn is_finished(app: &App, work: &Work) -> bool {
    let status = read_status(app, work.clone()).await;
    status.is_ok_and(|status| !status.edges.iter().any(|edge| is_awaited(edge.standing)))
}

/// What became of `work` so far.
pub(crate) async fn read_status(app: &App, mut work: Work) -> sqlx::Result<PurgeStatus> {
    let done = app.db.done(&work).await?;
    // read after what the edges adopted: never less than what they had to adopt at that moment
    work.effective_seq = effective_seq(app, &work).await?;
    Ok(status(work, &done, app.limits.ack_limit, now()))
}

/// Which of the connected edges have adopted a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// All that may still adopt anything.
    All,
    /// Some; the others have not in time.
    Some,
    /// None in time.
    None,
    /// There are none.
    Nobody,
}

/// Waits until the edges that are connected have adopted `seq`, for `limit` at most.
pub(crate) async fn until_adopted(app: &App, seq: u64, limit: Duration) -> Adopted {
    let mut edges = app.waiting.join();
    let mut found = Adopted::Nobody;
    let all = async {
        // the other end is in `app`
        while edges.changed().await.is_ok() {
            let connected = Arc::clone(&edges.borrow_and_update());
            found = adopted(&connected, seq, app.limits.ack_limit, now());
            if matches!(found, Adopted::All | Adopted::Nobody) {
                return;
            }
        }
    };
    // what was found last counts
    let _ = timeout(limit, all).await;
    found
}

fn adopted(edges: &[Edge], seq: u64, limit: Duration, now: Moment) -> Adopted {
    let connected = || edges.iter().filter(|edge| is_connected(edge, now));
    let has = connected().any(|edge| edge.acked >= seq);
    let waits = connected().any(|edge| edge.acked < seq && !is_stalled(edge, limit, now));
    match (connected().next().is_some(), has, waits) {
        (false, ..) => Adopted::Nobody,
        (_, true, false) => Adopted::All,
        (_, true, true) => Adopted::Some,
        (_, false, _) => Adopted::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_that_may_adopt_are_waited_for() {
        const NOW: Moment = Moment(1_000_000);
        let edge = |acked: u64, behind_for: i64, silent_for: i64| Edge {
            id: "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap(),
            region: None,
            adopted: acked,
            acked,
            behind_since: (behind_for > 0).then_some(Moment(NOW.0 - behind_for)),
            first_seen: Moment(1),
            last_seen: Moment(NOW.0 - silent_for),
        };
        let check = |edges: &[Edge], expected: Adopted| {
            assert_eq!(adopted(edges, 9, Duration::from_secs(30), NOW), expected, "{edges:?}");
        };
        let (done, waits, stalled, away) =
            (edge(9, 0, 0), edge(8, 100, 0), edge(8, 30_000, 0), edge(8, 0, 20_000));
        check(&[], Adopted::Nobody);
        check(std::slice::from_ref(&away), Adopted::Nobody);
        check(std::slice::from_ref(&waits), Adopted::None);
        check(std::slice::from_ref(&stalled), Adopted::None);
        check(&[done.clone(), stalled, away], Adopted::All);
        check(&[done, waits], Adopted::Some);
    }
}
