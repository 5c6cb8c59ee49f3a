//! What waits to be written to one directory, found there until it is.

use crate::complete::Complete;
use crate::disk::directory::Shared;
use crate::disk::{Renewed, locked};
use crate::{Head, Key};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// What an operation takes beside what it carries.
const OVERHEAD_BYTES: u64 = 200;
/// Removals can't be dropped: this many times the bound is the end.
const OVERFLOW: u64 = 2;

/// What is to be done, in the order it was asked for.
pub(super) enum Operation<H> {
    Put(Arc<Complete<H>>),
    Renew(Arc<Renewed<H>>),
    Remove(Key),
    RemoveName([u8; 16]),
    /// Have all before it reach the device, and say so.
    Sync(mpsc::Sender<()>),
}

/// The newest of what waits under a key.
pub(super) enum Pending<H> {
    Whole(Arc<Complete<H>>),
    Renewed(Arc<Renewed<H>>),
    /// It moves to another key.
    Moving(Arc<Renewed<H>>),
}

impl<H> Clone for Pending<H> {
    fn clone(&self) -> Self {
        match self {
            Self::Whole(response) => Self::Whole(Arc::clone(response)),
            Self::Renewed(renewed) => Self::Renewed(Arc::clone(renewed)),
            Self::Moving(renewed) => Self::Moving(Arc::clone(renewed)),
        }
    }
}

