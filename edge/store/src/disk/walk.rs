//! A walk over all that one directory has, for whoever looks at each response: paced, without bodies, and beside the
//! lookups.
//!
//! What waits to be written comes first, then the segments in the order they were written in. A record only ever moves
//! to a later place, so what is there all the while is met; what is put meanwhile may not be.

use crate::disk::Disk;
use crate::disk::directory::Directory;
use crate::disk::index::{Entry, Short};
use crate::disk::queue::Pending;
use crate::disk::read::{Failure, Front, Mode};
use crate::disk::record::Kind;
use crate::disk::segment::Segment;
use crate::disk::table::Row;
use crate::disk::{locked, shortage};
use crate::{Head, Key};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Records that one of a directory's threads reads before others have their turn.
const RECORDS_AT_ONCE: u64 = 256;
/// How long it reads them.
const TIME_AT_ONCE: Duration = Duration::from_millis(100);
/// What is read of a record to come by its head.
const FRONT_BYTES: u64 = 4_096;
/// How often a read is tried again that a directory didn't answer.
const TRIES: usize = 10;
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// A segment of which at most this part is live is given back, and what is live is written again.
const LIVE_SHARE: u64 = 8;

/// How many records a second walks read of a directory, all of them together.
pub(super) struct Pace {
    per_second: u64,
    /// When the next record may be read.
    next: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(per_second: u64) -> Self {
        Self { per_second: per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    fn at_once(&self) -> u64 {
        (self.per_second / 10).clamp(1, RECORDS_AT_ONCE)
    }

    /// Notes that records were read by `now`. Returns how long to wait before more are.
    fn after(&self, records: u64, now: Instant) -> Duration {
        let mut next = locked(&self.next);
        let nanoseconds = records.saturating_mul(1_000_000_000) / self.per_second;
        *next = (*next).max(now) + Duration::from_nanos(nanoseconds);
        next.duration_since(now)
    }
}

/// How far a walk has come.
pub(crate) struct Walk {
    directory: usize,
    has_begun: bool,
    /// The rows of a segment, and which of them is next.
    segment: Option<Arc<Segment>>,
    rows: Arc<[Row]>,
    at: usize,
    /// The first segment that may be next.
    next: u32,
    /// Whether nothing was passed over.
    is_whole: bool,
    /// Of each segment, the bytes that are of use.
    live: BTreeMap<u32, u64>,
}

impl Walk {
    pub(crate) fn new(directory: usize) -> Self {
        Self {
            directory,
            has_begun: false,
            segment: None,
            rows: Arc::default(),
            at: 0,
            next: 0,
            is_whole: true,
            live: BTreeMap::new(),
        }
    }

    /// Whether it has met all that was there from its beginning to its end.
    pub(crate) const fn is_whole(&self) -> bool {
        self.is_whole
    }

    fn count(&mut self, spot: &Spot) {
        for (segment, bytes) in spot.parts() {
            *self.live.entry(segment).or_default() += bytes;
        }
    }

    /// Notes that a response it has met was removed.
    pub(crate) fn uncount(&mut self, spot: &Spot) {
        for (segment, bytes) in spot.parts() {
            let live = self.live.entry(segment).or_default();
            *live = live.saturating_sub(bytes);
        }
    }
}

/// Where a response was met.
pub(crate) struct Spot(Option<Written>);

/// A record; none of what waits to be written.
struct Written {
    entry: Entry,
    /// The segment of its body, where that is another, and the bytes of it.
    body: Option<(u32, u64)>,
}

impl Spot {
    fn parts(&self) -> impl Iterator<Item = (u32, u64)> {
        let own = self.0.as_ref().map(|own| (own.entry.segment(), own.entry.bytes()));
        own.into_iter().chain(self.0.as_ref().and_then(|own| own.body))
    }
}

/// A response that was met.
pub(crate) struct OnDisk<H> {
    pub(crate) key: Key,
    pub(crate) number: u64,
    pub(crate) name: Box<[u8]>,
    /// None where the record can't be read.
    pub(crate) head: Option<Arc<H>>,
    pub(crate) spot: Spot,
}

/// Some records of a directory.
struct Piece {
    read: Vec<(Entry, Key, Option<Front>)>,
    /// The next row.
    at: usize,
    /// Whether no record was passed over.
    is_whole: bool,
}

impl<H: Head> Disk<H> {
    pub(crate) fn directories(&self) -> usize {
        self.places.len()
    }

    /// What a walk meets next, which may be nothing for now. None at its end.
    pub(crate) async fn walk_on(&self, walk: &mut Walk) -> Option<Vec<OnDisk<H>>> {
        let place = self.places.get(walk.directory)?;
        // what goes out comes back empty
        let directory = Some(&place.directory).filter(|own| own.is_in())?;
        if !std::mem::replace(&mut walk.has_begun, true) {
            walk.is_whole = !directory.is_recovering();
            return Some(place.queue.waiting().into_iter().filter_map(queued).collect());
        }
        if walk.at == walk.rows.len() && !self.next_segment(directory, walk).await? {
            return Some(Vec::new());
        }
        let (rows, at) = (Arc::clone(&walk.rows), walk.at);
        let Some(segment) = walk.segment.as_ref().map(|segment| segment.number()) else {
            return Some(Vec::new());
        };
        let read = || {
            let rows = Arc::clone(&rows);
            move |own: &Arc<Directory>| piece(own, segment, &rows, at)
        };
        let Some(piece) = patiently(directory, read).await else {
            walk.is_whole &= !directory.is_in();
            return None;
        };
        walk.at = piece.at;
        walk.is_whole &= piece.is_whole;
        tokio::time::sleep(directory.pace.after(piece.read.len() as u64, Instant::now())).await;
        let met: Vec<_> = piece.read.into_iter().map(met).collect();
        met.iter().for_each(|met| walk.count(&met.spot));
        Some(met)
    }

    /// Goes on with the next segment. False for one that has nothing to be met; none after the last.
    async fn next_segment(&self, directory: &Arc<Directory>, walk: &mut Walk) -> Option<bool> {
        let segment = directory.segment_from(walk.next)?;
        (walk.next, walk.at, walk.rows) = (segment.number() + 1, 0, Arc::default());
        walk.live.entry(segment.number()).or_default();
        let read = || {
            let own = Arc::clone(&segment);
            move |_: &Arc<Directory>| own.table()
        };
        match patiently(directory, read).await {
            Some(Ok(Some(rows))) => walk.rows = rows.into(),
            // what it has is in the index, and can't be told here
            Some(Ok(None) | Err(_)) | None => walk.is_whole &= !directory.is_in(),
        }
        walk.segment = Some(segment);
        Some(!walk.rows.is_empty())
    }

    /// Whether what was met is what is stored now.
    pub(crate) fn is_there(&self, directory: usize, met: &OnDisk<H>) -> bool {
        let Some(place) = self.places.get(directory) else { return false };
        let pending = place.queue.find(&met.key);
        match &met.spot.0 {
            None => pending.is_some_and(|pending| pending.number() == met.number),
            Some(Written { entry, .. }) => {
                let found = place.directory.index.find(Short::of(&met.key));
                pending.is_none() && found.is_some_and(|found| found.is(entry))
            }
        }
    }

    /// Has the oldest segments given back of which a walk that has ended has found little that is of use.
    pub(crate) fn give_back(&self, walk: &Walk) {
        let Some(place) = self.places.get(walk.directory).filter(|_| walk.is_whole) else { return };
        let mut end = 0;
        for (number, live) in &walk.live {
            let Some(segment) = place.directory.segment(*number) else { continue };
            if segment.is_open() || *live > segment.bytes() / LIVE_SHARE {
                break;
            }
            end = number + 1;
        }
        place.directory.spent_before.store(end, Ordering::Relaxed);
        place.directory.signal.raise();
    }

    /// Has all that was put and removed so far reach the devices. False where one doesn't say so in time.
    pub(crate) async fn sync(&self, at_most: Duration) -> bool {
        let synced: Vec<_> = self.places().map(|place| place.sync()).collect();
        let all = async {
            for mut one in synced {
                // dropped unsaid where the directory goes out
                one.recv().await;
            }
        };
        tokio::time::timeout(at_most, all).await.is_ok()
    }
}

/// Has a thread of the directory's read, again where it doesn't answer. None where it never does, or is out.
async fn patiently<T: Send + 'static, R: FnOnce(&Arc<Directory>) -> T + Send + 'static>(
    directory: &Arc<Directory>,
    read: impl Fn() -> R,
) -> Option<T> {
    for _ in 0..TRIES {
        if let Some(found) = directory.wait_for(read()).await {
            return Some(found);
        }
        if !directory.is_in() {
            return None;
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    None
}

fn piece(directory: &Directory, segment: u32, rows: &[Row], first: usize) -> Piece {
    let until = Instant::now() + TIME_AT_ONCE;
    let mut piece = Piece { read: Vec::new(), at: first, is_whole: true };
    let most = directory.pace.at_once();
    for row in rows.get(first..).unwrap_or_default() {
        piece.at += 1;
        let record = record(directory, segment, row, &mut piece.is_whole);
        piece.read.extend(record);
        if piece.read.len() as u64 >= most || Instant::now() >= until {
            break;
        }
    }
    piece
}

/// The record of a row, where it is what lookups find. One that can't be read now isn't told, and nothing `is_whole`.
fn record(
    directory: &Directory,
    segment: u32,
    row: &Row,
    is_whole: &mut bool,
) -> Option<(Entry, Key, Option<Front>)> {
    if !matches!(row.kind, Kind::Whole | Kind::Head) {
        return None;
    }
    let entry = directory.index.find(Short::of(&row.key))?;
    if !Entry::new(segment, row)?.is(&entry) {
        return None;
    }
    let front = match directory.front(&entry, FRONT_BYTES, Mode::Wait) {
        Ok(front) => Some(front),
        // it moves, and is met where it comes to
        Err(Failure::Gone | Failure::Blocks) => return None,
        Err(Failure::Damaged | Failure::Other) => {
            directory.counters.checksum_failures.add(1);
            None
        }
        Err(Failure::Failed(error)) if shortage::is_shortage(&error) => {
            *is_whole = false;
            return None;
        }
        Err(Failure::Failed(error)) => {
            directory.read_failed(&error);
            None
        }
    };
    Some((entry, row.key, front))
}

fn met<H: Head>((entry, key, front): (Entry, Key, Option<Front>)) -> OnDisk<H> {
    let Some(front) = front else {
        let spot = Spot(Some(Written { entry, body: None }));
        return OnDisk { key, number: 0, name: Box::default(), head: None, spot };
    };
    let body = entry.is_split().then_some((front.body_segment, front.header.body_bytes));
    OnDisk {
        key: front.header.key,
        number: front.header.number,
        name: front.bytes[front.name].into(),
        head: H::decode(&front.bytes[front.head]).map(Arc::new),
        spot: Spot(Some(Written { entry, body })),
    }
}

fn queued<H>((key, pending): (Key, Pending<H>)) -> Option<OnDisk<H>> {
    let (number, name, head) = match pending {
        Pending::Whole(response) => {
            (response.number, response.name.clone(), Arc::clone(&response.head))
        }
        Pending::Renewed(renewed) => {
            (renewed.number, renewed.name.clone(), Arc::clone(&renewed.head))
        }
        // shown under the key it moves to
        Pending::Moving(_) => return None,
    };
    Some(OnDisk { key, number, name, head: Some(head), spot: Spot(None) })
}

#[cfg(test)]
impl<H: Head> Disk<H> {
    /// Takes a directory out.
    pub(crate) fn fail_for_test(&self, directory: usize) {
        self.places[directory].directory.fail("a test says so".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_together_read_no_more_than_they_may() {
        let pace = Pace::new(10);
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        let waits = [(5, now), (5, now), (10, later)].map(|(records, at)| pace.after(records, at));
        assert_eq!(waits.map(|wait| wait.as_millis()), [500, 1_000, 1_000]);
        assert_eq!((pace.at_once(), Pace::new(1 << 20).at_once()), (1, RECORDS_AT_ONCE));
    }
}
