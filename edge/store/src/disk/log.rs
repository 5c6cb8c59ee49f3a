//! Appends records to a directory's log, in pieces as large as there are.

use crate::complete::Complete;
use crate::disk::directory::{Directory, Phase};
use crate::disk::index::{Entry, Room, Short};
use crate::disk::options::SEGMENTS_LIMIT;
use crate::disk::queue::{Pending, Queue};
use crate::disk::record::{self, Header, Kind, UNIT_BYTES, checksums};
use crate::disk::run;
use crate::disk::segment::{self, Segment};
use crate::disk::shortage;
use crate::disk::table::{Identity, RECORD_MAX_BYTES, ROW_BYTES, Row, START_BYTES};
use crate::{Head, Key};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tracing::warn;

/// What is gathered before it is written, where more waits.
const WRITE_BYTES: usize = 1 << 20;
/// Left free in each segment for removals, which can't be dropped.
const RESERVED_BYTES: u64 = 32 << 10;
/// The table of a segment is in memory until it is sealed: one of small responses ends early.
const TABLE_MAX_BYTES: u64 = 8 << 20;
/// What of a directory's capacity is for its other files.
const OTHER_FILES_BYTES: u64 = 16 << 10;

/// A record to append.
pub(super) struct Draft<'a> {
    pub(super) header: Header,
    pub(super) name: &'a [u8],
    pub(super) encode_head: &'a dyn Fn(&mut Vec<u8>),
    /// Of a head without its body: the checksums of that.
    pub(super) checksums: &'a [u64],
    pub(super) body: Bytes,
}

impl<'a> Draft<'a> {
    pub(super) fn whole<H: Head>(
        response: &'a Complete<H>,
        encode_head: &'a dyn Fn(&mut Vec<u8>),
    ) -> Self {
        let header = Header::new(Kind::Whole, response.number, response.key, 0);
        let (name, body) = (&*response.name, response.body.clone());
        Self { header, name, encode_head, checksums: &[], body }
    }

    pub(super) fn removal(kind: Kind, key: Key) -> Draft<'static> {
        let header = Header::new(kind, 0, key, 0);
        Draft { header, name: &[], encode_head: &|_| {}, checksums: &[], body: Bytes::new() }
    }

    fn is_removal(&self) -> bool {
        matches!(self.header.kind, Kind::Removal | Kind::NameRemoval)
    }
}

/// What came of a draft.
pub(super) enum Appended {
    At(Entry),
    /// No segment is large enough.
    TooLarge,
    /// A segment has to make room first.
    NoRoom,
}

/// What the index learns once bytes are written.
pub(super) enum Landing<H> {
    Stored {
        entry: Entry,
        key: Key,
        pending: Pending<H>,
        /// For the entry.
        room: Room,
    },
    Moved {
        from: Entry,
        to: Entry,
    },
    /// What waits under this key has moved away from it.
    Left {
        key: Key,
        pending: Pending<H>,
    },
    Removed(Short),
    NameRemoved(u64),
}

struct Open {
    segment: Arc<Segment>,
    /// Where what is gathered will be written.
    end: u64,
    /// It is beyond the capacity, and takes nothing else.
    is_for_removals: bool,
}

/// The end of a directory's log.
pub(super) struct Log<H: Head> {
    directory: Arc<Directory>,
    queue: Arc<Queue<H>>,
    open: Option<Open>,
    /// The number of the next segment.
    pub(super) next: u32,
    gathered: Vec<u8>,
    landing: Vec<Landing<H>>,
    /// Bytes of the queue that are written with `gathered`.
    queued_bytes: u64,
    /// What has records that the index never learnt of, because newer ones were to come; they have yet to.
    overtaken: BTreeSet<Short>,
    /// Removals were written that may not have reached the device.
    has_removed: bool,
    /// What the device had room for when it last was full.
    full_at: Option<(u64, Instant)>,
    /// When the process was last found to be short of what it takes to make a file.
    short_at: Option<Instant>,
}

