//! Makes room: the oldest segment goes, and what of it is wanted is written again.

use crate::Head;
use crate::disk::index::{Entry, Short};
use crate::disk::log::{Appended, Draft, Landing};
use crate::disk::owner::Owner;
use crate::disk::read::{Failure, Mode};
use crate::disk::record::{Header, Kind, is_intact};
use crate::disk::segment::Segment;
use crate::disk::statistics::Cause;
use crate::disk::table::Row;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows looked at before others have their turn.
const ROWS_AT_ONCE: usize = 4_096;
/// Bytes written again before others have their turn.
const BYTES_AT_ONCE: u64 = 1 << 20;
/// Larger responses aren't written again.
const RESPONSE_MAX_BYTES: u64 = 16 << 20;

/// How far making room has come.
pub(super) struct Reclaim {
    segment: Arc<Segment>,
    rows: std::vec::IntoIter<Row>,
    cause: Cause,
    /// Bytes that may yet be written again.
    allowed_bytes: u64,
    /// It isn't for room: it is put together with others.
    keeps_all: bool,
}

/// All of a response, verified.
struct Whole {
    header: Header,
    name: Bytes,
    head: Bytes,
    body: Bytes,
}

impl<H: Head> Owner<H> {
    /// Begins with the oldest segment, where room is lacking. False where nothing can be done, or need be.
    pub(super) fn begin_reclaim(&mut self) -> io::Result<bool> {
        if self.reclaim.is_some() {
            return Ok(true);
        }
        let (cause, keeps_all) = if self.directory.lacks_index_room() {
            (Cause::Index, false)
        } else if self.log.lacks_room() {
            (Cause::Room, false)
        } else if self.has_short_segments() || self.has_spent_segments() {
            (Cause::Room, true)
        } else {
            return Ok(false);
        };
        let Some(segment) = self.directory.segment_from(0) else { return Ok(false) };
        if segment.is_open() {
            // what is still being written is all there is
            if cause == Cause::Room {
                return Ok(false);
            }
            self.log.seal()?;
        }
        if self.is_unrecovered(&segment) {
            self.discard(&segment)?;
            return Ok(true);
        }
        let rows = segment.list()?.rows.into_iter();
        let allowed_bytes = match cause {
            // of a short one, less than in the file, and then some for what heads are put together with
            Cause::Room if keeps_all => self.directory.options.segment_bytes(),
            Cause::Room => segment.bytes() / 2,
            Cause::Index => 0,
        };
        self.reclaim = Some(Reclaim { segment, rows, cause, allowed_bytes, keeps_all });
        Ok(true)
    }

    /// Whether the oldest segment is a short one of many: each run ends with one.
    fn has_short_segments(&self) -> bool {
        let options = &self.directory.options;
        self.recovery.is_none()
            && self.directory.segment_count() as u64 >= options.segments_many()
            && self
                .directory
                .segment_from(0)
                .is_some_and(|oldest| !oldest.is_open() && oldest.bytes() <= options.short_bytes())
    }

    /// Whether the oldest segment has little that is of use, as a walk has found.
    fn has_spent_segments(&self) -> bool {
        let end = self.directory.spent_before.load(Ordering::Relaxed);
        let oldest = || self.directory.segment_from(0);
        self.recovery.is_none()
            && end > 0
            && oldest().is_some_and(|oldest| !oldest.is_open() && oldest.number() < end)
    }

    /// Takes a segment from those that recovery has yet to list.
    fn is_unrecovered(&mut self, segment: &Segment) -> bool {
        let Some(recovery) = &mut self.recovery else { return false };
        let before = recovery.segments.len();
        recovery.segments.retain(|other| other.number() != segment.number());
        recovery.segments.len() < before
    }

    /// Goes on for a while. False where no room is being made.
    pub(super) fn reclaim(&mut self) -> io::Result<bool> {
        let Some(mut reclaim) = self.reclaim.take() else { return Ok(false) };
        let floor = reclaim.allowed_bytes.saturating_sub(BYTES_AT_ONCE);
        for _ in 0..ROWS_AT_ONCE {
            self.directory.files.watch.work();
            let Some(row) = reclaim.rows.next() else {
                self.log.flush()?;
                self.discard(&reclaim.segment)?;
                return Ok(true);
            };
            self.keep_or_evict(&mut reclaim, &row)?;
            if reclaim.allowed_bytes < floor {
                break;
            }
        }
        self.reclaim = Some(reclaim);
        Ok(true)
    }

