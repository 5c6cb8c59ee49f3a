//! Sends cases through an edge to an origin, and compares what both have seen.

use super::origins::{Origin, Seen};
use super::{Case, Kind};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::{Edge, EdgeOptions, Feed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at a time.
const AT_A_TIME: usize = 48;
/// A connection on which nothing comes for so long has had all its answers.
const QUIET: Duration = Duration::from_millis(300);
/// How often, and how long, the logs are waited for.
const SETTLE: Duration = Duration::from_millis(500);
/// Hosts that cases of other people's name.
const HOSTS: [&str; 13] = [
    "localhost",
    "a",
    "example.com",
    "www.example.com",
    "whatever",
    "example.org",
    "github.com",
    "foo",
    "fanout",
    "google.com",
    "hypnotoad.org",
    "h2o.http-garden.us",
    "other",
];

/// What came of all cases with one origin.
#[derive(Debug)]
pub struct Run {
    /// The origin.
    pub kind: Kind,
    /// Connections, and requests that the origin saw.
    pub counts: (usize, usize),
    /// Refused cases, of so many, by group.
    pub refused: BTreeMap<String, Tally>,
    /// Cases that weren't refused, and right ones that were, by group.
    pub odd: BTreeMap<String, Vec<String>>,
    /// What must not be.
    pub wrong: Vec<String>,
}

/// How many of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Refused.
    pub refused: usize,
    /// All.
    pub of: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.refused, self.of)
    }
}

/// Sends every case through an edge to an origin of this kind.
///
/// # Errors
/// When something can't be started, or tells nothing.
pub async fn run(kind: Kind, scripts: &Path, cases: &[Case]) -> Result<Run> {
    let directory = tempfile::tempdir()?;
    let origin = kind.start(scripts, directory.path()).await?;
    let feed = Feed::start().await;
    let edge = Edge::start(EdgeOptions::new().control(&feed.url(), "ls_test")).await;
    let url = format!("http://{}", origin.address);
    let site =
        json!({ "name": "hostile", "hosts": HOSTS, "origins": [{ "name": "main", "url": url }] });
    feed.adopted(feed.put_site(1, site)).await;
    let mut run = Run {
        kind,
        counts: (cases.len(), 0),
        refused: BTreeMap::new(),
        odd: BTreeMap::new(),
        wrong: Vec::new(),
    };
    for (case, answers) in cases.iter().zip(send_all(edge.http(), cases).await) {
        run.count(case, &answers);
    }
    let (sent_on, seen) = settled(&edge, &origin).await?;
    run.counts.1 = seen.len();
    run.compare(&sent_on, &seen);
    run.check_bodies(&edge, &origin, cases).await?;
    Ok(run)
}

/// The edge's log and the origin's, once nothing more is written.
async fn settled(edge: &Edge, origin: &Origin) -> Result<(Vec<Value>, Vec<Seen>)> {
    let (mut lines, mut seen) = (edge.access_log(), origin.seen()?);
    loop {
        sleep(SETTLE).await;
        let (newer, more) = (edge.access_log(), origin.seen()?);
        if (newer.len(), more.len()) == (lines.len(), seen.len()) {
            return Ok((newer, more));
        }
        (lines, seen) = (newer, more);
    }
}

async fn send_all(edge: SocketAddr, cases: &[Case]) -> Vec<Vec<u8>> {
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    let mut sending = JoinSet::new();
    for (number, case) in cases.iter().enumerate() {
        let place = Arc::clone(&places).acquire_owned().await;
        let bytes = case.bytes.clone();
        sending.spawn(async move {
            let _place = place;
            (number, answers(edge, &bytes).await.unwrap_or_default())
        });
    }
    let mut answers = sending.join_all().await;
    answers.sort();
    answers.into_iter().map(|(_, answers)| answers).collect()
}

/// Everything that is answered to these bytes.
async fn answers(edge: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(edge).await.context("no connection")?;
    // an edge that refuses may close while it is written to
    stream.write_all(bytes).await.ok();
    let mut answers = Vec::new();
    while let Ok(Ok(1..)) = timeout(QUIET, stream.read_buf(&mut answers)).await {}
    Ok(answers)
}

