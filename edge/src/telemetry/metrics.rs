//! What is counted. Every label has a fixed set of values, and each counter is looked up once, at the start.

use crate::listen::Refusal;
use crate::stage::deliver::Handling;
use crate::stage::record;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};
use std::time::Duration;
use store::Statistics;

const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const DURATION_BUCKETS_SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// This edge's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    /// By handling and class of status.
    requests: Vec<[IntCounter; STATUS_CLASSES.len()]>,
    /// By handling.
    durations: Vec<Histogram>,
    body_bytes: IntCounter,
    refused: Vec<IntCounter>,
    connections: IntCounter,
    connections_open: IntGauge,
    requests_open: IntGauge,
    origin_requests: [IntCounter; STATUS_CLASSES.len()],
    origin_connect_failures: IntCounter,
    pub(crate) log_lines_dropped: IntCounter,
    pub(crate) feed_connected: IntGauge,
    pub(crate) feed_adopted: IntGauge,
    pub(crate) feed_newest: IntGauge,
    pub(crate) feed_entries: IntCounter,
    pub(crate) sites: IntGauge,
    pub(crate) sites_rejected: IntGauge,
    store: StoreMetrics,
}

/// Copies of the store's numbers, taken when asked for.
struct StoreMetrics {
    responses: IntGauge,
    bytes: IntGauge,
    capacity_bytes: IntGauge,
    filling: IntGauge,
    filling_bytes: IntGauge,
    passed: IntGauge,
    removed: [IntGauge; 3],
}

/// Makes and registers metrics.
struct Maker<'r>(&'r Registry);

