//! What is in which tier, and how a response gets from one into another.

use crate::complete::Complete;
use crate::disk::{Disk, Renewed, Stored, StoredBody};
use crate::fill::Filling;
use crate::filled::Filled;
use crate::memory::Memory;
use crate::reader::Reader;
use crate::seen::Seen;
use crate::statistics::{DiskLimits, HitCounters};
use crate::under_way::UnderWay;
use crate::{Found, Head, Key, Limits, Moment, Tier, Was, locked};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// The part of the memory tier that one response may take, where there is a disk tier to have it instead.
const HEAVIEST_SHARE: u64 = 16;
/// The part that it may take before it is read again.
const FIRST_SHARE: u64 = 128;

/// What all clones of a store share.
pub(crate) struct Inner<H: Head> {
    pub(crate) limits: Limits,
    pub(crate) memory: Arc<Memory<H>>,
    pub(crate) disk: Option<Arc<Disk<H>>>,
    pub(crate) disk_limits: DiskLimits,
    pub(crate) hits: HitCounters,
    /// What was read from the disk tier lately.
    seen: Seen,
    under_way: Mutex<UnderWay<H>>,
    pub(crate) fills_begun: AtomicU64,
    /// What is being filled, so that a lookup need not lock `under_way` for what isn't.
    pub(crate) filled: Filled,
    /// Invariant: the moment of `under_way` when it was last unlocked after a change.
    moment: [AtomicU64; 2],
    pub(crate) filling_bytes: AtomicU64,
    pub(crate) passed: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    /// Bytes of the largest body that goes to disk.
    largest_on_disk_bytes: u64,
    /// The number of the first response of this run.
    pub(crate) first_number: u64,
}

impl<H: Head> Inner<H> {
    pub(crate) fn new(
        limits: Limits,
        memory: Arc<Memory<H>>,
        disk: Option<Arc<Disk<H>>>,
        disk_limits: DiskLimits,
    ) -> Self {
        // 0 is no response's
        let first_number = disk.as_ref().map_or(1, |disk| disk.first_number());
        let largest_on_disk_bytes = disk.as_ref().map_or(0, |disk| disk.largest_body_bytes());
        Self {
            limits,
            memory,
            disk,
            disk_limits,
            hits: HitCounters::default(),
            seen: Seen::default(),
            under_way: Mutex::default(),
            fills_begun: AtomicU64::new(0),
            filled: Filled::default(),
            moment: Default::default(),
            filling_bytes: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            largest_on_disk_bytes,
            first_number,
        }
    }

