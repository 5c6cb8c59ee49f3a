//! One directory: is it used, what is in it, and what has it done?

use crate::disk::files::Files;
use crate::disk::index::{Entry, Index, Room, Short};
use crate::disk::pool::Pool;
use crate::disk::run::Run;
use crate::disk::segment::{Allocate, Segment};
use crate::disk::signal::Signal;
use crate::disk::statistics::{Counters, DirectoryState, DirectoryStatistics};
use crate::disk::walk::Pace;
use crate::disk::{DirectoryOptions, locked};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tracing::{info, warn};

/// So many reads that fail one after another take a directory out.
const READ_ERRORS_MAX: u32 = 3;
/// So many times what a read may take, its thread may be at one thing.
const WRITE_TIMEOUTS: u32 = 6;

/// What all directories share.
pub(super) struct Shared {
    /// Set once the directories' marks are known.
    pub(super) run: OnceLock<Run>,
    pub(super) queue_bytes: AtomicU64,
    pub(super) queue_max_bytes: u64,
    /// What of it one directory may take: a device that is slow takes nothing from the others.
    pub(super) queue_share_bytes: u64,
    /// Told when bytes leave the queue.
    pub(super) written: Notify,
    pub(super) reading_bytes: Arc<AtomicU64>,
    pub(super) reading_max_bytes: u64,
    pub(super) read_timeout: Duration,
    pub(super) retry: Duration,
    /// Responses in the indexes of all directories, and how many there may be.
    pub(super) responses: Arc<AtomicU64>,
    pub(super) responses_max: u64,
    pub(super) allocate: Allocate,
    pub(super) sweep_records_per_second: u64,
}

impl Shared {
    /// Waits, while bytes leave the queue, until `is_behind` says no, at most for so long.
    pub(super) async fn room(&self, is_behind: impl Fn() -> bool, at_most: Duration) {
        let waiting = async {
            loop {
                // registered before it is looked, so that nothing is missed between
                let mut written = std::pin::pin!(self.written.notified());
                written.as_mut().enable();
                if !is_behind() {
                    return;
                }
                written.await;
            }
        };
        // in vain: what comes then isn't written
        tokio::time::timeout(at_most, waiting).await.ok();
    }
}

/// Whether a directory is used.
pub(super) enum Phase {
    /// It is, and what an earlier run left is still being found, but for what was removed since.
    Recovering(Gone),
    In,
    Out(String),
}

/// What recovery must not find any more.
#[derive(Default)]
pub(super) struct Gone {
    pub(super) keys: HashSet<Short>,
    pub(super) names: HashSet<u64>,
}

impl Gone {
    pub(super) fn has(&self, short: Short) -> bool {
        self.keys.contains(&short) || self.names.contains(&short.name)
    }
}

/// Whether a process wants its threads to end, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    No,
    /// Not for good: with all written that waits, and for as long as another process has the directories.
    Paused,
    /// With all written that waits.
    Clean,
    /// As a crash would.
    Abrupt,
}

pub(super) struct Directory {
    pub(super) options: DirectoryOptions,
    pub(super) shared: Arc<Shared>,
    pub(super) index: Index,
    pub(super) counters: Counters,
    pub(super) files: Arc<Files>,
    pub(super) signal: Arc<Signal>,
    pub(super) pool: Option<Pool>,
    /// Drops what waits to be written.
    drop_queued: Box<dyn Fn() + Send + Sync>,
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    /// Whatever adds to `index` or `segments` holds it, so that nothing is added to a directory that went out.
    phase: Mutex<Phase>,
    /// Invariant: whether `phase` isn't `Out`.
    is_in: AtomicBool,
    end: Mutex<End>,
    is_left: AtomicBool,
    failed_reads: AtomicU32,
    /// The file system can't tell what is in the page cache.
    pub(super) always_blocks: AtomicBool,
    pub(super) pace: Pace,
    /// The oldest segments, those with lower numbers, have little that is of use.
    pub(super) spent_before: AtomicU32,
}