impl Maker<'_> {
    fn register<C: Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help))
    }

    fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: [&str; N],
    ) -> prometheus::Result<[IntCounter; N]> {
        let family = self.register(IntCounterVec::new(Opts::new(name, help), &[label]))?;
        Ok(values.map(|value| family.with_label_values(&[value])))
    }
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let requests = make.register(IntCounterVec::new(
            Opts::new(
                "longshore_edge_requests_total",
                "Requests answered, by what the cache did and class of status.",
            ),
            &["cache", "status"],
        ))?;
        let by_status = |handling: Handling| {
            STATUS_CLASSES.map(|status| requests.with_label_values(&[handling.as_str(), status]))
        };
        let durations = make.register(prometheus::HistogramVec::new(
            HistogramOpts::new(
                "longshore_edge_request_duration_seconds",
                "Seconds from a request's head to the end of its response, by what the cache did.",
            )
            .buckets(DURATION_BUCKETS_SECONDS.to_vec()),
            &["cache"],
        ))?;
        let refused = make.register(IntCounterVec::new(
            Opts::new(
                "longshore_edge_refused_total",
                "Connections closed because what came was no request to be processed, by reason.",
            ),
            &["reason"],
        ))?;
        Ok(Self {
            requests: Handling::ALL.map(by_status).into(),
            durations: Handling::ALL
                .map(|handling| durations.with_label_values(&[handling.as_str()]))
                .into(),
            refused: Refusal::ALL
                .map(|refusal| refused.with_label_values(&[refusal.reply().1]))
                .into(),
            body_bytes: make.counter(
                "longshore_edge_response_body_bytes_total",
                "Bytes of bodies sent to clients.",
            )?,
            connections: make
                .counter("longshore_edge_connections_total", "Connections accepted.")?,
            connections_open: make.gauge("longshore_edge_connections", "Connections open.")?,
            requests_open: make
                .gauge("longshore_edge_requests_open", "Requests being answered.")?,
            origin_requests: make.counters(
                "longshore_edge_origin_requests_total",
                "Requests sent to origins, by class of the answer's status (`none` for no answer).",
                "status",
                STATUS_CLASSES,
            )?,
            origin_connect_failures: make.counter(
                "longshore_edge_origin_connect_failures_total",
                "Connections to origins that could not be made.",
            )?,
            log_lines_dropped: make.counter(
                "longshore_edge_access_log_dropped_total",
                "Lines of the access log dropped because its queue was full.",
            )?,
            feed_connected: make.gauge(
                "longshore_edge_feed_connected",
                "Whether the feed is being followed: 0 or 1.",
            )?,
            feed_adopted: make.gauge(
                "longshore_edge_feed_adopted",
                "The sequence number up to which the feed is applied.",
            )?,
            feed_newest: make.gauge(
                "longshore_edge_feed_newest",
                "The newest sequence number control told of.",
            )?,
            feed_entries: make
                .counter("longshore_edge_feed_entries_total", "Entries of the feed applied.")?,
            sites: make.gauge("longshore_edge_sites", "Sites served.")?,
            sites_rejected: make.gauge(
                "longshore_edge_sites_rejected",
                "Sites whose newest document could not be used.",
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
        if let Some(counter) = self.requests.get(row).and_then(|row| row.get(column)) {
            counter.inc();
        }
        if let Some(histogram) = self.durations.get(row) {
            histogram.observe(duration.as_secs_f64());
        }
        self.body_bytes.inc_by(body_bytes);
    }

    /// Counts a request sent to an origin, by its answer's status.
    pub(crate) fn origin_request(&self, status: Option<u16>) {
        let class = usize::from(status.unwrap_or(0) / 100);
        if let Some(counter) = self.origin_requests.get(class) {
            counter.inc();
        }
    }

    pub(crate) fn origin_connect_failure(&self) {
        self.origin_connect_failures.inc();
    }

    /// Counts a refused head.
    pub(crate) fn refused(&self, reason: &'static str) {
        let place = Refusal::ALL.iter().position(|refusal| refusal.reply().1 == reason);
        if let Some(counter) = place.and_then(|place| self.refused.get(place)) {
            counter.inc();
        }
    }

    /// Counts a connection, open until the guard is dropped.
    pub(crate) fn connection_opened(&self) -> Open {
        self.connections.inc();
        Open::new(&self.connections_open)
    }

    /// Counts a request, open until the guard is dropped.
    pub(crate) fn request_begun(&self) -> Open {
        Open::new(&self.requests_open)
    }

    /// How many requests are being answered.
    pub(crate) fn open_requests(&self) -> i64 {
        self.requests_open.get()
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

impl StoreMetrics {
    fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let removed = make.register(prometheus::IntGaugeVec::new(
            Opts::new(
                "longshore_edge_store_removed_responses",
                "Responses removed since the start, by cause.",
            ),
            &["cause"],
        ))?;
        Ok(Self {
            responses: make.gauge("longshore_edge_store_responses", "Responses stored.")?,
            bytes: make.gauge(
                "longshore_edge_store_bytes",
                "Bytes of stored responses, metadata included.",
            )?,
            capacity_bytes: make.gauge(
                "longshore_edge_store_capacity_bytes",
                "Bytes that stored responses may take.",
            )?,
            filling: make.gauge("longshore_edge_store_filling", "Responses being filled.")?,
            filling_bytes: make
                .gauge("longshore_edge_store_filling_bytes", "Bytes of responses being filled.")?,
            passed: make.gauge(
                "longshore_edge_store_passed_responses",
                "Responses since the start that grew too large to be stored.",
            )?,
            removed: ["room", "replaced", "command"]
                .map(|cause| removed.with_label_values(&[cause])),
        })
    }

    fn set(&self, store: Statistics, capacity_bytes: u64) {
        let set =
            |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.responses, store.responses);
        set(&self.bytes, store.bytes);
        set(&self.capacity_bytes, capacity_bytes);
        set(&self.filling, store.filling);
        set(&self.filling_bytes, store.filling_bytes);
        set(&self.passed, store.passed_total);
        let removed = [store.evicted_total, store.replaced_total, store.removed_total];
        self.removed.iter().zip(removed).for_each(|(gauge, value)| set(gauge, value));
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
            evicted_total: 0,
            replaced_total: 0,
            removed_total: 0,
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
