//! How large, how slow and where a disk tier may be.

use std::path::PathBuf;
use std::time::Duration;

/// What every segment's length is a multiple of.
const ROUND_BYTES: u64 = 4096;
const SEGMENT_MIN_BYTES: u64 = 16 << 20;
const SEGMENT_MAX_BYTES: u64 = 1 << 30;
/// What a segment has beside its largest body, generously.
const BESIDE_BODY_BYTES: u64 = 256 << 10;
/// Into how many segments a directory is divided where they come out neither too small nor too large.
const SEGMENTS: u64 = 128;
/// Into how many at most: each is an open file.
pub(super) const SEGMENTS_LIMIT: u64 = 1024;
/// What part of a segment's length is short.
const SHORT_SHARE: u64 = 16;
/// Into how many at least: one that is written, one that is read, one that makes room.
const SEGMENTS_MIN: u64 = 4;

/// The directories of a disk tier, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskOptions {
    /// A directory that is used for nothing else, and of another device where that is possible: what was removed while no
    /// other could be written isn't found later. Its parent must be there.
    pub witness: Option<PathBuf>,
    /// One for each device.
    pub directories: Vec<DirectoryOptions>,
    /// Bytes of memory for the index of all directories together.
    pub index_max_bytes: u64,
    /// Bytes of responses that wait to be written, of all directories together.
    pub queue_max_bytes: u64,
    /// Bytes of responses read as a whole and still held.
    pub reading_max_bytes: u64,
    /// A directory that takes longer for one read is taken out.
    pub read_timeout: Duration,
    /// Time between attempts to take in a directory that is out.
    pub retry: Duration,
    /// Records that walks over all that is stored read of each directory in a second.
    pub sweep_records_per_second: u64,
}

/// One directory of a disk tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryOptions {
    /// Made where it isn't there; its parent must be.
    pub path: PathBuf,
    /// Bytes of its files, at least 16 MiB.
    pub capacity_bytes: u64,
}

impl DirectoryOptions {
    /// Bytes of the largest body that a segment takes, with a head and a name of the usual size.
    pub(super) fn largest_body_bytes(&self) -> u64 {
        self.segment_bytes().saturating_sub(BESIDE_BODY_BYTES)
    }

    /// Length of a segment.
    pub(super) fn segment_bytes(&self) -> u64 {
        let bytes = (self.capacity_bytes / SEGMENTS).clamp(SEGMENT_MIN_BYTES, SEGMENT_MAX_BYTES);
        let bytes = bytes.max(self.capacity_bytes / SEGMENTS_LIMIT);
        bytes.min(self.capacity_bytes / SEGMENTS_MIN) / ROUND_BYTES * ROUND_BYTES
    }

    /// More segments than a directory has that isn't made of short ones.
    pub(super) fn segments_many(&self) -> u64 {
        self.capacity_bytes / self.segment_bytes().max(1) * 2
    }

    /// Up to this length, a segment is worth being put together with others.
    pub(super) fn short_bytes(&self) -> u64 {
        (self.segment_bytes() / SHORT_SHARE).min(SEGMENT_MIN_BYTES)
    }
}
