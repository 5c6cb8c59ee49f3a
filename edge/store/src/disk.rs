//! Responses on disk: several directories, each a log of segments that are written once.
//!
//! Nothing here fails or waits for its caller. A directory that can't be used is out, and what was in it isn't found. What
//! is found is exactly what was put, every byte of it verified, under its whole key and name. See docs/adr/0013.

mod body;
mod directory;
mod files;
mod index;
mod listing;
mod log;
mod now;
mod options;
mod owner;
mod place;
mod pool;
mod queue;
mod read;
mod reclaim;
mod record;
mod recover;
mod run;
mod segment;
mod shortage;
mod signal;
mod start;
mod statistics;
mod table;
mod walk;

pub(crate) use body::{DiskBody, StoredBody};
pub(crate) use listing::Listed;
pub use options::{DirectoryOptions, DiskOptions};
pub use statistics::{DirectoryState, DirectoryStatistics, DiskStatistics};

pub(crate) use run::leave;
pub(crate) use walk::{OnDisk, Walk};

use crate::complete::Complete;
use crate::{Head, Key, locked};
use directory::{End, Shared};
use index::{Entry, Short};
use listing::Cursor;
use place::Place;
use queue::Pending;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long the directories' threads may take to end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether a pause has begun.
const PAUSE_STEP: Duration = Duration::from_millis(1);
/// The lower bits of a number count within a run.
const NUMBER_BITS: u32 = 40;
/// Rows that one call of [`Disk::list`] looks at.
const LISTED_ROWS_MAX: u64 = 4_096;

/// A disk tier.
pub(crate) struct Disk<H: Head> {
    places: Vec<Place<H>>,
    /// Of each place: what its share of names is drawn by.
    seeds: Vec<u64>,
    shared: Arc<Shared>,
    first_number: u64,
    /// Closed when all threads have ended.
    ended: Mutex<Receiver<()>>,
    /// Until when that is waited for: set when they are first told to.
    ends_by: OnceLock<Instant>,
}

/// A new head for a response whose body stays: it was validated (RFC 9111 §4.3.4).
pub(crate) struct Renewed<H> {
    pub(crate) number: u64,
    /// What it is stored under from now on.
    pub(crate) key: Key,
    pub(crate) name: Box<[u8]>,
    pub(crate) head: Arc<H>,
    /// What it is stored under so far; where that isn't `key`, no longer.
    pub(crate) from: Key,
    /// The number it is stored with so far.
    pub(crate) was: u64,
}

/// A variant of a name.
struct Aged {
    /// As much of it as is known.
    key: Key,
    place: usize,
    /// Where it is in its place's log, which rises with when it was written; for what waits the highest, and its number.
    age: (u32, u64),
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

impl<H: Head> Disk<H> {
    /// The first number of this run: higher than all of earlier ones.
    pub(crate) const fn first_number(&self) -> u64 {
        self.first_number
    }

    /// Stores a response in the place of what is stored under its key, as soon as can be; it is found at once. Where there
    /// is no room for it, nothing is stored under its key.
    pub(crate) fn put(&self, response: Arc<Complete<H>>) {
        self.places().for_each(|place| place.directory.fail_if_it_hangs());
        let Some(chosen) = self.chosen(&response.key.name) else {
            return;
        };
        self.remove_elsewhere(&response.key, chosen);
        self.places[chosen].put(response);
    }

    /// Gives a stored response a new head. Where it isn't stored any more, nothing is stored under the new key; where
    /// something newer is, that stays.
    pub(crate) fn put_head(&self, renewed: Renewed<H>) {
        let Some(place) = self.places().find(|place| place.contains(&renewed.from)) else {
            return self.remove_one(&renewed.key);
        };
        let (from, was) = match place.queue.find(&renewed.from) {
            None => (renewed.from, renewed.was),
            Some(Pending::Whole(response)) if response.number == renewed.was => {
                return self.put_with_head(&response, renewed);
            }
            // the last of several heads is written, and moves what the one before it would have moved
            Some(Pending::Renewed(other))
                if other.number == renewed.was
                    && (other.from == other.key || renewed.from == renewed.key) =>
            {
                (other.from, other.was)
            }
            Some(other) => {
                if other.number() <= renewed.was {
                    self.remove_one(&renewed.from);
                }
                if renewed.from != renewed.key {
                    self.remove_one(&renewed.key);
                }
                return;
            }
        };
        let own = self.places.iter().position(|other| std::ptr::eq(other, place));
        self.remove_elsewhere(&renewed.key, own.unwrap_or_default());
        place.renew(Renewed { from, was, ..renewed });
    }

