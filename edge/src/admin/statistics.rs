//! The store's numbers as `/cache/stats` tells them.

use crate::cache::Head;
use crate::slices::Slices;
use crate::telemetry::open_files;
use api::cache::{
    CacheStatistics, Directory, DirectoryState, DiskEvictions, DiskTier, Fills, MemoryRemovals,
    MemoryTier, OpenFiles, SliceTable,
};
use store::{DirectoryStatistics, Limits, Statistics, Store};

/// All numbers of a store and its slices.
pub(super) fn of(store: &Store<Head>, slices: &Slices) -> CacheStatistics {
    let (numbers, limits) = (store.statistics(), store.limits());
    let (names, declined) = slices.counts();
    CacheStatistics {
        memory: memory(&numbers, limits),
        fills: Fills {
            count: numbers.filling,
            bytes: numbers.filling_bytes,
            max_bytes: limits.filling_max_bytes,
            hits_total: numbers.hits.filling,
            passed_total: numbers.passed_total,
            abandoned_total: numbers.abandoned_total,
        },
        slices: SliceTable { slice_bytes: slices.bytes, names, declined },
        disk: disk(&numbers),
        open_files: OpenFiles { count: open_files::count(), max: open_files::max() },
    }
}

fn memory(numbers: &Statistics, limits: Limits) -> MemoryTier {
    MemoryTier {
        capacity_bytes: limits.memory_bytes,
        bytes: numbers.bytes,
        responses: numbers.responses,
        hits_total: numbers.hits.memory,
        removed_total: MemoryRemovals {
            room: numbers.evicted_total,
            replaced: numbers.replaced_total,
            command: numbers.removed_total,
            variants: numbers.crowded_out_total,
        },
    }
}

fn disk(numbers: &Statistics) -> DiskTier {
    let (disk, limits) = (&numbers.disk, &numbers.disk_limits);
    DiskTier {
        index_bytes: disk.directories.iter().map(|directory| directory.index_bytes).sum(),
        index_max_bytes: limits.index_max_bytes,
        queue_bytes: disk.queue_bytes,
        queue_max_bytes: limits.queue_max_bytes,
        reading_bytes: disk.reading_bytes,
        reading_max_bytes: limits.reading_max_bytes,
        hits_total: numbers.hits.disk,
        directories: disk.directories.iter().map(directory).collect(),
    }
}

fn directory(own: &DirectoryStatistics) -> Directory {
    let (state, reason) = match &own.state {
        store::DirectoryState::In => (DirectoryState::In, None),
        store::DirectoryState::Recovering => (DirectoryState::Recovering, None),
        store::DirectoryState::Out(reason) => (DirectoryState::Out, Some(reason.clone())),
    };
    Directory {
        path: own.path.to_string_lossy().into_owned(),
        state,
        reason,
        capacity_bytes: own.capacity_bytes,
        bytes: own.disk_bytes,
        live_bytes: own.live_bytes,
        responses: own.responses,
        segments: own.segments,
        index_bytes: own.index_bytes,
        put_bytes_total: own.put_bytes_total,
        written_bytes_total: own.written_bytes_total,
        write_amplification: ratio(own.written_bytes_total, own.put_bytes_total),
        evicted_total: DiskEvictions {
            room: own.evicted_for_room_total,
            index: own.evicted_for_index_total,
            variants: own.evicted_crowded_total,
        },
        reinserted_total: own.reinserted_total,
        dropped_writes_total: own.dropped_total,
        reads_total: own.reads_total,
        read_errors_total: own.read_errors_total,
        write_errors_total: own.write_errors_total,
        checksum_failures_total: own.checksum_failures_total,
        recovery_seconds: own.recovery.map(|recovery| recovery.as_secs_f64()),
    }
}

/// How many times one is in the other, to the thousandth.
fn ratio(one: u64, other: u64) -> Option<f64> {
    let thousandths = one.saturating_mul(1_000).checked_div(other)?;
    Some(f64::from(u32::try_from(thousandths).unwrap_or(u32::MAX)) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_told_once_there_is_one() {
        assert_eq!(ratio(5, 0), None);
        assert_eq!(ratio(0, 5), Some(0.0));
        assert_eq!(ratio(12, 10), Some(1.2));
        assert_eq!(ratio(u64::MAX, 1), Some(f64::from(u32::MAX) / 1_000.0));
    }
}
