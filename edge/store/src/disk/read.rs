//! Reads a record, and gives out nothing of it that isn't what was written.

use crate::Key;
use crate::disk::body::{BLOCK, DiskBody, StoredBody};
use crate::disk::directory::Directory;
use crate::disk::index::Entry;
use crate::disk::now;
use crate::disk::record::{HEADER_BYTES, Header, is_intact};
use crate::disk::segment::Segment;
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Records up to this are read as a whole: the largest slices, and a head.
const WHOLE_MAX_BYTES: u64 = (8 << 20) + HEAD_BYTES;
/// Records up to this are, where the thread that wants them reads them itself.
const WHOLE_NOW_MAX_BYTES: u64 = (1 << 20) + HEAD_BYTES;
const HEAD_BYTES: u64 = 64 << 10;
/// What is read of a larger one to come by its head.
const FRONT_BYTES: u64 = 16 << 10;

/// Whether a device may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Now,
    Wait,
}

/// Why there is nothing to give out.
#[derive(Debug)]
pub(super) enum Failure {
    /// The device would have to be waited for.
    Blocks,
    /// The segment isn't there any more.
    Gone,
    /// The bytes are not what was written.
    Damaged,
    /// It is stored under another key or name.
    Other,
    Failed(io::Error),
}

/// A response as it is stored.
pub(super) struct Loaded {
    pub(super) number: u64,
    /// Still encoded.
    pub(super) head: Bytes,
    /// Verified, where it is whole.
    pub(super) body: StoredBody,
}

/// What a record says up to its body, verified.
pub(super) struct Front {
    pub(super) header: Header,
    /// The record's first bytes, all where it is not longer than what was asked for.
    pub(super) bytes: Vec<u8>,
    /// Where in them the name is.
    pub(super) name: Range<usize>,
    /// Where in them the head is.
    pub(super) head: Range<usize>,
    pub(super) checksums: Vec<u64>,
    pub(super) body_segment: u32,
    pub(super) body_offset: u64,
}

