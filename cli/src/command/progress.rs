//! Follows what edges do about a number of the feed, and tells each step.

use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::output::{Output, bytes, count, table};
use api::purge::{EdgePurge, EdgeStanding, Kind, Progress, PurgeStatus};
use reqwest::Method;
use serde_json::Value;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long an edge may take to connect before it is said that there is none.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const POLL_FIRST: Duration = Duration::from_millis(5);
const POLL_LAST: Duration = Duration::from_millis(250);
/// Between two lines about how far the same edge has come.
const TELL_AGAIN: Duration = Duration::from_secs(1);
/// Edges of which each is told; of more, how many.
const TOLD_MAX: usize = 20;

/// What is followed.
pub(crate) struct About<'a> {
    /// The site as it was named.
    pub(crate) site: &'a str,
    /// What it is called.
    pub(crate) what: &'a str,
    pub(crate) seq: u64,
}

/// Follows until every edge that is waited for has done it; counts from `since`, `limit` at most.
pub(crate) async fn follow(
    about: &About<'_>,
    client: &Client,
    output: Output,
    since: Instant,
    limit: Duration,
) -> Result<(), Failure> {
    let (mut pause, mut teller) = (POLL_FIRST, Teller::default());
    loop {
        let (body, status) = read(about.seq, client).await?;
        if !output.json {
            teller.tell(&status).iter().for_each(|line| output.note(line));
        }
        if status.complete {
            output.result(&body, || format!("{}: {}", about.site, done(about.what, &status)));
            return Ok(());
        }
        let Some(left) = left(&status, since.elapsed(), limit) else {
            if output.json {
                output.result(&body, String::new);
            }
            return Err(late(&status, limit));
        };
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(POLL_LAST);
    }
}

/// How edges stand to a number now, as control has it and read.
pub(crate) async fn read(seq: u64, client: &Client) -> Result<(Value, PurgeStatus), Failure> {
    let path = &["v1", "purges", &seq.to_string()];
    let answer = client.send(Method::GET, Ask { path, ..Ask::default() }).await?;
    let status = answer.read()?;
    Ok((answer.body, status))
}

/// How long to go on after `waited`; not at all when time is up.
fn left(status: &PurgeStatus, waited: Duration, limit: Duration) -> Option<Duration> {
    let nobody = !status.edges.iter().any(|edge| is_awaited(edge.standing));
    let limit = if nobody { limit.min(CONNECT_LIMIT) } else { limit };
    limit.checked_sub(waited).filter(|left| !left.is_zero())
}

const fn is_awaited(standing: EdgeStanding) -> bool {
    matches!(standing, EdgeStanding::Waiting | EdgeStanding::Working)
}

/// What came of it, in a sentence.
fn done(what: &str, status: &PurgeStatus) -> String {
    let edges = status.edges.iter().filter(|edge| edge.standing == EdgeStanding::Done).count();
    let mut text = format!("{what} adopted by {}", count(edges, "edge"));
    if let Some(ms) = status.adopted_ms {
        text.push_str(&format!(" in {ms} ms"));
    }
    let sum = |of: fn(&Progress) -> u64| -> u64 {
        status.edges.iter().filter_map(|edge| edge.progress.as_ref()).map(of).sum()
    };
    match status.kind {
        Kind::Purge => {}
        Kind::Count => text.push_str(&format!("; it would match {}", responses(status.matched))),
        Kind::Revalidate | Kind::Warm => {
            let (fetched, failed) =
                (sum(|progress| progress.fetched), sum(|progress| progress.failed));
            text.push_str(&format!(
                "; {} fetched ({})",
                responses(fetched),
                bytes(sum(|p| p.bytes))
            ));
            if failed > 0 {
                text.push_str(&format!(", {failed} failed"));
            }
        }
    }
    text
}

fn responses(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "response")
}

fn late(status: &PurgeStatus, limit: Duration) -> Failure {
    let seq = status.seq;
    let behind = status.edges.iter().filter(|edge| is_awaited(edge.standing));
    let behind: Vec<String> = behind.map(|edge| edge.id.to_string()).collect();
    if behind.is_empty() {
        return Failure::Late(format!(
            "no edge is connected that could adopt it (feed {seq}); see `longshore edge list`"
        ));
    }
    let (limit, behind) = (limit.as_secs_f64(), behind.join(", "));
    Failure::Late(format!(
        "not yet done after {limit} s (feed {seq}) by {behind}; it stands, and is done when they can"
    ))
}

/// A row for each edge.
pub(crate) fn rows(status: &PurgeStatus) -> String {
    let rows: Vec<_> = status.edges.iter().map(row).collect();
    table(["EDGE", "REGION", "STANDING", "ADOPTED AFTER", "DONE"], &rows)
}

fn row(edge: &EdgePurge) -> [String; 5] {
    [
        edge.id.to_string(),
        edge.region.clone().unwrap_or_else(|| "-".to_owned()),
        word(edge.standing).to_owned(),
        edge.adopted_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
        edge.progress.as_ref().map_or_else(|| "-".to_owned(), progress),
    ]
}

