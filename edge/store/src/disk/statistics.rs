//! A disk tier's numbers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Numbers of all directories.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskStatistics {
    /// In the order of the options.
    pub directories: Vec<DirectoryStatistics>,
    /// Bytes of what waits to be written.
    pub queue_bytes: u64,
    /// Bytes of what was read as a whole and is still held.
    pub reading_bytes: u64,
}

/// Whether a directory is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryState {
    /// It is used, and what an earlier run left is still being found.
    Recovering,
    /// It is used.
    In,
    /// It isn't, for this reason.
    Out(String),
}

/// Numbers of one directory. Totals are of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryStatistics {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it is used.
    pub state: DirectoryState,
    /// Bytes its files may take.
    pub capacity_bytes: u64,
    /// Bytes its files take.
    pub disk_bytes: u64,
    /// Bytes of those that can be found.
    pub live_bytes: u64,
    /// Responses that can be found.
    pub responses: u64,
    /// Files of its log.
    pub segments: u64,
    /// Bytes of memory its index takes.
    pub index_bytes: u64,
    /// Bytes of responses it was given and took.
    pub put_bytes_total: u64,
    /// Bytes written for them: by the quotient, the write amplification.
    pub written_bytes_total: u64,
    /// Responses removed to make room on disk.
    pub evicted_for_room_total: u64,
    /// Responses removed to make room in the index.
    pub evicted_for_index_total: u64,
    /// Variants removed for others of their name.
    pub evicted_crowded_total: u64,
    /// Responses written again because they were wanted when their segment made room.
    pub reinserted_total: u64,
    /// Writes dropped: the queue was full, there was no room, or they are larger than a segment.
    pub dropped_total: u64,
    /// Reads of responses.
    pub reads_total: u64,
    /// Reads that failed.
    pub read_errors_total: u64,
    /// Failures to write.
    pub write_errors_total: u64,
    /// Records that were not what was written.
    pub checksum_failures_total: u64,
    /// How long it took to find what an earlier run left; none before it ends.
    pub recovery: Option<Duration>,
}

/// Why responses leave a directory that had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Room,
    Index,
}

/// What a directory counts.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) put_bytes: Counter,
    pub(super) written_bytes: Counter,
    evicted_for_room: Counter,
    evicted_for_index: Counter,
    pub(super) evicted_crowded: Counter,
    pub(super) reinserted: Counter,
    pub(super) dropped: Counter,
    pub(super) reads: Counter,
    pub(super) read_errors: Counter,
    pub(super) write_errors: Counter,
    pub(super) checksum_failures: Counter,
    /// In microseconds, and one more; zero before recovery ends.
    recovery: Counter,
}

impl Counters {
    pub(super) fn evicted(&self, cause: Cause) -> &Counter {
        match cause {
            Cause::Room => &self.evicted_for_room,
            Cause::Index => &self.evicted_for_index,
        }
    }

    pub(super) fn recovered_in(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX - 1);
        self.recovery.0.store(micros + 1, Ordering::Relaxed);
    }

    pub(super) fn recovery(&self) -> Option<Duration> {
        self.recovery.total().checked_sub(1).map(Duration::from_micros)
    }

    pub(super) fn room(&self) -> u64 {
        self.evicted_for_room.total()
    }

    pub(super) fn index(&self) -> u64 {
        self.evicted_for_index.total()
    }
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
