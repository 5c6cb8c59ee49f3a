//! What does control count? Prometheus metrics, with labels of few values.

mod certificates;
mod domains;
mod edges;

use crate::clock::Moment;
use crate::db::certificates::Ends;
use crate::db::domains::Count;
use crate::db::edges::Edge;
use api::domains::DomainErrorKind;
use api::purge::{Kind, Mode};
use certificates::Certificates;
use domains::Domains;
use edges::Edges;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const BUCKETS_SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Everything control counts.
pub(crate) struct Metrics {
    registry: Registry,
    /// One reading at a time: gauges of edges are taken away and set anew.
    reading: Mutex<()>,
    requests: IntCounterVec,
    durations: HistogramVec,
    followers: IntGauge,
    newest: IntGauge,
    tail: IntGauge,
    ring: IntGauge,
    pages: IntCounter,
    sent: IntCounterVec,
    nats_published: IntGauge,
    nats_failures: IntCounter,
    purges: IntCounterVec,
    waiters: IntGauge,
    report_transactions: IntCounter,
    edges: Edges,
    domains: Domains,
    certificates: Certificates,
    database: IntGauge,
    connections: IntGaugeVec,
}

/// What is asked of others only when the metrics are read.
pub(crate) struct State<'e> {
    /// The newest sequence number.
    pub(crate) newest: u64,
    /// Connections to the database: all, and those idle.
    pub(crate) connections: (u64, u64),
    /// Requests that wait for edges.
    pub(crate) waiters: u64,
    /// Every edge, by id; none where the database doesn't answer.
    pub(crate) edges: Option<&'e [Edge]>,
    /// How many domains are in each state; none where the database doesn't answer.
    pub(crate) domains: Option<&'e [Count]>,
    /// When certificates end; none where the database doesn't answer.
    pub(crate) certificates: Option<&'e [Ends]>,
    /// See `Limits`.
    pub(crate) ack_limit: Duration,
    /// When.
    pub(crate) now: Moment,
}

/// Counts a follower for as long as it is held.
pub(crate) struct FollowerGauge(IntGauge);

