use super::*;
use std::collections::BTreeSet;
use store::{DirectoryState, DirectoryStatistics, DiskLimits, DiskStatistics, Hits};

const LIMITS: Limits =
    Limits { memory_bytes: 5, response_max_bytes: 1, filling_max_bytes: 1, variants_max: 1 };

fn statistics(directories: Vec<DirectoryStatistics>) -> Statistics {
    Statistics {
        hits: Hits { memory: 7, disk: 8, filling: 9 },
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
        disk: DiskStatistics { directories, ..DiskStatistics::default() },
        disk_limits: DiskLimits::default(),
    }
}

fn directory(path: &str, state: DirectoryState) -> DirectoryStatistics {
    DirectoryStatistics {
        path: path.into(),
        state,
        capacity_bytes: 100,
        disk_bytes: 10,
        live_bytes: 9,
        responses: 2,
        segments: 1,
        index_bytes: 5,
        put_bytes_total: 50,
        written_bytes_total: 60,
        evicted_for_room_total: 4,
        evicted_for_index_total: 0,
        evicted_crowded_total: 0,
        reinserted_total: 1,
        dropped_total: 0,
        reads_total: 0,
        read_errors_total: 0,
        write_errors_total: 0,
        checksum_failures_total: 0,
        recovery: Some(Duration::from_millis(1_500)),
    }
}

fn text(metrics: &Metrics, statistics: &Statistics) -> String {
    String::from_utf8(metrics.text(statistics, LIMITS).unwrap()).unwrap()
}

#[test]
fn every_metric_has_help_and_a_bounded_set_of_labels() {
    let metrics = Metrics::new().unwrap();
    metrics.request(Handling::Hit, 200, 10, Duration::from_millis(1));
    metrics.request(Handling::Local, 999, 0, Duration::ZERO);
    metrics.refused("host");
    let text = text(&metrics, &statistics(Vec::new()));
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
    for line in [
        "longshore_edge_requests_total{cache=\"hit\",status=\"2xx\"} 1",
        "longshore_edge_refused_total{reason=\"host\"} 1",
        "longshore_edge_store_responses{tier=\"memory\"} 3",
        "longshore_edge_store_hits_total{tier=\"filling\"} 9",
    ] {
        assert!(text.contains(line), "`{line}` in\n{text}");
    }
    assert!(!text.contains("longshore_edge_disk_"), "there is no directory");
}

#[test]
fn directories_are_told_apart_and_counted_once() {
    let metrics = Metrics::new().unwrap();
    let out = DirectoryState::Out("read error".to_owned());
    let statistics =
        statistics(vec![directory("/one", DirectoryState::In), directory("/two", out)]);
    text(&metrics, &statistics);
    let text = text(&metrics, &statistics);
    for line in [
        "longshore_edge_store_bytes{tier=\"disk\"} 20",
        "longshore_edge_store_capacity_bytes{tier=\"disk\"} 200",
        "longshore_edge_store_index_bytes 10",
        "longshore_edge_disk_in{path=\"/one\"} 1",
        "longshore_edge_disk_in{path=\"/two\"} 0",
        "longshore_edge_disk_written_bytes_total{path=\"/one\"} 60",
        "longshore_edge_disk_evicted_responses_total{cause=\"room\",path=\"/one\"} 4",
        "longshore_edge_disk_recovery_seconds{path=\"/one\"} 1.5",
    ] {
        assert!(text.contains(line), "`{line}` in\n{text}");
    }
}

/// The others are compared with a running edge's, which may have no directories.
#[test]
fn every_metric_of_a_directory_is_in_the_documents() {
    let metrics = Metrics::new().unwrap();
    let text = text(&metrics, &statistics(vec![directory("/one", DirectoryState::In)]));
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE longshore_edge_disk_"));
    let exposed: BTreeSet<String> = types.map(str::to_owned).collect();
    let rows = include_str!("../../../../docs/operating.md").lines();
    let rows = rows.filter_map(|row| row.strip_prefix("| `longshore_edge_disk_"));
    let listed = rows.map(|row| {
        let (name, rest) = row.split_once("` | ").unwrap();
        format!("{name} {}", rest.split(' ').next().unwrap())
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), exposed);
}
