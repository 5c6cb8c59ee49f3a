//! Where is what is stored under a key? In memory, 24 bytes a response and the table's share.

use crate::Key;
use crate::disk::locked;
use crate::disk::record::{Kind, UNIT_BYTES, number32, number64};
use crate::disk::table::Row;
use hashbrown::HashTable;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// What a response takes of the index at most, the room a table keeps for growing included.
pub(super) const RESPONSE_BYTES: u64 = 64;
const SHARDS: usize = 256;
const LENGTH_MASK: u32 = 0xff_ffff;
const SPLIT: u32 = 1 << 24;
const HIT: u32 = 1 << 25;
const HITS_MASK: u32 = 3 << 25;

/// Where one response is. It knows 96 bits of the key: the whole key, and the name, are in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    name: u64,
    variant: u32,
    segment: u32,
    offset_units: u32,
    /// Length in units, whether the body is in another record, how often it was found.
    bits: u32,
}

/// What of a key the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Short {
    pub(super) name: u64,
    pub(super) variant: u32,
}

impl Short {
    pub(super) fn of(key: &Key) -> Self {
        let name = number64(&key.name, 0).unwrap_or_default();
        Self { name, variant: number32(&key.variant, 0).unwrap_or_default() }
    }
}

impl Entry {
    /// None for what no index can tell of.
    pub(super) fn new(segment: u32, row: &Row) -> Option<Self> {
        let Short { name, variant } = Short::of(&row.key);
        let length =
            u32::try_from(row.bytes / UNIT_BYTES).ok().filter(|units| *units <= LENGTH_MASK)?;
        let offset_units = u32::try_from(row.offset / UNIT_BYTES).ok()?;
        let split = if row.kind == Kind::Head { SPLIT } else { 0 };
        Some(Self { name, variant, segment, offset_units, bits: length | split })
    }

    pub(super) const fn short(&self) -> Short {
        Short { name: self.name, variant: self.variant }
    }

    pub(super) const fn segment(&self) -> u32 {
        self.segment
    }

    pub(super) const fn offset(&self) -> u64 {
        self.offset_units as u64 * UNIT_BYTES
    }

    pub(super) const fn bytes(&self) -> u64 {
        (self.bits & LENGTH_MASK) as u64 * UNIT_BYTES
    }

    /// Whether the body is in another record.
    pub(super) const fn is_split(&self) -> bool {
        self.bits & SPLIT != 0
    }

    /// Whether it was found since it was written.
    pub(super) const fn was_found(&self) -> bool {
        self.bits & HITS_MASK != 0
    }

    /// Whether it is the same record.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.short(), self.segment, self.offset_units)
            == (other.short(), other.segment, other.offset_units)
    }
}

