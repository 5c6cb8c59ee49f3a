//! Control, two edges, an origin, and what is known of which versions may be served.

use super::Tally;
use super::clock::Clock;
use super::origin::{Origin, Versions, byte_of};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Broken, Client, Control, Edge, EdgeOptions, Response};
use tokio::time::{Instant, sleep};

pub(crate) const HOST: &str = "one.example";
pub(crate) const OTHER_HOST: &str = "two.example";
const CATCH_UP: Duration = Duration::from_secs(20);

/// What is shared with the load.
#[derive(Default)]
pub(crate) struct Known {
    /// By page: the lowest version that may be served.
    floors: Mutex<HashMap<String, u64>>,
    tally: Mutex<Tally>,
}

/// Everything that runs.
pub(crate) struct World {
    pub(crate) control: Control,
    /// The first without a disk tier, the second with one.
    pub(crate) edges: [Edge; 2],
    pub(crate) addresses: Arc<Mutex<[SocketAddr; 2]>>,
    pub(crate) versions: Arc<Versions>,
    pub(crate) known: Arc<Known>,
    pub(crate) clock: Clock,
    pages: u64,
    _origin: Origin,
    _directory: TempDir,
}

impl World {
    pub(crate) async fn start() -> Result<Self> {
        let (directory, origin, control) =
            (TempDir::new()?, Origin::start().await?, Control::start().await);
        let clock = Clock::build(directory.path()).await?;
        let token = control.token(&["edge"]).await;
        let options = |config: &str| {
            let options = EdgeOptions::new().config(config).control(&control.url(), &token);
            clock.below(options.without_access_log())
        };
        let disk = directory.path().join("disk");
        std::fs::create_dir(&disk)?;
        let config = format!(
            "[memory]\ncapacity_bytes = 33554432\n[[disk.directories]]\npath = {disk:?}\ncapacity_bytes = 268435456\n"
        );
        let edges = [Edge::start(options("")).await, Edge::start(options(&config)).await];
        for (name, host) in [("one", HOST), ("two", OTHER_HOST)] {
            let origins = json!([{"name": "main", "url": format!("http://{}", origin.address)}]);
            control.put_site(&json!({"name": name, "hosts": [host], "origins": origins})).await;
        }
        for edge in &edges {
            edge.wait_ready().await;
        }
        let world = Self {
            addresses: Arc::new(Mutex::new([edges[0].http(), edges[1].http()])),
            control,
            edges,
            versions: Arc::clone(&origin.versions),
            known: Arc::default(),
            clock,
            pages: 0,
            _origin: origin,
            _directory: directory,
        };
        world.caught_up().await?;
        Ok(world)
    }

    /// Begins a tally.
    pub(crate) fn begin(&self) {
        *lock(&self.known.tally) = Tally::default();
    }

    pub(crate) fn tally(&self) -> Tally {
        lock(&self.known.tally).clone()
    }

    /// A page that was never asked for.
    pub(crate) fn new_page(&mut self, kind: &str) -> String {
        self.pages += 1;
        format!("/{kind}/{}", self.pages)
    }

    /// Purges, and waits for all edges. True when all have it: then the pages must have these versions from now on.
    pub(crate) async fn purge(&self, purge: &Value, pages: &[&str]) -> Result<bool> {
        let versions: Vec<u64> = pages.iter().map(|page| self.version(page)).collect();
        let mut purge = purge.clone();
        purge["wait"] = json!("all");
        purge["timeout_ms"] = json!(20_000);
        let answer = self.post("one", &purge).await?;
        let is_complete = answer.status == 200;
        if is_complete {
            self.known.raise(HOST, pages, &versions);
        } else {
            self.known.fail(format!("{} {}", answer.status, answer.text()));
        }
        Ok(is_complete)
    }

    pub(crate) async fn post(&self, site: &str, purge: &Value) -> Result<Response, Broken> {
        let call = self.control.call("POST", &format!("/v1/sites/{site}/purge"));
        call.header("Content-Type", "application/json").body(purge.to_string()).try_send().await
    }

    pub(crate) fn version(&self, page: &str) -> u64 {
        self.versions.of(&format!("{HOST}{page}"))
    }

    pub(crate) fn publish(&self, page: &str) -> u64 {
        self.versions.publish(&format!("{HOST}{page}"))
    }

    /// Has both edges store a page, and holds what they say against its floor.
    pub(crate) async fn ask(&self, page: &str) {
        for edge in &self.edges {
            self.known.ask(edge.http(), HOST, page, &[]).await;
        }
    }

    /// Waits until both edges have adopted everything.
    pub(crate) async fn caught_up(&self) -> Result<()> {
        let began = Instant::now();
        let addresses: Vec<String> =
            self.edges.iter().map(|edge| edge.http().to_string()).collect();
        loop {
            let edges = self.control.edges().await;
            let current = edges
                .iter()
                .filter(|edge| addresses.contains(&edge.report.http_address) && edge.lag == 0);
            if current.count() == 2 {
                return Ok(());
            }
            ensure!(began.elapsed() < CATCH_UP, "the edges do not catch up");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts an edge again that was killed.
    pub(crate) async fn start_again(&mut self, which: usize) {
        self.edges[which].start_again().await;
        lock(&self.addresses)[which] = self.edges[which].http();
    }
}

impl Known {
    pub(crate) fn raise(&self, host: &str, pages: &[&str], versions: &[u64]) {
        let mut floors = lock(&self.floors);
        for (page, version) in pages.iter().zip(versions) {
            let floor = floors.entry(format!("{host}{page}")).or_default();
            *floor = (*floor).max(*version);
        }
    }

    pub(crate) fn floor(&self, host: &str, page: &str) -> u64 {
        lock(&self.floors).get(&format!("{host}{page}")).copied().unwrap_or_default()
    }

    pub(crate) fn fail(&self, what: String) {
        lock(&self.tally).failures.push(what);
    }

    pub(crate) fn violate(&self, what: String) {
        lock(&self.tally).violations.push(what);
    }

    /// Asks an edge for a page and checks the version of what comes. None when nothing does.
    pub(crate) async fn ask(
        &self,
        edge: SocketAddr,
        host: &str,
        page: &str,
        fields: &[(&str, &str)],
    ) -> Option<(u64, Response)> {
        let path = page.split('?').next().unwrap_or_default();
        let floor = self.floor(host, path);
        let fields: String =
            fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {page} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        let answer = exchange(edge, &request).await.ok()?;
        let found = version_of(page, floor, &answer);
        lock(&self.tally).checked += 1;
        match found {
            Some(version) if version >= floor => Some((version, answer)),
            found => {
                let status = answer.cache_status();
                self.violate(format!(
                    "{host}{page}: {found:?} where {floor} was purged before: {status}"
                ));
                None
            }
        }
    }
}

/// One request to a server that may be gone.
pub(crate) async fn exchange(server: SocketAddr, request: &str) -> Result<Response, Broken> {
    let mut client = Client::try_connect(server).await?;
    client.try_send(request).await?;
    client.response().await
}

/// The version that an answer is of. That of a large page is told by each of its bytes: the floor's, or the next ones'.
fn version_of(page: &str, floor: u64, answer: &Response) -> Option<u64> {
    if !page.starts_with("/large/") {
        return answer.text().split(' ').next()?.parse().ok();
    }
    let (first, rest) = answer.body.split_first()?;
    let is_one = rest.iter().all(|byte| byte == first);
    (floor..floor + 100).find(|&version| is_one && byte_of(version) == *first)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
