//! The access log. A request puts its line into a buffer; a thread of its own writes the buffer out ten times a
//! second. No request waits for the disk: when the buffer is full, lines are dropped, and the caller is told.

use crate::stage::record::Over;
use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The path that means standard output.
const STANDARD_OUTPUT: &str = "-";
/// A log tells of people: its group may read it, others not.
const FILE_MODE: u32 = 0o640;
/// How long a line may wait to be written.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// The log's buffer, and the thread that empties it.
pub(crate) struct AccessLog {
    shared: Arc<Shared>,
    buffer_max_bytes: usize,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    pending: Mutex<Pending>,
    /// Wakes the writer before its time: to reopen, or to end.
    wake: Condvar,
}

#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    /// The file was moved away: open it anew.
    reopen: bool,
    close: bool,
}

type Output = Box<dyn Write + Send>;

thread_local! {
    /// Where a line is written before it is copied to the buffer, so that the buffer is locked for the copy only.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// Opens the log at `path`, or at standard output for `-`.
    ///
    /// # Errors
    /// When the file can't be opened, or no thread can be started.
    pub(crate) fn open(path: &Path, buffer_max_bytes: usize) -> io::Result<Self> {
        let mut output = open(path)?;
        let shared = Arc::new(Shared { pending: Mutex::default(), wake: Condvar::new() });
        let (theirs, path) = (Arc::clone(&shared), path.to_owned());
        let writer = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || theirs.write_out(&mut output, &path))?;
        Ok(Self { shared, buffer_max_bytes, writer: Mutex::new(Some(writer)) })
    }

    /// Takes a line. False when there is no room for it.
    pub(crate) fn write(&self, over: &Over<'_>) -> bool {
        LINE.with_borrow_mut(|line| {
            line.clear();
            if serde_json::to_writer(&mut *line, over).is_err() {
                return false;
            }
            line.push(b'\n');
            let mut pending = self.shared.pending();
            let fits = pending.lines.len() + line.len() <= self.buffer_max_bytes;
            if fits {
                pending.lines.extend_from_slice(line);
            }
            fits
        })
    }

    /// Opens the file anew, after it was moved away by a rotation.
    pub(crate) fn reopen(&self) {
        self.shared.pending().reopen = true;
        self.shared.wake.notify_one();
    }

    /// Writes what is there and ends.
    pub(crate) fn close(&self) {
        self.shared.pending().close = true;
        self.shared.wake.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the access log's thread panicked");
        }
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_out(&self, output: &mut Output, path: &Path) {
        let mut lines = Vec::new();
        let mut failing = false;
        loop {
            let (reopen, close) = self.take(&mut lines);
            note(output.write_all(&lines).and_then(|()| output.flush()), path, &mut failing);
            lines.clear();
            if close {
                return;
            }
            if reopen {
                match open(path) {
                    Ok(opened) => *output = opened,
                    Err(error) => note(Err(error), path, &mut failing),
                }
            }
        }
    }

    /// Waits for the time to write, and takes what is there. The buffers change places, so neither grows anew.
    fn take(&self, lines: &mut Vec<u8>) -> (bool, bool) {
        let pending = self.pending();
        let idle = |pending: &mut Pending| !pending.reopen && !pending.close;
        let waited = self.wake.wait_timeout_while(pending, WRITE_INTERVAL, idle);
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::swap(&mut pending.lines, lines);
        (std::mem::take(&mut pending.reopen), pending.close)
    }
}

fn open(path: &Path) -> io::Result<Output> {
    if path == Path::new(STANDARD_OUTPUT) {
        return Ok(Box::new(io::stdout()));
    }
    Ok(Box::new(OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path)?))
}

/// Tells of the first failure and of the first success after one: a full disk must not fill a log.
fn note(result: io::Result<()>, path: &Path, failing: &mut bool) {
    match result {
        Ok(()) => *failing = false,
        Err(error) if !*failing => {
            *failing = true;
            tracing::error!(%error, "can't write the access log `{}`", path.display());
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn over() -> Over<'static> {
        Over::refused(IpAddr::from([192, 0, 2, 7]), 400, "host")
    }

    #[test]
    fn lines_survive_a_rotation_and_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        let log = AccessLog::open(&path, 1 << 20).unwrap();
        assert!(log.write(&over()));
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        while !path.exists() {
            std::thread::yield_now();
        }
        assert!(log.write(&over()));
        log.close();
        for path in [path, moved] {
            assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
        }
    }

    #[test]
    fn a_full_buffer_takes_no_line() {
        let log = AccessLog::open(Path::new("/dev/null"), 10).unwrap();
        assert!(!log.write(&over()));
        log.close();
    }
}
