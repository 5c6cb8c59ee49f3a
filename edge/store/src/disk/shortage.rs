//! What isn't the device's failure: it has no room, or the process is short of descriptors or of memory.

use crate::disk::directory::{Directory, End};
use std::io;
use std::time::{Duration, Instant};

/// Time between attempts while the process is short of something.
pub(super) const RETRY: Duration = Duration::from_millis(100);

/// Whether there is no room on a device, or none for us.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the process, or the machine, is short of descriptors or of memory.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

impl Directory {
    /// Has the directory's thread wait until there may be something to do, for so long at most.
    pub(super) fn rest(&self, at_most: Option<Duration>) {
        self.files.watch.rest();
        self.signal.wait(at_most);
        self.files.watch.work();
    }

    /// Does what takes a descriptor or memory; again, for a while, where the process is short of them.
    pub(super) fn patiently<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let until = Instant::now() + self.shared.retry;
        loop {
            match act() {
                Err(error) if is_shortage(&error) && self.may_wait(until) => self.rest(Some(RETRY)),
                result => return result,
            }
        }
    }

    fn may_wait(&self, until: Instant) -> bool {
        Instant::now() < until && self.end() == End::No
    }
}
