//! `longshore status`: how control and the edges are.

use super::edge::rows;
use crate::client::{Answer, Ask, Client};
use crate::failure::Failure;
use crate::output::Output;
use api::edge::EdgeList;
use reqwest::Method;
use serde_json::json;

/// Shows control's health and the edges; fails when control is not ready.
pub(crate) async fn run(client: &Client, output: Output) -> Result<(), Failure> {
    probe("healthz", client).await?;
    let ready = probe("readyz", client).await;
    if ready.is_err() {
        output.note(&format!("control {}: healthy, not ready", client.control()));
    }
    ready?;
    let ask = Ask { path: &["v1", "edges"], ..Ask::default() };
    let answer = client.send(Method::GET, ask).await?;
    let list: EdgeList = answer.read()?;
    let control = client.control();
    let value = json!({
        "control": { "url": control, "healthy": true, "ready": true },
        "edges": answer.body["edges"],
    });
    output.result(&value, || {
        let edges =
            if list.edges.is_empty() { "no edge yet".to_owned() } else { rows(&list.edges) };
        format!("control {control}: healthy, ready\n\n{edges}")
    });
    Ok(())
}

async fn probe(what: &str, client: &Client) -> Result<Answer, Failure> {
    client.send(Method::GET, Ask { path: &[what], ..Ask::default() }).await
}
