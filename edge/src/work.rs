//! What does the feed have this edge do beyond adopting, and how far has it come?
//!
//! The follower hands each numbered entry that asks for something to [`Work::begin`]; who does it notes progress in the
//! [`Ledger`], and the reporter tells control what changed there.

use api::edge::PROGRESS_MAX;
use api::purge::{Count, EdgeProgress, Progress, Purge, Warm};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Numbers whose progress is remembered; of more, the oldest are forgotten.
const REMEMBERED_MAX: usize = 10_000;
/// Tasks that may wait; further ones are not done, and told as finished with nothing done.
const WAITING_MAX: usize = 10_000;

/// What an entry asks for.
#[derive(Debug)]
pub(crate) enum Task {
    /// Count what it matches, and fetch some of it again where it says so.
    Purge(Purge),
    Count(Count),
    Warm(Warm),
}

/// Where the follower puts tasks, and their progress.
pub(crate) struct Work {
    tasks: mpsc::Sender<(u64, Task)>,
    pub(crate) ledger: Ledger,
}

impl Work {
    /// None yet, and where its tasks come out.
    pub(crate) fn new() -> (Self, mpsc::Receiver<(u64, Task)>) {
        let (tasks, waiting) = mpsc::channel(WAITING_MAX);
        (Self { tasks, ledger: Ledger::default() }, waiting)
    }

    /// Has the task of the entry with this number done, if this edge does what it is told by entries at all now.
    pub(crate) fn begin(&self, seq: u64, task: Task) {
        if self.tasks.try_send((seq, task)).is_err() {
            tracing::warn!(seq, "there is too much to do: an entry's work is not done");
            self.ledger.note(seq, |progress| progress.finished = true);
        }
    }
}

/// How far the work of each entry has come.
#[derive(Default)]
pub(crate) struct Ledger {
    noted: Mutex<BTreeMap<u64, Noted>>,
    changed: Notify,
}

#[derive(Default)]
struct Noted {
    progress: Progress,
    /// What control was told last.
    told: Option<Progress>,
}

impl Ledger {
    /// Notes progress of an entry.
    pub(crate) fn note(&self, seq: u64, change: impl FnOnce(&mut Progress)) {
        let mut noted = self.lock();
        change(&mut noted.entry(seq).or_default().progress);
        if noted.len() > REMEMBERED_MAX {
            noted.pop_first();
        }
        drop(noted);
        self.changed.notify_one();
    }

    /// What control has not been told, the newest first, as much as a report holds.
    pub(crate) fn news(&self) -> Vec<EdgeProgress> {
        let noted = self.lock();
        let news = noted.iter().rev().filter(|(_, noted)| noted.told != Some(noted.progress));
        news.map(|(&seq, noted)| EdgeProgress { seq, progress: noted.progress })
            .take(PROGRESS_MAX)
            .collect()
    }

    /// Notes that control was told.
    pub(crate) fn told(&self, news: &[EdgeProgress]) {
        let mut noted = self.lock();
        for EdgeProgress { seq, progress } in news {
            if let Some(noted) = noted.get_mut(seq) {
                noted.told = Some(*progress);
            }
        }
    }

    /// Waits for something to be noted.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_is_told_what_changed() {
        let ledger = Ledger::default();
        ledger.note(7, |progress| progress.matched += 2);
        ledger.note(8, |progress| progress.matched += 1);
        let news = ledger.news();
        assert_eq!(news.iter().map(|news| news.seq).collect::<Vec<_>>(), [8, 7]);
        ledger.note(7, |progress| progress.matched += 1);
        ledger.told(&news);
        let news = ledger.news();
        assert_eq!((news.len(), news[0].seq, news[0].progress.matched), (1, 7, 3));
        ledger.told(&news);
        assert!(ledger.news().is_empty());
    }
}
