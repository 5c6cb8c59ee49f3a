//! Finds again what an earlier run left, by the tables of its segments, the newest first.

use crate::Head;
use crate::disk::directory::{Directory, End, Gone, Phase};
use crate::disk::index::{Entry, Short};
use crate::disk::owner::Owner;
use crate::disk::record::Kind;
use crate::disk::segment::{self, Listing, Segment};
use crate::disk::shortage;
use crate::disk::table::Row;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tracing::{info, warn};

/// Rows that are taken in before others have their turn.
const ROWS_AT_ONCE: usize = 4_096;

/// How far recovery has come.
pub(super) struct Recovery {
    /// What is yet to be listed, the newest last.
    pub(super) segments: Vec<Arc<Segment>>,
    /// The run of the segment listed last that has records.
    run: Option<u64>,
    began: Instant,
}

impl<H: Head> Owner<H> {
    /// Begins with what is in the directory.
    pub(super) fn begin_recovery(&mut self) -> io::Result<()> {
        let began = Instant::now();
        let directory = &self.directory;
        let path = &directory.options.path;
        let mut numbers = segment::numbers(path)?;
        self.log.next = numbers.last().map_or(self.log.next, |last| last + 1);
        let mut segments = Vec::new();
        while let Some(number) = numbers.last().copied() {
            let segment =
                match self.directory.patiently(|| Segment::open(path, number, &directory.files)) {
                    Ok(segment) => Arc::new(segment),
                    Err(error) if shortage::is_shortage(&error) => break,
                    Err(error) => return Err(error),
                };
            if !directory.add_segment(Arc::clone(&segment)) {
                return Ok(());
            }
            segments.push(segment);
            numbers.pop();
        }
        if !numbers.is_empty() && directory.end() == End::No {
            warn!(path = %path.display(), "the oldest {} segments of the store can't be opened, and go", numbers.len());
            segment::unlink(path, numbers)?;
        }
        segments.reverse();
        self.recovery = Some(Recovery { segments, run: None, began });
        Ok(())
    }

    /// Takes in one segment. False where recovery has ended.
    pub(super) fn recover(&mut self) -> io::Result<bool> {
        let Some(recovery) = &mut self.recovery else { return Ok(false) };
        let Some(segment) = recovery.segments.pop() else {
            self.end_recovery();
            return Ok(true);
        };
        let listing = segment.list()?;
        // only where a run ended can there be less than was meant to be
        let is_last_of_run = recovery.run != Some(segment.identity.run);
        if !listing.rows.is_empty() {
            // an empty one may have been made while the one before was being sealed
            recovery.run = Some(segment.identity.run);
        }
        let is_whole = !listing.is_damaged || is_last_of_run;
        if listing.is_damaged {
            self.directory.counters.checksum_failures.add(1);
        }
        let took_all = take_in(&self.directory, segment.number(), &listing.rows);
        if listing.rows.is_empty() {
            self.discard(&segment)?;
        } else if !listing.is_sealed {
            seal(&segment, &listing)?;
        }
        if !took_all || !is_whole {
            self.give_up_older(took_all)?;
        }
        Ok(true)
    }

    /// Removes what is older: there is no room for it in the index, or what removed some of it may be lost.
    fn give_up_older(&mut self, has_room: bool) -> io::Result<()> {
        let reason = if has_room { "a newer one is damaged" } else { "the index is full" };
        let path = self.directory.options.path.display();
        let older = self.recovery.as_mut().map(|recovery| std::mem::take(&mut recovery.segments));
        let older = older.unwrap_or_default();
        if !older.is_empty() {
            warn!(%path, "the oldest {} segments of the store are not taken in: {reason}", older.len());
        }
        older.iter().try_for_each(|segment| self.discard(segment))
    }

    fn end_recovery(&mut self) {
        let Some(recovery) = self.recovery.take() else { return };
        let duration = recovery.began.elapsed();
        self.directory.recovered();
        self.directory.counters.recovered_in(duration);
        let (path, count) =
            (self.directory.options.path.display(), self.directory.index.responses());
        info!(%path, "found {count} stored responses in {duration:?}");
    }

    /// Takes a segment out of the directory.
    pub(super) fn discard(&self, segment: &Segment) -> io::Result<()> {
        self.directory.forget_segment(segment.number());
        segment.unlink()
    }
}

fn seal(segment: &Segment, listing: &Listing) -> io::Result<()> {
    match segment.seal_listed(listing) {
        // it can be read without
        Err(error) if shortage::is_full(&error) => Ok(()),
        result => result,
    }
}

/// Adds what isn't known to be newer. False where the index is full.
fn take_in(directory: &Directory, segment: u32, rows: &[Row]) -> bool {
    rows.rchunks(ROWS_AT_ONCE).all(|rows| {
        let mut phase = directory.phase();
        let Phase::Recovering(gone) = &mut *phase else { return true };
        rows.iter().rev().all(|row| take_row(directory, gone, segment, row))
    })
}

fn take_row(directory: &Directory, gone: &mut Gone, segment: u32, row: &Row) -> bool {
    let short = Short::of(&row.key);
    match row.kind {
        Kind::Removal => {
            gone.keys.insert(short);
        }
        Kind::NameRemoval => {
            gone.names.insert(short.name);
        }
        Kind::Whole | Kind::Head => {
            if gone.has(short) {
                return true;
            }
            if !directory.has_index_room() {
                return false;
            }
            let entry = Entry::new(segment, row);
            entry.map(|entry| directory.index.insert_new(entry));
        }
    }
    true
}