impl<H: Head> Log<H> {
    pub(super) fn new(directory: Arc<Directory>, queue: Arc<Queue<H>>) -> Self {
        Self {
            directory,
            queue,
            open: None,
            next: 1,
            gathered: Vec::new(),
            landing: Vec::new(),
            queued_bytes: 0,
            overtaken: BTreeSet::new(),
            has_removed: false,
            full_at: None,
            short_at: None,
        }
    }

    /// Forgets what was begun.
    pub(super) fn reset(&mut self) {
        self.open = None;
        self.gathered = Vec::new();
        self.landing.clear();
        self.queue.done(std::mem::take(&mut self.queued_bytes));
        self.overtaken.clear();
        self.has_removed = false;
        self.full_at = None;
        self.short_at = None;
    }

    pub(super) fn is_gathered(&self) -> bool {
        self.gathered.len() >= WRITE_BYTES
    }

    fn segment_bytes(&self) -> u64 {
        self.directory.options.segment_bytes()
    }

    /// Bytes all segments may take.
    fn capacity(&mut self) -> u64 {
        let retry = self.directory.shared.retry;
        self.full_at = self.full_at.filter(|(_, since)| since.elapsed() < retry);
        let capacity = self.directory.options.capacity_bytes.saturating_sub(OTHER_FILES_BYTES);
        self.full_at.map_or(capacity, |(bytes, _)| bytes.min(capacity))
    }

    /// Whether the device has less room than the directory may take.
    pub(super) const fn is_device_full(&self) -> bool {
        self.full_at.is_some()
    }

    /// Whether the next segment would have no room, were nothing removed, or would be one too many. Where it is readers of
    /// what was removed that take the room, no more than half of what is there makes up for them.
    pub(super) fn lacks_room(&mut self) -> bool {
        if self.directory.segment_count() as u64 >= SEGMENTS_LIMIT {
            return true;
        }
        let (next, capacity) = (self.segment_bytes(), self.capacity());
        let in_use = self.directory.files.bytes();
        in_use + next > capacity && self.directory.segments_bytes() + next > capacity / 2
    }

    /// Whether what is lacking may come without anything that can be found being removed: readers of what was removed
    /// end, and other parts of the process give back what they have open.
    pub(super) fn may_get_room(&self) -> bool {
        self.short_at.is_some() || self.directory.files.bytes() > self.directory.segments_bytes()
    }

    /// Has `bytes` of the queue given back when what is gathered is written.
    pub(super) const fn count(&mut self, bytes: u64) {
        self.queued_bytes += bytes;
    }

    pub(super) fn land(&mut self, landing: Landing<H>) {
        self.landing.push(landing);
    }

    pub(super) fn append(&mut self, draft: &Draft<'_>) -> io::Result<Appended> {
        let max = self.segment_bytes().saturating_sub(START_BYTES + RESERVED_BYTES);
        let max = max.min(RECORD_MAX_BYTES);
        let mut bytes = record::HEADER_BYTES as u64 + draft.body.len() as u64;
        loop {
            if bytes > max {
                return Ok(Appended::TooLarge);
            }
            if !self.has_room(bytes, draft.is_removal()) && !self.roll(false)? {
                return Ok(Appended::NoRoom);
            }
            let Some(open) = &self.open else { return Ok(Appended::NoRoom) };
            let start = self.gathered.len();
            let mut header = draft.header.clone();
            header.segment = open.segment.number();
            if header.kind == Kind::Whole {
                header.body_bytes = draft.body.len() as u64;
            }
            let sums = checksums(&draft.body).chain(draft.checksums.iter().copied());
            let header =
                record::encode(&mut self.gathered, header, draft.name, draft.encode_head, sums);
            bytes = header.record_bytes();
            if bytes <= max && self.has_room_behind(start, bytes, draft.is_removal()) {
                return self.finish(&header, start, &draft.body);
            }
            self.gathered.truncate(start);
        }
    }