impl Drop for FollowerGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Everything at zero.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(format!("longshore_control_{name}"), help);
        let duration = "Time until the head of the response, in seconds.";
        let durations = HistogramOpts::from(opts("request_duration_seconds", duration));
        let metrics = Self {
            registry: Registry::new(),
            reading: Mutex::new(()),
            requests: IntCounterVec::new(
                opts("requests_total", "Requests answered, by route, method and class of status."),
                &["route", "method", "status"],
            )?,
            durations: HistogramVec::new(
                durations.buckets(BUCKETS_SECONDS.to_vec()),
                &["route", "method"],
            )?,
            followers: IntGauge::with_opts(opts("feed_followers", "Open streams of the feed."))?,
            newest: IntGauge::with_opts(opts(
                "feed_newest_seq",
                "Number of the newest entry of the feed.",
            ))?,
            tail: IntGauge::with_opts(opts(
                "feed_tail_seq",
                "Number up to which this process has read the feed for its followers.",
            ))?,
            ring: IntGauge::with_opts(opts(
                "feed_ring_bytes",
                "Bytes of the newest part of the feed in memory.",
            ))?,
            pages: IntCounter::with_opts(opts(
                "feed_pages_total",
                "Pages of the feed read for followers that were behind.",
            ))?,
            sent: IntCounterVec::new(
                opts("feed_sent_bytes_total", "Bytes given to followers, by content coding."),
                &["encoding"],
            )?,
            nats_published: IntGauge::with_opts(opts(
                "nats_published_seq",
                "Number of the newest entry published to NATS, as far as this process knows.",
            ))?,
            nats_failures: IntCounter::with_opts(opts(
                "nats_failures_total",
                "Times that publishing to NATS broke off, or could not begin.",
            ))?,
            purges: IntCounterVec::new(
                opts("purges_total", "Purges and the like accepted, by kind and mode."),
                &["kind", "mode"],
            )?,
            waiters: IntGauge::with_opts(opts("purge_waiters", "Requests that wait for edges."))?,
            report_transactions: IntCounter::with_opts(opts(
                "report_transactions_total",
                "Transactions that reports of edges were written in.",
            ))?,
            edges: Edges::new()?,
            domains: Domains::new()?,
            certificates: Certificates::new()?,
            database: IntGauge::with_opts(opts(
                "database_up",
                "1 where the database answered when the metrics were read.",
            ))?,
            connections: IntGaugeVec::new(
                opts("database_connections", "Connections to the database, by state."),
                &["state"],
            )?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> prometheus::Result<()> {
        self.registry.register(Box::new(self.requests.clone()))?;
        self.registry.register(Box::new(self.durations.clone()))?;
        self.registry.register(Box::new(self.followers.clone()))?;
        self.registry.register(Box::new(self.newest.clone()))?;
        self.registry.register(Box::new(self.tail.clone()))?;
        self.registry.register(Box::new(self.ring.clone()))?;
        self.registry.register(Box::new(self.pages.clone()))?;
        self.registry.register(Box::new(self.sent.clone()))?;
        self.registry.register(Box::new(self.nats_published.clone()))?;
        self.registry.register(Box::new(self.nats_failures.clone()))?;
        self.registry.register(Box::new(self.purges.clone()))?;
        self.registry.register(Box::new(self.waiters.clone()))?;
        self.registry.register(Box::new(self.report_transactions.clone()))?;
        self.registry.register(Box::new(self.database.clone()))?;
        self.edges.register(&self.registry)?;
        self.domains.register(&self.registry)?;
        self.certificates.register(&self.registry)?;
        for (kind, mode) in [
            (Kind::Purge, Mode::Hard),
            (Kind::Purge, Mode::Soft),
            (Kind::Count, Mode::Hard),
            (Kind::Count, Mode::Soft),
            (Kind::Revalidate, Mode::Soft),
            (Kind::Warm, Mode::Soft),
        ] {
            self.purges.with_label_values(&[kind_label(kind), mode_label(mode)]);
        }
        self.registry.register(Box::new(self.connections.clone()))
    }

    /// Counts a request that was answered.
    pub(crate) fn request(
        &self,
        route: &str,
        method: &http::Method,
        status: http::StatusCode,
        duration: Duration,
    ) {
        let (method, class) = (method_label(method), class_label(status));
        self.requests.with_label_values(&[route, method, class]).inc();
        self.durations.with_label_values(&[route, method]).observe(duration.as_secs_f64());
    }

    /// Counts a follower until what is returned is dropped.
    pub(crate) fn follower(&self) -> FollowerGauge {
        self.followers.inc();
        FollowerGauge(self.followers.clone())
    }

    /// Notes up to where the feed was read, and what is held of it.
    pub(crate) fn tail(&self, seq: u64, ring_bytes: u64) {
        self.tail.set(gauge(seq));
        self.ring.set(gauge(ring_bytes));
    }

    /// What counts the pages that are read for followers that are behind.
    pub(crate) fn pages(&self) -> IntCounter {
        self.pages.clone()
    }

    /// Counts what a follower is given.
    pub(crate) fn sent(&self, encoding: Option<&'static str>, bytes: usize) {
        let sent = self.sent.with_label_values(&[encoding.unwrap_or("identity")]);
        sent.inc_by(bytes as u64);
    }

    /// Notes up to where the feed is published.
    pub(crate) fn nats_published(&self, seq: u64) {
        self.nats_published.set(gauge(seq));
    }

    /// Counts a failure to publish.
    pub(crate) fn nats_failed(&self) {
        self.nats_failures.inc();
    }

    /// Counts what was accepted for edges to do.
    pub(crate) fn purge(&self, kind: Kind, mode: Mode) {
        self.purges.with_label_values(&[kind_label(kind), mode_label(mode)]).inc();
    }

    /// Counts a transaction that reports were written in.
    pub(crate) fn report_transaction(&self) {
        self.report_transactions.inc();
    }

    /// Counts a certificate that was got.
    pub(crate) fn domain_issued(&self) {
        self.domains.issued();
    }

    /// Counts what went wrong with a domain.
    pub(crate) fn domain_failed(&self, kind: DomainErrorKind) {
        self.domains.failed(kind);
    }

    /// The text format, with what is asked of others only when it is read.
    pub(crate) fn render(&self, state: &State<'_>) -> Vec<u8> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, idle) = state.connections;
        self.newest.set(gauge(state.newest));
        self.waiters.set(gauge(state.waiters));
        self.database.set(i64::from(state.edges.is_some()));
        if let Some(edges) = state.edges {
            self.edges.set(edges, state);
        }
        if let Some(counts) = state.domains {
            self.domains.set(counts);
        }
        if let Some(certificates) = state.certificates {
            self.certificates.set(certificates, state);
        }
        self.connections.with_label_values(&["idle"]).set(gauge(idle));
        self.connections.with_label_values(&["used"]).set(gauge(all.saturating_sub(idle)));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!("metrics cannot be written: {error}");
        }
        text
    }
}

/// No number of ours reaches the limit.
fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

const fn kind_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Purge => "purge",
        Kind::Count => "count",
        Kind::Revalidate => "revalidate",
        Kind::Warm => "warm",
    }
}

const fn mode_label(mode: Mode) -> &'static str {
    match mode {
        Mode::Hard => "hard",
        Mode::Soft => "soft",
    }
}

/// A client can make up methods, and each would be a label.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn class_label(status: http::StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_help_and_bounded_labels() {
        let metrics = Metrics::new().unwrap();
        let method = http::Method::from_bytes(b"MADEUP").unwrap();
        metrics.request(
            "/v1/sites",
            &method,
            http::StatusCode::NOT_FOUND,
            Duration::from_millis(2),
        );
        let gauge = metrics.follower();
        let state = State {
            newest: 7,
            connections: (3, 1),
            waiters: 2,
            edges: None,
            domains: None,
            certificates: None,
            ack_limit: Duration::from_secs(30),
            now: Moment(0),
        };
        let text = String::from_utf8(metrics.render(&state)).unwrap();
        drop(gauge);
        for line in [
            r#"longshore_control_requests_total{method="other",route="/v1/sites",status="4xx"} 1"#,
            "longshore_control_feed_followers 1",
            "longshore_control_feed_newest_seq 7",
            "longshore_control_purge_waiters 2",
            "longshore_control_database_up 0",
            r#"longshore_control_purges_total{kind="warm",mode="soft"} 0"#,
            r#"longshore_control_database_connections{state="used"} 2"#,
            "# HELP longshore_control_request_duration_seconds",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
