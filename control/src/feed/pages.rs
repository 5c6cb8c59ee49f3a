//! The log in chunks, for followers that are behind: those that come at one time share what one of them reads.

use super::chunk::Chunk;
use crate::db::Db;
use prometheus::IntCounter;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

/// Bytes of chunks that are kept for others.
const MAX_BYTES: usize = 32 << 20;
/// How long they are kept.
const KEPT: Duration = Duration::from_secs(5);
/// Connections to the database that followers use at most: a thousand that catch up at one time leave room for
/// everything else.
const READERS_MAX: usize = 4;

/// Where a chunk begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The number before it.
    pub(crate) after: u64,
    /// Up to this number, sites, certificates and challenges alone.
    pub(crate) sites_until: u64,
}

type Slot = Arc<OnceCell<Arc<Chunk>>>;

/// Chunks that were read a moment ago, and are being read.
pub(crate) struct Pages {
    held: Mutex<Held>,
    readers: Semaphore,
    /// How often the log was read.
    reads: IntCounter,
}

#[derive(Default)]
struct Held {
    slots: HashMap<Place, (Instant, Slot)>,
    /// Those that were read, the oldest first, with what they take.
    order: VecDeque<(Place, Instant, usize)>,
    bytes: usize,
    /// A number that was the newest at some moment.
    newest: Option<(Instant, u64)>,
}

impl Pages {
    /// None yet.
    pub(crate) fn new(reads: IntCounter) -> Self {
        Self { held: Mutex::default(), readers: Semaphore::new(READERS_MAX), reads }
    }

    /// A number at most `newest`, the same for followers that come within seconds, so that they share what is read up to
    /// it.
    pub(crate) fn sites_until(&self, newest: u64) -> u64 {
        let mut held = self.lock();
        let known = held.newest.filter(|(at, _)| at.elapsed() < KEPT);
        let (_, until) = *held.newest.insert(known.unwrap_or_else(|| (Instant::now(), newest)));
        until.min(newest)
    }

    /// What follows a place.
    pub(crate) async fn read(&self, db: &Db, place: Place) -> sqlx::Result<Arc<Chunk>> {
        let (began, slot) = self.slot(place, *db.newest().borrow());
        let mut read = false;
        let chunk = slot
            .get_or_try_init(|| async {
                read = true;
                self.reads.inc();
                let _turn = self.readers.acquire().await;
                let page = match place.after < place.sites_until {
                    true => db.state_page(place.after, place.sites_until).await?,
                    false => db.feed_page(place.after).await?,
                };
                Ok::<_, sqlx::Error>(Arc::new(Chunk::new(place.after, &page)))
            })
            .await?;
        if read {
            self.keep(place, began, chunk.bytes());
        }
        Ok(Arc::clone(chunk))
    }

    /// Lets go of what is too old.
    pub(crate) fn sweep(&self) {
        self.lock().sweep();
    }

    /// Where a chunk is or will be. The last one of the log is of use only as long as nothing is newer.
    fn slot(&self, place: Place, newest: u64) -> (Instant, Slot) {
        let mut held = self.lock();
        held.sweep();
        let slot = held.slots.entry(place).or_insert_with(|| (Instant::now(), Slot::default()));
        if slot.1.get().is_some_and(|chunk| chunk.has_current() && chunk.until < newest) {
            *slot = (Instant::now(), Slot::default());
        }
        let (began, slot) = slot;
        (*began, Arc::clone(slot))
    }

    /// Counts what was read, and lets go of the oldest where it is too much.
    fn keep(&self, place: Place, began: Instant, bytes: usize) {
        let mut held = self.lock();
        held.order.push_back((place, began, bytes));
        held.bytes += bytes;
        held.sweep();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn sweep(&mut self) {
        let is_too_much = |held: &Self| {
            let oldest = held.order.front();
            held.bytes > MAX_BYTES || oldest.is_some_and(|(_, began, _)| began.elapsed() >= KEPT)
        };
        while is_too_much(self) {
            let Some((place, began, bytes)) = self.order.pop_front() else { break };
            self.bytes -= bytes;
            if self.slots.get(&place).is_some_and(|(at, _)| *at == began) {
                self.slots.remove(&place);
            }
        }
    }
}
