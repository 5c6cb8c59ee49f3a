//! Many clients at once for one URL, and early hints one after the other.

use crate::origin::Origin;
use crate::servers::{HOST, Server};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::{Call, Client};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const CLIENTS: usize = 50;
/// Requests whose origin sends hints.
pub(crate) const HINTED: usize = 40;
/// How long one of them may take; the origin takes 50 ms.
const HINTED_TIMEOUT: Duration = Duration::from_millis(500);

/// What many clients ask for at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    path: &'static str,
    /// Whether one client asks before, and how long ago that is.
    before: Option<Duration>,
}

pub(crate) const CASES: [Case; 4] = [
    Case { name: "A cold, origin 1 s", path: "slow", before: None },
    Case { name: "B uncacheable, origin 0.5 s, new URL", path: "uncacheable", before: None },
    Case {
        name: "B uncacheable, origin 0.5 s, known URL",
        path: "uncacheable",
        before: Some(Duration::ZERO),
    },
    // fresh for 1 s; two, for caches that count in whole seconds
    Case { name: "C stale, origin 1 s", path: "stale", before: Some(Duration::from_millis(2_500)) },
];

/// What one crowd saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// Requests to the origin, until a second after the last client had its answer.
    pub(crate) fetches: usize,
    pub(crate) p50_ms: f64,
    pub(crate) max_ms: f64,
}

impl Crowd {
    pub(crate) fn json(&self) -> Value {
        let Self { fetches, p50_ms, max_ms } = self;
        json!({ "fetches": fetches, "p50_ms": p50_ms, "max_ms": max_ms })
    }
}

/// One crowd in front of one server.
pub(crate) async fn crowd(
    case: Case,
    server: &Server,
    origin: &Origin,
    round: usize,
) -> Result<Crowd> {
    let known = if case.before.is_some() { "known" } else { "new" };
    let path = format!("/{}/{}-{known}-{round}", case.path, server.name);
    if let Some(ago) = case.before {
        Call::new(server.address, "GET", HOST, &path).send().await;
        sleep(ago).await;
    }
    let before = origin.fetches(&path);
    let mut times = at_once(server, &path).await?;
    times.sort();
    // a refetch in the background may be on its way
    sleep(Duration::from_secs(1)).await;
    let milliseconds =
        |time: Option<&Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    Ok(Crowd {
        fetches: origin.fetches(&path) - before,
        p50_ms: milliseconds(times.get(CLIENTS / 2)),
        max_ms: milliseconds(times.last()),
    })
}

/// How long each of the clients waited for its whole answer. Their connections stand before the first asks.
async fn at_once(server: &Server, path: &str) -> Result<Vec<Duration>> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(server.connect().await);
    }
    let mut asking = JoinSet::new();
    for client in clients {
        asking.spawn(ask(client, format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")));
    }
    let mut times = Vec::new();
    while let Some(asked) = asking.join_next().await {
        times.push(asked??);
    }
    Ok(times)
}

async fn ask(mut client: Client, request: String) -> Result<Duration> {
    let begun = Instant::now();
    client.send(request).await;
    let answer = client.response().await?;
    ensure!(answer.status == 200 && answer.body.len() == 1_024, "{}", answer.head);
    Ok(begun.elapsed())
}

/// How hints are sent, and with what.
pub(crate) const HINTS: [(&str, &str); 4] = [
    ("103 in one write, stored", "one/stored"),
    ("103 in one write, no-store", "one/no-store"),
    ("103 50 ms before, stored", "two/stored"),
    ("103 50 ms before, no-store", "two/no-store"),
];

/// What clients saw of the hints.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hints {
    /// Clients that got the 103.
    pub(crate) seen: usize,
    /// Clients that got a 200, with or without.
    pub(crate) answered: usize,
}

/// One client after the other, each for another URL.
pub(crate) async fn hints(server: &Server, kind: &str) -> Hints {
    let mut hints = Hints::default();
    for number in 0..HINTED {
        let path = format!("/hints/{kind}/{}-{number}", server.name);
        let asked = Call::new(server.address, "GET", HOST, &path).try_send();
        // nginx takes the 103 for the answer, and no other one comes
        if let Ok(Ok(answer)) = timeout(HINTED_TIMEOUT, asked).await {
            hints.seen += usize::from(answer.interim_statuses().contains(&103));
            hints.answered += usize::from(answer.status == 200);
        }
    }
    hints
}