impl Directory {
    /// `drop_queued` is called when it goes out.
    pub(super) fn new(
        options: DirectoryOptions,
        shared: Arc<Shared>,
        drop_queued: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        let (pool, signal) = (Pool::new(), Arc::default());
        let phase = match &pool {
            Ok(_) => Phase::Recovering(Gone::default()),
            Err(error) => Phase::Out(format!("no threads for it: {error}")),
        };
        Self {
            options,
            index: Index::new(Arc::clone(&shared.responses)),
            pace: Pace::new(shared.sweep_records_per_second),
            shared,
            counters: Counters::default(),
            files: Arc::new(Files::new(Arc::clone(&signal))),
            signal,
            is_in: AtomicBool::new(pool.is_ok()),
            pool: pool.ok(),
            drop_queued,
            segments: RwLock::default(),
            phase: Mutex::new(phase),
            end: Mutex::new(End::No),
            is_left: AtomicBool::new(false),
            failed_reads: AtomicU32::new(0),
            always_blocks: AtomicBool::new(false),
            spent_before: AtomicU32::new(0),
        }
    }

    pub(super) fn is_in(&self) -> bool {
        self.is_in.load(Ordering::Acquire)
    }

    pub(super) fn is_recovering(&self) -> bool {
        matches!(*self.phase(), Phase::Recovering(_))
    }

