//! Has what was adopted on disk, and says up to where it is.
//!
//! The follower puts what it adopts into [`Unwritten`], and never waits; the keeper takes all that is there at a time and
//! writes it with one flush. A journal that has grown is replaced by one that is written beside it meanwhile. What can't
//! be written is served, not acknowledged, and tried again.

use super::adopted::Adopted;
use super::keep::Journal;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// Records that may wait to be written; where more do, the state is written anew.
const WAITING_MAX_BYTES: usize = 64 << 20;
const RETRY: Duration = Duration::from_secs(5);

/// What was adopted and is not being written yet.
#[derive(Default)]
pub(super) struct Unwritten {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Records of what led to `state`, since what was taken before.
    records: Vec<u8>,
    /// Whether the records don't tell it all, so that the state is to be written anew.
    anew: bool,
    state: Option<Adopted>,
}

impl Unwritten {
    /// Puts in the newest state, and the records that led to it.
    pub(super) fn append(&self, state: Adopted, records: &[u8]) {
        let mut waiting = self.lock();
        if waiting.records.len() + records.len() > WAITING_MAX_BYTES {
            waiting.anew = true;
        }
        if waiting.anew {
            waiting.records = Vec::new();
        } else {
            waiting.records.extend_from_slice(records);
        }
        waiting.state = Some(state);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Puts in a state that no records lead to.
    pub(super) fn replace(&self, state: Adopted) {
        *self.lock() = Waiting { records: Vec::new(), anew: true, state: Some(state) };
        self.changed.notify_one();
    }

    fn take(&self) -> Waiting {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is adopted.
pub(super) struct Keeper {
    directory: PathBuf,
    /// None where nothing is known of the one on disk: it is replaced before anything else.
    journal: Option<Journal>,
    /// The newest state, as far as it is to be written.
    state: Adopted,
    /// Records that led to it and are not written.
    records: Vec<u8>,
    rewriting: Option<Rewriting>,
    /// Held by all that writes, also where nobody waits for it any more.
    lock: Option<Arc<File>>,
}

/// A journal that is being written beside.
struct Rewriting {
    /// Up to where the one in use is in it.
    upto: u64,
    task: JoinHandle<io::Result<Journal>>,
}

impl Keeper {
    /// Goes on with what was loaded.
    pub(super) fn new(directory: &Path, journal: Option<Journal>, state: Adopted) -> Self {
        Self {
            directory: directory.into(),
            journal,
            state,
            records: Vec::new(),
            rewriting: None,
            lock: None,
        }
    }

    /// Keeps the lock of the directory for as long as anything is written to it.
    pub(super) fn holding(self, lock: Arc<File>) -> Self {
        Self { lock: Some(lock), ..self }
    }

    /// Writes what comes for ever. `kept` is told each state that is on disk.
    pub(super) async fn run(
        mut self,
        unwritten: &Unwritten,
        kept: &watch::Sender<Adopted>,
        size: impl Fn(u64),
    ) {
        loop {
            size(self.journal.as_ref().map_or(0, Journal::end));
            tokio::select! {
                () = unwritten.changed.notified() => self.keep(unwritten, kept).await,
                done = finished(&mut self.rewriting) => self.take_over(done).await,
            }
            self.begin_rewriting();
        }
    }

    /// Writes what waits.
    async fn keep(&mut self, unwritten: &Unwritten, kept: &watch::Sender<Adopted>) {
        loop {
            let Waiting { records, anew, state } = unwritten.take();
            self.records.extend_from_slice(&records);
            if anew || self.records.len() > WAITING_MAX_BYTES {
                self.journal = None;
            }
            if let Some(state) = state {
                self.state = state;
            }
            match self.write().await {
                Ok(()) => {
                    kept.send_replace(self.state.clone());
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "what was adopted can't be kept; it is served, and not acknowledged");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn write(&mut self) -> io::Result<()> {
        let Some(journal) = self.journal.take() else { return self.write_anew().await };
        let records = std::mem::take(&mut self.records);
        if records.is_empty() {
            self.journal = Some(journal);
            return Ok(());
        }
        let lock = self.lock.clone();
        let (journal, records, result) = spawn_blocking(move || {
            let _held = lock;
            let (journal, result) = append(journal, &records);
            (journal, records, result)
        })
        .await
        .map_err(io::Error::other)?;
        self.journal = journal;
        if result.is_err() {
            self.records = records;
        }
        result
    }

    /// Replaces what is on disk by the newest state.
    async fn write_anew(&mut self) -> io::Result<()> {
        if let Some(rewriting) = self.rewriting.take() {
            // it writes to the same file
            rewriting.task.await.ok();
        }
        self.records = Vec::new();
        let (directory, state, lock) =
            (self.directory.clone(), self.state.clone(), self.lock.clone());
        let writing = spawn_blocking(move || {
            let _held = lock;
            let journal = Journal::write_beside(&directory, &state)?;
            journal.put_in_place(&directory)?;
            io::Result::Ok(journal)
        });
        self.journal = Some(writing.await.map_err(io::Error::other)??);
        Ok(())
    }

    /// Begins to write the journal anew where much has been appended.
    fn begin_rewriting(&mut self) {
        let Some(journal) = &self.journal else { return };
        if self.rewriting.is_some() || !journal.is_full() {
            return;
        }
        let (directory, state, lock) =
            (self.directory.clone(), self.state.clone(), self.lock.clone());
        let task = spawn_blocking(move || {
            let _held = lock;
            Journal::write_beside(&directory, &state)
        });
        self.rewriting = Some(Rewriting { upto: journal.end(), task });
    }

    /// Puts a journal that was written beside in the place of the one in use, with what was appended to that meanwhile.
    async fn take_over(&mut self, (upto, beside): (u64, io::Result<Journal>)) {
        let Some(journal) = self.journal.take() else { return };
        let (directory, lock) = (self.directory.clone(), self.lock.clone());
        let replacing = spawn_blocking(move || {
            let _held = lock;
            replace(&directory, journal, upto, beside)
        });
        match replacing.await {
            Ok((journal, result)) => {
                self.journal = journal;
                if let Err(error) = result {
                    tracing::error!(%error, "the journal can't be written anew, and grows");
                }
            }
            Err(error) => tracing::error!(%error, "the journal can't be written anew"),
        }
    }
}

/// Waits for a journal to be written beside; for ever where none is.
async fn finished(rewriting: &mut Option<Rewriting>) -> (u64, io::Result<Journal>) {
    let Some(Rewriting { upto, task }) = rewriting else { return std::future::pending().await };
    let (upto, done) = (*upto, task.await);
    *rewriting = None;
    (upto, done.map_err(io::Error::other).flatten())
}

/// Appends, and where that fails, sees that the file is as it was. None where that can't be said of it.
fn append(mut journal: Journal, records: &[u8]) -> (Option<Journal>, io::Result<()>) {
    match journal.append(records) {
        Ok(()) => (Some(journal), Ok(())),
        Err(failed) => {
            // a flush that failed tells nothing of what is on disk, and one that is repeated succeeds for nothing
            let is_full = failed.kind() == io::ErrorKind::StorageFull;
            let journal = (is_full && journal.cut_off().is_ok()).then_some(journal);
            (journal, Err(failed))
        }
    }
}

/// Puts `beside` in the place of `journal`. The one in use afterwards, or none where that is not known.
fn replace(
    directory: &Path,
    mut journal: Journal,
    upto: u64,
    beside: io::Result<Journal>,
) -> (Option<Journal>, io::Result<()>) {
    let complete = beside.and_then(|mut beside| {
        beside.append_from(&journal, upto)?;
        Ok(beside)
    });
    match complete {
        Err(error) => {
            journal.put_off();
            (Some(journal), Err(error))
        }
        Ok(beside) => match beside.put_in_place(directory) {
            Ok(()) => (Some(beside), Ok(())),
            // it may be in place or not
            Err(error) => (None, Err(error)),
        },
    }
}

#[cfg(test)]
mod tests;
