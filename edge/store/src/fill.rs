//! A response being filled: one writer, any number of readers, bounded memory.

mod body;

#[cfg(test)]
pub(crate) use body::WINDOW_BYTES;
pub(crate) use body::{Body, Progress};

use crate::reader::Reader;
use crate::tiers::Inner;
use crate::{Head, Key, Moment};
use body::Abandonment;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a response waits for directories to come along.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// Why a fill can't go on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FillError {
    /// Its last reader has left, and it isn't stored, or too much of it is yet to come.
    #[error("nobody reads the response any more")]
    Abandoned,
}

/// The writer's end of a response being filled. Dropped without [`Fill::complete`], the fill has failed: readers see
/// an error, and nothing is stored.
pub struct Fill<H: Head> {
    pub(crate) store: Arc<Inner<H>>,
    pub(crate) filling: Arc<Filling<H>>,
    /// Whether the response is to be stored, as far as its writer knows.
    stores: bool,
    /// Bytes of the body that count as being filled.
    counted_bytes: u64,
    /// Where the one it was fetched for reads along, what becomes of it when nobody reads it any more.
    abandonment: Option<Abandonment>,
}

/// The reader for which a response is fetched, and what its fill has to know of it: it is served in turn with the writer,
/// which therefore can't wait for it.
#[derive(Clone)]
pub struct Own {
    body: Arc<Body>,
    /// The length of the response is known, and little enough to be stored.
    fits: bool,
}

impl Own {
    /// Notes that it reads no further, because it has gone.
    pub fn leave(&self) {
        self.body.leave_own(false);
    }

    /// Notes that it reads no further, because it has had all it wanted. What is stored is filled to its end.
    pub fn finish(&self) {
        self.body.leave_own(true);
    }

    /// Whether the response won't be stored, so that what readers have yet to take is all that is held of it.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.body.passes()
    }

    /// Whether nothing of the response will be stored from now on: it is stored, or won't be.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.body.is_over() || self.body.passes()
    }

    /// Whether the response is known to be small enough to be stored: unless a removal reaches it or the fills under way
    /// leave no room, all of it is held anyway.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.fits
    }

    /// Whether it reads, and hasn't left.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.body.own_reads()
    }

    /// Whether it is 4 MiB behind in a response that isn't stored, and hasn't read while much of it came: it has failed,
    /// and that is yet to be seen.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.body.own_is_behind()
    }

    /// Whether there is something to read for it, and has been for as long as `patience` says.
    #[must_use]
    pub fn is_stuck(&self, now: Instant, patience: Duration) -> bool {
        self.body.own_waits_since().is_some_and(|since| now.duration_since(since) > patience)
    }
}

/// A fill as the store shows it.
pub(crate) struct Filling<H> {
    pub(crate) number: u64,
    pub(crate) key: Key,
    pub(crate) name: Box<[u8]>,
    pub(crate) head: Arc<H>,
    pub(crate) body: Arc<Body>,
    /// A removal has reached it: it has no new readers, and is not stored.
    forgotten: AtomicBool,
    /// When its fetch began, where lookups don't find it while it is filled: removals don't either.
    pub(crate) aside: Option<Moment>,
}

impl<H> Filling<H> {
    pub(crate) fn is_forgotten(&self) -> bool {
        self.forgotten.load(Ordering::Acquire)
    }

    /// With the store's lock held, so that nothing is stored meanwhile.
    pub(crate) fn forget(&self) {
        self.forgotten.store(true, Ordering::Release);
    }
}

impl<H: Head> Fill<H> {
    pub(crate) fn new(
        store: Arc<Inner<H>>,
        key: Key,
        name: Box<[u8]>,
        head: Arc<H>,
        since: Moment,
        is_aside: bool,
    ) -> Self {
        let body = Body::new();
        let number = store.fills_begun.fetch_add(1, Ordering::Relaxed);
        let forgotten = AtomicBool::new(false);
        let aside = is_aside.then_some(since);
        let filling = Arc::new(Filling { number, key, name, head, body, forgotten, aside });
        if !is_aside {
            store.show(&filling, since);
        }
        Self { store, filling, stores: true, counted_bytes: 0, abandonment: None }
    }