    pub(super) fn phase(&self) -> MutexGuard<'_, Phase> {
        locked(&self.phase)
    }

    pub(super) fn end(&self) -> End {
        *locked(&self.end)
    }

    /// Has its thread end.
    pub(super) fn set_end(&self, end: End) {
        let mut own = locked(&self.end);
        if matches!(*own, End::No | End::Paused) {
            *own = end;
        }
        drop(own);
        self.signal.raise();
    }

    /// Has its thread begin or end a pause, unless it is to end for good.
    pub(super) fn set_pause(&self, pauses: bool) {
        let mut own = locked(&self.end);
        match (*own, pauses) {
            (End::No, true) => *own = End::Paused,
            (End::Paused, false) => *own = End::No,
            _ => {}
        }
        drop(own);
        self.signal.raise();
    }

    /// Whether another process can have it.
    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Acquire)
    }

    /// Notes that another process can have it, or can't any more. What it held is for those who read it already.
    pub(super) fn note_left(&self, is_left: bool) {
        if is_left {
            self.index.clear();
            self.all_segments().clear();
            self.spent_before.store(0, Ordering::Relaxed);
        }
        self.is_left.store(is_left, Ordering::Release);
    }

    /// Takes the directory out: nothing in it is found any more, and it comes back empty.
    pub(super) fn fail(&self, reason: String) {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Out(_)) {
            return;
        }
        self.is_in.store(false, Ordering::Release);
        warn!(path = %self.options.path.display(), "a directory of the store is out: {reason}");
        *phase = Phase::Out(reason);
        self.index.clear();
        self.all_segments().clear();
        self.spent_before.store(0, Ordering::Relaxed);
        drop(phase);
        // its thread may hang, and what waits for it takes the room of others
        (self.drop_queued)();
        if let Some(run) = self.shared.run.get() {
            run.advance();
        }
        self.signal.raise();
    }

    /// Whether its thread has been at one thing for longer than a read may take.
    pub(super) fn is_stuck(&self) -> bool {
        self.files.watch.exceeds(self.shared.read_timeout)
    }

    /// Takes the directory out where its thread has been at one thing for so long that it must hang.
    pub(super) fn fail_if_it_hangs(&self) {
        let timeout = self.shared.read_timeout * WRITE_TIMEOUTS;
        if self.is_in() && self.files.watch.exceeds(timeout) {
            self.counters.write_errors.add(1);
            self.fail(format!("a write takes longer than {timeout:?}"));
        }
    }

    /// Ends its use: its thread has written all that waited.
    pub(super) fn close(&self) {
        let mut phase = self.phase();
        self.is_in.store(false, Ordering::Release);
        *phase = Phase::Out("the store is closed".to_owned());
    }

    /// Says why a directory that is out still is.
    pub(super) fn stay_out(&self, reason: String) {
        *self.phase() = Phase::Out(reason);
    }

    /// Takes an empty directory in.
    pub(super) fn come_back(&self) {
        let mut phase = self.phase();
        *phase = Phase::In;
        self.failed_reads.store(0, Ordering::Relaxed);
        self.is_in.store(true, Ordering::Release);
        drop(phase);
        info!(path = %self.options.path.display(), "a directory of the store is in again");
    }

    /// Ends recovery.
    pub(super) fn recovered(&self) {
        let mut phase = self.phase();
        if matches!(*phase, Phase::Recovering(_)) {
            *phase = Phase::In;
        }
    }

    fn all_segments(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_segments(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        self.known_segments().get(&number).cloned()
    }

    /// The first segment from `number` on.
    pub(super) fn segment_from(&self, number: u32) -> Option<Arc<Segment>> {
        self.known_segments().range(number..).next().map(|(_, segment)| Arc::clone(segment))
    }

    /// False where the directory is out.
    pub(super) fn add_segment(&self, segment: Arc<Segment>) -> bool {
        let phase = self.phase();
        let is_in = !matches!(*phase, Phase::Out(_));
        if is_in {
            self.all_segments().insert(segment.number(), segment);
        }
        is_in
    }

    pub(super) fn forget_segment(&self, number: u32) {
        self.all_segments().remove(&number);
    }

    pub(super) fn segment_count(&self) -> usize {
        self.known_segments().len()
    }

    /// Bytes of all segments, but for those that only their readers know.
    pub(super) fn segments_bytes(&self) -> u64 {
        self.known_segments().values().map(|segment| segment.bytes()).sum()
    }

    /// The number of the present run.
    pub(super) fn run_number(&self) -> u64 {
        self.shared.run.get().map_or(0, |run| run.mark().number)
    }

    /// Whether the index may take one more.
    pub(super) fn has_index_room(&self) -> bool {
        self.shared.responses.load(Ordering::Relaxed) < self.shared.responses_max
    }

    /// Keeps room in the index for one more.
    pub(super) fn keep_index_room(&self) -> Option<Room> {
        self.index.keep_room(self.shared.responses_max)
    }

    /// Whether the index will soon be full.
    pub(super) fn lacks_index_room(&self) -> bool {
        let max = self.shared.responses_max;
        self.shared.responses.load(Ordering::Relaxed) >= max - max / 16
    }

    /// Removes an entry that turned out to be none, as long as it is the one that is there.
    pub(super) fn forget(&self, entry: &Entry) {
        if let Phase::Recovering(gone) = &mut *self.phase() {
            gone.keys.insert(entry.short());
        }
        self.index.remove_entry(entry);
    }

    /// Removes what is stored under a key, and has recovery not find it.
    pub(super) fn remove(&self, short: Short) -> bool {
        if let Phase::Recovering(gone) = &mut *self.phase() {
            gone.keys.insert(short);
        }
        self.index.remove(short)
    }

    /// Removes all that is stored of a name, and has recovery not find it.
    pub(super) fn remove_name(&self, name: u64) {
        if let Phase::Recovering(gone) = &mut *self.phase() {
            gone.names.insert(name);
        }
        self.index.remove_name(name);
    }

    pub(super) fn read_succeeded(&self) {
        if self.failed_reads.load(Ordering::Relaxed) > 0 {
            self.failed_reads.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn read_failed(&self, error: &std::io::Error) {
        self.counters.read_errors.add(1);
        if self.failed_reads.fetch_add(1, Ordering::Relaxed) + 1 >= READ_ERRORS_MAX {
            self.fail(format!("reads fail: {error}"));
        }
    }

    pub(super) fn statistics(&self) -> DirectoryStatistics {
        let state = match &*self.phase() {
            Phase::Recovering(_) => DirectoryState::Recovering,
            Phase::In => DirectoryState::In,
            Phase::Out(reason) => DirectoryState::Out(reason.clone()),
        };
        let counters = &self.counters;
        DirectoryStatistics {
            path: self.options.path.clone(),
            state,
            capacity_bytes: self.options.capacity_bytes,
            disk_bytes: self.files.bytes(),
            live_bytes: self.index.live_bytes(),
            responses: self.index.responses(),
            segments: self.segment_count() as u64,
            index_bytes: self.index.bytes(),
            put_bytes_total: counters.put_bytes.total(),
            written_bytes_total: counters.written_bytes.total(),
            evicted_for_room_total: counters.room(),
            evicted_for_index_total: counters.index(),
            evicted_crowded_total: counters.evicted_crowded.total(),
            reinserted_total: counters.reinserted.total(),
            dropped_total: counters.dropped.total(),
            reads_total: counters.reads.total(),
            read_errors_total: counters.read_errors.total(),
            write_errors_total: counters.write_errors.total(),
            checksum_failures_total: counters.checksum_failures.total(),
            recovery: counters.recovery(),
        }
    }
}
