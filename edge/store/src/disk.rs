//! Responses on disk: several directories, each a log of segments that are written once.

mod options;

pub use options::{DirectoryOptions, DiskOptions};

use crate::complete::Complete;
use crate::{Head, Key};
use bytes::Bytes;
use std::sync::Arc;

pub(crate) struct Disk<H: Head> {
    _h: std::marker::PhantomData<H>,
}

/// A new head for a response whose body stays: it was validated (RFC 9111 §4.3.4).
pub(crate) struct Renewed<H> {
    pub(crate) number: u64,
    /// What it is stored under from now on.
    pub(crate) key: Key,
    pub(crate) name: Box<[u8]>,
    pub(crate) head: Arc<H>,
    /// Where its body was stored; removed there where it isn't `key`.
    pub(crate) from: Key,
    /// The number of the response that has the body.
    pub(crate) was: u64,
}

/// What can be said of a response without waiting.
pub(crate) enum Now<H> {
    Absent,
    Found(Stored<H>),
    /// Only [`Disk::find`] can tell.
    Blocks,
}

/// A response that was found.
pub(crate) enum Stored<H> {
    /// It waits to be written.
    Queued(Arc<Complete<H>>),
    Read {
        number: u64,
        head: Arc<H>,
        body: StoredBody,
    },
}

pub(crate) enum StoredBody {
    Whole(Bytes),
    Streamed(DiskBody),
}

/// Why a body can't be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("a stored body has changed on disk")]
    Damaged,
    #[error("a stored body could not be read")]
    Failed(#[from] std::io::Error),
    #[error("a stored body could not be read in time")]
    Late,
}

pub(crate) struct DiskBody {}

impl DiskBody {
    pub(crate) fn length(&self) -> u64 {
        todo!()
    }
    /// The verified bytes from `from` to the end of their block; empty at the end.
    pub(crate) async fn read(&mut self, from: u64) -> Result<Bytes, BodyError> {
        todo!()
    }
}

/// One response for operators.
pub(crate) struct Listed<H> {
    pub(crate) key: Key,
    pub(crate) number: u64,
    pub(crate) name: Box<[u8]>,
    pub(crate) head: H,
    pub(crate) body_bytes: u64,
    /// Position of its directory in the options.
    pub(crate) directory: usize,
}

/// Numbers of all directories.
#[derive(Debug, Clone, PartialEq)]
pub struct DiskStatistics {
    pub directories: Vec<DirectoryStatistics>,
    pub queue_bytes: u64,
    pub reading_bytes: u64,
}

/// Whether a directory is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryState {
    Recovering,
    In,
    /// With the reason.
    Out(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct DirectoryStatistics {
    pub path: std::path::PathBuf,
    pub state: DirectoryState,
    pub capacity_bytes: u64,
    pub disk_bytes: u64,
    pub live_bytes: u64,
    pub responses: u64,
    pub segments: u64,
    pub index_bytes: u64,
    pub put_bytes_total: u64,
    pub written_bytes_total: u64,
    pub evicted_for_room_total: u64,
    pub evicted_for_index_total: u64,
    pub evicted_crowded_total: u64,
    pub reinserted_total: u64,
    pub dropped_total: u64,
    pub reads_total: u64,
    pub read_errors_total: u64,
    pub write_errors_total: u64,
    pub checksum_failures_total: u64,
    pub recovery_seconds: Option<f64>,
}

impl<H: Head> Disk<H> {
    pub(crate) fn open(
        options: &DiskOptions,
        is_hot: Box<dyn Fn(&Key) -> bool + Send + Sync>,
    ) -> Arc<Self> {
        todo!()
    }
    pub(crate) fn first_number(&self) -> u64 {
        todo!()
    }
    pub(crate) fn put(&self, response: Arc<Complete<H>>) {
        todo!()
    }
    pub(crate) fn put_head(&self, renewed: Renewed<H>) {
        todo!()
    }
    /// Removes what is under `key`, and with the first variant of a name all others.
    pub(crate) fn remove(&self, key: &Key) {
        todo!()
    }
    pub(crate) fn find_now(&self, key: &Key, name: &[u8]) -> Now<H> {
        todo!()
    }
    pub(crate) async fn find(&self, key: &Key, name: &[u8]) -> Option<Stored<H>> {
        todo!()
    }
    pub(crate) fn contains(&self, key: &Key) -> bool {
        todo!()
    }
    pub(crate) fn variants(&self, name: [u8; 16]) -> usize {
        todo!()
    }
    /// Removes the variants of `name` stored longest ago, never its first, until at most `max` are left, the first
    /// included.
    pub(crate) fn crowd_out(&self, name: [u8; 16], max: usize) {
        todo!()
    }
    pub(crate) async fn list(
        &self,
        after: u64,
        limit: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> (Vec<Listed<H>>, Option<u64>) {
        todo!()
    }
    pub(crate) fn statistics(&self) -> DiskStatistics {
        todo!()
    }
    pub(crate) fn close(&self) {
        todo!()
    }
}
