//! What the edge's metrics say of its tiers.

use crate::servers::Server;
use testkit::Metrics;

/// Numbers of one page of metrics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tiers {
    pub(crate) memory_responses: f64,
    pub(crate) disk_responses: f64,
    pub(crate) index_bytes: f64,
    pub(crate) memory_hits: f64,
    pub(crate) disk_hits: f64,
    /// Bytes of responses that were to be written, and of all that was.
    pub(crate) put_bytes: f64,
    pub(crate) written_bytes: f64,
    /// Responses that were not written because the queue was full.
    pub(crate) dropped_responses: f64,
    /// Whether the index knows all that is on disk.
    pub(crate) whole: bool,
}

impl Tiers {
    /// Of `server`, if it is an edge.
    pub(crate) async fn of(server: &Server) -> Option<Self> {
        Some(Self::read(&server.edge.as_ref()?.1.metrics().await))
    }

    fn read(metrics: &Metrics) -> Self {
        // the sum of none is -0
        let sum = |name, labels: &[&str]| metrics.sum(name, labels) + 0.0;
        let names = metrics.names();
        let has = |name| names.contains(&name);
        Self {
            memory_responses: sum("longshore_edge_store_responses", &["tier=\"memory\""]),
            disk_responses: sum("longshore_edge_store_responses", &["tier=\"disk\""]),
            index_bytes: sum("longshore_edge_store_index_bytes", &[]),
            memory_hits: sum("longshore_edge_store_hits_total", &["tier=\"memory\""]),
            disk_hits: sum("longshore_edge_store_hits_total", &["tier=\"disk\""]),
            put_bytes: sum("longshore_edge_disk_put_bytes_total", &[]),
            written_bytes: sum("longshore_edge_disk_written_bytes_total", &[]),
            dropped_responses: sum("longshore_edge_disk_dropped_writes_total", &[]),
            // told once the index was read; there is one directory, or none
            whole: !has("longshore_edge_disk_in") || has("longshore_edge_disk_recovery_seconds"),
        }
    }

    /// The share of hits between `before` and this that came from disk.
    pub(crate) fn disk_share_since(&self, before: &Self) -> f64 {
        let disk = self.disk_hits - before.disk_hits;
        disk / (disk + self.memory_hits - before.memory_hits).max(1.0)
    }
}
