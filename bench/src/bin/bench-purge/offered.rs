//! What becomes of more purges a second than anybody waits for?

use crate::fleet::{Fleet, HOST};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};

/// Connections over which batches are offered.
const CONNECTIONS: usize = 8;
/// Pages at each edge that a purge is to reach.
const PAGES: usize = 20;

/// How purges are offered.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) batches_per_second: usize,
    pub(crate) selectors: usize,
    pub(crate) seconds: usize,
}

/// What one connection came to.
#[derive(Default)]
struct Offered {
    accepted: u64,
    refused: u64,
    newest: u64,
}

pub(crate) async fn measure(fleet: &Fleet, shape: Shape) -> Result<Value> {
    fill(fleet).await;
    let before = fleet.cpu()?;
    let began = Instant::now();
    let mut offering = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (address, token) = (fleet.control.address(), fleet.control.admin_token().to_owned());
        offering.spawn(async move {
            let client = Client::connect(address).await;
            offer(client, &token, connection, shape, began).await
        });
    }
    let (mut sum, mut ticks) = (Offered::default(), interval(Duration::from_millis(500)));
    let mut highest_lag = 0;
    while !offering.is_empty() {
        tokio::select! {
            Some(ended) = offering.join_next() => {
                let ended = ended??;
                sum.accepted += ended.accepted;
                sum.refused += ended.refused;
                sum.newest = sum.newest.max(ended.newest);
            }
            _ = ticks.tick() => {
                let edges = fleet.control.edges().await;
                highest_lag = highest_lag.max(edges.iter().map(|edge| edge.lag).max().unwrap_or_default());
            }
        }
    }
    let offered_for = began.elapsed();
    let behind = fleet.wait_adopted(sum.newest).await?;
    let after = fleet.cpu()?;
    let reached = reached(fleet).await?;
    let (control, edges) = (after.0.since(before.0), after.1.since(before.1));
    Ok(json!({
        "batches_per_second": shape.batches_per_second,
        "selectors": shape.selectors,
        "offered_for_s": offered_for.as_secs_f64(),
        "accepted": sum.accepted,
        "refused": sum.refused,
        "highest_lag_entries": highest_lag,
        "behind_at_the_end_ms": behind.as_secs_f64() * 1_000.0,
        "cpu_s": {"control": control.user + control.system, "edges": edges.user + edges.system},
        "purged_pages_fetched_anew": reached,
    }))
}

/// Has every edge store the pages.
async fn fill(fleet: &Fleet) {
    for edge in &fleet.edges {
        let mut client = edge.connect().await;
        for page in 0..PAGES {
            client.get(HOST, &format!("/page{page}")).await;
        }
    }
}

/// How many of the pages are fetched anew: all, or purges were lost.
async fn reached(fleet: &Fleet) -> Result<usize> {
    let mut anew = 0;
    for edge in &fleet.edges {
        let mut client = edge.connect().await;
        for page in 0..PAGES {
            let answer = client.get(HOST, &format!("/page{page}")).await;
            anew += usize::from(!answer.is_hit());
        }
    }
    ensure!(anew == fleet.edges.len() * PAGES, "only {anew} purged pages were fetched anew");
    Ok(anew)
}

/// Offers this connection's share of the batches, each at its time.
async fn offer(
    mut client: Client,
    token: &str,
    connection: usize,
    shape: Shape,
    began: Instant,
) -> Result<Offered> {
    let mut offered = Offered::default();
    let batches = shape.batches_per_second * shape.seconds;
    let pace = Duration::from_secs(1) / u32::try_from(shape.batches_per_second)?;
    for batch in (connection..batches).step_by(CONNECTIONS) {
        sleep_until(began + pace * u32::try_from(batch)?).await;
        let mut tags: Vec<String> =
            (0..shape.selectors).map(|tag| format!("t{batch}-{tag}-{}", shape.selectors)).collect();
        if batch == batches / 2 {
            tags.push("purged-page".to_owned());
        }
        let (status, answer) = Fleet::purge(&mut client, token, &json!({"tags": tags})).await?;
        if status == 202 {
            offered.accepted += 1;
            offered.newest = answer["seq"].as_u64().context("a number")?;
        } else {
            offered.refused += 1;
        }
    }
    Ok(offered)
}
