//! Finds and keeps responses, within one number of bytes.

use crate::fill::{Fill, Filling};
use crate::reader::Reader;
use crate::removals::Removals;
use crate::variants::Variants;
use crate::{Head, Key};
use bytes::Bytes;
use moka::notification::RemovalCause;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What moka and the allocator spend on a response beside what it weighs itself; measured as growth of the process.
const OVERHEAD_BYTES: usize = 1_000;
/// What is spent beside that on a variant other than the first of its name, to bound their number.
const VARIANT_OVERHEAD_BYTES: usize = 250;

/// The bounds of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of complete responses, metadata included.
    pub capacity_bytes: u64,
    /// Bytes of one body that is stored.
    pub response_max_bytes: u64,
    /// Bytes of all responses being filled that are to be stored.
    pub filling_max_bytes: u64,
    /// Complete responses of one name, the first variant included.
    pub variants_max: usize,
}

/// Responses by key. Cheap to clone: clones are the same store.
pub struct Store<H: Head> {
    inner: Arc<Inner<H>>,
}

impl<H: Head> Clone for Store<H> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

pub(crate) struct Inner<H: Head> {
    pub(crate) limits: Limits,
    complete: moka::sync::Cache<Key, Arc<Complete<H>>>,
    under_way: Mutex<UnderWay<H>>,
    pub(crate) fills_begun: AtomicU64,
    /// Invariant: the number of keys being filled, so that a lookup need not lock `under_way` while there is none.
    filling_count: AtomicUsize,
    pub(crate) filling_bytes: AtomicU64,
    pub(crate) passed: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    /// Counts what was ever stored, to tell it apart. Changed with `under_way` locked.
    stored: AtomicU64,
    /// Never locked while `complete` is asked for anything: its listener locks it.
    variants: Arc<Mutex<Variants>>,
    removed: Arc<Removed>,
}

/// What fills and removals have to agree on.
struct UnderWay<H> {
    /// Fills by key, the newest last.
    fills: HashMap<Key, Vec<Arc<Filling<H>>>>,
    removals: Removals,
}

struct Complete<H> {
    /// Tells it from all that was stored before.
    number: u64,
    name: Box<[u8]>,
    head: Arc<H>,
    body: Bytes,
}

#[derive(Default)]
struct Removed {
    for_room: AtomicU64,
    replaced: AtomicU64,
    on_command: AtomicU64,
    for_variants: AtomicU64,
}

/// A point in the order of what a store removes and stores ([`Store::moment`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    removals: u64,
    stored: u64,
}

/// A response that was found.
pub struct Found<H> {
    /// Its head.
    pub head: Arc<H>,
    /// Reads its body.
    pub reader: Reader,
    /// Bytes of the body; none while it is being filled.
    pub length: Option<u64>,
}

/// A store's numbers, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Complete responses.
    pub responses: u64,
    /// Bytes they hold, metadata included.
    pub bytes: u64,
    /// Responses being filled.
    pub filling: u64,
    /// Bytes they hold.
    pub filling_bytes: u64,
    /// Responses that grew too large to be stored.
    pub passed_total: u64,
    /// Responses given up because nobody read them any more.
    pub abandoned_total: u64,
    /// Responses removed to make room for others.
    pub evicted_total: u64,
    /// Responses replaced by newer ones.
    pub replaced_total: u64,
    /// Responses removed on command.
    pub removed_total: u64,
    /// Responses removed for other variants of their name.
    pub crowded_out_total: u64,
}

impl<H: Head> Store<H> {
    /// An empty store.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let removed = Arc::new(Removed::default());
        let variants = Arc::new(Mutex::new(Variants::new(limits.variants_max)));
        let (counted, known) = (Arc::clone(&removed), Arc::clone(&variants));
        let complete = moka::sync::Cache::builder()
            .max_capacity(limits.capacity_bytes)
            .weigher(|key: &Key, response: &Arc<Complete<H>>| response.weight(key))
            .eviction_listener(move |key: Arc<Key>, response: Arc<Complete<H>>, cause| {
                let known = key.is_first() || locked(&known).remove(&key, response.number);
                counted.count(cause, known);
            })
            .build();
        let inner = Inner {
            limits,
            complete,
            under_way: Mutex::new(UnderWay {
                fills: HashMap::new(),
                removals: Removals::default(),
            }),
            fills_begun: AtomicU64::new(0),
            filling_count: AtomicUsize::new(0),
            filling_bytes: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            variants,
            removed,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The bounds this store was made with.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// The response stored, or being filled, under `key` and `name`. One being filled goes first: it is newer.
    #[must_use]
    pub fn find(&self, key: &Key, name: &[u8]) -> Option<Found<H>> {
        if let Some(found) = self.inner.find_filling(key, name, None) {
            return Some(found);
        }
        let complete = self.inner.complete.get(key)?;
        if *complete.name != *name {
            return None;
        }
        let reader = Reader::of(complete.body.clone());
        let length = Some(complete.body.len() as u64);
        Some(Found { head: Arc::clone(&complete.head), reader, length })
    }

    /// The response that the fill with this [`Fill::number`] fills, whether or not another one fills the same key: for
    /// the reader that it is fetched for ([`crate::Own`]).
    #[must_use]
    pub fn find_fill(&self, key: &Key, name: &[u8], number: u64) -> Option<Found<H>> {
        self.inner.find_filling(key, name, Some(number))
    }

    /// This moment, to be told to [`Store::fill`] and [`Store::update`] by a fetch that begins now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.inner.moment(&self.inner.under_way())
    }

