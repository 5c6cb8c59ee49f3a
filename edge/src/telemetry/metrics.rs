//! What is counted. Every label has a fixed set of values, and each counter is looked up once, at the start.

mod disk;
mod groups;
mod stored;

use crate::listen::Refusal;
use crate::stage::deliver::Handling;
use crate::stage::record;
use disk::DiskMetrics;
pub(crate) use groups::Source;
use groups::{ClientMetrics, FeedMetrics, HandshakeMetrics, Http2Metrics, Maker};
use groups::{OriginMetrics, PurgeMetrics};
use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::{Limits, Statistics};
use stored::StoreMetrics;

/// This edge's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    clients: ClientMetrics,
    pub(crate) http2: Http2Metrics,
    origins: OriginMetrics,
    pub(crate) handshakes: HandshakeMetrics,
    pub(crate) feed: FeedMetrics,
    pub(crate) purges: PurgeMetrics,
    pub(crate) log_lines_dropped: IntCounter,
    pub(crate) tags_cut: IntCounter,
    /// Locked while the page is made, so that two pages at a time don't count twice.
    store: Mutex<(StoreMetrics, DiskMetrics)>,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        Ok(Self {
            clients: ClientMetrics::new(&make)?,
            http2: Http2Metrics::new(&make)?,
            origins: OriginMetrics::new(&make)?,
            handshakes: HandshakeMetrics::new(&make)?,
            feed: FeedMetrics::new(&make)?,
            purges: PurgeMetrics::new(&make)?,
            log_lines_dropped: make.counter(
                "longshore_edge_access_log_dropped_total",
                "Lines of the access log dropped because its queue was full.",
            )?,
            tags_cut: make.counter(
                "longshore_edge_tags_cut_total",
                "Responses stored with more tags, or longer ones, than are kept: any purge of a tag reaches them.",
            )?,
            store: Mutex::new((StoreMetrics::new(&make)?, DiskMetrics::new(&make)?)),
            registry,
        })
    }

    /// Counts a request that is over.
    pub(crate) fn request(
        &self,
        handling: Handling,
        status: u16,
        body_bytes: u64,
        duration: Duration,
    ) {
        let (row, column) = record::class(handling, status);
        if let Some(counter) = self.clients.requests.get(row).and_then(|row| row.get(column)) {
            counter.inc();
        }
        if let Some(histogram) = self.clients.durations.get(row) {
            histogram.observe(duration.as_secs_f64());
        }
        self.clients.body_bytes.inc_by(body_bytes);
    }

    /// Counts a request that could not be answered from the store, by what Cache-Status tells of it.
    pub(crate) fn forward(&self, reason: &'static str, detail: &'static str) {
        self.clients.forwards.with_label_values(&[reason, detail]).inc();
    }

    /// Counts a request sent to an origin, by its answer's status.
    pub(crate) fn origin_request(&self, status: Option<u16>) {
        let class = usize::from(status.unwrap_or(0) / 100);
        if let Some(counter) = self.origins.requests.get(class) {
            counter.inc();
        }
    }

    pub(crate) fn origin_connect_failure(&self) {
        self.origins.connect_failures.inc();
    }

    /// Counts a request of another edge that had to wait for the feed.
    pub(crate) fn waited_for_feed(&self, caught_up: bool) {
        let [behind, in_time] = &self.feed.waits_of_edges;
        if caught_up { in_time.inc() } else { behind.inc() }
    }

    /// Counts a request that waited for nobody, because the response before it was not stored.
    pub(crate) fn uncollapsed_request(&self) {
        self.clients.uncollapsed.inc();
    }

    /// Counts a refused head.
    pub(crate) fn refused(&self, reason: &'static str) {
        let place = Refusal::ALL.iter().position(|refusal| refusal.reply().1 == reason);
        if let Some(counter) = place.and_then(|place| self.clients.refused.get(place)) {
            counter.inc();
        }
    }

    /// Counts a connection, open until the guard is dropped.
    pub(crate) fn connection_opened(&self) -> Open {
        self.clients.connections.inc();
        Open::new(&self.clients.connections_open)
    }

    /// Counts a request, open until the guard is dropped.
    pub(crate) fn request_begun(&self) -> Open {
        Open::new(&self.clients.requests_open)
    }

    /// Counts a WebSocket, open until the guard is dropped.
    pub(crate) fn websocket_opened(&self) -> Open {
        Open::new(&self.clients.websockets_open)
    }

    /// How many requests are being answered.
    pub(crate) fn open_requests(&self) -> i64 {
        self.clients.requests_open.get()
    }

    /// How many clients are connected.
    pub(crate) fn open_connections(&self) -> i64 {
        self.clients.connections_open.get()
    }

    /// Everything in Prometheus' text format.
    pub(crate) fn text(&self, store: &Statistics, limits: Limits) -> prometheus::Result<Vec<u8>> {
        let copies = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        copies.0.set(store, limits);
        copies.1.set(&store.disk);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Something that is counted while it is open.
pub(crate) struct Open(IntGauge);

impl Open {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
