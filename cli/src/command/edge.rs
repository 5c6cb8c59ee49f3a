//! `longshore edge`: list, rm.

use crate::args::Edge as Args;
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::output::{Output, table};
use api::edge::{EdgeList, EdgeStatus};
use reqwest::Method;
use serde_json::json;

/// Does what was asked.
pub(crate) async fn run(args: &Args, client: &Client, output: Output) -> Result<(), Failure> {
    match args {
        Args::List => list(client, output).await,
        Args::Rm { id } => {
            let path = &["v1", "edges", id.as_str()];
            client.send(Method::DELETE, Ask { path, ..Ask::default() }).await?.read_nothing()?;
            output.result(&json!({ "removed": id }), || format!("{id}: removed"));
            Ok(())
        }
    }
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let ask = Ask { path: &["v1", "edges"], ..Ask::default() };
    let answer = client.send(Method::GET, ask).await?;
    let list: EdgeList = answer.read()?;
    output.result(&answer.body, || rows(&list.edges));
    Ok(())
}

/// A row for each edge.
pub(crate) fn rows(edges: &[EdgeStatus]) -> String {
    let rows: Vec<_> = edges.iter().map(row).collect();
    table(
        ["ID", "ADDRESS", "REGION", "VERSION", "ADOPTED", "NEWEST", "LAG", "LAST SEEN", "STATE"],
        &rows,
    )
}

fn row(edge: &EdgeStatus) -> [String; 9] {
    [
        edge.id.to_string(),
        edge.report.http_address.clone(),
        edge.report.region.clone().unwrap_or_else(|| "-".to_owned()),
        edge.report.software_version.clone(),
        edge.report.adopted.to_string(),
        edge.newest.to_string(),
        edge.lag.to_string(),
        edge.last_seen.clone(),
        state(edge),
    ]
}

fn state(edge: &EdgeStatus) -> String {
    let connected = match edge {
        EdgeStatus { connected: false, .. } => "away",
        EdgeStatus { stalled: true, .. } => "stalled",
        _ => "connected",
    };
    match edge.report.rejected.len() {
        0 => connected.to_owned(),
        sites => format!("{connected}, rejects {}", crate::output::count(sites, "site")),
    }
}