    /// Begins to fill `key` with the response to a fetch that began at `since`. Lookups find it from now on, unless a
    /// removal has overtaken it: then it is for its own readers ([`Fill::reader`], [`Store::find_fill`]) only.
    #[must_use]
    pub fn fill(&self, key: Key, name: Box<[u8]>, head: H, since: Moment) -> Fill<H> {
        Fill::new(Arc::clone(&self.inner), key, name, Arc::new(head), since, false)
    }

    /// Like [`Store::fill`], but lookups find nothing before it is complete.
    #[must_use]
    pub fn fill_aside(&self, key: Key, name: Box<[u8]>, head: H, since: Moment) -> Fill<H> {
        Fill::new(Arc::clone(&self.inner), key, name, Arc::new(head), since, true)
    }

    /// Gives the response that is stored under `key` with the head `was` another head, learnt by a fetch that began at
    /// `since`, and stores it under `to` of the same name from now on. False when it is not stored any more, was removed
    /// meanwhile, or what is stored under `to` is newer than the fetch.
    pub fn update(&self, key: &Key, to: Key, was: &Arc<H>, head: H, since: Moment) -> bool {
        let under_way = self.inner.under_way();
        if under_way.removals.reach(&key.name, since.removals) {
            return false;
        }
        // what has taken its place has a body of its own
        let stored = self.inner.complete.get(key);
        let Some(complete) = stored.filter(|stored| Arc::ptr_eq(&stored.head, was)) else {
            return false;
        };
        if to != *key {
            let is_newer = |other: Arc<Complete<H>>| other.number >= since.stored;
            if self.inner.complete.get(&to).is_some_and(is_newer) {
                return false;
            }
            locked(&self.inner.variants).remove(key, complete.number);
            self.inner.complete.invalidate(key);
        }
        self.inner.keep(to, complete.name.clone(), Arc::new(head), complete.body.clone());
        true
    }

    /// Removes a stored response, and with the first variant of its name all others; and forgets all that is under way
    /// for its name, every variant: fills have no new readers and are not stored, and neither is what is fetched
    /// already. False when nothing was stored under `key`.
    pub fn remove(&self, key: &Key) -> bool {
        self.inner.under_way().forget(key.name);
        self.inner.discard(key)
    }

    /// Removes like [`Store::remove`], for a fetch that began at `since` and brings what replaces it: the moment from
    /// which that fetch counts as begun. None where another removal has reached it, so that it is not to be stored.
    pub fn renew(&self, key: &Key, since: Moment) -> Option<Moment> {
        let mut under_way = self.inner.under_way();
        let is_overtaken = under_way.removals.reach(&key.name, since.removals);
        under_way.forget(key.name);
        let now = self.inner.moment(&under_way);
        drop(under_way);
        self.inner.discard(key);
        (!is_overtaken).then_some(now)
    }

    /// The store's numbers. Catches up on work put off, so call it once in a while, not per request.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.inner.complete.run_pending_tasks();
        let removed = &self.inner.removed;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            responses: self.inner.complete.entry_count(),
            bytes: self.inner.complete.weighted_size(),
            filling: self.inner.filling_count.load(Ordering::Relaxed) as u64,
            filling_bytes: read(&self.inner.filling_bytes),
            passed_total: read(&self.inner.passed),
            abandoned_total: read(&self.inner.abandoned),
            evicted_total: read(&removed.for_room),
            replaced_total: read(&removed.replaced),
            removed_total: read(&removed.on_command),
            crowded_out_total: read(&removed.for_variants),
        }
    }
}

