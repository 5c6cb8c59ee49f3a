//! The metrics of each directory of the disk tier: copies of its numbers, taken when asked for.

use super::groups::Maker;
use super::stored::{catch_up, set};
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts};
use store::{DirectoryState, DirectoryStatistics, DiskStatistics};

/// Families by the label `path`. There is nothing in them where there are no directories.
pub(super) struct DiskMetrics {
    gauges: Vec<(IntGaugeVec, Number)>,
    counters: Vec<(IntCounterVec, Number)>,
    /// By cause also.
    evicted: IntCounterVec,
    recovery_seconds: GaugeVec,
}

/// Which number of a directory a family is of.
type Number = fn(&DirectoryStatistics) -> u64;

const GAUGES: [(&str, &str, Number); 6] = [
    ("in", "Whether the directory is used: 0 or 1.", is_in),
    ("capacity_bytes", "Bytes that the directory may take.", |own| own.capacity_bytes),
    ("bytes", "Bytes that the directory's files take.", |own| own.disk_bytes),
    ("live_bytes", "Bytes of the files that are of responses which can be found.", |own| {
        own.live_bytes
    }),
    ("responses", "Responses that can be found in the directory.", |own| own.responses),
    ("segments", "Segment files of the directory.", |own| own.segments),
];

const COUNTERS: [(&str, &str, Number); 8] = [
    ("put_bytes_total", "Bytes of responses to be stored.", |own| own.put_bytes_total),
    (
        "written_bytes_total",
        "Bytes written; over those to be stored, the write amplification.",
        |own| own.written_bytes_total,
    ),
    ("reinserted_total", "Responses written again because they were asked for.", |own| {
        own.reinserted_total
    }),
    (
        "dropped_writes_total",
        "Responses not written: too much waited, there was no room, or they are too large.",
        |own| own.dropped_total,
    ),
    ("reads_total", "Responses read.", |own| own.reads_total),
    ("read_errors_total", "Reads that failed or took too long.", |own| own.read_errors_total),
    ("write_errors_total", "Writes that failed.", |own| own.write_errors_total),
    ("checksum_failures_total", "Records that were not what was written.", |own| {
        own.checksum_failures_total
    }),
];

impl DiskMetrics {
    pub(super) fn new(make: &Maker<'_>) -> prometheus::Result<Self> {
        let opts = |name: &str, help: &str| Opts::new(format!("longshore_edge_disk_{name}"), help);
        let gauge = |(name, help, number): &(&str, &str, Number)| {
            let family = make.register(IntGaugeVec::new(opts(name, help), &["path"]))?;
            Ok((family, *number))
        };
        let counter = |(name, help, number): &(&str, &str, Number)| {
            let family = make.register(IntCounterVec::new(opts(name, help), &["path"]))?;
            Ok((family, *number))
        };
        Ok(Self {
            gauges: GAUGES.iter().map(gauge).collect::<prometheus::Result<_>>()?,
            counters: COUNTERS.iter().map(counter).collect::<prometheus::Result<_>>()?,
            evicted: make.register(IntCounterVec::new(
                opts("evicted_responses_total", "Responses that left the directory, by cause."),
                &["path", "cause"],
            ))?,
            recovery_seconds: make.register(GaugeVec::new(
                opts("recovery_seconds", "Seconds that the reading of the directory's index took."),
                &["path"],
            ))?,
        })
    }

    pub(super) fn set(&self, disk: &DiskStatistics) {
        for own in &disk.directories {
            let path = &own.path.to_string_lossy();
            for (family, number) in &self.gauges {
                set(&family.with_label_values(&[path]), number(own));
            }
            for (family, number) in &self.counters {
                catch_up(&family.with_label_values(&[path]), number(own));
            }
            for (cause, total) in evictions(own) {
                catch_up(&self.evicted.with_label_values(&[path.as_ref(), cause]), total);
            }
            if let Some(seconds) = own.recovery.map(|recovery| recovery.as_secs_f64()) {
                self.recovery_seconds.with_label_values(&[path]).set(seconds);
            }
        }
    }
}

fn is_in(directory: &DirectoryStatistics) -> u64 {
    match directory.state {
        DirectoryState::In | DirectoryState::Recovering => 1,
        DirectoryState::Out(_) => 0,
    }
}

/// Responses that left a directory, by cause.
pub(crate) fn evictions(own: &DirectoryStatistics) -> [(&'static str, u64); 3] {
    [
        ("room", own.evicted_for_room_total),
        ("index", own.evicted_for_index_total),
        ("variants", own.evicted_crowded_total),
    ]
}
