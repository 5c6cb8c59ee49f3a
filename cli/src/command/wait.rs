//! Waits until edges have adopted a place in the feed.

use crate::client::Client;
use crate::failure::Failure;
use crate::output::count;
use api::edge::{EdgeList, EdgeStatus};
use api::id::SiteId;
use std::time::{Duration, Instant};

/// How long an edge may take to connect before it is said that there is none.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_LAST: Duration = Duration::from_millis(250);

/// Every connected edge has it.
#[derive(Debug)]
pub(crate) struct Adoption {
    edges: usize,
    took: Duration,
}

impl std::fmt::Display for Adoption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "adopted by {} in {} ms", count(self.edges, "edge"), self.took.as_millis())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    NoEdge,
    Behind(Vec<String>),
    Done(usize),
}

/// Waits until every connected edge, and at least one, has adopted `seq`; counts from `since`, `limit` at most, and
/// no longer than [`CONNECT_LIMIT`] for an edge to connect.
/// An edge that refuses the document `site` got with `seq` ends the waiting.
pub(crate) async fn adopted(
    client: &Client,
    seq: u64,
    site: Option<&SiteId>,
    since: Instant,
    limit: Duration,
) -> Result<Adoption, Failure> {
    let mut pause = POLL_FIRST;
    loop {
        let list: EdgeList = client.read(&["v1", "edges"]).await?;
        refused(&list.edges, seq, site)?;
        let progress = progress(&list.edges, seq);
        if let Progress::Done(edges) = progress {
            return Ok(Adoption { edges, took: since.elapsed() });
        }
        let Some(left) = progress.left(since.elapsed(), limit) else {
            return Err(late(&progress, seq, limit));
        };
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(POLL_LAST);
    }
}

impl Progress {
    /// How long to go on waiting after `waited`; not at all when time is up.
    fn left(&self, waited: Duration, limit: Duration) -> Option<Duration> {
        let limit = if *self == Self::NoEdge { limit.min(CONNECT_LIMIT) } else { limit };
        limit.checked_sub(waited).filter(|left| !left.is_zero())
    }
}

/// An edge has `seq` when its lag reaches no further back. `adopted` alone won't do: it may count in another log.
fn progress(edges: &[EdgeStatus], seq: u64) -> Progress {
    let connected: Vec<_> = edges.iter().filter(|edge| edge.connected).collect();
    let behind = connected.iter().filter(|edge| edge.newest.saturating_sub(edge.lag) < seq);
    let behind: Vec<String> = behind.map(|edge| edge.id.to_string()).collect();
    match (connected.len(), behind.is_empty()) {
        (0, _) => Progress::NoEdge,
        (_, false) => Progress::Behind(behind),
        (edges, true) => Progress::Done(edges),
    }
}

fn refused(edges: &[EdgeStatus], seq: u64, site: Option<&SiteId>) -> Result<(), Failure> {
    for edge in edges.iter().filter(|edge| edge.connected) {
        let mut rejected = edge.report.rejected.iter();
        let about =
            rejected.find(|rejected| Some(&rejected.site_id) == site && rejected.seq >= seq);
        if let Some(rejected) = about {
            let (edge, problems) = (edge.id.clone(), rejected.problems.clone());
            return Err(Failure::Rejected { edge, problems });
        }
    }
    Ok(())
}

fn late(progress: &Progress, seq: u64, limit: Duration) -> Failure {
    let limit = limit.as_secs_f64();
    Failure::Late(match progress {
        Progress::Behind(edges) => {
            format!("not yet adopted after {limit} s (feed {seq}) by {}", edges.join(", "))
        }
        Progress::NoEdge | Progress::Done(_) => {
            format!(
                "no edge is connected that could adopt it (feed {seq}); see `longshore edge list`"
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn edge(connected: bool, adopted: u64, newest: u64, lag: u64) -> EdgeStatus {
        let id = "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2";
        let status = json!({
            "id": id, "http_address": "", "admin_address": "", "software_version": "", "adopted": adopted,
            "newest": newest, "lag": lag, "last_seen": "", "connected": connected,
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn only_connected_edges_count_and_only_in_this_log() {
        assert_eq!(progress(&[], 5), Progress::NoEdge);
        assert_eq!(progress(&[edge(false, 9, 9, 0)], 5), Progress::NoEdge);
        assert_eq!(progress(&[edge(true, 5, 6, 1), edge(false, 1, 6, 5)], 5), Progress::Done(1));
        for behind in [edge(true, 4, 6, 2), edge(true, 900, 6, 6)] {
            let expected = Progress::Behind(vec![behind.id.to_string()]);
            assert_eq!(progress(&[edge(true, 6, 6, 0), behind], 5), expected);
        }
    }

    #[test]
    fn nobody_is_waited_for_when_no_edge_connects() {
        let [soon, limit] = [Duration::from_millis(1_500), Duration::from_secs(30)];
        assert_eq!(Progress::NoEdge.left(soon, limit), Some(Duration::from_millis(500)));
        assert_eq!(Progress::NoEdge.left(CONNECT_LIMIT, limit), None);
        assert_eq!(Progress::NoEdge.left(soon, Duration::from_secs(1)), None);
        let behind = Progress::Behind(Vec::new());
        assert_eq!(behind.left(CONNECT_LIMIT, limit), Some(Duration::from_secs(28)));
        assert_eq!(behind.left(limit, limit), None);
    }

    #[test]
    fn an_edge_that_refuses_the_document_ends_the_waiting() {
        let site = SiteId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        let mut refusing = edge(true, 5, 5, 0);
        refusing.report.rejected =
            vec![api::edge::RejectedSite { site_id: site.clone(), seq: 5, problems: Vec::new() }];
        let edges = [refusing];
        assert!(refused(&edges, 5, Some(&site)).is_err());
        assert!(refused(&edges, 6, Some(&site)).is_ok() && refused(&edges, 5, None).is_ok());
    }
}