impl Directory {
    fn bytes_at(
        &self,
        segment: &Segment,
        offset: u64,
        bytes: u64,
        mode: Mode,
    ) -> Result<Vec<u8>, Failure> {
        if mode == Mode::Wait {
            return segment.read(offset, bytes).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Failure::Damaged,
                _ => Failure::Failed(error),
            });
        }
        if self.always_blocks.load(Ordering::Relaxed) {
            return Err(Failure::Blocks);
        }
        let length = usize::try_from(bytes).map_err(|_| Failure::Blocks)?;
        now::read(segment.file(), offset, length).map_err(|error| {
            if error.kind() == io::ErrorKind::Unsupported {
                self.always_blocks.store(true, Ordering::Relaxed);
            }
            Failure::Blocks
        })
    }

    /// The record of `entry` up to its body, and `bytes` of it at least.
    pub(super) fn front(&self, entry: &Entry, bytes: u64, mode: Mode) -> Result<Front, Failure> {
        let segment = self.segment(entry.segment()).ok_or(Failure::Gone)?;
        let mut read = bytes.min(entry.bytes());
        loop {
            let bytes = self.bytes_at(&segment, entry.offset(), read, mode)?;
            let header = Header::decode(&bytes).ok_or(Failure::Damaged)?;
            if header.segment != entry.segment() || header.record_bytes() != entry.bytes() {
                return Err(Failure::Damaged);
            }
            if header.before_body_bytes() <= read {
                return Front::of(header, bytes, entry).ok_or(Failure::Damaged);
            }
            read = header.before_body_bytes();
        }
    }

    /// The response of `entry`, if `key` and `name` are its own.
    pub(super) fn load(
        self: &Arc<Self>,
        entry: &Entry,
        key: &Key,
        name: &[u8],
        mode: Mode,
    ) -> Result<Loaded, Failure> {
        let is_whole = !entry.is_split() && self.reads_whole(entry.bytes(), mode);
        if !is_whole && !entry.is_split() && mode == Mode::Now {
            return Err(Failure::Blocks);
        }
        let bytes = if is_whole { entry.bytes() } else { FRONT_BYTES };
        let front = self.front(entry, bytes, mode)?;
        if front.header.key != *key || front.bytes[front.name.clone()] != *name {
            return Err(Failure::Other);
        }
        if is_whole { self.load_whole(front) } else { self.load_body(front, mode) }
    }

    /// All of a record that was read as a whole: head and body are parts of the same bytes.
    fn load_whole(&self, front: Front) -> Result<Loaded, Failure> {
        let at = usize::try_from(front.header.before_body_bytes()).map_err(|_| Failure::Damaged)?;
        let length = usize::try_from(front.header.body_bytes).map_err(|_| Failure::Damaged)?;
        let body = front.bytes.get(at..at + length).ok_or(Failure::Damaged)?;
        if !is_intact(body, &front.checksums) {
            return Err(Failure::Damaged);
        }
        let record = self.hold(front.bytes);
        let (head, body) = (record.slice(front.head), record.slice(at..at + length));
        Ok(Loaded { number: front.header.number, head, body: StoredBody::Whole(body) })
    }

    /// The body from where it is.
    fn load_body(self: &Arc<Self>, front: Front, mode: Mode) -> Result<Loaded, Failure> {
        let segment = self.segment(front.body_segment).ok_or(Failure::Gone)?;
        let (number, length) = (front.header.number, front.header.body_bytes);
        let head = Bytes::copy_from_slice(&front.bytes[front.head]);
        if self.reads_whole(length, mode) {
            let body = self.bytes_at(&segment, front.body_offset, length, mode)?;
            if !is_intact(&body, &front.checksums) {
                return Err(Failure::Damaged);
            }
            return Ok(Loaded { number, head, body: StoredBody::Whole(self.hold(body)) });
        }
        if mode == Mode::Now {
            return Err(Failure::Blocks);
        }
        let body = DiskBody {
            directory: Arc::clone(self),
            segment,
            offset: front.body_offset,
            length,
            checksums: front.checksums.into(),
        };
        Ok(Loaded { number, head, body: StoredBody::Streamed(body) })
    }

    /// Some of the body of a front, not verified.
    pub(super) fn body_part(
        &self,
        front: &Front,
        from: u64,
        bytes: u64,
    ) -> Result<Vec<u8>, Failure> {
        let segment = self.segment(front.body_segment).ok_or(Failure::Gone)?;
        self.bytes_at(&segment, front.body_offset + from, bytes, Mode::Wait)
    }

    /// A block of a streamed body.
    pub(super) fn block(
        &self,
        body: &DiskBody,
        block: u64,
        mode: Mode,
    ) -> Result<Vec<u8>, Failure> {
        let from = block * BLOCK;
        let bytes = BLOCK.min(body.length - from);
        let read = self.bytes_at(&body.segment, body.offset + from, bytes, mode)?;
        let expected = usize::try_from(block).ok().and_then(|block| body.checksums.get(block));
        let is_intact = expected.is_some_and(|one| is_intact(&read, std::slice::from_ref(one)));
        if is_intact { Ok(read) } else { Err(Failure::Damaged) }
    }

    fn reads_whole(&self, bytes: u64, mode: Mode) -> bool {
        let max = if mode == Mode::Now { WHOLE_NOW_MAX_BYTES } else { WHOLE_MAX_BYTES };
        let held = self.shared.reading_bytes.load(Ordering::Relaxed);
        bytes <= max && held + bytes <= self.shared.reading_max_bytes
    }

    /// Bytes that are counted until nobody holds them.
    fn hold(&self, bytes: Vec<u8>) -> Bytes {
        let count = Arc::clone(&self.shared.reading_bytes);
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Bytes::from_owner(Held { bytes, count })
    }

    /// Has a thread of the directory's own read. None where the directory doesn't answer in time: that may be because much
    /// waits to be read, and takes it out only where this read has begun and takes too long by itself.
    pub(super) async fn wait_for<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Option<T> {
        let began = Arc::new(OnceLock::new());
        let (directory, begins) = (Arc::clone(self), Arc::clone(&began));
        let mut answer = self.pool.as_ref()?.ask(move || {
            begins.get_or_init(Instant::now);
            read(&directory)
        })?;
        let timeout = self.shared.read_timeout;
        if let Ok(answer) = tokio::time::timeout(timeout, &mut answer).await {
            return answer.ok();
        }
        let left = timeout.saturating_sub(began.get()?.elapsed());
        let Ok(answer) = tokio::time::timeout(left, answer).await else {
            self.counters.read_errors.add(1);
            self.fail(format!("a read takes longer than {timeout:?}"));
            return None;
        };
        answer.ok()
    }
}

impl Front {
    fn of(header: Header, bytes: Vec<u8>, entry: &Entry) -> Option<Self> {
        let meta = header.meta(&bytes[HEADER_BYTES..])?;
        let name = HEADER_BYTES..HEADER_BYTES + meta.name.len();
        let head = meta.head.start + HEADER_BYTES..meta.head.end + HEADER_BYTES;
        let checksums = meta.checksums;
        let (body_segment, body_offset) = if entry.is_split() {
            (header.body_segment, header.body_offset)
        } else {
            (entry.segment(), entry.offset() + header.before_body_bytes())
        };
        Some(Self { header, bytes, name, head, checksums, body_segment, body_offset })
    }
}

/// Bytes read, counted as long as they are held.
struct Held {
    bytes: Vec<u8>,
    count: Arc<AtomicU64>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
    }
}
