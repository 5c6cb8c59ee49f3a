//! Tells control what is on disk, and what was done for entries.
//!
//! One report is under way at a time, and the next tells the newest: so one that takes long delays one report, and none
//! is told late that could be left out.

use super::Feed;
use super::adopted::Adopted;
use crate::work::Ledger;
use api::edge::{EdgeReport, REPORT_SECONDS};
use api::purge::EdgeProgress;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Between two reports, at least.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two reports, where only what was done for entries is new.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);
/// After a report that did not reach control.
const RETRY: Duration = Duration::from_millis(500);
/// Of the problems of one site, those that are told: a report has to stay one that control takes.
const PROBLEMS_TOLD_MAX: usize = 3;
const SIGN_OF_LIFE: Duration = Duration::from_secs(REPORT_SECONDS);

/// Reports for ever.
pub(super) async fn run(feed: &Feed, mut kept: watch::Receiver<Adopted>) {
    let ledger = &feed.work.ledger;
    let mut is_told = false;
    loop {
        let began = Instant::now();
        let report = report_of(feed, &kept.borrow_and_update(), ledger.news());
        match feed.link.report(feed.directory.edge_id(), &report).await {
            Ok(()) => {
                is_told = false;
                feed.telemetry.metrics.feed.reported.set(super::number(report.adopted));
                ledger.told(&report.progress);
                wait(began, ledger, &mut kept).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("reports do not reach control: {error}");
                }
                sleep(RETRY).await;
            }
        }
    }
}

/// Waits until a report is due after one that began then.
async fn wait(began: Instant, ledger: &Ledger, kept: &mut watch::Receiver<Adopted>) {
    let adopted = async {
        kept.changed().await.ok();
        sleep_until(began + PAUSE).await;
    };
    let progressed = async {
        if ledger.news().is_empty() {
            ledger.changed().await;
        }
        sleep_until(began + PROGRESS_PAUSE).await;
    };
    tokio::select! {
        () = adopted => {}
        () = progressed => {}
        () = sleep_until(began + SIGN_OF_LIFE) => {}
    }
}

fn report_of(feed: &Feed, adopted: &Adopted, progress: Vec<EdgeProgress>) -> EdgeReport {
    let rejected = adopted.rejected().map(|rejected| {
        let mut told = rejected.told.clone();
        told.problems.truncate(PROBLEMS_TOLD_MAX);
        told
    });
    EdgeReport {
        http_address: feed.http_address.clone(),
        https_address: feed.https_address.clone(),
        admin_address: feed.admin_address.clone(),
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        log: adopted.log().cloned(),
        adopted: adopted.applied,
        rejected: rejected.take(api::edge::REJECTED_MAX).collect(),
        region: feed.region.clone(),
        progress,
    }
}