    /// Puts a response that waits to be written with another head.
    fn put_with_head(&self, response: &Complete<H>, renewed: Renewed<H>) {
        if renewed.from != renewed.key {
            self.remove_one(&renewed.from);
        }
        let Renewed { number, key, name, head, .. } = renewed;
        self.put(Arc::new(Complete { number, key, name, head, body: response.body.clone() }));
    }

    /// Removes what is stored under `key`, and with the first variant of its name all others.
    pub(crate) fn remove(&self, key: &Key) {
        if key.is_first() {
            self.places().for_each(|place| place.remove_name(key.name));
        } else {
            self.remove_one(key);
        }
    }

    /// Removes what is stored under `key`, and nothing else of its name.
    pub(crate) fn remove_one(&self, key: &Key) {
        self.places().filter(|place| place.may_have(key)).for_each(|place| place.remove(key));
    }

    fn remove_elsewhere(&self, key: &Key, chosen: usize) {
        let others = self.places.iter().enumerate().filter(|(position, _)| *position != chosen);
        let others = others.map(|(_, place)| place).filter(|place| place.directory.is_in());
        others.filter(|place| place.may_have(key)).for_each(|place| place.remove(key));
    }

    /// Finds a response, if that takes no waiting.
    pub(crate) fn find_now(&self, key: &Key, name: &[u8]) -> Now<H> {
        for place in self.likely_places(&key.name) {
            match place.find_now(key, name) {
                Now::Absent => {}
                found => return found,
            }
        }
        Now::Absent
    }

    /// Finds a response. Waits for each directory no longer than about twice what one read may take.
    pub(crate) async fn find(&self, key: &Key, name: &[u8]) -> Option<Stored<H>> {
        for place in self.likely_places(&key.name) {
            if let Some(found) = place.find(key, name).await {
                return Some(found);
            }
        }
        None
    }

    /// Whether something is stored under `key`, as far as can be told without reading.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.places().any(|place| place.contains(key))
    }

    /// Removes the variants of `name` stored longest ago, never its first, until at most `max` are left, the first
    /// included.
    pub(crate) fn crowd_out(&self, name: [u8; 16], max: usize) {
        let mut others = self.ages(name);
        others.retain(|other| !other.key.is_first());
        let surplus = (others.len() + 1).saturating_sub(max);
        others.sort_by_key(|other| (other.age, other.place));
        for other in others.into_iter().take(surplus) {
            let place = &self.places[other.place];
            place.remove(&other.key);
            place.directory.counters.evicted_crowded.add(1);
        }
    }

    fn ages(&self, name: [u8; 16]) -> Vec<Aged> {
        let mut ages = Vec::new();
        let used = self.places.iter().enumerate().filter(|(_, place)| place.directory.is_in());
        for (position, place) in used {
            let queued = place.queue.of_name(name);
            let short = Short::of(&Key { name, variant: [0; 16] });
            let mut written = place.directory.index.of_name(short.name);
            written.retain(|entry| queued.iter().all(|(key, _)| Short::of(key) != entry.short()));
            ages.extend(written.iter().map(|entry| Aged {
                key: key_of(name, entry),
                place: position,
                age: (entry.segment(), entry.offset()),
            }));
            let stored = queued.into_iter().filter_map(|(key, number)| Some((key, number?)));
            ages.extend(stored.map(|(key, number)| Aged {
                key,
                place: position,
                age: (u32::MAX, number),
            }));
        }
        ages
    }