    /// Tells this fill from every other of its store.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.filling.number
    }

    /// Has the fill end when nobody reads it any more and more than `allowed_bytes` are yet to come; where `length`, that
    /// of its body, isn't known, when so much has come since. One that isn't stored ends at once.
    #[must_use]
    pub fn with_own_reader(&mut self, length: Option<u64>, allowed_bytes: u64) -> Own {
        self.abandonment = Some(Abandonment::new(length, allowed_bytes));
        let response_max = self.store.limits.response_max_bytes;
        let fits = length.is_some_and(|length| length <= response_max);
        Own { body: Arc::clone(&self.filling.body), fits }
    }

    /// Waits while a reader, the one it is fetched for aside, is 4 MiB behind in a response that isn't
    /// stored.
    pub async fn ready(&self) {
        if !self.stores {
            self.filling.body.room().await;
        }
    }

    /// Waits, before the fill is completed, while directories are far behind with what they have to write: a second at
    /// most. What is completed then, and finds no room to wait, isn't written.
    pub async fn settle(&self) {
        if let Some(disk) = self.store.disk.as_ref().filter(|_| self.stores) {
            disk.room(SETTLE_MAX).await;
        }
    }

    /// Whether [`Fill::ready`] would wait.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.stores && self.filling.body.is_behind()
    }

    /// A reader of this fill, from its first byte. None when the response won't be stored and its beginning is gone.
    #[must_use]
    pub fn reader(&self) -> Option<Reader> {
        Reader::following(&self.filling.body, false)
    }

    /// Takes the next piece of the body in.
    ///
    /// A response that grows over [`crate::Limits::response_max_bytes`], for which the fills under way together leave
    /// no room, or which a removal has reached, won't be stored: from then on it holds what its readers have yet to
    /// take, and no more. [`Fill::ready`] tells when that is little enough.
    ///
    /// # Errors
    /// [`FillError`]: the fill has failed.
    pub fn write(&mut self, chunk: Bytes) -> Result<(), FillError> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.stores {
            let length = chunk.len() as u64;
            self.counted_bytes += length;
            let all = self.store.filling_bytes.fetch_add(length, Ordering::Relaxed) + length;
            let is_too_large = self.counted_bytes > self.store.limits.response_max_bytes
                || all > self.store.limits.filling_max_bytes;
            if is_too_large {
                self.store.passed.fetch_add(1, Ordering::Relaxed);
            }
            if is_too_large || self.filling.is_forgotten() {
                self.pass();
            }
        }
        let pushed = self.filling.body.push(chunk, self.abandonment.as_mut());
        if pushed.is_err() {
            self.store.abandoned.fetch_add(1, Ordering::Relaxed);
        }
        pushed
    }

    /// Whether the response won't be stored, because it has grown too large or was removed.
    #[must_use]
    pub fn passes(&self) -> bool {
        !self.stores
    }

    /// Ends the fill: the body is whole. Returns the bytes stored, or none for a response that isn't.
    pub fn complete(self) -> Option<u64> {
        let stored = self.stores.then(|| self.filling.body.collect()).and_then(|body| {
            let length = body.len() as u64;
            self.store.keep_filled(&self.filling, body).then_some(length)
        });
        self.filling.body.end(Progress::Complete);
        stored
        // dropping self hides the fill: readers find the stored response from here on
    }

    /// The same for a response that may have become nobody's: where `is_of_use` denies it of its name and head, its readers
    /// get it to the end, and nothing is stored, nor replaced.
    pub fn complete_if(self, is_of_use: impl FnOnce(&[u8], &H) -> bool) -> Option<u64> {
        if !is_of_use(&self.filling.name, &self.filling.head) {
            let under_way = self.store.under_way();
            self.filling.forget();
            drop(under_way);
        }
        self.complete()
    }

    /// From here on the response only passes through.
    fn pass(&mut self) {
        self.stores = false;
        self.store.hide(&self.filling);
        self.filling.body.pass();
        self.uncount();
    }

    fn uncount(&mut self) {
        let counted = std::mem::take(&mut self.counted_bytes);
        self.store.filling_bytes.fetch_sub(counted, Ordering::Relaxed);
    }
}

impl<H: Head> Drop for Fill<H> {
    fn drop(&mut self) {
        self.uncount();
        if self.stores {
            self.store.hide(&self.filling);
        }
        self.filling.body.give_up();
    }
}