/// Room for one response in the indexes of all directories, kept until it is dropped.
pub(super) struct Room(Arc<AtomicU64>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The index of one directory. None of its locks is held over I/O.
pub(super) struct Index {
    shards: Box<[Mutex<HashTable<Entry>>]>,
    responses: AtomicU64,
    live_bytes: AtomicU64,
    allocated_bytes: AtomicU64,
    /// Responses of all directories, and those that room is kept for.
    all: Arc<AtomicU64>,
}

impl Index {
    pub(super) fn new(all: Arc<AtomicU64>) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            responses: AtomicU64::new(0),
            live_bytes: AtomicU64::new(0),
            allocated_bytes: AtomicU64::new(0),
            all,
        }
    }

    pub(super) fn responses(&self) -> u64 {
        self.responses.load(Ordering::Relaxed)
    }

    /// Bytes of the records it knows.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let shards = SHARDS * size_of::<Mutex<HashTable<Entry>>>();
        self.allocated_bytes.load(Ordering::Relaxed) + shards as u64
    }

    /// Keeps room for one more, where there are to be `max` at most.
    pub(super) fn keep_room(&self, max: u64) -> Option<Room> {
        let before = self.all.fetch_add(1, Ordering::Relaxed);
        let room = Room(Arc::clone(&self.all));
        (before < max).then_some(room)
    }

    pub(super) fn find(&self, short: Short) -> Option<Entry> {
        self.with(short.name, |table| table.find(short.name, |at| at.short() == short).copied())
    }

    /// Finds, and counts that it did.
    pub(super) fn hit(&self, short: Short) -> Option<Entry> {
        self.with(short.name, |table| {
            let entry = table.find_mut(short.name, |at| at.short() == short)?;
            if entry.bits & HITS_MASK != HITS_MASK {
                entry.bits += HIT;
            }
            Some(*entry)
        })
    }

    /// Replaces what is there.
    pub(super) fn insert(&self, entry: Entry) {
        self.with(entry.name, |table| {
            if let Some(there) = table.find_mut(entry.name, |at| at.short() == entry.short()) {
                self.live_bytes.fetch_sub(there.bytes(), Ordering::Relaxed);
                self.live_bytes.fetch_add(entry.bytes(), Ordering::Relaxed);
                *there = entry;
            } else {
                self.add(table, entry);
            }
        });
    }

    /// False where something is there, which stays.
    pub(super) fn insert_new(&self, entry: Entry) -> bool {
        self.with(entry.name, |table| {
            let is_new = table.find(entry.name, |at| at.short() == entry.short()).is_none();
            if is_new {
                self.add(table, entry);
            }
            is_new
        })
    }

    /// Puts `to` in the place of `from`, where that is still there.
    pub(super) fn replace(&self, from: &Entry, to: Entry) -> bool {
        self.with(from.name, |table| {
            let Some(there) = table.find_mut(from.name, |at| at.is(from)) else { return false };
            self.live_bytes.fetch_sub(there.bytes(), Ordering::Relaxed);
            self.live_bytes.fetch_add(to.bytes(), Ordering::Relaxed);
            *there = to;
            true
        })
    }

    pub(super) fn remove(&self, short: Short) -> bool {
        self.remove_where(short.name, |at| at.short() == short)
    }

    /// Removes all variants of a name, whatever record each is by then: one may be written again meanwhile.
    pub(super) fn remove_name(&self, name: u64) {
        for entry in self.of_name(name) {
            self.remove(entry.short());
        }
    }

    /// Removes an entry where it is still that record.
    pub(super) fn remove_entry(&self, entry: &Entry) -> bool {
        self.remove_where(entry.name, |at| at.is(entry))
    }

    fn remove_where(&self, name: u64, is_wanted: impl FnMut(&Entry) -> bool) -> bool {
        self.with(name, |table| {
            let Ok(there) = table.find_entry(name, is_wanted) else { return false };
            let (entry, _) = there.remove();
            self.responses.fetch_sub(1, Ordering::Relaxed);
            self.all.fetch_sub(1, Ordering::Relaxed);
            self.live_bytes.fetch_sub(entry.bytes(), Ordering::Relaxed);
            true
        })
    }

    /// All variants of a name.
    pub(super) fn of_name(&self, name: u64) -> Vec<Entry> {
        self.with(name, |table| {
            table.iter_hash(name).filter(|entry| entry.name == name).copied().collect()
        })
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let table = std::mem::take(&mut *locked(shard));
            let count = table.len() as u64;
            let bytes = table.iter().map(Entry::bytes).sum();
            self.responses.fetch_sub(count, Ordering::Relaxed);
            self.all.fetch_sub(count, Ordering::Relaxed);
            self.live_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.allocated_bytes.fetch_sub(table.allocation_size() as u64, Ordering::Relaxed);
        }
    }

    fn with<T>(&self, name: u64, act: impl FnOnce(&mut HashTable<Entry>) -> T) -> T {
        // the table itself uses the lowest and the highest bits
        let shard = usize::from(name.to_le_bytes()[4]) % SHARDS;
        act(&mut locked(&self.shards[shard]))
    }

    fn add(&self, table: &mut HashTable<Entry>, entry: Entry) {
        if table.len() == table.capacity() {
            // left to itself, a table with gaps may double where making it anew at its length is enough
            let mut anew = HashTable::with_capacity(table.len() + table.len() / 8 + 4);
            for entry in table.iter() {
                anew.insert_unique(entry.name, *entry, |entry| entry.name);
            }
            self.allocated_bytes.fetch_add(anew.allocation_size() as u64, Ordering::Relaxed);
            self.allocated_bytes.fetch_sub(table.allocation_size() as u64, Ordering::Relaxed);
            *table = anew;
        }
        table.insert_unique(entry.name, entry, |entry| entry.name);
        self.responses.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        self.live_bytes.fetch_add(entry.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
