//! What this edge tells of itself: metrics and the access log.

pub(crate) mod access_log;
pub(crate) mod metrics;

use crate::stage::record::Line;
use access_log::AccessLog;
use geo::Database;
use metrics::Metrics;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

/// Metrics, the access log, and what lines of the log are completed with.
pub(crate) struct Telemetry {
    pub(crate) metrics: Metrics,
    pub(crate) log: Option<AccessLog>,
    pub(crate) geo: Option<Database>,
}

impl Telemetry {
    /// Counts and logs a client whose head was refused.
    pub(crate) fn refused(&self, client: SocketAddr, status: u16, reason: &'static str) {
        self.metrics.refused(reason);
        let Some(log) = &self.log else { return };
        log.write(
            &self.metrics,
            Line {
                time: rfc3339(crate::clock::now()),
                request_id: String::new(),
                client: client.ip().to_string(),
                client_country: self.country(client.ip()),
                method: String::new(),
                scheme: "http",
                host: String::new(),
                target: String::new(),
                protocol: "HTTP/1.1",
                status,
                body_bytes: 0,
                duration_ms: 0.0,
                site: None,
                cache: "local",
                cache_status: String::new(),
                origin: None,
                error: Some(reason),
                user_agent: String::new(),
                referer: String::new(),
            },
        );
    }

    /// The ISO 3166-1 code of an address's country, where a database knows it.
    pub(crate) fn country(&self, address: IpAddr) -> Option<String> {
        let place = self.geo.as_ref()?.place(address)?;
        Some(place.country?.to_string())
    }
}

/// `2026-11-20T09:47:44.123Z` (RFC 3339).
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
