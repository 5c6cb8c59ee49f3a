//! What does the feed have this edge do beyond adopting, and how far has it come?
//!
//! The follower hands each numbered entry that asks for something to [`Work::begin`]; who does it notes progress in the
//! [`Ledger`], and the reporter tells control what changed there.

mod count;
pub(crate) mod fetch;

use crate::cache::Cache;
use crate::clock;
use crate::rarely::Rarely;
use crate::snapshot::Current;
use crate::sweep::Begun;
use api::edge::PROGRESS_MAX;
use api::purge::{Count, EdgeProgress, Progress, Purge, Warm};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Numbers whose progress is remembered; of more, the oldest are forgotten.
const REMEMBERED_MAX: usize = 10_000;
/// Tasks that may wait; further ones are not done, and told as finished with nothing done.
const WAITING_MAX: usize = 10_000;
/// Questions of those that may wait for a pass over what is stored.
const QUESTIONS_MAX: usize = 32;

static GIVEN_UP: Rarely = Rarely::new();

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
        self.ledger.note(seq, |_| {});
        if self.tasks.try_send((seq, task)).is_err() {
            self.give_up(seq);
        }
    }

    fn give_up(&self, seq: u64) {
        if GIVEN_UP.is_time(clock::steady()) {
            tracing::warn!(
                seq,
                "there is too much to do: the work of entries is not done, of this one and perhaps others"
            );
        }
        self.ledger.note(seq, |progress| progress.finished = true);
    }
}

/// Where each kind of task is done.
pub(crate) struct Desks {
    /// Purges, to be counted.
    pub(crate) purged: mpsc::Sender<Begun>,
    /// Purges of which something is to be fetched again, and what is to be fetched. Who takes these tells when they are
    /// finished.
    pub(crate) fetches: mpsc::Sender<(u64, Task)>,
}

/// Has each task done where its kind is, for as long as any may come.
pub(crate) async fn run(
    mut tasks: mpsc::Receiver<(u64, Task)>,
    desks: Desks,
    work: Arc<Work>,
    (current, cache): (Current, &'static Cache),
) {
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let counting = count::run(asked, Arc::clone(&work), current, cache);
    let sorting = async move {
        while let Some((seq, task)) = tasks.recv().await {
            let is_taken = match task {
                Task::Count(count) => questions.try_send((seq, count)).is_ok(),
                Task::Purge(purge) => {
                    let fetches = purge.refetch > 0
                        && desks.fetches.try_send((seq, Task::Purge(purge))).is_ok();
                    desks.purged.try_send(Begun { seq, finishes: !fetches }).is_ok() || fetches
                }
                task @ Task::Warm(_) => desks.fetches.try_send((seq, task)).is_ok(),
            };
            if !is_taken {
                work.give_up(seq);
            }
        }
    };
    tokio::join!(sorting, counting);
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

    /// Notes progress of an entry, where its work was begun and isn't forgotten.
    pub(crate) fn note_begun(&self, seq: u64, change: impl FnOnce(&mut Progress)) {
        if let Some(noted) = self.lock().get_mut(&seq) {
            change(&mut noted.progress);
            self.changed.notify_one();
        }
    }

    /// Forgets everything: the numbers are of a log that isn't followed any more.
    pub(crate) fn clear(&self) {
        self.lock().clear();
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
    use api::id::SiteId;
    use api::purge::{Mode, Selector};

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

    fn purge(refetch: u32) -> Task {
        let site_id = SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        let (selector, mode, regions) = (Selector::Everything, Mode::Soft, Vec::new());
        Task::Purge(Purge { site_id, selector, mode, regions, refetch })
    }

    fn count() -> Task {
        let Task::Purge(Purge { site_id, selector, regions, .. }) = purge(0) else { panic!() };
        Task::Count(Count { site_id, selector, regions })
    }

    #[tokio::test]
    async fn tasks_come_to_where_they_are_done() {
        let limits = store::Limits {
            memory_bytes: 1 << 20,
            response_max_bytes: 1,
            filling_max_bytes: 1,
            variants_max: 1,
        };
        let cache = Box::leak(Box::new(Cache::new(store::Store::new(limits), 0)));
        let (work, tasks) = Work::new();
        let work = Arc::new(work);
        let ((purged, mut counted), (fetches, mut fetched)) = (mpsc::channel(9), mpsc::channel(9));
        let desks = Desks { purged, fetches };
        tokio::spawn(run(tasks, desks, Arc::clone(&work), (Current::default(), cache)));
        work.begin(1, purge(0));
        work.begin(2, purge(5));
        let begun = [counted.recv().await.unwrap(), counted.recv().await.unwrap()];
        assert_eq!(begun.map(|begun| (begun.seq, begun.finishes)), [(1, true), (2, false)]);
        assert!(matches!(fetched.recv().await, Some((2, Task::Purge(_)))));
        drop(fetched);
        work.begin(3, purge(5));
        let begun = counted.recv().await.unwrap();
        assert!(begun.seq == 3 && begun.finishes, "nobody fetches");
        // of a site that isn't served
        work.begin(4, count());
        while !work.ledger.news().iter().any(|news| news.seq == 4 && news.progress.finished) {
            work.ledger.changed().await;
        }
    }
}
