//! What this edge tells of itself: metrics and the access log.

pub(crate) mod access_log;
pub(crate) mod metrics;
pub(crate) mod open_files;

use crate::stage::record::Over;
use access_log::AccessLog;
use geo::Database;
use metrics::Metrics;
use std::net::{IpAddr, SocketAddr};

/// Metrics, the access log, and what lines of the log are completed with.
pub(crate) struct Telemetry {
    pub(crate) metrics: Metrics,
    pub(crate) log: Option<AccessLog>,
    pub(crate) geo: Option<Database>,
}

impl Telemetry {
    /// Counts a request that is over, and logs it where there is a log.
    pub(crate) fn over(&self, over: Over<'_>) {
        self.metrics.request(over.handling, over.status, over.body_bytes, over.duration);
        if let Some(reason) = over.reason {
            self.metrics.forward(reason, over.detail.unwrap_or_default());
        }
        self.log(over);
    }

    /// Counts and logs a client whose head was refused.
    pub(crate) fn refused(&self, client: SocketAddr, status: u16, reason: &'static str) {
        self.metrics.refused(reason);
        self.log(Over::refused(client.ip(), status, reason));
    }

    fn log(&self, mut over: Over<'_>) {
        let Some(log) = &self.log else { return };
        over.client_country = over.client.and_then(|client| self.country(client));
        if !log.write(&over) {
            self.metrics.log_lines_dropped.inc();
        }
    }

    /// The ISO 3166-1 code of an address's country, where a database knows it.
    pub(crate) fn country(&self, address: IpAddr) -> Option<String> {
        let place = self.geo.as_ref()?.place(address)?;
        Some(place.country?.to_string())
    }
}
