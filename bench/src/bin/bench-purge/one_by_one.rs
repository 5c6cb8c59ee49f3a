//! How long does it take from the call until every edge has it in force?

use crate::fleet::Fleet;
use crate::percentile;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::Client;
use tokio::time::Instant;

pub(crate) async fn measure(fleet: &Fleet, count: usize) -> Result<Value> {
    let mut client = Client::connect(fleet.control.address()).await;
    let token = fleet.control.admin_token();
    let (mut times, mut told) = (Vec::new(), Vec::new());
    for number in 0..count {
        let body = json!({"tags": [format!("one-{number}")], "wait": "all", "timeout_ms": 10_000});
        let began = Instant::now();
        let (status, answer) = Fleet::purge(&mut client, token, &body).await?;
        ensure!(status == 200, "purge {number}: {status} {answer}");
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
        told.extend(answer["adopted_ms"].as_f64());
    }
    Ok(json!({
        "purges": count,
        "call_ms": {
            "p50": percentile(&mut times, 0.5), "p99": percentile(&mut times, 0.99), "max": percentile(&mut times, 1.0),
        },
        "adopted_ms": {
            "p50": percentile(&mut told, 0.5), "p99": percentile(&mut told, 0.99), "max": percentile(&mut told, 1.0),
        },
    }))
}
