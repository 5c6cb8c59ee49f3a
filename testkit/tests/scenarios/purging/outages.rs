//! Programs that end between any two steps of a purge: accepted, adopted, confirmed, started again.

use super::{Installation, SELECTORS, parsed};
use serde_json::json;
use testkit::{Control, eventually};

/// What a purge has come to when the edge is killed.
#[derive(Debug, Clone, Copy)]
enum Step {
    Before,
    Accepted,
    Confirmed,
}

impl Installation {
    /// Waits until what is stored is on disk.
    async fn written(&self) {
        eventually("nothing to wait to be written", || async {
            let metrics = self.edge.metrics().await;
            let waits = ["longshore_edge_store_filling", "longshore_edge_store_queue_bytes"];
            waits.iter().all(|name| metrics.sum(name, &[]) == 0.0).then_some(())
        })
        .await;
    }
}

async fn check_edge_killed(step: Step) {
    let mut own = Installation::start().await;
    for selector in SELECTORS {
        own.store_old("/a", selector).await;
        own.written().await;
        let body = parsed(selector);
        if matches!(step, Step::Before) {
            own.edge.program.kill().await;
        }
        let seq = match step {
            Step::Before | Step::Accepted => own.accepted(&body).await,
            Step::Confirmed => own.purge(&body).await.seq,
        };
        if !matches!(step, Step::Before) {
            own.edge.program.kill().await;
        }
        own.script("/a", "new");
        own.edge.start_again().await;
        own.edge.wait_ready().await;
        own.control.wait_adopted(&own.edge, seq).await;
        own.check("/a", "new", &format!("{step:?} {selector}")).await;
        own.purge(&json!({ "everything": true })).await;
    }
}

#[tokio::test]
async fn a_purge_while_the_edge_is_dead_reaches_what_it_has_on_disk() {
    check_edge_killed(Step::Before).await;
}

#[tokio::test]
async fn a_purge_outlasts_the_edge_s_death_when_it_was_accepted() {
    check_edge_killed(Step::Accepted).await;
}

#[tokio::test]
async fn a_purge_outlasts_the_edge_s_death_when_it_was_confirmed() {
    check_edge_killed(Step::Confirmed).await;
}

#[tokio::test]
async fn what_was_confirmed_holds_after_a_restart_without_control() {
    let mut own = Installation::start().await;
    own.store_old("/a", "before").await;
    own.written().await;
    own.purge(&json!({ "tags": ["one"] })).await;
    own.edge.program.kill().await;
    own.control.program.kill().await;
    own.script("/a", "new");
    own.edge.start_again().await;
    own.edge.wait_ready().await;
    own.check("/a", "new", "without control").await;
}

#[tokio::test]
async fn a_purge_outlasts_control_s_death_when_it_was_accepted() {
    let mut own = Installation::start().await;
    for selector in SELECTORS {
        own.store_old("/a", selector).await;
        let seq = own.accepted(&parsed(selector)).await;
        own.control.program.kill().await;
        own.script("/a", "new");
        own.control.start_again().await;
        own.control.wait_adopted(&own.edge, seq).await;
        own.check("/a", "new", selector).await;
        own.purge(&json!({ "everything": true })).await;
    }
}

/// Control drops purges beyond those it keeps when it starts.
#[tokio::test]
async fn a_purge_reaches_an_edge_that_was_away_for_longer_than_it_is_kept() {
    let mut own = Installation::under(Control::start_with(&["--purges-kept-max", "2"]).await).await;
    for selector in SELECTORS {
        own.store_old("/a", selector).await;
        own.written().await;
        own.edge.program.kill().await;
        own.accepted(&parsed(selector)).await;
        for _ in 0..5 {
            own.accepted(&json!({ "tags": ["nobody"] })).await;
        }
        own.control.program.kill().await;
        own.control.start_again().await;
        let seq = own.accepted(&json!({ "tags": ["nobody"] })).await;
        own.script("/a", "new");
        own.edge.start_again().await;
        own.edge.wait_ready().await;
        own.control.wait_adopted(&own.edge, seq).await;
        own.check("/a", "new", selector).await;
        own.purge(&json!({ "everything": true })).await;
    }
}
