//! Many sites, and many wrong requests: an edge holds the ones, control refuses the others, and nothing changes by it.
//!
//! `LONGSHORE_WRONG_REQUESTS` is how many wrong requests are sent, `LONGSHORE_SEED` which ones. Figures are printed;
//! `--nocapture` shows them.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "scale/bodies.rs"]
mod bodies;
#[path = "scale/chance.rs"]
mod chance;
#[path = "scale/document.rs"]
mod document;
#[path = "scale/heads.rs"]
mod heads;
#[path = "scale/wrong.rs"]
mod wrong;

use crate::scene::site;
use api::problem::{MEDIA_TYPE, ProblemDetails};
use api::sites::SiteRecord;
use chance::Chance;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use testkit::{Client, Control, Edge, Origin, Response, eventually};
use wrong::{Installation, Wrong};

const SITES: usize = 1_000;
const WRONG_REQUESTS: usize = 2_000;
const CONNECTIONS: usize = 4;
const SPOT_CHECKS: usize = 20;
const RESIDENT_MAX_BYTES: u64 = 200 * 1_048_576;

/// The `ETag` of each site, by its name.
type Tags = BTreeMap<String, String>;

fn name(number: usize) -> String {
    format!("site-{number}")
}

fn host(number: usize) -> String {
    format!("site-{number}.example")
}

/// The name of a site that is there.
fn some_site(chance: &mut Chance) -> String {
    name(chance.below(SITES))
}

/// A connection to control that is kept, and opened anew where an answer ended it.
struct Kept {
    address: SocketAddr,
    token: String,
    client: Option<Client>,
}

impl Kept {
    fn new(control: &Control) -> Self {
        let token = control.admin_token().to_owned();
        Self { address: control.address(), token, client: None }
    }

    /// Sends a request as it is.
    async fn send(&mut self, method: &str, request: &[u8]) -> Response {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(self.address).await,
        };
        client.send(request).await;
        let answer = client.response_to(method).await.expect("a whole answer");
        if answer.field("connection") != Some("close") {
            self.client = Some(client);
        }
        answer
    }

    async fn ask(&mut self, method: &str, path: &str, body: &str) -> Response {
        let (token, length) = (&self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.send(method, request.as_bytes()).await
    }

    async fn make(&mut self, number: usize, origin: &str) -> (String, String, SiteRecord) {
        let document = site(&name(number), &host(number), origin, json!({}));
        let answer = self.ask("POST", "/v1/sites", &document.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let tag = answer.field("etag").expect("every site has one").to_owned();
        (name(number), tag, serde_json::from_slice(&answer.body).expect("a record"))
    }
}

/// Runs `work` on each connection, with its number.
async fn on_each_connection<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    control: &Control,
    work: impl Fn(usize, Kept) -> F,
) -> Vec<T> {
    let tasks: Vec<_> =
        (0..CONNECTIONS).map(|number| tokio::spawn(work(number, Kept::new(control)))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results
            .push(task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())));
    }
    results
}

/// Makes every site but the last, on connections that are kept.
async fn make_sites(control: &Control, origin: &str) -> Tags {
    let made = on_each_connection(control, |connection, mut kept| {
        let origin = origin.to_owned();
        async move {
            let mut tags = Tags::new();
            for number in (connection..SITES - 1).step_by(CONNECTIONS) {
                let (name, tag, _) = kept.make(number, &origin).await;
                tags.insert(name, tag);
            }
            tags
        }
    });
    made.await.into_iter().flatten().collect()
}

/// Makes the last site and asks the edge for it until it is served. Returns how long that took.
async fn make_the_last(control: &Control, edge: &Edge, origin: &str, tags: &mut Tags) -> Duration {
    let mut kept = Kept::new(control);
    let began = Instant::now();
    let (name, tag, record) = kept.make(SITES - 1, origin).await;
    eventually("the last site to be served", || async {
        (edge.get(&host(SITES - 1), "/").await.status == 200).then_some(())
    })
    .await;
    let took = began.elapsed();
    tags.insert(name, tag);
    control.wait_adopted(edge, record.seq).await;
    took
}

async fn check_edge(edge: &Edge, chance: &mut Chance) {
    let metrics = edge.metrics().await;
    let sites = [
        metrics.sum("longshore_edge_sites", &[]),
        metrics.sum("longshore_edge_sites_rejected", &[]),
    ];
    assert_eq!(sites, [SITES as f64, 0.0]);
    for _ in 0..SPOT_CHECKS {
        let host = host(chance.below(SITES));
        assert_eq!(edge.get(&host, "/").await.status, 200, "{host}");
    }
}

/// Memory of a process that is resident.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.expect("the kernel tells what a running process takes") * 1_024
}

/// Sends wrong requests and checks each answer. Returns how often each status was answered.
async fn send_wrong(
    installation: Installation,
    seed: u64,
    count: usize,
    mut kept: Kept,
) -> BTreeMap<u16, usize> {
    let mut chance = Chance::new(seed);
    let mut statuses = BTreeMap::new();
    for _ in 0..count {
        let wrong = Wrong::any(&mut chance, &installation);
        let answer = kept.send(&wrong.method, &wrong.bytes()).await;
        check_refusal(&wrong, &answer);
        *statuses.entry(answer.status).or_default() += 1;
    }
    statuses
}

