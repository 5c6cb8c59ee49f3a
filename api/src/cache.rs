//! What is stored at an edge? What it is asked at `GET /cache/stats`, `/cache/list` and `/cache/inspect` of its admin
//! address, and says.
//!
//! Nobody is asked and nothing is changed by an answer: it is what the edge knows at that moment.

use crate::explain::{KeyFound, PurgedBy, SiteFound, StoredFound};
use serde::{Deserialize, Serialize};

/// Responses on a page of `/cache/list` where the query doesn't say.
pub const LISTED_DEFAULT: usize = 100;
/// Responses on a page of `/cache/list`.
pub const LISTED_MAX: usize = 1_000;

/// Where a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// On its way from an origin, and read along with.
    Filling,
    /// In memory.
    Memory,
    /// On disk.
    Disk,
}

/// Whether a stored response may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is fresh (RFC 9111 §4.2).
    Fresh,
    /// It is stale: used as its site and its origin allow.
    Stale,
    /// It was purged, and is not used again.
    Purged,
    /// No request leads to it: its site isn't served any more, or its host is another site's.
    Unreachable,
}

/// A page of `/cache/list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPage {
    /// When it was made: RFC 3339, UTC.
    pub now: String,
    /// Those being filled, then those in memory, then those on disk; of each, what was stored first.
    pub responses: Vec<StoredResponse>,
    /// The `after` of the next page. None where nothing follows; a page may be short, or empty, and have one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A stored response, in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredResponse {
    /// What was asked for: scheme, host, path, and what counts of the query.
    pub url: String,
    /// The id of its site.
    pub site: String,
    /// Which variant of its URL it is; none for the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variant: Option<String>,
    /// Which slice it is, where it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slice: Option<SlicePlace>,
    /// Its status.
    pub status: u16,
    /// Bytes of its body; none while it is being filled.
    pub body_bytes: Option<u64>,
    /// Where it is.
    pub tiers: Vec<Tier>,
    /// When it was received, or validated last: RFC 3339, UTC.
    pub received: String,
    /// Its age now (RFC 9111 §4.2.3).
    pub age_seconds: u64,
    /// How long it stays fresh, negative once stale.
    pub ttl_seconds: i64,
    /// Whether it may be used.
    pub state: State,
    /// The purge that selects it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub purged: Option<PurgedBy>,
    /// Its tags, as the origin wrote them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tags: Vec<String>,
}

/// Which part of a response a slice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePlace {
    /// Counted from 0.
    pub index: u64,
    /// The position of its first byte.
    pub first_byte: u64,
}

/// What `/cache/inspect` says: everything that is stored of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// When it was made: RFC 3339, UTC.
    pub now: String,
    /// Which site and rule the URL is of.
    pub site: SiteFound,
    /// The name it is stored under.
    pub key: KeyFound,
    /// What is whole, or is to be: those being filled, then the first variant, then others in the order they were stored.
    pub variants: Vec<VariantFound>,
    /// What is known of its slices.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slices: Option<SlicesFound>,
}

/// One variant of what is stored of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantFound {
    /// Which it is; none for the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub variant: Option<String>,
    /// Where it is.
    pub tiers: Vec<Tier>,
    /// Whether it may be used.
    pub state: State,
    /// Bytes of memory that its head takes.
    pub head_bytes: u64,
    /// The number up to which the feed was applied when its fetch began. A purge with a higher one reaches it.
    pub applied: u64,
    /// Its head, and how fresh it is.
    #[serde(flatten)]
    pub stored: StoredFound,
}

/// What is known of the slices of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicesFound {
    /// Bytes of the whole.
    pub complete_length: u64,
    /// Bytes of each slice but the last.
    pub slice_bytes: u64,
    /// Slices of the whole.
    pub count: u64,
    /// Slices looked for, from the first on.
    pub looked_for: u64,
    /// Those of them that are stored, or being filled.
    pub stored: u64,
    /// Bytes of the whole that they are.
    pub stored_bytes: u64,
    /// Whether the request's fields select the variant that they are of.
    pub selected: bool,
}

