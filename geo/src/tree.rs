//! Whether the search tree of a database stays inside of its file, and leads to sound values (MaxMind DB file format
//! 2.0, "Binary Search Tree Section").

use crate::data::Walk;
use maxminddb::Reader;

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The format's own limit on what follows the marker.
const METADATA_MAX_BYTES: usize = 128 * 1_024;
/// Zeros between tree and data.
const SEPARATOR_BYTES: usize = 16;
/// The longest node: two records of 32 bits.
const NODE_MAX_BYTES: usize = 8;

/// Passes a file every record of whose tree names a node, nothing, or a sound value of the data section.
pub(crate) fn check(file: &[u8]) -> Result<(), String> {
    let latest = file.len().saturating_sub(METADATA_MAX_BYTES);
    let end = file.get(latest..).unwrap_or_default();
    let marker = end.windows(MARKER.len()).rposition(|window| window == MARKER);
    let marker = latest + marker.ok_or("it has no metadata")?;
    let (body, metadata) = file.split_at(marker);
    let (nodes, record_bits) = shape(metadata)?;
    let node_bytes = record_bits / 4;
    let tree_bytes = nodes.checked_mul(node_bytes).ok_or("its tree is longer than memory")?;
    let data_bytes = body
        .len()
        .checked_sub(tree_bytes)
        .and_then(|rest| rest.checked_sub(SEPARATOR_BYTES))
        .ok_or("its tree is longer than the file")?;
    // A record is a node, the number of nodes for nothing, or that, the separator and a place in the data.
    let (tree, data) = body.split_at(body.len() - data_bytes);
    let mut walk = Walk::new(file.get(body.len() - data.len()..).unwrap_or_default());
    let tree = tree.get(..tree_bytes).unwrap_or_default();
    for record in tree.chunks_exact(node_bytes).flat_map(records).filter(|record| *record > nodes) {
        let place = record.checked_sub(nodes + SEPARATOR_BYTES);
        walk.check(place.ok_or("its tree points into the gap behind it")?)?;
    }
    Ok(())
}

/// The number of nodes and the bits of a record. The metadata is read by itself, behind a node that leads nowhere: with
/// the file before it, the reader would follow a tree that nobody has checked.
fn shape(metadata: &[u8]) -> Result<(usize, usize), String> {
    Walk::new(metadata.get(MARKER.len()..).unwrap_or_default()).check(0)?;
    let alone = [&[0; NODE_MAX_BYTES], metadata].concat();
    let metadata = Reader::from_source(alone).map_err(|error| error.to_string())?.metadata;
    let nodes = usize::try_from(metadata.node_count).map_err(|error| error.to_string())?;
    if !matches!(metadata.ip_version, 4 | 6) {
        return Err(format!("its IP version is {}", metadata.ip_version));
    }
    Ok((nodes, usize::from(metadata.record_size)))
}

/// Both records of a node of 6, 7 or 8 bytes.
fn records(node: &[u8]) -> [usize; 2] {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    match node {
        // The middle byte holds the highest four bits of each.
        [left @ .., middle, a, b, c] if left.len() == 3 && node.len() == 7 => [
            usize::from(middle >> 4) << 24 | number(left),
            usize::from(middle & 0x0f) << 24 | number(&[*a, *b, *c]),
        ],
        _ => {
            let (left, right) = node.split_at(node.len() / 2);
            [number(left), number(right)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_every_size_are_read() {
        assert_eq!(records(&[1, 2, 3, 4, 5, 6]), [0x01_02_03, 0x04_05_06]);
        assert_eq!(records(&[1, 2, 3, 0xab, 4, 5, 6]), [0xa_01_02_03, 0xb_04_05_06]);
        assert_eq!(records(&[1, 2, 3, 4, 5, 6, 7, 8]), [0x01_02_03_04, 0x05_06_07_08]);
    }
}
