//! The metrics of each part of an edge: their names, and what they mean.

use crate::listen::{Failed, Refusal};
use crate::stage::deliver::Handling;
use crate::tls::Secure;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use semantics::cache_status::Forward;

const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const TLS_VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];
const DURATION_BUCKETS_SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What clients asked and were answered.
pub(super) struct ClientMetrics {
    /// By handling and class of status.
    pub(super) requests: Vec<[IntCounter; STATUS_CLASSES.len()]>,
    /// By the `fwd` and the `detail` of Cache-Status.
    pub(super) forwards: IntCounterVec,
    /// By handling.
    pub(super) durations: Vec<Histogram>,
    pub(super) body_bytes: IntCounter,
    pub(super) refused: Vec<IntCounter>,
    pub(super) connections: IntCounter,
    pub(super) connections_open: IntGauge,
    pub(super) requests_open: IntGauge,
    pub(super) websockets_open: IntGauge,
    pub(super) uncollapsed: IntCounter,
}

/// Connections of HTTP/2.
pub(crate) struct Http2Metrics {
    pub(crate) streams: IntCounter,
    pub(crate) floods: IntCounter,
}

/// Handshakes of TLS.
pub(crate) struct HandshakeMetrics {
    /// By version of TLS, and whether an earlier session was gone on with: not, and so.
    done: [[IntCounter; 2]; TLS_VERSIONS.len()],
    challenges: IntCounter,
    failed: [IntCounter; Failed::ALL.len()],
}

/// What origins were asked.
pub(super) struct OriginMetrics {
    /// By class of status.
    pub(super) requests: [IntCounter; STATUS_CLASSES.len()],
    pub(super) connect_failures: IntCounter,
}

/// What control has told.
pub(crate) struct FeedMetrics {
    pub(crate) connected: IntGauge,
    pub(crate) adopted: IntGauge,
    pub(crate) newest: IntGauge,
    pub(crate) reported: IntGauge,
    pub(crate) journal_bytes: IntGauge,
    pub(crate) entries: IntCounter,
    pub(crate) entries_unreadable: IntCounter,
    sources: [(Source, IntGauge); 2],
    pub(crate) sites: IntGauge,
    pub(crate) sites_rejected: IntGauge,
    pub(crate) certificates: IntGauge,
    pub(crate) certificates_unusable: IntGauge,
    /// In vain, and not.
    pub(super) waits_of_edges: [IntCounter; 2],
}

/// Purges, and what becomes of what they match.
pub(crate) struct PurgeMetrics {
    pub(crate) held: IntGauge,
    pub(crate) coarsened: IntCounter,
    pub(crate) swept: IntCounter,
}

/// Makes and registers metrics.
pub(super) struct Maker<'r>(pub(super) &'r Registry);

impl Maker<'_> {
    pub(super) fn register<C: Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.register(IntCounter::new(name, help))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help))
    }

    pub(super) fn counters<const N: usize>(
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

impl Http2Metrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            streams: make
                .counter("longshore_edge_http2_streams_total", "Requests received over HTTP/2.")?,
            floods: make.counter(
                "longshore_edge_http2_floods_total",
                "Connections of HTTP/2 ended because their clients asked too much of them.",
            )?,
        })
    }
}

impl ClientMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            requests: Self::requests(make)?,
            forwards: Self::forwards(make)?,
            durations: Self::durations(make)?,
            refused: make
                .counters(
                    "longshore_edge_refused_total",
                    "Connections closed because what came was no request to be processed, by reason.",
                    "reason",
                    Refusal::ALL.map(|refusal| refusal.reply().1),
                )?
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
            websockets_open: make.gauge("longshore_edge_websockets_open", "WebSockets open.")?,
            uncollapsed: make.counter(
                "longshore_edge_uncollapsed_requests_total",
                "Requests that waited for no other, because what was fetched before was not to be stored.",
            )?,
        })
    }

    fn forwards(make: &Maker<'_>) -> prometheus::Result<IntCounterVec> {
        let family = make.register(IntCounterVec::new(
            Opts::new(
                "longshore_edge_forwards_total",
                "Requests that went forward, by the fwd and the detail of Cache-Status.",
            ),
            &["reason", "detail"],
        ))?;
        // there from the start, as rates need it; details come as they are met
        for reason in Forward::ALL {
            family.with_label_values(&[reason.token(), ""]);
        }
        Ok(family)
    }

    fn requests(make: &Maker<'_>) -> prometheus::Result<Vec<[IntCounter; STATUS_CLASSES.len()]>> {
        let family = make.register(IntCounterVec::new(
            Opts::new(
                "longshore_edge_requests_total",
                "Requests answered, by what the cache did and class of status.",
            ),
            &["cache", "status"],
        ))?;
        let by_status = |handling: Handling| {
            STATUS_CLASSES.map(|status| family.with_label_values(&[handling.as_str(), status]))
        };
        Ok(Handling::ALL.map(by_status).into())
    }

    fn durations(make: &Maker<'_>) -> prometheus::Result<Vec<Histogram>> {
        let family = make.register(prometheus::HistogramVec::new(
            HistogramOpts::new(
                "longshore_edge_request_duration_seconds",
                "Seconds from a request's head to the end of its response, by what the cache did.",
            )
            .buckets(DURATION_BUCKETS_SECONDS.to_vec()),
            &["cache"],
        ))?;
        let of = |handling: Handling| family.with_label_values(&[handling.as_str()]);
        Ok(Handling::ALL.map(of).into())
    }
}