    /// Makes room now, and keeps nothing of what is in its way. False where there is nothing to remove.
    pub(super) fn reclaim_at_once(&mut self) -> io::Result<bool> {
        if !self.begin_reclaim()? {
            return Ok(false);
        }
        while let Some(reclaim) = &mut self.reclaim {
            reclaim.allowed_bytes = 0;
            self.reclaim()?;
        }
        self.directory.files.close_unused();
        Ok(true)
    }

    fn keep_or_evict(&mut self, reclaim: &mut Reclaim, row: &Row) -> io::Result<()> {
        let Some(entry) = self.entry_in(&reclaim.segment, row) else { return Ok(()) };
        let is_hot = reclaim.keeps_all || entry.was_found() || (self.is_hot)(&row.key);
        if is_hot
            && row.bytes <= reclaim.allowed_bytes.min(RESPONSE_MAX_BYTES)
            && let Some(bytes) = self.write_again(&entry)?
        {
            reclaim.allowed_bytes = reclaim.allowed_bytes.saturating_sub(bytes);
            self.directory.counters.reinserted.add(1);
            return Ok(());
        }
        if self.directory.index.remove_entry(&entry) {
            self.directory.counters.evicted(reclaim.cause).add(1);
        }
        Ok(())
    }

    /// What lookups find of a row that is about to go: its record, or one elsewhere whose body it has.
    fn entry_in(&self, segment: &Segment, row: &Row) -> Option<Entry> {
        let entry = self.directory.index.find(Short::of(&row.key))?;
        let is_own = Entry::new(segment.number(), row).is_some_and(|own| own.is(&entry));
        if is_own {
            return Some(entry);
        }
        if row.kind != Kind::Whole || !entry.is_split() {
            return None;
        }
        let front = self.directory.front(&entry, entry.bytes(), Mode::Wait).ok()?;
        let is_body_here = front.body_segment == segment.number()
            && (row.offset..row.offset + row.bytes).contains(&front.body_offset);
        is_body_here.then_some(entry)
    }

    /// Writes a response again, as a whole. None where that can't be.
    fn write_again(&mut self, entry: &Entry) -> io::Result<Option<u64>> {
        let Some(Whole { header, name, head, body }) = self.whole_of(entry) else {
            return Ok(None);
        };
        let encode_head = |out: &mut Vec<u8>| out.extend_from_slice(&head);
        let header = Header::new(Kind::Whole, header.number, header.key, 0);
        let draft = Draft { header, name: &name, encode_head: &encode_head, checksums: &[], body };
        let Appended::At(to) = self.log.append(&draft)? else { return Ok(None) };
        self.log.land(Landing::Moved { from: *entry, to });
        if self.log.is_gathered() {
            self.log.flush()?;
        }
        Ok(Some(to.bytes()))
    }

    /// All of a response. None where any of it isn't what was written.
    fn whole_of(&self, entry: &Entry) -> Option<Whole> {
        match self.read_whole(entry) {
            Ok(whole) => Some(whole),
            Err(Failure::Failed(error)) => {
                self.directory.read_failed(&error);
                None
            }
            Err(_) => {
                self.directory.counters.checksum_failures.add(1);
                None
            }
        }
    }

    fn read_whole(&self, entry: &Entry) -> Result<Whole, Failure> {
        let mut front = self.directory.front(entry, entry.bytes(), Mode::Wait)?;
        let record = Bytes::from(std::mem::take(&mut front.bytes));
        let body = if entry.is_split() {
            self.directory.body_part(&front, 0, front.header.body_bytes)?.into()
        } else {
            // it was read with the record
            let at = usize::try_from(front.header.before_body_bytes());
            let length = usize::try_from(front.header.body_bytes);
            let range = at.ok().zip(length.ok()).map(|(at, length)| at..at + length);
            let range = range.filter(|range| range.end <= record.len());
            record.slice(range.ok_or(Failure::Damaged)?)
        };
        if !is_intact(&body, &front.checksums) {
            return Err(Failure::Damaged);
        }
        let (name, head) = (record.slice(front.name), record.slice(front.head));
        Ok(Whole { header: front.header, name, head, body })
    }
}
