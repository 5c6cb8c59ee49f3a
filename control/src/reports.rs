//! How are the reports of many edges kept without a flush for each? What comes while one transaction is written waits
//! for the next, and shares it.

use crate::clock::now;
use crate::db::reports::Report;
use crate::router::App;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

/// Reports of one transaction.
const BATCH_MAX: usize = 2_000;
/// How long reports are gathered while many come.
const GATHERING: Duration = Duration::from_millis(5);
/// After this long without one, a report is written at once.
const QUIET: Duration = Duration::from_millis(50);

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is on disk.
    Kept,
    /// It is of a new edge, and there are too many.
    Refused,
    /// The database failed.
    Failed,
}

/// Where reports wait to be written.
#[derive(Default)]
pub(crate) struct Desk {
    waiting: Mutex<Vec<(Report, oneshot::Sender<Outcome>)>>,
    arrived: Notify,
}

impl Desk {
    /// Hands in a report, and waits until it is on disk.
    pub(crate) async fn hand_in(&self, report: Report) -> Outcome {
        let (answer, answered) = oneshot::channel();
        self.lock().push((report, answer));
        self.arrived.notify_one();
        // a service that stops writes nothing any more
        answered.await.unwrap_or(Outcome::Failed)
    }

    fn take(&self) -> Vec<(Report, oneshot::Sender<Outcome>)> {
        let mut waiting = self.lock();
        if waiting.len() <= BATCH_MAX {
            return mem::take(&mut *waiting);
        }
        self.arrived.notify_one();
        let later = waiting.split_off(BATCH_MAX);
        mem::replace(&mut *waiting, later)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Report, oneshot::Sender<Outcome>)>> {
        // a list is whole after every push
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is handed in, for ever.
pub(crate) async fn write(app: Arc<App>) {
    let mut written: Option<Instant> = None;
    loop {
        app.desk.arrived.notified().await;
        if written.is_some_and(|written| written.elapsed() < QUIET) {
            sleep(GATHERING).await;
        }
        write_batch(&app, app.desk.take()).await;
        written = Some(Instant::now());
    }
}

async fn write_batch(app: &App, batch: Vec<(Report, oneshot::Sender<Outcome>)>) {
    if batch.is_empty() {
        return;
    }
    let (reports, answers): (Vec<Report>, Vec<_>) = batch.into_iter().unzip();
    let kept = app.db.keep_reports(&reports, now()).await;
    if let Err(error) = &kept {
        tracing::error!("{} reports could not be kept: {error}", reports.len());
    }
    app.metrics.report_transaction();
    app.waiting.word();
    for (report, answer) in reports.iter().zip(answers) {
        let outcome = match &kept {
            Ok(kept) if kept.refused.contains(&report.id) => Outcome::Refused,
            Ok(_) => Outcome::Kept,
            Err(_) => Outcome::Failed,
        };
        // an edge that has gone asks for no answer
        let _ = answer.send(outcome);
    }
}