impl HandshakeMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let done = make.register(IntCounterVec::new(
            Opts::new(
                "longshore_edge_tls_handshakes_total",
                "TLS handshakes of clients, by version and whether an earlier session was resumed.",
            ),
            &["version", "resumed"],
        ))?;
        let of = |version: &str| ["no", "yes"].map(|word| done.with_label_values(&[version, word]));
        Ok(Self {
            done: TLS_VERSIONS.map(of),
            challenges: make.counter(
                "longshore_edge_tls_challenges_total",
                "TLS handshakes of certificate authorities that wanted to see who has a host.",
            )?,
            failed: make.counters(
                "longshore_edge_tls_handshake_failures_total",
                "TLS handshakes of clients that came to nothing, by reason.",
                "reason",
                Failed::ALL.map(Failed::as_str),
            )?,
        })
    }

    /// Counts a handshake that is done.
    pub(crate) fn done(&self, secure: &Secure) {
        let place = TLS_VERSIONS.iter().position(|version| *version == secure.version);
        if let Some([full, resumed]) = place.and_then(|place| self.done.get(place)) {
            if secure.resumed { resumed.inc() } else { full.inc() }
        }
    }

    /// Counts a handshake that answered a challenge.
    pub(crate) fn challenge(&self) {
        self.challenges.inc();
    }

    /// Counts a handshake that came to nothing.
    pub(crate) fn failed(&self, reason: Failed) {
        let place = Failed::ALL.iter().position(|other| *other == reason);
        if let Some(counter) = place.and_then(|place| self.failed.get(place)) {
            counter.inc();
        }
    }
}

impl OriginMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            requests: make.counters(
                "longshore_edge_origin_requests_total",
                "Requests sent to origins, by class of the answer's status (`none` for no answer).",
                "status",
                STATUS_CLASSES,
            )?,
            connect_failures: make.counter(
                "longshore_edge_origin_connect_failures_total",
                "Connections to origins that could not be made.",
            )?,
        })
    }
}

/// Where entries come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Control,
    Nats,
}

impl FeedMetrics {
    /// Notes where entries come from now.
    pub(crate) fn follows(&self, source: Option<Source>) {
        self.connected.set(source.is_some().into());
        for (of, gauge) in &self.sources {
            gauge.set((source == Some(*of)).into());
        }
    }

    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let family = make.register(IntGaugeVec::new(
            Opts::new("longshore_edge_feed_source", "Where entries come from: 1 for one of them."),
            &["source"],
        ))?;
        Ok(Self {
            connected: make.gauge(
                "longshore_edge_feed_connected",
                "Whether the feed is being followed: 0 or 1.",
            )?,
            adopted: make.gauge(
                "longshore_edge_feed_adopted",
                "The sequence number up to which the feed is applied.",
            )?,
            newest: make.gauge(
                "longshore_edge_feed_newest",
                "The newest sequence number control told of.",
            )?,
            reported: make.gauge(
                "longshore_edge_feed_reported",
                "The sequence number that control was last told of as adopted.",
            )?,
            journal_bytes: make.gauge(
                "longshore_edge_journal_bytes",
                "Bytes of the journal of what was adopted.",
            )?,
            entries: make
                .counter("longshore_edge_feed_entries_total", "Entries of the feed applied.")?,
            entries_unreadable: make.counter(
                "longshore_edge_feed_entries_unreadable_total",
                "Entries of the feed that could not be understood.",
            )?,
            sources: [(Source::Control, "control"), (Source::Nats, "nats")]
                .map(|(source, name)| (source, family.with_label_values(&[name]))),
            sites: make.gauge("longshore_edge_sites", "Sites served.")?,
            sites_rejected: make.gauge(
                "longshore_edge_sites_rejected",
                "Sites whose newest document could not be used.",
            )?,
            certificates: make
                .gauge("longshore_edge_certificates", "Certificates that control has told of.")?,
            certificates_unusable: make.gauge(
                "longshore_edge_certificates_unusable",
                "Certificates that could not be opened or read; the last good one of each stays in use.",
            )?,
            waits_of_edges: make.counters(
                "longshore_edge_shield_waits_total",
                "Requests of other edges that waited for the feed here: until it was applied (`caught_up`), or in vain (`behind`).",
                "result",
                ["behind", "caught_up"],
            )?,
        })
    }
}

impl PurgeMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            held: make.gauge(
                "longshore_edge_purges",
                "Selectors of purges that are held, to compare stored responses with.",
            )?,
            coarsened: make.counter(
                "longshore_edge_purges_coarsened_total",
                "Times that older purges of a site became one of everything, because there was no room for them.",
            )?,
            swept: make.counter(
                "longshore_edge_swept_responses_total",
                "Stored responses removed by passes over the store: purged, or of a site that is gone.",
            )?,
        })
    }
}
