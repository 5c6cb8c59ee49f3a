//! Gives back the room of what was purged, or whose site is gone, and forgets purges that nothing stored is older than.
//! That what was purged isn't served needs none of this.
//!
//! A pass looks at all that is stored: at memory at once, at the directories as fast as they are set to be read. When it
//! began, the lowest number that anything under way had applied was `floor`; so whatever was stored since was fetched
//! with `floor` applied, or more. What a purge up to `floor` selects and was stored when the pass began, it has met and
//! removed, in whatever tier: it looks at the directories, and at memory after them, and responses come from disk into
//! memory and never the other way. What a request found in the store before that, it judges by purges that are still
//! held: they are forgotten when all requests are over that began before the pass had ended. And no crash brings back
//! what isn't found any more: that has reached the devices by then. A directory that was out comes back empty. So
//! nothing that a forgotten purge selects is stored any more, or will be.
//!
//! A soft purge's responses stay stored: it is forgotten when none is left that is stale by it, or by an earlier one.

mod held;
mod judge;

use crate::cache::Cache;
use crate::feed::Changes;
use crate::snapshot::{Current, Snapshot};
use crate::telemetry::Telemetry;
use crate::work::Work;
use futures_util::future::join_all;
pub(crate) use held::Held;
use held::Older;
use judge::{Found, Judge};
use purge::Purges;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Between looks at whether there is something to do; what comes in a row is done at once.
const PAUSE: Duration = Duration::from_secs(1);
/// A pass takes one part in so many of the time at most, where it follows on another.
const DUTY: u32 = 5;
/// Before a pass that could not meet everything is made again.
const RETRY: Duration = Duration::from_secs(10);
/// Retirements that wait for requests to end.
const RETIREMENTS_MAX: usize = 16;

/// A purge that is to be counted.
pub(crate) struct Begun {
    pub(crate) seq: u64,
    /// Whether counting it is all there is to do.
    pub(crate) finishes: bool,
}

/// What passes are made with.
pub(crate) struct Sweeper {
    pub(crate) cache: &'static Cache,
    pub(crate) current: Current,
    pub(crate) held: Arc<Held>,
    pub(crate) work: Arc<Work>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) purged: mpsc::Receiver<Begun>,
}

/// What is known between passes.
#[derive(Default)]
struct Known {
    /// Purges to be counted by the next pass over everything, and whether that finishes them.
    begun: BTreeMap<u64, bool>,
    /// Something was adopted since the last pass over memory.
    has_changed: bool,
    last: Option<Passed>,
    retirements: Vec<Retirement>,
}

/// The last pass over everything.
struct Passed {
    epoch: u64,
    sites: usize,
    floor: u64,
    /// The newest purge that selectors were held of.
    newest: u64,
    /// Soft purges up to this were counted on disk.
    counted: u64,
}

/// Purges that can be forgotten when what was under way is over.
struct Retirement {
    older: Older,
    /// Up to which numbers, hard and soft.
    purges: Vec<(Arc<Purges>, u64, u64)>,
}

/// Purges of which it is remembered that a pass is to be told of.
const BEGUN_MAX: usize = 10_000;

impl Sweeper {
    /// Passes over what is stored whenever that is of use, for as long as the feed runs.
    pub(crate) async fn run(mut self, mut changes: Changes) {
        let mut known = Known::default();
        let mut not_before = Instant::now();
        loop {
            sleep(PAUSE).await;
            let Ok(has_changed) = changes.seen() else { return };
            known.has_changed |= has_changed;
            while let Ok(Begun { seq, finishes }) = self.purged.try_recv() {
                known.begun.insert(seq, finishes);
                if known.begun.len() > BEGUN_MAX {
                    // the ledger has forgotten it too
                    known.begun.pop_first();
                }
            }
            known.retire();
            if Instant::now() < not_before {
                continue;
            }
            let began = Instant::now();
            if self.is_of_use(&mut known) {
                let is_whole = self.pass(&mut known).await;
                not_before = Instant::now() + if is_whole { Duration::ZERO } else { RETRY };
            } else if std::mem::take(&mut known.has_changed) {
                drop(self.pass_memory(self.judge(0)).await);
            }
            not_before = not_before.max(Instant::now() + began.elapsed() * (DUTY - 1));
        }
    }

    /// Whether a pass over everything is.
    fn is_of_use(&self, known: &mut Known) -> bool {
        let snapshot = self.current.load_full();
        if !snapshot.adopted {
            return false;
        }
        let last = known.last.get_or_insert_with(|| Passed {
            epoch: snapshot.epoch,
            sites: snapshot.sites,
            floor: 0,
            newest: newest(&snapshot),
            counted: 0,
        });
        if known.has_changed {
            last.newest = newest(&snapshot);
        }
        let has_fewer = snapshot.epoch != last.epoch || snapshot.sites < last.sites;
        last.sites = last.sites.max(snapshot.sites);
        let has_room = known.retirements.len() < RETIREMENTS_MAX;
        let retires =
            || has_room && last.floor < last.newest && self.held.floor(&snapshot) > last.floor;
        has_fewer || !known.begun.is_empty() || retires()
    }

