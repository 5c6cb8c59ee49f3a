//! A store's numbers, for metrics and for who looks after it. Totals count from the start of the process.

use crate::disk::DiskStatistics;
use crate::tiers::Inner;
use crate::{Head, Store, Tier};
use std::sync::atomic::{AtomicU64, Ordering};

/// The numbers of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Lookups that found a response.
    pub hits: Hits,
    /// Complete responses in memory.
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
    /// Responses removed from memory to make room for others.
    pub evicted_total: u64,
    /// Responses in memory replaced by newer ones.
    pub replaced_total: u64,
    /// Responses removed from memory on command.
    pub removed_total: u64,
    /// Responses removed from memory for other variants of their name.
    pub crowded_out_total: u64,
    /// What is on disk.
    pub disk: DiskStatistics,
    /// What that may take of memory.
    pub disk_limits: DiskLimits,
}

/// Lookups that found a response, by where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hits {
    /// Complete, in memory, or waiting to be written.
    pub memory: u64,
    /// On disk.
    pub disk: u64,
    /// Being filled.
    pub filling: u64,
}

/// The bounds of what the directories together take of memory; zero without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskLimits {
    /// Bytes of the index.
    pub index_max_bytes: u64,
    /// Bytes waiting to be written.
    pub queue_max_bytes: u64,
    /// Bytes of responses read as a whole and still held.
    pub reading_max_bytes: u64,
}

/// Counts lookups. Away from what every lookup reads: it is written by each that finds.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct HitCounters {
    memory: AtomicU64,
    disk: AtomicU64,
    filling: AtomicU64,
}

impl HitCounters {
    pub(crate) fn count(&self, tier: Tier) {
        let counter = match tier {
            Tier::Filling => &self.filling,
            Tier::Memory => &self.memory,
            Tier::Disk => &self.disk,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Hits {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Hits { memory: read(&self.memory), disk: read(&self.disk), filling: read(&self.filling) }
    }
}

impl<H: Head> Store<H> {
    /// The store's numbers. Catches up on work put off, so call it once in a while, not per request.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let Inner { memory, filled, filling_bytes, passed, abandoned, disk, hits, .. } =
            &*self.inner;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (responses, bytes) = memory.size();
        let removed = memory.removed();
        Statistics {
            hits: hits.read(),
            responses,
            bytes,
            filling: filled.count() as u64,
            filling_bytes: read(filling_bytes),
            passed_total: read(passed),
            abandoned_total: read(abandoned),
            evicted_total: read(&removed.for_room),
            replaced_total: read(&removed.replaced),
            removed_total: read(&removed.on_command),
            crowded_out_total: read(&removed.for_variants),
            disk: disk.as_ref().map(|disk| disk.statistics()).unwrap_or_default(),
            disk_limits: self.inner.disk_limits,
        }
    }
}