    /// Appends the body to a record whose beginning was gathered at `start`.
    fn finish(&mut self, header: &Header, start: usize, body: &Bytes) -> io::Result<Appended> {
        let Some(open) = &mut self.open else { return Ok(Appended::NoRoom) };
        let offset = open.end + start as u64;
        let row = Row::new(header, offset);
        let end = offset + row.bytes;
        if body.len() < WRITE_BYTES {
            self.gathered.extend_from_slice(body);
            let padding = usize::try_from(end - open.end).unwrap_or(usize::MAX);
            self.gathered.resize(padding, 0);
        } else {
            open.segment.write(&self.gathered, open.end)?;
            open.segment.write(body, open.end + self.gathered.len() as u64)?;
            self.gathered.clear();
            self.directory.counters.written_bytes.add(end - open.end);
            open.end = end;
        }
        open.segment.add(&row);
        self.has_removed |= matches!(header.kind, Kind::Removal | Kind::NameRemoval);
        let short = Short::of(&header.key);
        match header.kind {
            Kind::Removal => self.landing.push(Landing::Removed(short)),
            Kind::NameRemoval => self.landing.push(Landing::NameRemoved(short.name)),
            Kind::Whole | Kind::Head => {}
        }
        Ok(Entry::new(open.segment.number(), &row).map_or(Appended::TooLarge, Appended::At))
    }

    fn has_room(&self, bytes: u64, is_removal: bool) -> bool {
        self.has_room_behind(self.gathered.len(), bytes, is_removal)
    }

    fn has_room_behind(&self, gathered: usize, bytes: u64, is_removal: bool) -> bool {
        let Some(open) = &self.open else { return false };
        if open.is_for_removals && !is_removal {
            return false;
        }
        let reserved = if is_removal { 0 } else { RESERVED_BYTES };
        let table = open.segment.table_bytes() + ROW_BYTES as u64;
        let bytes = bytes.next_multiple_of(UNIT_BYTES);
        let end = open.end + gathered as u64 + bytes + table + reserved;
        end <= self.segment_bytes() && table <= TABLE_MAX_BYTES
    }

    /// Opens one segment beyond the capacity, for removals, which can't be dropped: where readers of what was removed take
    /// the room. False otherwise.
    pub(super) fn exceed(&mut self) -> io::Result<bool> {
        self.roll(true)
    }

