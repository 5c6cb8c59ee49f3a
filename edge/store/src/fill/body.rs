//! What a fill and its readers share: the pieces of a body that have come, and how far each reader is.

use super::FillError;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// How far behind a reader may be in a response that isn't stored, before the writer waits for it.
pub(crate) const WINDOW_BYTES: u64 = 4 << 20;
/// What a reader for whom the writer can't wait is given at a time of a response that isn't stored: what has come while
/// it took the last piece, and yet so little that a slow client takes it before it counts as stalled.
const GATHERED_MAX_BYTES: usize = 512 << 10;

/// Chunks that come in turn with a reader for whom the writer can't wait, before it may be one that doesn't read any more.
/// Some come at a time, and chance decides whose turn is next.
const MISSED_MAX: usize = 32;

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

/// What becomes of a fill that nobody reads any more.
pub(super) struct Abandonment {
    /// Bytes yet to come, where that is known.
    left: Option<u64>,
    allowed_bytes: u64,
    /// Bytes that have come since nobody reads.
    unread: u64,
}

impl Abandonment {
    pub(super) fn new(length: Option<u64>, allowed_bytes: u64) -> Self {
        Self { left: length, allowed_bytes, unread: 0 }
    }

    /// Whether the fill ends, now that `length` bytes more have come.
    fn ends(&mut self, length: u64, is_read: bool) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(length));
        self.unread = if is_read { 0 } else { self.unread + length };
        !is_read && self.left.unwrap_or(self.unread) > self.allowed_bytes
    }
}

pub(crate) struct Body {
    state: Mutex<State>,
    /// Sends a value for every change of `state` that readers wait for.
    changed: watch::Sender<()>,
    /// Wakes the writer that waits for readers.
    taken: Notify,
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
    /// The reader that the response is fetched for, and when it read last, or had nothing to read last: no pause of the
    /// origin's counts against it.
    own: Option<(usize, Instant)>,
    /// Chunks that have come since it read last.
    own_missed: usize,
    /// That reader has had all that it wanted, which may be a part: what is stored is filled to its end all the same.
    own_is_content: bool,
}

