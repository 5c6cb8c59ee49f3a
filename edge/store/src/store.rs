//! Finds and keeps responses: in memory, on disk, and while they are being filled.

use crate::complete::Complete;
use crate::disk::{self, Disk, DiskOptions, Now};
use crate::fill::Fill;
use crate::memory::Memory;
use crate::reader::Reader;
use crate::statistics::DiskLimits;
use crate::tiers::Inner;
use crate::{Head, Key};
use std::path::Path;
use std::sync::Arc;

/// The bounds of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the memory tier, metadata included.
    pub memory_bytes: u64,
    /// Bytes of one body that is stored.
    pub response_max_bytes: u64,
    /// Bytes of all responses being filled that are to be stored.
    pub filling_max_bytes: u64,
    /// Complete responses of one name, the first variant included.
    pub variants_max: usize,
}

/// Responses by key. Cheap to clone: clones are the same store.
pub struct Store<H: Head> {
    pub(crate) inner: Arc<Inner<H>>,
}

impl<H: Head> Clone for Store<H> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// A point in the order of what a store removes and stores ([`Store::moment`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    pub(crate) removed: u64,
    pub(crate) stored: u64,
}

/// Which response was found.
pub struct Was<H> {
    /// Where it was stored.
    pub key: Key,
    /// Its head.
    pub head: Arc<H>,
    /// Tells it from every other that was ever stored; 0 while it is being filled.
    pub number: u64,
    /// What was stored from then on is newer.
    pub(crate) since: Moment,
}

impl<H> Clone for Was<H> {
    fn clone(&self) -> Self {
        Self { head: Arc::clone(&self.head), ..*self }
    }
}

impl<H> Was<H> {
    /// Whether this was it.
    pub(crate) fn is(&self, stored: &Complete<H>) -> bool {
        self.number == stored.number || Arc::ptr_eq(&self.head, &stored.head)
    }
}

/// A response that was found.
pub struct Found<H> {
    /// Its head.
    pub head: Arc<H>,
    /// Tells it from every other that was ever stored; 0 while it is being filled.
    pub number: u64,
    /// Reads its body.
    pub reader: Reader,
    /// Bytes of the body; none while it is being filled.
    pub length: Option<u64>,
    /// What was stored from then on is newer.
    pub(crate) since: Moment,
}

impl<H> Found<H> {
    /// What tells this response from what may take its place under `key`.
    #[must_use]
    pub fn was(&self, key: Key) -> Was<H> {
        Was { key, head: Arc::clone(&self.head), number: self.number, since: self.since }
    }
}