    /// Seals the segment that is open, and opens the next. False where there is no room for it.
    fn roll(&mut self, may_exceed: bool) -> io::Result<bool> {
        let (in_use, next) = (self.directory.files.bytes(), self.segment_bytes());
        let is_beyond = in_use + next > self.capacity();
        let is_pinned = in_use > self.directory.segments_bytes();
        if is_beyond && !(may_exceed && is_pinned && in_use <= self.capacity()) {
            return Ok(false);
        }
        if self.short_at.is_some_and(|at| at.elapsed() < shortage::RETRY) {
            return Ok(false);
        }
        if self.next > segment::NUMBER_MAX {
            // a file that came in has a number no log comes to
            return Err(io::Error::other("there are no numbers left for segments"));
        }
        let identity = Identity { segment: self.next, run: self.directory.run_number() };
        let (shared, options) = (&self.directory.shared, &self.directory.options);
        let made = Segment::create(
            &options.path,
            identity,
            options.segment_bytes(),
            &shared.allocate,
            &self.directory.files,
        );
        let segment = match made {
            Ok(segment) => Arc::new(segment),
            Err(error) if shortage::is_full(&error) => {
                self.full(in_use + next - 1);
                return Ok(false);
            }
            Err(error) if shortage::is_shortage(&error) => {
                self.short(&error);
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.short_at = None;
        self.seal()?;
        self.next += 1;
        if !self.directory.add_segment(Arc::clone(&segment)) {
            return Ok(false);
        }
        self.open = Some(Open { segment, end: START_BYTES, is_for_removals: is_beyond });
        Ok(true)
    }

    /// Notes that the process can't make a file now.
    fn short(&mut self, error: &io::Error) {
        if self.short_at.is_none() {
            let path = self.directory.options.path.display();
            warn!(%path, "a directory of the store can't make a file, and writes nothing until it can: {error}");
        }
        self.directory.counters.write_errors.add(1);
        self.short_at = Some(Instant::now());
    }

    /// Notes that the device has no room for `bytes` and one more.
    fn full(&mut self, bytes: u64) {
        if self.full_at.is_none() {
            let path = self.directory.options.path.display();
            let bytes = self.directory.segments_bytes();
            warn!(%path, "a device is full: its directory of the store makes do with {bytes} bytes");
        }
        self.directory.counters.write_errors.add(1);
        self.full_at = Some((bytes, Instant::now()));
    }

    /// Writes what is gathered, and ends the segment.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        self.flush()?;
        match self.open.take() {
            Some(open) => open.segment.seal(open.end),
            None => Ok(()),
        }
    }

    /// Has the removals that were written reach the device. False where they all have.
    pub(super) fn sync_removals(&mut self) -> io::Result<bool> {
        let has_removed = std::mem::take(&mut self.has_removed);
        if let Some(open) = self.open.as_ref().filter(|_| has_removed) {
            open.segment.file().sync_data()?;
        }
        Ok(has_removed)
    }

    /// Has all that was written, and every file's name, reach the device. What is sealed has.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        if let Some(open) = &self.open {
            open.segment.file().sync_data()?;
        }
        self.has_removed = false;
        run::sync(&self.directory.options.path)
    }

    /// Writes what is gathered, and has it found.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open
            && !self.gathered.is_empty()
        {
            open.segment.write(&self.gathered, open.end)?;
            open.end += self.gathered.len() as u64;
            self.directory.counters.written_bytes.add(self.gathered.len() as u64);
            self.gathered.clear();
            self.gathered.shrink_to(2 * WRITE_BYTES);
        }
        let directory = Arc::clone(&self.directory);
        let mut phase = directory.phase();
        let landing = std::mem::take(&mut self.landing);
        if !matches!(*phase, Phase::Out(_)) {
            for landing in landing {
                self.index(landing, &mut phase);
            }
        }
        drop(phase);
        self.queue.done(std::mem::take(&mut self.queued_bytes));
        Ok(())
    }

    fn index(&mut self, landing: Landing<H>, phase: &mut Phase) {
        let index = &self.directory.index;
        match landing {
            Landing::Moved { from, to } => {
                index.replace(&from, to);
            }
            Landing::Left { key, pending } => {
                self.queue.settle(&key, &pending, || {
                    let short = Short::of(&key);
                    if let Phase::Recovering(gone) = phase {
                        gone.keys.insert(short);
                    }
                    index.remove(short);
                });
            }
            Landing::Stored { entry, key, pending, room } => {
                let is_newest = self.queue.settle(&key, &pending, || index.insert(entry));
                drop(room);
                if is_newest {
                    self.overtaken.remove(&entry.short());
                } else {
                    self.overtaken.insert(entry.short());
                }
            }
            Landing::Removed(short) => {
                self.overtaken.remove(&short);
            }
            Landing::NameRemoved(name) => {
                let all = Short { name, variant: 0 }..=Short { name, variant: u32::MAX };
                while let Some(short) = self.overtaken.range(all.clone()).next().copied() {
                    self.overtaken.remove(&short);
                }
            }
        }
    }

    /// Whether the log has records of a key that lookups don't find and a restart would.
    pub(super) fn has_overtaken(&self, short: Short) -> bool {
        self.overtaken.contains(&short)
    }
}
