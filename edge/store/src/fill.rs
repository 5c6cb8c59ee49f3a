//! A response being filled: one writer, any number of readers, bounded memory.

use crate::reader::Reader;
use crate::store::Inner;
use crate::{Head, Key, Moment};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Why a fill can't go on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FillError {
    /// The response won't be stored, and its last reader has left.
    #[error("nobody reads a response that is not stored")]
    Abandoned,
    /// The response won't be stored, and a reader is too far behind.
    #[error("a reader is {behind_bytes} bytes behind a response that is not stored")]
    Behind {
        /// Bytes received that the slowest reader has not taken.
        behind_bytes: u64,
    },
}

/// How far a fill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More may come.
    Filling,
    /// The body is whole.
    Complete,
    /// The body will never be whole.
    Failed,
}

/// What a fill and its readers share.
pub(crate) struct Body {
    state: Mutex<State>,
    /// Sends a value for every change of `state` that readers wait for.
    changed: watch::Sender<()>,
    backlog_max_bytes: u64,
}

struct State {
    /// Invariant: the chunks from number `first` on; earlier ones were dropped because every reader has had them.
    chunks: VecDeque<Bytes>,
    first: usize,
    bytes_held: u64,
    progress: Progress,
    /// Whether chunks are dropped once every reader has had them, because the response won't be stored.
    passing: bool,
    /// The number of the next chunk of each reader; `None` for readers that left.
    readers: Vec<Option<usize>>,
}

impl Body {
    fn new(backlog_max_bytes: u64) -> Arc<Self> {
        let state = State {
            chunks: VecDeque::new(),
            first: 0,
            bytes_held: 0,
            progress: Progress::Filling,
            passing: false,
            readers: Vec::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            backlog_max_bytes,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // a panic elsewhere leaves the state whole: every change below is complete when the guard is dropped
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Admits a reader from the first chunk on. None where that chunk is gone.
    pub(crate) fn join(&self) -> Option<usize> {
        let mut state = self.state();
        if state.first > 0 {
            return None;
        }
        state.readers.push(Some(0));
        Some(state.readers.len() - 1)
    }

    pub(crate) fn leave(&self, reader: usize) {
        let mut state = self.state();
        if let Some(place) = state.readers.get_mut(reader) {
            *place = None;
        }
        state.drop_read();
    }

    /// The next chunk for `reader`, and how far the fill had come when there was none.
    pub(crate) fn next(&self, reader: usize) -> Result<Bytes, Progress> {
        let mut state = self.state();
        let progress = state.progress;
        let first = state.first;
        let Some(Some(place)) = state.readers.get_mut(reader) else { return Err(Progress::Failed) };
        let index = *place - first;
        let Some(chunk) = state.chunks.get(index).cloned() else { return Err(progress) };
        if let Some(Some(place)) = state.readers.get_mut(reader) {
            *place += 1;
        }
        state.drop_read();
        Ok(chunk)
    }

    fn push(&self, chunk: Bytes) -> Result<(), FillError> {
        let mut state = self.state();
        state.bytes_held += chunk.len() as u64;
        state.chunks.push_back(chunk);
        if state.passing {
            if state.readers.iter().all(Option::is_none) {
                return Err(FillError::Abandoned);
            }
            if state.bytes_held > self.backlog_max_bytes {
                return Err(FillError::Behind { behind_bytes: state.bytes_held });
            }
        }
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    fn pass(&self) {
        let mut state = self.state();
        state.passing = true;
        state.drop_read();
    }

    fn end(&self, progress: Progress) {
        self.state().progress = progress;
        self.changed.send_replace(());
    }

    /// The whole body in one piece of exactly its size: a chunk may be a small part of a large buffer.
    fn collect(&self) -> Bytes {
        let state = self.state();
        let mut body =
            BytesMut::with_capacity(usize::try_from(state.bytes_held).unwrap_or_default());
        state.chunks.iter().for_each(|chunk| body.extend_from_slice(chunk));
        body.freeze()
    }
}

impl State {
    fn drop_read(&mut self) {
        let slowest = self.readers.iter().flatten().min().copied().unwrap_or(usize::MAX);
        while self.passing && self.first < slowest {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.bytes_held -= chunk.len() as u64;
            self.first += 1;
        }
    }
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
        let body = Body::new(store.limits.response_max_bytes);
        let number = store.fills_begun.fetch_add(1, Ordering::Relaxed);
        let forgotten = AtomicBool::new(false);
        let aside = is_aside.then_some(since);
        let filling = Arc::new(Filling { number, key, name, head, body, forgotten, aside });
        if !is_aside {
            store.show(&filling, since);
        }
        Self { store, filling, stores: true, counted_bytes: 0 }
    }

    /// Tells this fill from every other of its store.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.filling.number
    }

    /// A reader of this fill, from its first byte. None when the response won't be stored and its beginning is gone.
    #[must_use]
    pub fn reader(&self) -> Option<Reader> {
        Reader::following(&self.filling.body)
    }

    /// Takes the next piece of the body in.
    ///
    /// A response that grows over [`crate::Limits::response_max_bytes`], for which the fills under way together leave
    /// no room, or which a removal has reached, won't be stored: from then on it holds what its readers have yet to
    /// take, and no more.
    ///
    /// # Errors
    /// [`FillError`], for such a response only.
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
        self.filling.body.push(chunk)
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
        let mut state = self.filling.body.state();
        if state.progress == Progress::Filling {
            state.progress = Progress::Failed;
            drop(state);
            self.filling.body.changed.send_replace(());
        }
    }
}
