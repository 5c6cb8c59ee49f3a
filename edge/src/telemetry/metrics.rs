//! What is counted. Every label has a fixed set of values, and each counter is looked up once, at the start.

mod groups;

use crate::listen::Refusal;
use crate::stage::deliver::Handling;
use crate::stage::record;
use groups::{ClientMetrics, FeedMetrics, Maker, OriginMetrics, StoreMetrics};
use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};
use std::time::Duration;
use store::Statistics;

/// This edge's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    clients: ClientMetrics,
    origins: OriginMetrics,
    pub(crate) feed: FeedMetrics,
    pub(crate) log_lines_dropped: IntCounter,
    store: StoreMetrics,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        Ok(Self {
            clients: ClientMetrics::new(&make)?,
            origins: OriginMetrics::new(&make)?,
            feed: FeedMetrics::new(&make)?,
            log_lines_dropped: make.counter(
                "longshore_edge_access_log_dropped_total",
                "Lines of the access log dropped because its queue was full.",
            )?,
            store: StoreMetrics::new(&make)?,
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

    /// How many requests are being answered.
    pub(crate) fn open_requests(&self) -> i64 {
        self.clients.requests_open.get()
    }

    /// Everything in Prometheus' text format.
    pub(crate) fn text(
        &self,
        store: Statistics,
        capacity_bytes: u64,
    ) -> prometheus::Result<Vec<u8>> {
        self.store.set(store, capacity_bytes);
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
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_and_a_bounded_set_of_labels() {
        let metrics = Metrics::new().unwrap();
        metrics.request(Handling::Hit, 200, 10, Duration::from_millis(1));
        metrics.request(Handling::Local, 999, 0, Duration::ZERO);
        metrics.refused("host");
        let statistics = Statistics {
            responses: 3,
            bytes: 4,
            filling: 0,
            filling_bytes: 0,
            passed_total: 0,
            abandoned_total: 0,
            evicted_total: 0,
            replaced_total: 0,
            removed_total: 0,
            crowded_out_total: 0,
        };
        let text = String::from_utf8(metrics.text(statistics, 5).unwrap()).unwrap();
        for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
            let name = line.split(' ').nth(2).unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
        assert!(
            text.contains("longshore_edge_requests_total{cache=\"hit\",status=\"2xx\"} 1"),
            "{text}"
        );
        assert!(text.contains("longshore_edge_refused_total{reason=\"host\"} 1"));
        assert!(text.contains("longshore_edge_store_responses 3"));
    }
}
