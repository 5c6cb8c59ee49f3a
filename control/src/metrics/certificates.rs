//! Metrics of the certificates, as they are in the database when the metrics are read.

use super::State;
use crate::db::certificates::Ends;
use prometheus::{IntGaugeVec, Opts, Registry};

/// Gauges of the certificates.
pub(super) struct Certificates {
    count: IntGaugeVec,
    expiry: IntGaugeVec,
    expiring: IntGaugeVec,
}

impl Certificates {
    /// None yet.
    pub(super) fn new() -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(format!("longshore_control_{name}"), help);
        let expiry = "Seconds until the first certificate ends that has a name no later one is for, by source; \
            below 0 where it has ended.";
        let expiring = "Certificates that end within 14 days or have ended, with a name no later one is for, by source.";
        Ok(Self {
            count: IntGaugeVec::new(opts("certificates", "Certificates, by source."), &["source"])?,
            expiry: IntGaugeVec::new(opts("certificate_expiry_seconds", expiry), &["source"])?,
            expiring: IntGaugeVec::new(opts("certificates_expiring", expiring), &["source"])?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        for gauges in [&self.count, &self.expiry, &self.expiring] {
            registry.register(Box::new(gauges.clone()))?;
        }
        Ok(())
    }

    /// Takes over when they end. A source without certificates has no expiry.
    pub(super) fn set(&self, ends: &[Ends], state: &State<'_>) {
        self.expiry.reset();
        for end in ends {
            let label = [end.source.as_str()];
            self.count.with_label_values(&label).set(end.count);
            self.expiring.with_label_values(&label).set(end.soon);
            if let Some(first) = end.first {
                self.expiry.with_label_values(&label).set(first - state.now.0 / 1_000);
            }
        }
    }
}