impl<H> Pending<H> {
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Whole(response) => response.number,
            Self::Renewed(renewed) | Self::Moving(renewed) => renewed.number,
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Arc::ptr_eq(one, other),
            (Self::Renewed(one), Self::Renewed(other))
            | (Self::Moving(one), Self::Moving(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl<H: Head> Operation<H> {
    /// Bytes it holds until it is done.
    pub(super) fn bytes(&self) -> u64 {
        let carried = match self {
            Self::Put(response) => {
                response.name.len() + response.head.weight() + response.body.len()
            }
            Self::Renew(renewed) => renewed.name.len() + renewed.head.weight(),
            Self::Remove(_) | Self::RemoveName(_) | Self::Sync(_) => 0,
        };
        carried as u64 + OVERHEAD_BYTES
    }
}

/// Bytes that wait: in all directories, and in this one.
struct Waiting {
    all: u64,
    own: u64,
}

pub(super) struct Queue<H> {
    state: Mutex<State<H>>,
    /// Invariant: how many keys wait, so that a lookup need not lock while none does.
    pending: AtomicUsize,
    /// Of what waits, and of what is being written.
    bytes: AtomicU64,
    shared: Arc<Shared>,
}

struct State<H> {
    /// Invariant: by name, the variants of it that wait; no empty ones.
    names: HashMap<[u8; 16], Vec<(Key, Pending<H>)>>,
    /// How many keys are in `names`.
    count: usize,
    operations: VecDeque<Operation<H>>,
}

impl<H: Head> Queue<H> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let state = State { names: HashMap::new(), count: 0, operations: VecDeque::new() };
        let (pending, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { state: Mutex::new(state), pending, bytes, shared }
    }

    /// Whether so much waits that what comes should wait too: three quarters of what may.
    pub(super) fn is_behind(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.shared.queue_share_bytes / 4 * 3
    }

    /// The newest of what waits under `key`.
    pub(super) fn find(&self, key: &Key) -> Option<Pending<H>> {
        if self.pending.load(Ordering::Acquire) == 0 {
            return None;
        }
        locked(&self.state).get(key).cloned()
    }

    /// What waits of a name, and the number that it is to be stored with: without one, it moves to another key.
    pub(super) fn of_name(&self, name: [u8; 16]) -> Vec<(Key, Option<u64>)> {
        if self.pending.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let state = locked(&self.state);
        let own = state.names.get(&name).into_iter().flatten();
        let number = |pending: &Pending<H>| match pending {
            Pending::Moving(_) => None,
            pending => Some(pending.number()),
        };
        own.map(|(key, pending)| (*key, number(pending))).collect()
    }

    /// All that waits.
    pub(super) fn waiting(&self) -> Vec<(Key, Pending<H>)> {
        let state = locked(&self.state);
        state.names.values().flatten().map(|(key, pending)| (*key, pending.clone())).collect()
    }

    pub(super) fn has_name(&self, name: [u8; 16]) -> bool {
        self.pending.load(Ordering::Acquire) > 0 && locked(&self.state).names.contains_key(&name)
    }

    /// Takes a write in, and what lookups are to find of it. False where there is no room.
    pub(super) fn push(
        &self,
        operation: Operation<H>,
        shown: impl IntoIterator<Item = (Key, Pending<H>)>,
    ) -> bool {
        let bytes = operation.bytes();
        let Waiting { all, own } = self.add(bytes);
        let (max, share) = (self.shared.queue_max_bytes, self.shared.queue_share_bytes);
        // one that is larger than a share waits alone
        let has_share = own <= share || own == bytes;
        if all > max || !has_share {
            self.done(bytes);
            return false;
        }
        let mut state = locked(&self.state);
        shown.into_iter().for_each(|(key, pending)| state.set(key, pending));
        state.operations.push_back(operation);
        self.count(&state);
        true
    }

    /// Takes a removal in, and does `act` while nothing that waits can be found elsewhere. False where there is no room for
    /// removals either.
    pub(super) fn push_removal(&self, removal: Operation<H>, act: impl FnOnce()) -> bool {
        let queued = self.add(removal.bytes());
        let mut state = locked(&self.state);
        match &removal {
            Operation::Remove(key) => state.remove(key),
            Operation::RemoveName(name) => {
                let removed = state.names.remove(name).map_or(0, |own| own.len());
                state.count -= removed;
            }
            Operation::Put(_) | Operation::Renew(_) | Operation::Sync(_) => {}
        }
        act();
        state.operations.push_back(removal);
        self.count(&state);
        // what others have waiting is not what ends this one
        let is_over = queued.all > self.shared.queue_max_bytes * OVERFLOW
            && queued.own > self.shared.queue_share_bytes;
        !is_over
    }

    /// Takes room for `bytes` more. Returns how many there are.
    fn add(&self, bytes: u64) -> Waiting {
        let all = self.shared.queue_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let own = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        Waiting { all, own }
    }

    pub(super) fn next(&self) -> Option<Operation<H>> {
        locked(&self.state).operations.pop_front()
    }

    /// Whether this is still the newest under its key.
    pub(super) fn is_pending(&self, key: &Key, pending: &Pending<H>) -> bool {
        locked(&self.state).get(key).is_some_and(|newest| newest.is(pending))
    }

    /// Ends what waits under `key`, by `act`, as long as this is still the newest. False where
    /// it isn't.
    pub(super) fn settle(&self, key: &Key, pending: &Pending<H>, act: impl FnOnce()) -> bool {
        let mut state = locked(&self.state);
        let is_newest = state.get(key).is_some_and(|newest| newest.is(pending));
        if is_newest {
            act();
            state.remove(key);
            self.count(&state);
        }
        is_newest
    }

    /// Gives back the room of what is done.
    pub(super) fn done(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.written.notify_waiters();
    }

    /// Drops all that waits.
    pub(super) fn clear(&self) {
        let mut state = locked(&self.state);
        state.names.clear();
        state.count = 0;
        let bytes = state.operations.drain(..).map(|operation| operation.bytes()).sum();
        self.count(&state);
        self.done(bytes);
    }

    fn count(&self, state: &State<H>) {
        self.pending.store(state.count, Ordering::Release);
    }
}

impl<H> State<H> {
    fn get(&self, key: &Key) -> Option<&Pending<H>> {
        let own = self.names.get(&key.name)?;
        own.iter().find(|(other, _)| other == key).map(|(_, pending)| pending)
    }

    fn set(&mut self, key: Key, pending: Pending<H>) {
        let own = self.names.entry(key.name).or_default();
        if let Some((_, there)) = own.iter_mut().find(|(other, _)| *other == key) {
            *there = pending;
            return;
        }
        own.push((key, pending));
        self.count += 1;
    }

    fn remove(&mut self, key: &Key) {
        let Some(own) = self.names.get_mut(&key.name) else { return };
        let before = own.len();
        own.retain(|(other, _)| other != key);
        self.count -= before - own.len();
        if own.is_empty() {
            self.names.remove(&key.name);
        }
    }
}