/// A refusal has the status that fits, and problem details that name what is wrong.
fn check_refusal(wrong: &Wrong, answer: &Response) {
    let told = || format!("{wrong}\nwas answered\n{}{}", answer.head, answer.text());
    assert_eq!(answer.status, wrong.status, "{}", told());
    assert_eq!(answer.field("content-type"), Some(MEDIA_TYPE), "{}", told());
    let problem: ProblemDetails =
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", told()));
    assert_eq!(problem.status, wrong.status, "{}", told());
    let detail = problem.detail.as_deref().unwrap_or_default();
    let named = match &wrong.names {
        wrong::Names::Detail(words) => detail.contains(words.as_str()),
        wrong::Names::Field(name) => problem.errors.iter().any(|error| is_in(&error.field, name)),
    };
    assert!(named && !detail.is_empty(), "{:?} is not named: {}", wrong.names, told());
}

/// Whether a problem's field is `name`, or in it: a list for an object is wrong in its items.
fn is_in(field: &str, name: &str) -> bool {
    let below = field.strip_prefix(name);
    below.is_some_and(|below| below.is_empty() || below.starts_with(['[', '.']))
}

/// Every site is at the revision it was made with, and there is no other.
async fn check_unchanged(control: &Control, tags: &Tags) {
    let tags: Vec<_> = tags.iter().map(|(name, tag)| (name.clone(), tag.clone())).collect();
    on_each_connection(control, |connection, mut kept| {
        let own: Vec<_> = tags.iter().skip(connection).step_by(CONNECTIONS).cloned().collect();
        async move {
            for (name, tag) in own {
                let answer = kept.ask("GET", &format!("/v1/sites/{name}"), "").await;
                assert_eq!(
                    (answer.status, answer.field("etag")),
                    (200, Some(tag.as_str())),
                    "{name}"
                );
            }
        }
    })
    .await;
}

/// Every site there is, as control lists them.
async fn listed(control: &Control) -> Vec<SiteRecord> {
    let mut kept = Kept::new(control);
    let mut records: Vec<SiteRecord> = Vec::new();
    let mut path = "/v1/sites?limit=200".to_owned();
    loop {
        let answer = kept.ask("GET", &path, "").await;
        let page: api::sites::SitePage = serde_json::from_slice(&answer.body).expect("a page");
        records.extend(page.sites);
        let Some(next) = page.next else { return records };
        path = format!("/v1/sites?limit=200&after={next}");
    }
}

fn number(variable: &str, default: usize) -> usize {
    let given = std::env::var(variable).ok().filter(|text| !text.is_empty());
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

#[expect(clippy::print_stderr, reason = "figures for those who run it with --nocapture")]
fn report(figure: &str) {
    eprintln!("scale: {figure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sites_are_served_and_survive_wrong_requests() {
    let origin = Origin::start().await;
    origin.on("/*").respond(200).header("Cache-Control", "max-age=60").body("x");
    let control = Control::start().await;
    let edge = control.edge().await;
    let seed = number("LONGSHORE_SEED", 1);
    let mut chance = Chance::new(seed as u64);

    let began = Instant::now();
    let mut tags = make_sites(&control, &origin.url()).await;
    report(&format!("{} sites were made in {:?}", tags.len(), began.elapsed()));
    let took = make_the_last(&control, &edge, &origin.url(), &mut tags).await;
    report(&format!("the last of {SITES} was served after {took:?}"));
    assert!(took < Duration::from_secs(1), "{took:?}");
    check_edge(&edge, &mut chance).await;
    let resident = resident_bytes(edge.program.id().expect("it runs"));
    report(&format!("the edge takes {:.1} MiB", resident as f64 / 1_048_576.0));
    assert!(resident < RESIDENT_MAX_BYTES, "{resident}");

    let before = listed(&control).await;
    let count = number("LONGSHORE_WRONG_REQUESTS", WRONG_REQUESTS);
    let reader = control.token(&["sites:read"]).await;
    let installation = Installation::new(control.admin_token(), &reader, &origin.url());
    let began = Instant::now();
    let counted = on_each_connection(&control, |connection, kept| {
        let own = (count + CONNECTIONS - 1 - connection) / CONNECTIONS;
        let seed = (seed * CONNECTIONS + connection) as u64;
        send_wrong(installation.clone(), seed, own, kept)
    })
    .await;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for (status, count) in counted.into_iter().flatten() {
        *statuses.entry(status).or_default() += count;
    }
    report(&format!(
        "{count} wrong requests (seed {seed}) took {:?}: {statuses:?}",
        began.elapsed()
    ));
    assert_eq!(statuses.values().sum::<usize>(), count);

    check_unchanged(&control, &tags).await;
    assert_eq!(listed(&control).await, before);
    assert_eq!(before.len(), SITES);
    check_edge(&edge, &mut chance).await;
    let resident = resident_bytes(control.program.id().expect("it runs"));
    report(&format!("control takes {:.1} MiB", resident as f64 / 1_048_576.0));
}
