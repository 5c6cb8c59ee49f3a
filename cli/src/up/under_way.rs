//! How many requests an edge is answering, from its metrics.

use super::addresses;
use crate::client::{Ask, Client};
use crate::settings::Settings;
use reqwest::{Method, Url};
use serde_json::Value;
use std::time::Duration;

const METRIC: &str = "longshore_edge_requests_open";
const LIMIT: Duration = Duration::from_secs(1);

/// The requests under way at an edge, by what it said when it was ready. None where it does not tell at once.
pub(super) async fn requests(edge: &Value) -> Option<u64> {
    let admin = addresses::reachable(edge, "admin").ok()?;
    tokio::time::timeout(LIMIT, ask(admin)).await.ok()?
}

async fn ask(admin: Url) -> Option<u64> {
    let client = Client::new(&Settings { control: admin, token: None, ca_file: None }).ok()?;
    let ask = Ask { path: &["metrics"], ..Ask::default() };
    let answer = client.send(Method::GET, ask).await.ok()?;
    read(answer.body.as_str()?)
}

fn read(metrics: &str) -> Option<u64> {
    let mut words = metrics.lines().map(|line| line.split_once(' '));
    words.find_map(|line| line.filter(|(name, _)| *name == METRIC))?.1.parse().ok()
}

/// What is said before it is waited for them.
pub(super) fn told(requests: u64) -> String {
    let requests = crate::output::count(usize::try_from(requests).unwrap_or(usize::MAX), "request");
    format!("Waiting up to 10 s for {requests} under way; a second Ctrl-C does not wait.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_is_found_among_others() {
        let metrics =
            "# TYPE longshore_edge_requests_open gauge\nlongshore_edge_requests_open 3\nother 4\n";
        assert_eq!(read(metrics), Some(3));
        for other in
            ["", "longshore_edge_requests_open_total 3\n", "longshore_edge_requests_open x"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