const fn word(standing: EdgeStanding) -> &'static str {
    match standing {
        EdgeStanding::Done => "done",
        EdgeStanding::Working => "working",
        EdgeStanding::Waiting => "waiting",
        EdgeStanding::Stalled => "stalled",
        EdgeStanding::Away => "away",
        EdgeStanding::Elsewhere => "elsewhere",
    }
}

fn progress(progress: &Progress) -> String {
    let Progress { matched, to_fetch, fetched, failed, .. } = *progress;
    let mut parts = vec![format!("{} matched", responses(matched))];
    if to_fetch > 0 {
        parts.push(format!("{fetched} of {to_fetch} fetched"));
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    parts.join(", ")
}

/// Tells what is new.
#[derive(Default)]
struct Teller {
    told: HashMap<String, (EdgeStanding, Instant)>,
    told_done: usize,
}

impl Teller {
    fn tell(&mut self, status: &PurgeStatus) -> Vec<String> {
        if status.edges.len() > TOLD_MAX {
            return self.tell_many(status);
        }
        let news = status.edges.iter().filter(|edge| self.is_news(edge));
        let news: Vec<&EdgePurge> = news.collect();
        let lines = news.iter().map(|edge| line(edge)).collect();
        for edge in news {
            self.told.insert(edge.id.to_string(), (edge.standing, Instant::now()));
        }
        lines
    }

    /// What stands still isn't told: only what was adopted, what goes on, and who isn't waited for.
    fn is_news(&self, edge: &EdgePurge) -> bool {
        match self.told.get(edge.id.as_str()) {
            None => !matches!(edge.standing, EdgeStanding::Waiting | EdgeStanding::Elsewhere),
            Some((standing, _)) if *standing != edge.standing => true,
            Some((_, when)) => {
                edge.standing == EdgeStanding::Working && when.elapsed() > TELL_AGAIN
            }
        }
    }

    fn tell_many(&mut self, status: &PurgeStatus) -> Vec<String> {
        let done = status.edges.iter().filter(|edge| edge.standing == EdgeStanding::Done).count();
        if done == self.told_done {
            return Vec::new();
        }
        self.told_done = done;
        vec![format!("done by {done} of {}", count(status.edges.len(), "edge"))]
    }
}

fn line(edge: &EdgePurge) -> String {
    let mut line = format!("{}: {}", edge.id, word(edge.standing));
    if let Some(ms) = edge.adopted_ms {
        line.push_str(&format!(" ({ms} ms)"));
    }
    if let Some(done) = &edge.progress {
        line.push_str(&format!(", {}", progress(done)));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(kind: &str, edges: &Value) -> PurgeStatus {
        serde_json::from_value(json!({
            "seq": 7, "kind": kind, "site_id": "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", "mode": "hard",
            "selectors": {}, "created_at": "", "complete": true, "adopted_ms": 12, "matched": 41, "edges": edges,
        }))
        .unwrap()
    }

    fn edge(last: char, standing: &str, more: &Value) -> Value {
        let mut edge =
            json!({"id": format!("edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N{last}"), "standing": standing});
        edge.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        edge
    }

    #[test]
    fn what_came_of_it_is_one_sentence() {
        let edges = json!([
            edge(
                '1',
                "done",
                &json!({"adopted_ms": 12, "progress": {"fetched": 2, "bytes": 2_048, "failed": 1}})
            ),
            edge('2', "done", &json!({"adopted_ms": 9})),
            edge('3', "away", &json!({})),
        ]);
        let check = |kind, expected: &str| {
            assert_eq!(done("purge", &status(kind, &edges)), expected, "{kind}");
        };
        check("purge", "purge adopted by 2 edges in 12 ms");
        check("count", "purge adopted by 2 edges in 12 ms; it would match 41 responses");
        check("warm", "purge adopted by 2 edges in 12 ms; 2 responses fetched (2.0 KiB), 1 failed");
    }

    #[test]
    fn each_step_is_told_once() {
        let mut teller = Teller::default();
        let waiting = status(
            "purge",
            &json!([edge('1', "waiting", &json!({})), edge('2', "away", &json!({}))]),
        );
        assert_eq!(teller.tell(&waiting), ["edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2: away"]);
        let done = status(
            "purge",
            &json!([edge('1', "done", &json!({"adopted_ms": 3})), edge('2', "away", &json!({}))]),
        );
        assert_eq!(teller.tell(&done), ["edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N1: done (3 ms)"]);
        assert!(teller.tell(&done).is_empty());
    }

    #[test]
    fn nobody_is_waited_for_when_no_edge_connects() {
        let [soon, limit] = [Duration::from_millis(1_500), Duration::from_secs(30)];
        let nobody = status("purge", &json!([edge('1', "away", &json!({}))]));
        assert_eq!(left(&nobody, soon, limit), Some(Duration::from_millis(500)));
        assert_eq!(left(&nobody, CONNECT_LIMIT, limit), None);
        assert!(late(&nobody, limit).to_string().contains("no edge is connected"));
        let behind = status("purge", &json!([edge('1', "waiting", &json!({}))]));
        assert_eq!(left(&behind, CONNECT_LIMIT, limit), Some(Duration::from_secs(28)));
        assert!(late(&behind, limit).to_string().contains("edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N1"));
    }
}
