//! One control, its edges, and an origin with pages that are tagged.

use crate::cpu::CpuTime;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Client, Control, Edge, EdgeOptions, Origin};
use tokio::time::{Instant, sleep};

/// Of the site that is purged.
pub(crate) const HOST: &str = "purged.example";
const CATCH_UP: Duration = Duration::from_secs(120);

/// What is measured.
pub(crate) struct Fleet {
    pub(crate) control: Control,
    pub(crate) edges: Vec<Edge>,
    pub(crate) origin: Origin,
}

impl Fleet {
    /// Starts as many edges, which all serve the site.
    pub(crate) async fn start(count: usize) -> Result<Self> {
        let (control, origin) = (Control::start().await, Origin::start().await);
        origin
            .on("/page*")
            .respond(200)
            .header("Cache-Control", "max-age=86400")
            .header("Cache-Tag", "page, purged-page")
            .body(vec![b'x'; 1_024]);
        let site = json!({
            "name": "purged", "hosts": [HOST], "origins": [{"name": "main", "url": origin.url(), "read_timeout_seconds": 600}],
        });
        let seq = control.put_site(&site).await.seq;
        let token = control.token(&["edge"]).await;
        let mut edges = Vec::new();
        for _ in 0..count {
            let options = EdgeOptions::new().control(&control.url(), &token).without_access_log();
            edges.push(Edge::start(options.config("[http]\nthreads = 1\n")).await);
        }
        let fleet = Self { control, edges, origin };
        fleet.wait_adopted(seq).await?;
        Ok(fleet)
    }

    /// Purges; answers the status and what control said.
    pub(crate) async fn purge(
        client: &mut Client,
        token: &str,
        body: &Value,
    ) -> Result<(u16, Value)> {
        let body = body.to_string();
        let head = format!(
            "POST /v1/sites/purged/purge HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.try_send([head.as_bytes(), body.as_bytes()].concat()).await?;
        let answer = client.response().await?;
        Ok((answer.status, serde_json::from_slice(&answer.body)?))
    }

    /// Waits until every edge has adopted `seq`; tells how long it took.
    pub(crate) async fn wait_adopted(&self, seq: u64) -> Result<Duration> {
        let began = Instant::now();
        while self.lowest().await? < seq {
            ensure!(began.elapsed() < CATCH_UP, "not all edges adopted {seq}");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(began.elapsed())
    }

    /// The number that every edge has adopted.
    pub(crate) async fn lowest(&self) -> Result<u64> {
        let edges = self.control.edges().await;
        if edges.len() < self.edges.len() {
            return Ok(0);
        }
        edges.iter().map(|edge| edge.report.adopted).min().context("there are edges")
    }

    /// Processor time of control, and of all edges.
    pub(crate) fn cpu(&self) -> Result<(CpuTime, CpuTime)> {
        let control: Vec<u32> = self.control.program.id().into_iter().collect();
        let edges: Vec<u32> = self.edges.iter().filter_map(|edge| edge.program.id()).collect();
        Ok((CpuTime::of(&control)?, CpuTime::of(&edges)?))
    }
}
