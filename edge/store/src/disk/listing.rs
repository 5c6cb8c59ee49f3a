//! What is stored, for operators: by segments, the oldest first.

use crate::disk::directory::Directory;
use crate::disk::index::{Entry, Short};
use crate::disk::read::Mode;
use crate::disk::record::Kind;
use crate::disk::table::Row;
use crate::{Head, Key};
use bytes::Bytes;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows that one of a directory's threads looks at before others have their turn.
const ROWS_AT_ONCE: u64 = 256;
/// How long it looks at them: a device that is slow has time for a few.
const TIME_AT_ONCE: Duration = Duration::from_millis(100);

/// One response for operators.
pub(crate) struct Listed<H> {
    pub(crate) key: Key,
    pub(crate) number: u64,
    pub(crate) name: Box<[u8]>,
    pub(crate) head: H,
    pub(crate) body_bytes: u64,
}

/// How far a listing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) directory: usize,
    segment: u32,
    row: u64,
}

const ROW_BITS: u32 = 24;
const DIRECTORY_SHIFT: u32 = 56;

impl Cursor {
    pub(super) fn decode(number: u64) -> Self {
        let segment = (number >> ROW_BITS) & u64::from(u32::MAX);
        Self {
            directory: usize::from((number >> DIRECTORY_SHIFT).to_le_bytes()[0]),
            segment: u32::try_from(segment).unwrap_or_default(),
            row: number & ((1 << ROW_BITS) - 1),
        }
    }

    pub(super) const fn encode(self) -> u64 {
        (self.directory as u64) << DIRECTORY_SHIFT | (self.segment as u64) << ROW_BITS | self.row
    }

    /// The beginning of the next directory.
    pub(super) const fn next_directory(self) -> Self {
        Self { directory: self.directory + 1, segment: 0, row: 0 }
    }
}

/// A response of a segment.
pub(super) struct Candidate {
    /// Where a listing that ends with it goes on.
    pub(super) next: Cursor,
    key: Key,
    number: u64,
    pub(super) name: Bytes,
    /// Still encoded.
    head: Bytes,
    body_bytes: u64,
}

impl Candidate {
    pub(super) fn decode<H: Head>(&self) -> Option<Listed<H>> {
        let Self { key, number, body_bytes, .. } = *self;
        let (head, name) = (H::decode(&self.head)?, Box::from(&*self.name));
        Some(Listed { key, number, name, head, body_bytes })
    }
}

/// Some rows of a directory, and where to go on.
pub(super) struct Piece {
    pub(super) candidates: Vec<Candidate>,
    pub(super) rows: u64,
    pub(super) next: Cursor,
}

/// What is found from `cursor` on.
pub(super) fn piece(directory: &Arc<Directory>, cursor: Cursor) -> Piece {
    piece_until(Instant::now() + TIME_AT_ONCE, directory, cursor)
}

/// What is found from `cursor` on, of one row at least.
pub(super) fn piece_until(until: Instant, directory: &Arc<Directory>, cursor: Cursor) -> Piece {
    let nothing = |next| Piece { candidates: Vec::new(), rows: 1, next };
    let Some(segment) = directory.segment_from(cursor.segment) else {
        return nothing(cursor.next_directory());
    };
    let number = segment.number();
    let first = if number == cursor.segment { cursor.row } else { 0 };
    let rows = segment.rows(first, ROWS_AT_ONCE).unwrap_or_default();
    if rows.is_empty() {
        return nothing(Cursor { segment: number + 1, row: 0, ..cursor });
    }
    let at = |row| Cursor { segment: number, row, ..cursor };
    let (mut candidates, mut seen) = (Vec::new(), 0);
    for row in rows {
        seen += 1;
        candidates.extend(candidate(directory, number, &row, at(first + seen)));
        if Instant::now() >= until {
            break;
        }
    }
    Piece { candidates, rows: seen, next: at(first + seen) }
}

/// A row that lookups would find.
fn candidate(directory: &Directory, segment: u32, row: &Row, next: Cursor) -> Option<Candidate> {
    if !matches!(row.kind, Kind::Whole | Kind::Head) {
        return None;
    }
    let entry = directory.index.find(Short::of(&row.key))?;
    Entry::new(segment, row)?.is(&entry).then(|| read(directory, &entry, next))?
}

/// The variants of a name, each read by itself: a device that is slow has time for one.
pub(super) async fn of_name(
    directory: &Arc<Directory>,
    hash: [u8; 16],
    name: &[u8],
) -> Vec<Candidate> {
    let short = Short::of(&Key { name: hash, variant: [0; 16] });
    let mut found = Vec::new();
    for entry in directory.index.of_name(short.name) {
        let read = move |own: &Arc<Directory>| read(own, &entry, Cursor::decode(0));
        found.extend(directory.wait_for(read).await.flatten());
    }
    found.retain(|candidate| *candidate.name == *name);
    found
}

fn read(directory: &Directory, entry: &Entry, next: Cursor) -> Option<Candidate> {
    let front = directory.front(entry, 4_096, Mode::Wait).ok()?;
    let bytes = Bytes::from(front.bytes);
    Some(Candidate {
        next,
        key: front.header.key,
        number: front.header.number,
        name: bytes.slice(front.name),
        head: bytes.slice(front.head),
        body_bytes: front.header.body_bytes,
    })
}