impl<H> UnderWay<H> {
    /// Notes that a name is removed, and has its fills, of every variant, stored nowhere.
    fn forget(&mut self, name: [u8; 16]) {
        self.removals.add(name);
        let fills = self.fills.iter().filter(|(filled, _)| filled.name == name);
        fills.flat_map(|(_, fills)| fills).for_each(|filling| filling.forget());
    }
}

impl<H: Head> Inner<H> {
    fn under_way(&self) -> MutexGuard<'_, UnderWay<H>> {
        locked(&self.under_way)
    }

    fn moment(&self, under_way: &UnderWay<H>) -> Moment {
        let stored = self.stored.load(Ordering::Relaxed);
        Moment { removals: under_way.removals.now(), stored }
    }

    /// Removes what is stored under `key`, and with the first variant of a name all others. False when nothing was
    /// stored under `key`.
    fn discard(&self, key: &Key) -> bool {
        if key.is_first() {
            let others = locked(&self.variants).of(key.name);
            others.iter().for_each(|other| self.complete.invalidate(other));
        }
        self.complete.remove(key).is_some()
    }

    fn find_filling(&self, key: &Key, name: &[u8], number: Option<u64>) -> Option<Found<H>> {
        if self.filling_count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let wanted = |filling: &&Arc<Filling<H>>| match number {
            Some(number) => filling.number == number,
            None => !filling.is_forgotten(),
        };
        let filling = Arc::clone(self.under_way().fills.get(key)?.iter().rev().find(wanted)?);
        if *filling.name != *name {
            return None;
        }
        let reader = Reader::following(&filling.body, number.is_some())?;
        Some(Found { head: Arc::clone(&filling.head), reader, length: None })
    }

    /// Shows a fill to lookups, before older ones of the same key; to those by number only where a removal has
    /// overtaken it.
    pub(crate) fn show(&self, filling: &Arc<Filling<H>>, since: Moment) {
        let mut under_way = self.under_way();
        if under_way.removals.reach(&filling.key.name, since.removals) {
            filling.forget();
        }
        under_way.fills.entry(filling.key).or_default().push(Arc::clone(filling));
        self.filling_count.store(under_way.fills.len(), Ordering::Release);
    }

    pub(crate) fn hide(&self, filling: &Arc<Filling<H>>) {
        let mut under_way = self.under_way();
        if let Some(fills) = under_way.fills.get_mut(&filling.key) {
            fills.retain(|shown| !Arc::ptr_eq(shown, filling));
            if fills.is_empty() {
                under_way.fills.remove(&filling.key);
            }
        }
        self.filling_count.store(under_way.fills.len(), Ordering::Release);
    }

    /// Stores what was filled, unless it was forgotten. Returns whether it did.
    pub(crate) fn keep_filled(&self, filling: &Filling<H>, body: Bytes) -> bool {
        // a removal waits for the lock, and so finds what is stored here
        let under_way = self.under_way();
        let overtaken = |since: Moment| under_way.removals.reach(&filling.key.name, since.removals);
        let keeps = !filling.is_forgotten() && !filling.aside.is_some_and(overtaken);
        if keeps {
            self.keep(filling.key, filling.name.clone(), Arc::clone(&filling.head), body);
        }
        keeps
    }

    /// With the lock of `under_way` held, so that one response is stored at a time.
    fn keep(&self, key: Key, name: Box<[u8]>, head: Arc<H>, body: Bytes) {
        let number = self.stored.fetch_add(1, Ordering::Relaxed);
        let surplus = if key.is_first() {
            None
        } else {
            let replaced = self.complete.get(&key).map(|replaced| replaced.number);
            locked(&self.variants).add(&key, number, replaced)
        };
        self.complete.insert(key, Arc::new(Complete { number, name, head, body }));
        if let Some(surplus) = surplus {
            self.complete.invalidate(&surplus);
        }
    }
}

impl<H: Head> Complete<H> {
    fn weight(&self, key: &Key) -> u32 {
        let overhead = OVERHEAD_BYTES + if key.is_first() { 0 } else { VARIANT_OVERHEAD_BYTES };
        let bytes = self.head.weight() + self.body.len() + self.name.len() + overhead;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // a panic elsewhere leaves what is locked whole: every change is complete when its guard is dropped
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Removed {
    /// `known`: it wasn't taken out of the variants of its name before.
    fn count(&self, cause: RemovalCause, known: bool) {
        let counter = match cause {
            RemovalCause::Size | RemovalCause::Expired => &self.for_room,
            RemovalCause::Replaced => &self.replaced,
            RemovalCause::Explicit if known => &self.on_command,
            RemovalCause::Explicit => &self.for_variants,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