    pub(crate) fn under_way(&self) -> MutexGuard<'_, UnderWay<H>> {
        locked(&self.under_way)
    }

    /// This moment. What is being stored or removed at it counts as changed since.
    pub(crate) fn moment(&self) -> Moment {
        let [removed, stored] = self.moment.each_ref().map(|count| count.load(Ordering::Acquire));
        Moment { removed, stored }
    }

    /// Ends a change, with all of it done.
    pub(crate) fn changed(&self, under_way: MutexGuard<'_, UnderWay<H>>) {
        let Moment { removed, stored } = under_way.moment();
        let [removed_by_now, stored_by_now] = &self.moment;
        removed_by_now.store(removed, Ordering::Release);
        stored_by_now.store(stored, Ordering::Release);
        drop(under_way);
        self.memory.make_room();
    }

    /// What is being filled, or is in memory.
    pub(crate) fn find_in_memory(&self, key: &Key, name: &[u8]) -> Option<Found<H>> {
        if let Some(found) = self.find_filling(key, name, None) {
            self.hits.count(Tier::Filling);
            return Some(found);
        }
        let since = self.moment();
        let complete = self.memory.get(key).filter(|complete| *complete.name == *name)?;
        self.hits.count(Tier::Memory);
        Some(found(&complete, since))
    }

    pub(crate) fn holds(&self, key: &Key) -> bool {
        let is_filling =
            || self.filled.may_have(&key.name) && self.under_way().fills.contains_key(key);
        let is_on_disk = || self.disk.as_ref().is_some_and(|disk| disk.contains(key));
        self.memory.contains(key) || is_filling() || is_on_disk()
    }

    pub(crate) fn find_filling(
        &self,
        key: &Key,
        name: &[u8],
        number: Option<u64>,
    ) -> Option<Found<H>> {
        if !self.filled.may_have(&key.name) {
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
        let head = Arc::clone(&filling.head);
        Some(Found { head, number: 0, reader, length: None, since: self.moment() })
    }

    /// What came from the disk tier, for a read that began at `since`. What is read again soon is taken into memory.
    pub(crate) fn take_in(
        &self,
        key: &Key,
        name: &[u8],
        stored: Stored<H>,
        since: Moment,
    ) -> Found<H> {
        let (number, head, body) = match stored {
            Stored::Queued(complete) => {
                self.hits.count(Tier::Memory);
                return found(&complete, since);
            }
            Stored::Read { number, head, body } => (number, head, body),
        };
        self.hits.count(Tier::Disk);
        let (length, reader) = match body {
            StoredBody::Whole(body) => {
                if self.seen.is_again(number) {
                    let (key, name, head) = (*key, name.into(), Arc::clone(&head));
                    // the buffer it was read into is larger than the body
                    let body = Bytes::copy_from_slice(&body);
                    self.promote(Complete { number, key, name, head, body }, since);
                }
                (body.len() as u64, Reader::of(body))
            }
            StoredBody::Streamed(body) => (body.length(), Reader::streaming(body)),
        };
        Found { head, number, reader, length: Some(length), since }
    }

    /// Takes a response into memory, unless its name was stored or removed since its read began at `since`, or it isn't on
    /// disk any more.
    fn promote(&self, complete: Complete<H>, since: Moment) {
        if u64::from(complete.weight()) > self.limits.memory_bytes / HEAVIEST_SHARE {
            return;
        }
        let (under_way, name) = (self.under_way(), complete.key.name);
        // a pass that looked at the directories meanwhile hasn't met what has left them
        let is_on_disk = self.disk.as_ref().is_some_and(|disk| disk.contains(&complete.key));
        if is_on_disk && !under_way.is_stored(&name, since) && !under_way.is_removed(&name, since) {
            self.memory.insert(Arc::new(complete));
        }
        drop(under_way);
        self.memory.make_room();
    }

    /// Shows a fill to lookups, before older ones of the same key; to those by number only where a removal has
    /// overtaken it.
    pub(crate) fn show(&self, filling: &Arc<Filling<H>>, since: Moment) {
        let mut under_way = self.under_way();
        if under_way.is_removed(&filling.key.name, since) {
            filling.forget();
        }
        under_way.fills.entry(filling.key).or_default().push(Arc::clone(filling));
        self.filled.add(&filling.key.name);
    }

    pub(crate) fn hide(&self, filling: &Arc<Filling<H>>) {
        let mut under_way = self.under_way();
        if let Some(fills) = under_way.fills.get_mut(&filling.key) {
            let before = fills.len();
            fills.retain(|shown| !Arc::ptr_eq(shown, filling));
            (fills.len()..before).for_each(|_| self.filled.remove(&filling.key.name));
            if fills.is_empty() {
                under_way.fills.remove(&filling.key);
            }
        }
    }

    /// Stores what was filled, unless it was forgotten. Returns whether it did.
    pub(crate) fn keep_filled(&self, filling: &Filling<H>, body: Bytes) -> bool {
        // a removal waits for the lock, and so finds what is stored here
        let mut under_way = self.under_way();
        let overtaken = |since| under_way.is_removed(&filling.key.name, since);
        let keeps = !filling.is_forgotten() && !filling.aside.is_some_and(overtaken);
        if keeps {
            let number = self.next_number(&mut under_way, filling.key.name);
            let head = Arc::clone(&filling.head);
            self.keep(Complete {
                number,
                key: filling.key,
                name: filling.name.clone(),
                head,
                body,
            });
        }
        self.changed(under_way);
        keeps
    }

    /// Gives the response `was` another head, learnt by a fetch that began at `since`, and stores it under `to`.
    pub(crate) fn update(
        &self,
        was: &Was<H>,
        to: Key,
        name: &[u8],
        head: Arc<H>,
        since: Moment,
    ) -> bool {
        let mut under_way = self.under_way();
        if under_way.is_removed(&to.name, since)
            || (to != was.key && under_way.is_stored(&to.name, since))
        {
            return false;
        }
        let stored = self.memory.get(&was.key);
        // what has taken its place has a body of its own
        if stored.as_ref().is_some_and(|stored| !was.is(stored)) {
            return false;
        }
        let on_disk = self.disk.as_ref().filter(|disk| disk.contains(&was.key));
        if stored.is_none() && on_disk.is_none() {
            return false;
        }
        let number = self.next_number(&mut under_way, to.name);
        if let Some(disk) = on_disk {
            let was_number = stored.as_ref().map_or(was.number, |stored| stored.number);
            let (name, head, from) = (name.into(), Arc::clone(&head), was.key);
            disk.put_head(Renewed { number, key: to, name, head, from, was: was_number });
        } else if to != was.key
            && let Some(disk) = &self.disk
        {
            // only memory has what moves, and it may lose it: what is older would be found then
            disk.remove_one(&to);
        }
        if let Some(stored) = stored {
            let (name, body) = (stored.name.clone(), stored.body.clone());
            if to != was.key {
                self.memory.forget(&was.key);
            }
            self.memory.insert(Arc::new(Complete { number, key: to, name, head, body }));
        }
        self.changed(under_way);
        true
    }

    fn next_number(&self, under_way: &mut UnderWay<H>, name: [u8; 16]) -> u64 {
        let number = self.first_number + under_way.moment().stored;
        under_way.store(name);
        number
    }

    /// With the lock of `under_way` held, so that one response is stored at a time.
    fn keep(&self, complete: Complete<H>) {
        let complete = Arc::new(complete);
        let Some(disk) = &self.disk else { return self.memory.insert(complete) };
        disk.put(Arc::clone(&complete));
        if !complete.key.is_first() {
            disk.crowd_out(complete.key.name, self.limits.variants_max);
        }
        let is_heavy = u64::from(complete.weight()) > self.limits.memory_bytes / FIRST_SHARE;
        let is_taken = complete.body.len() as u64 <= self.largest_on_disk_bytes;
        // what is heavy comes into memory when it is read again, so that a large file read once displaces nothing
        if is_heavy && is_taken && disk.contains(&complete.key) {
            self.memory.forget(&complete.key);
        } else {
            self.memory.insert(complete);
        }
    }

    /// Removes what is stored under `key`, and with the first variant of a name all others. False when nothing was
    /// stored under `key`.
    pub(crate) fn discard(&self, key: &Key) -> bool {
        let in_memory = self.memory.remove(key);
        let on_disk = self.disk.as_ref().is_some_and(|disk| {
            let is_there = disk.contains(key);
            disk.remove(key);
            is_there
        });
        in_memory || on_disk
    }
}

fn found<H: Head>(complete: &Complete<H>, since: Moment) -> Found<H> {
    let Complete { number, head, body, .. } = complete;
    let (reader, length) = (Reader::of(body.clone()), Some(body.len() as u64));
    Found { head: Arc::clone(head), number: *number, reader, length, since }
}