impl<H: Head> Store<H> {
    /// A store without a disk tier.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let memory = Memory::new(limits.memory_bytes, limits.variants_max);
        Self { inner: Arc::new(Inner::new(limits, Arc::new(memory), None, DiskLimits::default())) }
    }

    /// A store without a disk tier, where there may have been one with this [`DiskOptions::witness`]: what its directories
    /// have is not used again, because it may have been removed meanwhile.
    #[must_use]
    pub fn without_disk(limits: Limits, witness: &Path) -> Self {
        disk::leave(witness);
        Self::new(limits)
    }

    /// A store that keeps responses on disk too. It begins at once; what the directories have is found as it is read.
    #[must_use]
    pub fn with_disk(limits: Limits, options: &DiskOptions) -> Self {
        let memory = Arc::new(Memory::new(limits.memory_bytes, limits.variants_max));
        let used = Arc::clone(&memory);
        let disk = Disk::open(options, Box::new(move |key| used.contains(key)));
        let disk_limits = DiskLimits {
            index_max_bytes: options.index_max_bytes,
            queue_max_bytes: options.queue_max_bytes,
            reading_max_bytes: options.reading_max_bytes,
        };
        Self { inner: Arc::new(Inner::new(limits, memory, Some(disk), disk_limits)) }
    }

    /// The bounds this store was made with.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// A number above that of every response stored in an earlier run.
    #[must_use]
    pub fn first_number(&self) -> u64 {
        self.inner.first_number
    }

    /// The response stored, or being filled, under `key` and `name`, where it can be had without waiting for a disk. One
    /// being filled goes first: it is newer. None doesn't mean that there is none: see [`Store::find`].
    #[must_use]
    pub fn find_now(&self, key: &Key, name: &[u8]) -> Option<Found<H>> {
        if let Some(found) = self.inner.find_in_memory(key, name) {
            return Some(found);
        }
        let disk = self.inner.disk.as_ref()?;
        let since = self.moment();
        match disk.find_now(key, name) {
            Now::Found(stored) => Some(self.inner.take_in(key, name, stored, since)),
            Now::Absent | Now::Blocks => None,
        }
    }

    /// The response stored, or being filled, under `key` and `name`, wherever it is. One being filled goes first: it is
    /// newer. A disk that fails, or doesn't answer in time, has nothing.
    pub async fn find(&self, key: &Key, name: &[u8]) -> Option<Found<H>> {
        if let Some(found) = self.inner.find_in_memory(key, name) {
            return Some(found);
        }
        let disk = self.inner.disk.as_ref()?;
        let since = self.moment();
        let stored = match disk.find_now(key, name) {
            Now::Found(stored) => stored,
            Now::Absent => return None,
            Now::Blocks => disk.find(key, name).await?,
        };
        Some(self.inner.take_in(key, name, stored, since))
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
        self.inner.moment()
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

    /// Gives the response `was`, found under `name`, another head, learnt by a fetch that began at `since`, and stores it
    /// under `to` of the same name from now on. False when it is not stored any more, was removed meanwhile, or what is
    /// stored under `to` is newer than the fetch. The body isn't written again.
    pub fn update(&self, was: &Was<H>, to: Key, name: &[u8], head: H, since: Moment) -> bool {
        self.inner.update(was, to, name, Arc::new(head), since)
    }

    /// Removes a stored response, and with the first variant of its name all others; and forgets all that is under way
    /// for its name, every variant: fills have no new readers and are not stored, and neither is what is fetched
    /// already. False when nothing was stored under `key`.
    pub fn remove(&self, key: &Key) -> bool {
        let mut under_way = self.inner.under_way();
        under_way.forget(key.name);
        let was_there = self.inner.discard(key);
        self.inner.changed(under_way);
        was_there
    }

    /// Whether a removal has reached the name of `key` since `since`, or may have.
    #[must_use]
    pub fn is_removed(&self, key: &Key, since: Moment) -> bool {
        self.inner.under_way().is_removed(&key.name, since)
    }

    /// Removes like [`Store::remove`], for a fetch that began at `since` and brings what replaces it: the moment from
    /// which that fetch counts as begun. None where another removal has reached it, so that it is not to be stored.
    pub fn renew(&self, key: &Key, since: Moment) -> Option<Moment> {
        let mut under_way = self.inner.under_way();
        let is_overtaken = under_way.is_removed(&key.name, since);
        under_way.forget(key.name);
        let now = under_way.moment();
        self.inner.discard(key);
        self.inner.changed(under_way);
        (!is_overtaken).then_some(now)
    }

    /// Whether directories are so far behind that what is stored now would soon not be written.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.inner.disk.as_ref().is_some_and(|disk| disk.is_behind())
    }

    /// Whether a response seems to be stored, or being filled, under `key`: its name isn't looked at, and what is on disk
    /// not read.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        self.inner.holds(key)
    }

    /// Whether something is complete, and in memory, under `key`.
    #[must_use]
    pub fn holds_in_memory(&self, key: &Key) -> bool {
        self.inner.memory.contains(key)
    }

    /// Writes out what waits to be written, and leaves the disk tier to another process, until [`Store::resume`]. Responses
    /// that are read from there are read to their end; none is found or stored there any more. False where that takes too
    /// long.
    pub async fn pause(&self) -> bool {
        match &self.inner.disk {
            Some(disk) => disk.pause().await,
            None => true,
        }
    }

    /// Takes the disk tier back from a process that has ended. It comes back empty.
    pub fn resume(&self) {
        if let Some(disk) = &self.inner.disk {
            disk.resume();
        }
    }

    /// Writes out what waits to be written, and ends the disk tier in order. Bounded in time.
    pub fn close(&self) {
        if let Some(disk) = &self.inner.disk {
            disk.close();
        }
    }
}

#[cfg(test)]
mod tests;
