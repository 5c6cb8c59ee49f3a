//! A control that says what a test wants, for the feed's tasks.

use super::adopted::tests::log;
use super::{Feed, Link, Nats, StateDirectory, Token};
use crate::snapshot::Current;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;
use crate::work::Work;
use api::edge::EdgeReport;
use api::feed::{self, Hello, VERSION};
use api::id::EdgeId;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

type Log = Vec<(u64, String)>;

/// A control with one log.
pub(super) struct Control {
    url: String,
    log: Arc<watch::Sender<Log>>,
    /// Streams that are open.
    pub(super) open: Arc<watch::Sender<usize>>,
    opened: Arc<AtomicUsize>,
    reports: Arc<watch::Sender<Option<EdgeReport>>>,
}

#[derive(Clone)]
struct Shared {
    log: Arc<watch::Sender<Log>>,
    open: Arc<watch::Sender<usize>>,
    opened: Arc<AtomicUsize>,
    reports: Arc<watch::Sender<Option<EdgeReport>>>,
    compresses: bool,
}

impl Control {
    pub(super) async fn start(compresses: bool) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (log, open) = (Arc::new(watch::Sender::default()), Arc::new(watch::Sender::new(0)));
        let (opened, reports) = (Arc::default(), Arc::new(watch::Sender::default()));
        let control = Self { url, log, open, opened, reports };
        let shared = Shared {
            log: Arc::clone(&control.log),
            open: Arc::clone(&control.open),
            opened: Arc::clone(&control.opened),
            reports: Arc::clone(&control.reports),
            compresses,
        };
        let router = Router::new()
            .route("/v1/feed", get(stream))
            .route("/v1/edges/{id}", put(report))
            .with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        control
    }

    /// Has an entry in the log, and tells those who follow.
    pub(super) fn push(&self, seq: u64, text: &str) {
        self.log.send_modify(|log| log.push((seq, text.to_owned())));
    }

    /// Has an entry in the log, for those who ask from now on.
    pub(super) fn keep(&self, seq: u64, text: &str) {
        self.log.send_if_modified(|log| {
            log.push((seq, text.to_owned()));
            false
        });
    }

    /// How many streams were opened so far.
    pub(super) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    /// Waits for a report.
    pub(super) async fn reported(&self, is_it: impl Fn(&EdgeReport) -> bool) -> EdgeReport {
        let mut reports = self.reports.subscribe();
        let found = reports.wait_for(|report| report.as_ref().is_some_and(&is_it)).await.unwrap();
        found.clone().unwrap()
    }
}

async fn report(State(shared): State<Shared>, body: Bytes) {
    let report: EdgeReport = serde_json::from_slice(&body).unwrap();
    shared.reports.send_replace(Some(report));
}

/// Counts a stream while it is open.
struct Open(Arc<watch::Sender<usize>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

async fn stream(
    State(shared): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    shared.opened.fetch_add(1, Ordering::SeqCst);
    shared.open.send_modify(|open| *open += 1);
    let is_known = query.get("log").is_some_and(|asked| asked == log('1').as_str());
    let after: u64 = query.get("after").unwrap().parse().unwrap();
    let newest = shared.log.borrow().last().map_or(0, |(seq, _)| *seq);
    let hello = Hello { version: VERSION, log: log('1'), newest, reset: !is_known, key: None };
    let begin = Some(event(feed::EVENT_HELLO, None, &serde_json::to_string(&hello).unwrap()));
    let (open, compresses) = (Open(Arc::clone(&shared.open)), shared.compresses);
    let following = (shared.log.subscribe(), after, begin, open);
    let chunks =
        futures_util::stream::unfold(following, move |(mut log, after, begin, open)| async move {
            let is_first = begin.is_some();
            let mut text = begin.unwrap_or_default();
            let newer = |log: &Log| is_first || log.last().is_some_and(|(seq, _)| *seq > after);
            let newest = {
                let log = log.wait_for(newer).await.ok()?;
                for (seq, entry) in log.iter().filter(|(seq, _)| *seq > after) {
                    text += &event(feed::EVENT_ENTRY, Some(*seq), entry);
                }
                log.last().map_or(0, |(seq, _)| *seq)
            };
            text += &event(feed::EVENT_CURRENT, None, &format!("{{\"newest\":{newest}}}"));
            let chunk = if compresses {
                zstd::bulk::compress(text.as_bytes(), 1).unwrap()
            } else {
                text.into_bytes()
            };
            Some((io::Result::Ok(chunk), (log, newest, None, open)))
        });
    let coding = if compresses { "zstd" } else { "identity" };
    ([(header::CONTENT_ENCODING, coding)], Body::from_stream(chunks)).into_response()
}

fn event(name: &str, id: Option<u64>, data: &str) -> String {
    let mut text = format!("event: {name}\n");
    if let Some(id) = id {
        writeln!(text, "id: {id}").unwrap();
    }
    writeln!(text, "data: {data}\n").unwrap();
    text
}

/// Where an edge keeps its state.
pub(super) struct Directory(tempfile::TempDir);

impl Directory {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

/// A feed of an edge in the region `here`.
pub(super) fn feed(
    control: &Control,
    directory: &Directory,
    nats: Option<Nats>,
    work: Arc<Work>,
) -> Feed {
    // as the program does at its start
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let id = || EdgeId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
    let telemetry = Telemetry { metrics: Metrics::new().unwrap(), log: None, geo: None };
    Feed {
        held: Arc::default(),
        bound: crate::purges::Bound::new(1 << 20),
        link: Link::new(&control.url, Token::Absent).unwrap(),
        nats,
        directory: StateDirectory::open(directory.0.path(), id).unwrap(),
        current: Current::default(),
        telemetry: Arc::new(telemetry),
        changed: watch::Sender::default(),
        work,
        http_address: "127.0.0.1:1".to_owned(),
        https_address: None,
        admin_address: "127.0.0.1:2".to_owned(),
        region: Some("here".to_owned()),
    }
}
