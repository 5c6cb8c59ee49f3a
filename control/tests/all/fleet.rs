//! Edges that say what a test has them say.

use crate::client::{Answer, Client};
use crate::feed::Feed;
use serde_json::{Value, json};

/// An edge that reports by hand.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) id: String,
    control: Client,
    log: String,
    region: Option<&'static str>,
}

impl Edge {
    /// The edge number `index`, which has a token that may report.
    pub(crate) async fn new(control: &Client, index: u32, region: Option<&'static str>) -> Self {
        let log = Feed::open(control, "").await.hello().await.log.to_string();
        Self { id: format!("edge_{index:026}"), control: control.clone(), log, region }
    }

    /// Another edge of the same region.
    pub(crate) fn another(&self, index: u32) -> Self {
        Self { id: format!("edge_{index:026}"), ..self.clone() }
    }

    /// The same edge, which reports to another replica.
    pub(crate) fn at(&self, control: &Client) -> Self {
        let control = control.with(self.control.token.clone());
        Self { control, ..self.clone() }
    }

    pub(crate) fn report(&self, adopted: u64, progress: &Value) -> Value {
        json!({
            "http_address": "127.0.0.1:8080", "admin_address": "127.0.0.1:9180",
            "software_version": "0.1.0", "log": self.log, "adopted": adopted,
            "region": self.region, "progress": progress,
        })
    }

    pub(crate) async fn adopt(&self, adopted: u64) {
        self.tell(&self.report(adopted, &json!([]))).await.expect(204);
    }

    pub(crate) async fn work(&self, adopted: u64, progress: Value) {
        self.tell(&self.report(adopted, &json!([progress]))).await.expect(204);
    }

    pub(crate) async fn tell(&self, report: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        let path = format!("/v1/edges/{}", self.id);
        self.control.send("PUT", &path, &headers, report.to_string()).await
    }
}
