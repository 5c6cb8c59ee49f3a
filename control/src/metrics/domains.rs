//! Metrics of domains and of what was got for them.

use super::gauge;
use crate::db::domains::Count;
use api::domains::{DomainErrorKind, DomainState};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

/// Counters and gauges of domains.
pub(super) struct Domains {
    states: IntGaugeVec,
    issued: IntCounter,
    failures: IntCounterVec,
}

impl Domains {
    /// Everything at zero.
    pub(super) fn new() -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(format!("longshore_control_{name}"), help);
        let failures =
            "Times that a domain could not be verified or its certificate not be got, by kind.";
        Ok(Self {
            states: IntGaugeVec::new(opts("domains", "Domains, by state."), &["state"])?,
            issued: IntCounter::with_opts(opts(
                "acme_issued_total",
                "Certificates got from the ACME authority by this process.",
            ))?,
            failures: IntCounterVec::new(opts("acme_failures_total", failures), &["kind"])?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.states.clone()))?;
        registry.register(Box::new(self.issued.clone()))?;
        for kind in [DomainErrorKind::Ownership, DomainErrorKind::Authority] {
            self.failures.with_label_values(&[&label(kind)]);
        }
        registry.register(Box::new(self.failures.clone()))
    }

    pub(super) fn issued(&self) {
        self.issued.inc();
    }

    pub(super) fn failed(&self, kind: DomainErrorKind) {
        self.failures.with_label_values(&[&label(kind)]).inc();
    }

    /// Takes over how many there are in each state.
    pub(super) fn set(&self, counts: &[Count]) {
        for state in DomainState::ALL {
            let count = counts.iter().find(|count| count.state == state);
            let domains = count.map_or(0, |count| count.domains);
            self.states.with_label_values(&[state.as_str()]).set(gauge(domains));
        }
    }
}

/// A kind as it is written.
fn label(kind: DomainErrorKind) -> String {
    let written = serde_json::to_value(kind).unwrap_or_default();
    written.as_str().unwrap_or_default().to_owned()
}
