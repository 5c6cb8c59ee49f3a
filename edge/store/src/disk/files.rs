//! What a directory's files take on its device, which of them nobody uses any more, and how long its thread has been at
//! one thing with them.

use crate::disk::locked;
use crate::disk::signal::Signal;
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a directory, its thread and its segments know of its files together.
#[derive(Default)]
pub(super) struct Files {
    bytes: AtomicU64,
    /// To close the last of a large file that was unlinked gives its room back, which takes long: that is for the
    /// directory's thread, and until then it counts.
    unused: Mutex<Vec<(File, u64)>>,
    signal: Arc<Signal>,
    pub(super) watch: Watch,
}

impl Files {
    /// `signal` is raised when there is something to close.
    pub(super) fn new(signal: Arc<Signal>) -> Self {
        Self { signal, ..Self::default() }
    }

    /// Bytes of all, with those unlinked that are still read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Has a file of so many bytes closed soon.
    pub(super) fn leave(&self, file: File, bytes: u64) {
        locked(&self.unused).push((file, bytes));
        self.signal.raise();
    }

    /// Closes what nobody uses any more.
    pub(super) fn close_unused(&self) {
        let unused = std::mem::take(&mut *locked(&self.unused));
        for (file, bytes) in unused {
            self.watch.work();
            drop(file);
            self.subtract(bytes);
        }
    }
}

/// How long a thread has been at one thing: one that hangs can't say so itself.
pub(super) struct Watch {
    epoch: Instant,
    /// When it began with it, in milliseconds after `epoch`, and one more; zero while it waits for work.
    since: AtomicU64,
}

impl Default for Watch {
    fn default() -> Self {
        Self { epoch: Instant::now(), since: AtomicU64::new(0) }
    }
}

impl Watch {
    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Notes that it begins with another thing.
    pub(super) fn work(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    /// Notes that it waits for work.
    pub(super) fn rest(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// Whether it has been at one thing for longer.
    pub(super) fn exceeds(&self, time: Duration) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && u128::from(self.now().saturating_sub(since)) > time.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_counts_until_it_is_closed() {
        let files = Files::default();
        files.add(10);
        files.leave(tempfile::tempfile().unwrap(), 10);
        assert_eq!(files.bytes(), 10);
        files.close_unused();
        assert_eq!(files.bytes(), 0);
    }

    #[test]
    fn a_thread_that_waits_for_work_is_not_at_anything() {
        let watch = Watch { epoch: Instant::now(), since: AtomicU64::new(1) };
        assert!(!watch.exceeds(Duration::from_secs(60)));
        let watch = Watch { epoch: Instant::now() - Duration::from_secs(90), ..watch };
        assert!(watch.exceeds(Duration::from_secs(60)));
        watch.work();
        assert!(!watch.exceeds(Duration::from_secs(60)));
        watch.since.store(1, Ordering::Relaxed);
        watch.rest();
        assert!(!watch.exceeds(Duration::ZERO));
    }
}
