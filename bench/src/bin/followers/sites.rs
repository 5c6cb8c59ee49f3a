//! The sites, and changes to them, by control's API.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use testkit::{Client, Control, Response};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Connections that put sites at once. Control writes one after the other; they keep it busy.
const CONNECTIONS: usize = 8;

/// Puts sites.
pub(crate) struct Writer {
    api: Mutex<Api>,
    newest: AtomicU64,
}

/// A connection to control.
struct Api {
    client: Option<Client>,
    address: SocketAddr,
    token: String,
}

impl Writer {
    /// Puts `count` sites.
    pub(crate) async fn put(control: &Control, count: usize) -> Result<Self> {
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (next, mut api) = (Arc::clone(&next), Api::new(control));
            tasks.spawn(async move {
                let mut newest = 0;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok::<u64, anyhow::Error>(newest);
                    }
                    newest = api.send("POST", "/v1/sites", &site(number, 0)).await?;
                }
            });
        }
        let mut newest = 0;
        while let Some(done) = tasks.join_next().await {
            newest = newest.max(done??);
        }
        Ok(Self { api: Mutex::new(Api::new(control)), newest: AtomicU64::new(newest) })
    }

    /// Changes one site. Returns the number of the change.
    pub(crate) async fn change(&self, number: usize) -> Result<u64> {
        let mut api = self.api.lock().await;
        let change = self.newest();
        let seq = api.send("PUT", &format!("/v1/sites/s{number}"), &site(number, change)).await?;
        self.newest.store(seq, Ordering::Relaxed);
        Ok(seq)
    }

    /// The newest number it was told.
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }
}

impl Api {
    fn new(control: &Control) -> Self {
        Self { client: None, address: control.address(), token: control.admin_token().to_owned() }
    }

    /// Sends a document. Returns its number.
    async fn send(&mut self, method: &str, path: &str, document: &Value) -> Result<u64> {
        let body = document.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nIf-Match: *\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        );
        let kept = match self.client.take() {
            Some(client) => answered(client, &request).await.ok(),
            None => None,
        };
        // one that was kept for long may be closed by now
        let (client, response) = match kept {
            Some(answered) => answered,
            None => answered(Client::try_connect(self.address).await?, &request).await?,
        };
        ensure!(matches!(response.status, 200 | 201), "{}{}", response.head, response.text());
        self.client = Some(client);
        let record: Value = serde_json::from_slice(&response.body)?;
        record["seq"].as_u64().context("no number in the answer")
    }
}

async fn answered(mut client: Client, request: &str) -> Result<(Client, Response)> {
    client.try_send(request).await?;
    let response = client.response().await?;
    Ok((client, response))
}

/// A site of some 600 bytes.
fn site(number: usize, change: u64) -> Value {
    json!({
        "name": format!("s{number}"),
        "hosts": [format!("s{number}.example"), format!("www.s{number}.example")],
        "origins": [{ "name": "main", "url": format!("http://origin-{number}.example:8080") }],
        "rules": [
            { "paths": ["/static/*"], "cache": { "default_lifetime_seconds": 86_400 + change % 1_000 } },
            { "paths": ["/api/*"], "cache": { "enabled": false } },
            { "paths": ["/old"], "redirect": { "to": format!("/new/{change}") } },
        ],
    })
}
