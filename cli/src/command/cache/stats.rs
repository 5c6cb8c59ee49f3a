//! `longshore cache stats`: what each tier holds.

use crate::edge::Edge;
use crate::failure::Failure;
use crate::output::{Output, bytes};
use api::cache::{CacheStatistics, Directory, DirectoryState, DiskTier, Fills, MemoryTier};

/// Width of the words before each line.
const MARGIN: usize = 10;

pub(super) async fn run(edge: &Edge, output: Output) -> Result<(), Failure> {
    let found: CacheStatistics = edge.get("cache/stats", &[]).await?;
    output.result(&found, || text(&found));
    Ok(())
}

fn text(found: &CacheStatistics) -> String {
    let mut lines = Vec::new();
    let mut say = |word: &str, text: String| lines.push(format!("{word:MARGIN$}{text}"));
    say_memory(&found.memory, &mut say);
    say_fills(&found.fills, &mut say);
    let slices = &found.slices;
    let (size, names, declined) = (bytes(slices.slice_bytes), slices.names, slices.declined);
    say("slices", format!("{size} each; {names} URLs have some, of {declined} none can be had"));
    say_disk(&found.disk, &mut say);
    say("files", format!("{} open of {}", found.open_files.count, found.open_files.max));
    lines.join("\n")
}

fn say_memory(tier: &MemoryTier, say: &mut impl FnMut(&str, String)) {
    let (held, capacity) = (bytes(tier.bytes), bytes(tier.capacity_bytes));
    let (responses, hits) = (tier.responses, tier.hits_total);
    say("memory", format!("{responses} responses, {held} of {capacity}; {hits} hits"));
    let removed = &tier.removed_total;
    say(
        "",
        format!(
            "removed: {} for room, {} replaced, {} on command, {} for other variants",
            removed.room, removed.replaced, removed.command, removed.variants
        ),
    );
}

fn say_fills(fills: &Fills, say: &mut impl FnMut(&str, String)) {
    let (held, max) = (bytes(fills.bytes), bytes(fills.max_bytes));
    let (count, hits, passed) = (fills.count, fills.hits_total, fills.passed_total);
    let abandoned = fills.abandoned_total;
    say(
        "fills",
        format!(
            "{count} under way, {held} of {max}; {hits} hits; {passed} too large, {abandoned} given up"
        ),
    );
}

fn say_disk(tier: &DiskTier, say: &mut impl FnMut(&str, String)) {
    if tier.directories.is_empty() {
        return say("disk", "no directories".to_owned());
    }
    say(
        "disk",
        format!(
            "index {} of {}, to be written {} of {}, being read {} of {}; {} hits",
            bytes(tier.index_bytes),
            bytes(tier.index_max_bytes),
            bytes(tier.queue_bytes),
            bytes(tier.queue_max_bytes),
            bytes(tier.reading_bytes),
            bytes(tier.reading_max_bytes),
            tier.hits_total
        ),
    );
    tier.directories.iter().for_each(|directory| say_directory(directory, say));
}

fn say_directory(own: &Directory, say: &mut impl FnMut(&str, String)) {
    let state = match (own.state, &own.reason) {
        (DirectoryState::In, _) => "in".to_owned(),
        (DirectoryState::Recovering, _) => "in, index being read".to_owned(),
        (DirectoryState::Out, Some(reason)) => format!("out: {reason}"),
        (DirectoryState::Out, None) => "out".to_owned(),
    };
    say("", format!("{}: {state}", own.path));
    let (held, capacity, live) =
        (bytes(own.bytes), bytes(own.capacity_bytes), bytes(own.live_bytes));
    let (responses, segments) = (own.responses, own.segments);
    say(
        "",
        format!(
            "  {responses} responses, {held} of {capacity} in {segments} segments, {live} can be found"
        ),
    );
    say("", format!("  {}", written(own)));
    let evicted = &own.evicted_total;
    say(
        "",
        format!(
            "  evicted: {} for room, {} for the index, {} for other variants",
            evicted.room, evicted.index, evicted.variants
        ),
    );
    say(
        "",
        format!(
            "  {} reads; failed: {} reads, {} writes, {} checksums",
            own.reads_total,
            own.read_errors_total,
            own.write_errors_total,
            own.checksum_failures_total
        ),
    );
}

fn written(own: &Directory) -> String {
    let (written, put) = (bytes(own.written_bytes_total), bytes(own.put_bytes_total));
    let times =
        own.write_amplification.map_or_else(String::new, |ratio| format!(" ({ratio} times)"));
    let index = own
        .recovery_seconds
        .map_or_else(String::new, |seconds| format!("; index read in {seconds:.1} s"));
    format!(
        "{written} written for {put}{times}, {} responses again, {} dropped{index}",
        own.reinserted_total, own.dropped_writes_total
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn directory(path: &str, state: &str, reason: Option<&str>) -> Value {
        json!({
            "path": path, "state": state, "reason": reason,
            "capacity_bytes": 1 << 30, "bytes": 1 << 29, "live_bytes": 1 << 28, "responses": 7,
            "segments": 4, "index_bytes": 448, "put_bytes_total": 1 << 20,
            "written_bytes_total": 3 << 19, "write_amplification": 1.5,
            "evicted_total": { "room": 1, "index": 2, "variants": 3 },
            "reinserted_total": 4, "dropped_writes_total": 5, "reads_total": 6,
            "read_errors_total": 8, "write_errors_total": 9, "checksum_failures_total": 10,
            "recovery_seconds": 1.25,
        })
    }

    #[test]
    fn a_directory_is_told_with_its_state_and_all_that_happened() {
        let tier = json!({
            "index_bytes": 896, "index_max_bytes": 1 << 20, "queue_bytes": 0,
            "queue_max_bytes": 1 << 25, "reading_bytes": 0, "reading_max_bytes": 1 << 25,
            "hits_total": 3,
            "directories": [directory("/a", "in", None), directory("/b", "out", Some("no space"))],
        });
        let mut lines = Vec::new();
        let tier = serde_json::from_value(tier).unwrap();
        say_disk(&tier, &mut |word, text| lines.push(format!("{word:MARGIN$}{text}")));
        let expected = [
            "disk      index 896 B of 1.0 MiB, to be written 0 B of 32.0 MiB, being read 0 B of 32.0 MiB; 3 hits",
            "          /a: in",
            "            7 responses, 512.0 MiB of 1.0 GiB in 4 segments, 256.0 MiB can be found",
            "            1.5 MiB written for 1.0 MiB (1.5 times), 4 responses again, 5 dropped; index read in 1.2 s",
            "            evicted: 1 for room, 2 for the index, 3 for other variants",
            "            6 reads; failed: 8 reads, 9 writes, 10 checksums",
            "          /b: out: no space",
        ];
        assert_eq!(lines[..expected.len()], expected);
    }
}
