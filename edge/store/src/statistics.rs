//! A store's numbers, for metrics and for who looks after it. Totals count from the start of the process.

use crate::disk::DiskStatistics;
use crate::tiers::Inner;
use crate::{Head, Store};
use std::sync::atomic::{AtomicU64, Ordering};

/// The numbers of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
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
    /// Responses removed from memory to make room for others.
    pub evicted_total: u64,
    /// Responses in memory replaced by newer ones.
    pub replaced_total: u64,
    /// Responses removed from memory on command.
    pub removed_total: u64,
    /// Responses removed from memory for other variants of their name.
    pub crowded_out_total: u64,
    /// What is on disk; none without a disk tier.
    pub disk: Option<DiskStatistics>,
}

impl<H: Head> Store<H> {
    /// The store's numbers. Catches up on work put off, so call it once in a while, not per request.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let Inner { memory, filling_count, filling_bytes, passed, disk, .. } = &*self.inner;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (responses, bytes) = memory.size();
        let removed = memory.removed();
        Statistics {
            responses,
            bytes,
            filling: filling_count.load(Ordering::Relaxed) as u64,
            filling_bytes: read(filling_bytes),
            passed_total: read(passed),
            evicted_total: read(&removed.for_room),
            replaced_total: read(&removed.replaced),
            removed_total: read(&removed.on_command),
            crowded_out_total: read(&removed.for_variants),
            disk: disk.as_ref().map(|disk| disk.statistics()),
        }
    }
}