    /// Some of what is stored, from where an earlier call ended, and where to go on; none at the end. What is just being
    /// written is not among it. `wanted` is asked about names.
    pub(crate) async fn list(
        &self,
        after: u64,
        limit: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> (Vec<Listed<H>>, Option<u64>) {
        let (mut listed, mut rows) = (Vec::new(), 0);
        let mut cursor = Cursor::decode(after);
        while rows < LISTED_ROWS_MAX && listed.len() < limit {
            let Some(place) = self.places.get(cursor.directory) else { return (listed, None) };
            let read = place.directory.wait_for(move |own| listing::piece(own, cursor)).await;
            let Some(piece) = read.filter(|_| place.directory.is_in()) else {
                cursor = cursor.next_directory();
                continue;
            };
            rows += piece.rows;
            cursor = piece.next;
            for one in piece.candidates.into_iter().filter(|one| wanted(&one.name)) {
                let Some(found) = one.decode() else { continue };
                listed.push(found);
                if listed.len() == limit {
                    cursor = one.next;
                    break;
                }
            }
        }
        (listed, Some(cursor.encode()))
    }

    /// What is stored under a name, for operators.
    pub(crate) async fn of_name(&self, hash: [u8; 16], name: &[u8]) -> Vec<Listed<H>> {
        let mut listed = Vec::new();
        for place in &self.places {
            let found = listing::of_name(&place.directory, hash, name).await;
            listed.extend(found.iter().filter_map(listing::Candidate::decode));
        }
        listed
    }

    /// Bytes of the largest body that any segment takes, with a head of the usual size.
    pub(crate) fn largest_body_bytes(&self) -> u64 {
        self.places
            .iter()
            .map(|place| place.directory.options.largest_body_bytes())
            .max()
            .unwrap_or(0)
    }

    /// Whether what is written is so far behind that what comes should wait. A directory that seems to hang isn't waited
    /// for.
    pub(crate) fn is_behind(&self) -> bool {
        self.places().any(|place| place.queue.is_behind() && !place.directory.is_stuck())
    }

    /// Waits until it isn't, at most for so long.
    pub(crate) async fn room(&self, at_most: Duration) {
        self.shared.room(|| self.is_behind(), at_most).await;
    }

    /// The numbers of all directories.
    pub(crate) fn statistics(&self) -> DiskStatistics {
        DiskStatistics {
            directories: self.places.iter().map(|place| place.directory.statistics()).collect(),
            queue_bytes: self.shared.queue_bytes.load(Ordering::Relaxed),
            reading_bytes: self.shared.reading_bytes.load(Ordering::Relaxed),
        }
    }

    /// Writes what waits, and ends each log so that the next run finds it by its tables. Nothing is stored or
    /// found from then on, and what is removed then isn't noted: nothing should be under way any more. Takes 10 seconds at most.
    pub(crate) fn close(&self) {
        self.end(End::Clean);
    }

    /// Like [`Disk::close`], until [`Disk::resume`]: meanwhile another process can have the directories. What is being read
    /// is read to its end. False where that takes more than 10 seconds; nothing has ended then.
    pub(crate) async fn pause(&self) -> bool {
        self.places.iter().for_each(|place| place.directory.set_pause(true));
        let until = Instant::now() + CLOSE_TIMEOUT;
        while !self.places.iter().all(|place| place.directory.is_left()) {
            if Instant::now() >= until {
                self.resume();
                return false;
            }
            tokio::time::sleep(PAUSE_STEP).await;
        }
        true
    }

    /// Takes the directories back, after a while and empty, from a process that doesn't have them any more.
    pub(crate) fn resume(&self) {
        self.places.iter().for_each(|place| place.directory.set_pause(false));
    }

    fn end(&self, end: End) {
        self.places.iter().for_each(|place| place.directory.set_end(end));
        let ended = locked(&self.ended);
        let until = *self.ends_by.get_or_init(|| Instant::now() + CLOSE_TIMEOUT);
        // nothing is ever sent: it ends when all threads have
        ended.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    }

    /// The directories that are in.
    fn places(&self) -> impl Iterator<Item = &Place<H>> {
        self.places.iter().filter(|place| place.directory.is_in())
    }

    /// The directory that a name belongs to, of those that are in.
    fn chosen(&self, name: &[u8; 16]) -> Option<usize> {
        let used = (0..self.places.len()).filter(|at| self.places[*at].directory.is_in());
        if self.places.len() == 1 {
            return used.into_iter().next();
        }
        used.max_by(|one, other| self.share(*one, name).total_cmp(&self.share(*other, name)))
    }

    /// Directories that are in, the one that a name belongs to first.
    fn likely_places(&self, name: &[u8; 16]) -> impl Iterator<Item = &Place<H>> {
        let chosen = self.chosen(name);
        let others = (0..self.places.len()).filter(move |at| Some(*at) != chosen);
        let all = chosen.into_iter().chain(others);
        all.map(|at| &self.places[at]).filter(|place| place.directory.is_in())
    }

    /// Weighted rendezvous hashing: the largest share has the name, and each has as many as its capacity says.
    fn share(&self, place: usize, name: &[u8; 16]) -> f64 {
        let hash = record::number64(name, 8).unwrap_or_default() ^ self.seeds[place];
        let hash = record::checksum(&hash.to_le_bytes());
        let unit = ((hash >> 11) + 1) as f64 / ((1_u64 << 53) + 1) as f64;
        self.places[place].directory.options.capacity_bytes as f64 / -unit.ln()
    }
}

impl<H: Head> Drop for Disk<H> {
    fn drop(&mut self) {
        self.end(End::Abrupt);
    }
}

/// As much of an entry's key as is known: enough to remove it.
fn key_of(name: [u8; 16], entry: &Entry) -> Key {
    let mut variant = [0; 16];
    variant[..4].copy_from_slice(&entry.short().variant.to_le_bytes());
    Key { name, variant }
}

#[cfg(test)]
mod tests;