/// What `/cache/stats` says. Totals count from the start of the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheStatistics {
    /// What is whole and in memory.
    pub memory: MemoryTier,
    /// What is on its way from origins.
    pub fills: Fills,
    /// What is remembered of names that have slices.
    pub slices: SliceTable,
    /// What is on disk.
    pub disk: DiskTier,
    /// Descriptors: connections, files of the disk tier, and others.
    pub open_files: OpenFiles,
}

/// The memory tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryTier {
    /// Bytes that it may take.
    pub capacity_bytes: u64,
    /// Bytes that it takes, metadata included.
    pub bytes: u64,
    /// Responses in it.
    pub responses: u64,
    /// Lookups that found a response in it.
    pub hits_total: u64,
    /// Responses that left it.
    pub removed_total: MemoryRemovals,
}

/// Responses that left the memory tier, by cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRemovals {
    /// To make room for others.
    pub room: u64,
    /// Newer ones replaced them.
    pub replaced: u64,
    /// On command, or by an unsafe request.
    pub command: u64,
    /// For other variants of their URL.
    pub variants: u64,
}

/// Responses on their way from origins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fills {
    /// How many there are.
    pub count: u64,
    /// Bytes that those to be stored hold.
    pub bytes: u64,
    /// Bytes that they may hold; more pass through.
    pub max_bytes: u64,
    /// Lookups that found one.
    pub hits_total: u64,
    /// Responses that grew too large to be stored.
    pub passed_total: u64,
    /// Responses given up because nobody read them any more.
    pub abandoned_total: u64,
}

/// What is remembered of names that have slices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceTable {
    /// Bytes of a slice.
    pub slice_bytes: u64,
    /// Names that have slices.
    pub names: u64,
    /// Names of which slices can't be had, as was found in the last minutes.
    pub declined: u64,
}

/// The disk tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiskTier {
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// What it may take.
    pub index_max_bytes: u64,
    /// Bytes that wait to be written.
    pub queue_bytes: u64,
    /// What may wait.
    pub queue_max_bytes: u64,
    /// Bytes of responses read as a whole and still held.
    pub reading_bytes: u64,
    /// What they may take; beyond, responses are read in blocks.
    pub reading_max_bytes: u64,
    /// Lookups that found a response on disk.
    pub hits_total: u64,
    /// As configured; none without a disk tier.
    pub directories: Vec<Directory>,
}

/// Whether a directory is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectoryState {
    /// It is.
    In,
    /// It is, while its index is being read.
    Recovering,
    /// It isn't: it failed, and is tried again.
    Out,
}

/// A directory of the disk tier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Directory {
    /// Where it is.
    pub path: String,
    /// Whether it is used.
    pub state: DirectoryState,
    /// Why it isn't.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Bytes that it may take.
    pub capacity_bytes: u64,
    /// Bytes that its files take.
    pub bytes: u64,
    /// Those of them that are of responses which can be found.
    pub live_bytes: u64,
    /// Responses that can be found.
    pub responses: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of memory that its part of the index takes.
    pub index_bytes: u64,
    /// Bytes of responses to be stored.
    pub put_bytes_total: u64,
    /// Bytes written.
    pub written_bytes_total: u64,
    /// Bytes written for each to be stored; none before there was any.
    pub write_amplification: Option<f64>,
    /// Responses that left it.
    pub evicted_total: DiskEvictions,
    /// Responses written again because they were asked for.
    pub reinserted_total: u64,
    /// Responses not written because too much waited.
    pub dropped_writes_total: u64,
    /// Responses read.
    pub reads_total: u64,
    /// Reads that failed or took too long.
    pub read_errors_total: u64,
    /// Writes that failed.
    pub write_errors_total: u64,
    /// Records that were not what was written; they count as not stored.
    pub checksum_failures_total: u64,
    /// How long its index took to be read; none before it was.
    pub recovery_seconds: Option<f64>,
}

/// Responses that left a directory, by cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskEvictions {
    /// Their segment made room.
    pub room: u64,
    /// The index was full.
    pub index: u64,
    /// For other variants of their URL.
    pub variants: u64,
}

/// Descriptors of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFiles {
    /// Open.
    pub count: u64,
    /// What may be open.
    pub max: u64,
}