    /// Passes over everything. False where not all of it was met.
    async fn pass(&self, known: &mut Known) -> bool {
        let snapshot = self.current.load_full();
        let floor = self.held.floor(&snapshot);
        known.has_changed = false;
        let last = known.last.as_ref().filter(|last| last.epoch == snapshot.epoch);
        if last.is_none() {
            // of another log: nothing it selects can be found
            self.finish(known.begun.split_off(&(snapshot.applied + 1)));
        }
        let counted = last.map_or(0, |last| last.counted);
        let Some(mut found) = self.pass_memory(self.judge(counted)).await else { return false };
        let store = &self.cache.store;
        let directories = join_all((0..store.directories()).map(async |directory| {
            let mut judge = self.judge(counted);
            let is_whole = store.sweep_directory(directory, &mut judge).await;
            (judge.end(), is_whole)
        }));
        let mut is_whole = true;
        for (in_directory, is_all) in directories.await {
            self.telemetry.metrics.purges.swept.inc_by(in_directory.removed);
            found.add(in_directory);
            is_whole &= is_all;
        }
        if store.directories() > 0 {
            // what was taken into memory behind the first look
            match self.pass_memory(self.judge(counted)).await {
                Some(in_memory) => found.add(in_memory),
                None => is_whole = false,
            }
        }
        tracing::debug!(removed = found.removed, is_whole, floor, "looked for what was purged");
        let newest = newest(&snapshot);
        let counted = if is_whole { snapshot.applied } else { counted };
        let (epoch, sites) = (snapshot.epoch, snapshot.sites);
        let is_done = is_whole && self.end(known, &found, &snapshot, floor).await;
        let floor = if is_done { floor } else { 0 };
        known.last = Some(Passed { epoch, sites, floor, newest, counted });
        is_done
    }

    fn finish(&self, begun: BTreeMap<u64, bool>) {
        for (seq, _) in begun.into_iter().filter(|(_, finishes)| *finishes) {
            self.work.ledger.note_begun(seq, |progress| progress.finished = true);
        }
    }

    fn judge(&self, counted: u64) -> Judge {
        Judge::new(Arc::clone(&self.current), Arc::clone(&self.work), counted)
    }

    /// What is in memory; none where not all of it was met.
    async fn pass_memory(&self, mut judge: Judge) -> Option<Found> {
        let cache = self.cache;
        let pass = move || {
            cache.store.sweep_memory(&mut judge);
            judge.end()
        };
        let found = match tokio::task::spawn_blocking(pass).await {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "what was purged could not be looked for");
                return None;
            }
        };
        self.telemetry.metrics.purges.swept.inc_by(found.removed);
        Some(found)
    }

    /// Ends a pass that met everything. False where what it removed may come back after a crash.
    async fn end(
        &self,
        known: &mut Known,
        found: &Found,
        pass: &Arc<Snapshot>,
        floor: u64,
    ) -> bool {
        found.note(&self.work);
        let later = known.begun.split_off(&(pass.applied + 1));
        self.finish(std::mem::replace(&mut known.begun, later));
        let purges = retirable(pass, found, floor);
        if purges.is_empty() {
            return true;
        }
        if known.retirements.len() >= RETIREMENTS_MAX || !self.cache.store.sync().await {
            return false;
        }
        let older = self.held.renew(&self.current);
        known.retirements.push(Retirement { older, purges });
        true
    }
}

impl Known {
    /// Forgets purges for which nothing is under way any more that they select.
    fn retire(&mut self) {
        self.retirements.retain(|retirement| {
            let are_over = retirement.older.are_over();
            if are_over {
                for (purges, hard, soft) in &retirement.purges {
                    purges.retire(*hard, *soft);
                }
            }
            !are_over
        });
    }
}

/// Which purges of which sites are not needed any more after a pass, up to which numbers.
fn retirable(pass: &Snapshot, found: &Found, floor: u64) -> Vec<(Arc<Purges>, u64, u64)> {
    let sites = pass.served().filter(|served| !served.purges.is_empty());
    let limits = sites.map(|served| {
        let stale_by = found.stale_by.get(&served.site.id);
        let soft = stale_by.map_or(floor, |seq| floor.min(seq.saturating_sub(1)));
        (Arc::clone(&served.purges), floor, soft)
    });
    limits.collect()
}

/// The newest number of a site that selectors are held of; 0 for none.
fn newest(snapshot: &Snapshot) -> u64 {
    let held = snapshot.served().filter(|served| !served.purges.is_empty());
    held.map(|served| served.purges.newest()).max().unwrap_or_default()
}
