//! The metrics of the store as a whole: copies of its numbers, taken when asked for.

use super::groups::Maker;
use crate::telemetry::open_files;
use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts};
use store::{Limits, Statistics};

/// Where a response can be found, as the label `tier` has it.
const TIERS: [&str; 3] = ["memory", "disk", "filling"];

pub(super) struct StoreMetrics {
    hits: [IntCounter; TIERS.len()],
    /// In memory, and on disk.
    responses: [IntGauge; 2],
    bytes: [IntGauge; 2],
    capacity_bytes: [IntGauge; 2],
    filling: IntGauge,
    filling_bytes: IntGauge,
    filling_max_bytes: IntGauge,
    passed: IntGauge,
    abandoned: IntGauge,
    removed: [IntGauge; 4],
    index_bytes: IntGauge,
    index_max_bytes: IntGauge,
    queue_bytes: IntGauge,
    queue_max_bytes: IntGauge,
    reading_bytes: IntGauge,
    reading_max_bytes: IntGauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
}

impl StoreMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            hits: make.counters(
                "longshore_edge_store_hits_total",
                "Lookups that found a response, by where it was.",
                "tier",
                TIERS,
            )?,
            responses: by_tier(make, "responses", "Responses stored, by tier.")?,
            bytes: by_tier(
                make,
                "bytes",
                "Bytes of stored responses, by tier; in memory with metadata, on disk those of all files.",
            )?,
            capacity_bytes: by_tier(
                make,
                "capacity_bytes",
                "Bytes that stored responses may take, by tier.",
            )?,
            filling: make.gauge("longshore_edge_store_filling", "Responses being filled.")?,
            filling_bytes: make
                .gauge("longshore_edge_store_filling_bytes", "Bytes of responses being filled.")?,
            filling_max_bytes: make.gauge(
                "longshore_edge_store_filling_max_bytes",
                "Bytes that responses being filled to be stored may take.",
            )?,
            abandoned: make.gauge(
                "longshore_edge_store_abandoned_responses",
                "Responses since the start that were given up because nobody read them any more.",
            )?,
            passed: make.gauge(
                "longshore_edge_store_passed_responses",
                "Responses since the start that grew too large to be stored.",
            )?,
            removed: removed(make)?,
            index_bytes: make.gauge(
                "longshore_edge_store_index_bytes",
                "Bytes of memory that the index of the disk tier takes.",
            )?,
            index_max_bytes: make.gauge(
                "longshore_edge_store_index_max_bytes",
                "Bytes of memory that the index of the disk tier may take.",
            )?,
            queue_bytes: make.gauge(
                "longshore_edge_store_queue_bytes",
                "Bytes that wait to be written to disk.",
            )?,
            queue_max_bytes: make.gauge(
                "longshore_edge_store_queue_max_bytes",
                "Bytes that may wait to be written to disk.",
            )?,
            reading_bytes: make.gauge(
                "longshore_edge_store_reading_bytes",
                "Bytes of responses read from disk as a whole and still held.",
            )?,
            reading_max_bytes: make.gauge(
                "longshore_edge_store_reading_max_bytes",
                "Bytes of responses that are read from disk as a whole; beyond, they are read in blocks.",
            )?,
            open_files: make.gauge(
                "longshore_edge_open_files",
                "Descriptors open: connections, files of the disk tier, and others.",
            )?,
            open_files_max: make
                .gauge("longshore_edge_open_files_max", "Descriptors that may be open.")?,
        })
    }

    pub(super) fn set(&self, store: &Statistics, limits: Limits) {
        let disk = &store.disk;
        let sum =
            |of: fn(&store::DirectoryStatistics) -> u64| disk.directories.iter().map(of).sum();
        let hits = [store.hits.memory, store.hits.disk, store.hits.filling];
        self.hits.iter().zip(hits).for_each(|(counter, total)| catch_up(counter, total));
        set_all(&self.responses, [store.responses, sum(|directory| directory.responses)]);
        set_all(&self.bytes, [store.bytes, sum(|directory| directory.disk_bytes)]);
        let capacity = sum(|directory| directory.capacity_bytes);
        set_all(&self.capacity_bytes, [limits.memory_bytes, capacity]);
        set(&self.filling, store.filling);
        set(&self.filling_bytes, store.filling_bytes);
        set(&self.filling_max_bytes, limits.filling_max_bytes);
        set(&self.passed, store.passed_total);
        set(&self.abandoned, store.abandoned_total);
        let removed = [
            store.evicted_total,
            store.replaced_total,
            store.removed_total,
            store.crowded_out_total,
        ];
        set_all(&self.removed, removed);
        set(&self.index_bytes, sum(|directory| directory.index_bytes));
        set(&self.index_max_bytes, store.disk_limits.index_max_bytes);
        set(&self.queue_bytes, disk.queue_bytes);
        set(&self.queue_max_bytes, store.disk_limits.queue_max_bytes);
        set(&self.reading_bytes, disk.reading_bytes);
        set(&self.reading_max_bytes, store.disk_limits.reading_max_bytes);
        set(&self.open_files, open_files::count());
        set(&self.open_files_max, open_files::max());
    }
}

fn by_tier(make: &Maker<'_>, name: &str, help: &str) -> prometheus::Result<[IntGauge; 2]> {
    let name = format!("longshore_edge_store_{name}");
    let family = make.register(IntGaugeVec::new(Opts::new(name, help), &["tier"]))?;
    Ok(["memory", "disk"].map(|tier| family.with_label_values(&[tier])))
}

fn removed(make: &Maker<'_>) -> prometheus::Result<[IntGauge; 4]> {
    let family = make.register(IntGaugeVec::new(
        Opts::new(
            "longshore_edge_store_removed_responses",
            "Responses removed from memory since the start, by cause.",
        ),
        &["cause"],
    ))?;
    let causes = ["room", "replaced", "command", "variants"];
    Ok(causes.map(|cause| family.with_label_values(&[cause])))
}

pub(super) fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn set_all<const N: usize>(gauges: &[IntGauge; N], values: [u64; N]) {
    gauges.iter().zip(values).for_each(|(gauge, value)| set(gauge, value));
}

/// Brings a counter to the total that is counted elsewhere.
pub(super) fn catch_up(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