/// The statuses of the final answers in what came.
fn statuses(answers: &[u8]) -> Vec<u16> {
    const START: &[u8] = b"HTTP/1.1 ";
    let starts = answers.windows(START.len() + 3).filter_map(|window| window.strip_prefix(START));
    let statuses = starts.filter_map(|status| std::str::from_utf8(status).ok()?.parse().ok());
    statuses.filter(|status| *status >= 200).collect()
}

impl Run {
    fn count(&mut self, case: &Case, answers: &[u8]) {
        let statuses = statuses(answers);
        let is_refused = !statuses.iter().any(|status| *status < 400)
            || statuses
                .iter()
                .any(|status| matches!(status, 400 | 405 | 408 | 417 | 421 | 431 | 501 | 505));
        let tally = self.refused.entry(case.group.clone()).or_default();
        tally.of += 1;
        tally.refused += usize::from(is_refused);
        let is_right = ["Compliant", "ok", "right"].iter().any(|right| case.group.ends_with(right));
        if is_refused == is_right {
            let told = format!("{} {statuses:?} {}", case.name, case.bytes.escape_ascii());
            self.odd.entry(case.group.clone()).or_default().push(told);
        }
    }

    /// Compares what the edge sent on with what the origin saw.
    fn compare(&mut self, sent_on: &[Value], seen: &[Seen]) {
        for seen in seen.iter().filter(|seen| !seen.is_marked()) {
            self.wrong.push(format!("seen, and not sent on as a request: {seen:?}"));
        }
        let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        // Python's library makes one slash of several
        let target = |line: &Value| match text(line, "target").trim_start_matches('/') {
            rest if self.kind == Kind::Python && text(line, "target").starts_with('/') => {
                format!("/{rest}")
            }
            _ => text(line, "target"),
        };
        let (mut asked, mut answered) = (BTreeMap::new(), BTreeMap::new());
        for line in sent_on.iter().filter(|line| line["origin"].is_object()) {
            let request = (text(line, "method"), target(line));
            let tries = line["origin"]["tries"].as_u64().unwrap_or(1).max(1);
            *asked.entry(request.clone()).or_insert(0) += usize::try_from(tries).unwrap_or(1);
            *answered.entry(request).or_insert(0) +=
                usize::from(line["origin"]["status"].is_number());
        }
        let counts = Origin::counts(seen);
        for (request, count) in &counts {
            let most = asked.get(request).copied().unwrap_or(0);
            if *count > most {
                self.wrong
                    .push(format!("sent on {most} times, and seen {count} times: {request:?}"));
            }
        }
        for (request, least) in &answered {
            let count = counts.get(request).copied().unwrap_or(0);
            if count < *least {
                self.wrong
                    .push(format!("answered {least} times, and seen {count} times: {request:?}"));
            }
        }
    }

    /// Sends what has known bodies one by one, and compares these.
    async fn check_bodies(&mut self, edge: &Edge, origin: &Origin, cases: &[Case]) -> Result<()> {
        for case in cases {
            let Some(expected) = &case.bodies else { continue };
            let before = origin.seen()?.len();
            answers(edge.http(), &case.bytes).await?;
            let (_, seen) = settled(edge, origin).await?;
            let own: Vec<_> = seen.get(before..).unwrap_or_default().iter().collect();
            let bodies: Vec<_> =
                own.iter().map(|seen| seen.body.clone().unwrap_or_default()).collect();
            // nginx doesn't tell them, but how many there are
            let is_right = if self.kind == Kind::Nginx {
                bodies.len() == expected.len()
            } else {
                bodies == *expected
            };
            if !is_right {
                self.wrong.push(format!("{}: expected {expected:?}, and seen {own:?}", case.name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_statuses_are_found() {
        let answers = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nxHTTP/1.1 400 Bad Request\r\n\r\n";
        assert_eq!(statuses(answers), [200, 400]);
        assert_eq!(statuses(b""), Vec::<u16>::new());
    }
}