impl Body {
    pub(super) fn new() -> Arc<Self> {
        let state = State {
            chunks: VecDeque::new(),
            first: 0,
            bytes_held: 0,
            progress: Progress::Filling,
            passing: false,
            readers: Vec::new(),
            own: None,
            own_missed: 0,
            own_is_content: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            taken: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // a panic elsewhere leaves the state whole: every change below is complete when the guard is dropped
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Admits a reader from the first chunk on; `is_own` where the response is fetched for it. None where that chunk is
    /// gone, or nothing more will come.
    pub(crate) fn join(&self, is_own: bool) -> Option<usize> {
        let mut state = self.state();
        if state.first > 0 || state.progress == Progress::Failed {
            return None;
        }
        state.readers.push(Some(0));
        let reader = state.readers.len() - 1;
        if is_own {
            state.own = Some((reader, Instant::now()));
        }
        Some(reader)
    }

    pub(crate) fn leave(&self, reader: usize) {
        let mut state = self.state();
        if let Some(place) = state.readers.get_mut(reader) {
            *place = None;
        }
        self.after_taking(state);
    }

    pub(super) fn leave_own(&self, is_content: bool) {
        let mut state = self.state();
        state.own_is_content |= is_content;
        let own = state.own;
        drop(state);
        if let Some((own, _)) = own {
            self.leave(own);
        }
    }

    /// The next piece for `reader`, and how far the fill had come when there was none.
    pub(crate) fn next(&self, reader: usize) -> Result<Bytes, Progress> {
        let mut state = self.state();
        let (progress, first) = (state.progress, state.first);
        let Some(Some(place)) = state.readers.get(reader) else { return Err(Progress::Failed) };
        let index = *place - first;
        let Some(chunk) = state.chunks.get(index).cloned() else { return Err(progress) };
        let is_own = state.own.is_some_and(|(own, _)| own == reader);
        let (piece, taken) =
            if is_own && state.passing { state.gathered(index, chunk) } else { (chunk, 1) };
        if is_own {
            state.renew_own();
            state.own_missed = 0;
        }
        if let Some(Some(place)) = state.readers.get_mut(reader) {
            *place += taken;
        }
        self.after_taking(state);
        Ok(piece)
    }

    fn after_taking(&self, mut state: MutexGuard<'_, State>) {
        if state.passing {
            state.drop_read();
            drop(state);
            self.taken.notify_one();
        }
    }

    pub(super) fn push(
        &self,
        chunk: Bytes,
        abandonment: Option<&mut Abandonment>,
    ) -> Result<(), FillError> {
        let mut state = self.state();
        let length = chunk.len() as u64;
        // what is filled on the way to a client that isn't a reader may have none
        let is_read = state.readers.is_empty()
            || state.readers.iter().any(Option::is_some)
            || (state.own_is_content && !state.passing);
        let ends = abandonment.is_some_and(|abandonment| abandonment.ends(length, is_read));
        if ends || (state.passing && !is_read) {
            state.progress = Progress::Failed;
            return Err(FillError::Abandoned);
        }
        if state.own_has_had_all() {
            state.renew_own();
        }
        state.own_missed += 1;
        state.bytes_held += length;
        state.chunks.push_back(chunk);
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    /// Whether a reader, the own one aside, is more than a window behind in a response that isn't stored.
    pub(super) fn is_behind(&self) -> bool {
        let state = self.state();
        state.passing && state.behind() > WINDOW_BYTES
    }

    /// Waits until none is.
    pub(super) async fn room(&self) {
        let mut waited = false;
        while self.is_behind() {
            waited = true;
            self.taken.notified().await;
        }
        if waited {
            // it couldn't be served meanwhile
            self.state().renew_own();
        }
    }

    pub(super) fn passes(&self) -> bool {
        self.state().passing
    }

    /// Whether nothing more comes: what is whole is stored by then.
    pub(super) fn is_over(&self) -> bool {
        self.state().progress != Progress::Filling
    }

    pub(super) fn own_reads(&self) -> bool {
        self.state().own_place().is_some()
    }

    /// Whether the own reader is more than a window behind in a response that isn't stored, and has missed so many turns that
    /// it hardly reads any more.
    pub(super) fn own_is_behind(&self) -> bool {
        let state = self.state();
        let place = state.own_place();
        let has_missed = state.passing && state.own_missed > MISSED_MAX;
        has_missed && place.is_some_and(|place| state.not_taken(place) > WINDOW_BYTES)
    }

    /// Since when there is something to read for the own reader that it hasn't taken.
    pub(super) fn own_waits_since(&self) -> Option<Instant> {
        let state = self.state();
        let (_, since) = state.own?;
        (state.own_place().is_some() && !state.own_has_had_all()).then_some(since)
    }

    pub(super) fn pass(&self) {
        let mut state = self.state();
        state.passing = true;
        state.drop_read();
    }

    pub(super) fn end(&self, progress: Progress) {
        self.state().progress = progress;
        self.changed.send_replace(());
    }

    /// Ends a fill that hasn't ended.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        if state.progress != Progress::Complete {
            state.progress = Progress::Failed;
            drop(state);
            self.changed.send_replace(());
        }
    }

    /// The whole body in one piece of exactly its size: a chunk may be a small part of a large buffer.
    pub(super) fn collect(&self) -> Bytes {
        let state = self.state();
        let mut body =
            BytesMut::with_capacity(usize::try_from(state.bytes_held).unwrap_or_default());
        state.chunks.iter().for_each(|chunk| body.extend_from_slice(chunk));
        body.freeze()
    }
}

impl State {
    /// The number of the next chunk of the own reader, unless it has left.
    fn own_place(&self) -> Option<usize> {
        self.own.and_then(|(own, _)| *self.readers.get(own)?)
    }

    fn own_has_had_all(&self) -> bool {
        self.own_place().is_some_and(|place| place >= self.first + self.chunks.len())
    }

    /// What there is for the own reader is there since now.
    fn renew_own(&mut self) {
        if let Some((_, since)) = &mut self.own {
            *since = Instant::now();
        }
    }

    fn drop_read(&mut self) {
        let slowest = self.readers.iter().flatten().min().copied().unwrap_or(usize::MAX);
        while self.passing && self.first < slowest {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.bytes_held -= chunk.len() as u64;
            self.first += 1;
        }
    }

    /// The chunks from `index` on, whose first is `chunk`, in one piece, and how many they are.
    fn gathered(&self, index: usize, chunk: Bytes) -> (Bytes, usize) {
        let mut bytes = chunk.len();
        let more = self.chunks.iter().skip(index + 1).take_while(|next| {
            bytes += next.len();
            bytes <= GATHERED_MAX_BYTES
        });
        let more = more.count();
        if more == 0 {
            return (chunk, 1);
        }
        let mut piece = BytesMut::with_capacity(GATHERED_MAX_BYTES);
        self.chunks
            .iter()
            .skip(index)
            .take(more + 1)
            .for_each(|next| piece.extend_from_slice(next));
        (piece.freeze(), more + 1)
    }

    /// How far behind the slowest reader is, the own one aside.
    fn behind(&self) -> u64 {
        if self.bytes_held <= WINDOW_BYTES {
            return 0;
        }
        let own = self.own.map(|(own, _)| own);
        let others = self.readers.iter().enumerate().filter(|(reader, _)| Some(*reader) != own);
        others.filter_map(|(_, place)| *place).min().map_or(0, |slowest| self.not_taken(slowest))
    }

    /// Bytes from the chunk with the number `place` on.
    fn not_taken(&self, place: usize) -> u64 {
        let not_taken = self.chunks.iter().skip(place.saturating_sub(self.first));
        not_taken.map(|chunk| chunk.len() as u64).sum()
    }
}
