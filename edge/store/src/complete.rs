//! A response that is complete and in memory.

use crate::{Head, Key};
use bytes::Bytes;
use std::sync::Arc;

/// What is spent on a response beside its head, body and name: moka's entry and what leads to it, and three counts of
/// references. Measured as growth of the process, by the test `what_is_stored_weighs_what_the_process_grows_by` of `edge`:
/// between 460 and 510 bytes, by how full moka's table is and how well the allocator's pages are used.
const OVERHEAD_BYTES: usize = 530;
/// What is spent beside that on a variant other than the first of its name, to bound their number.
const VARIANT_OVERHEAD_BYTES: usize = 250;

/// A complete response, under the key and the whole name it is stored under.
pub(crate) struct Complete<H> {
    /// Tells it from all that was stored before, earlier runs included.
    pub(crate) number: u64,
    pub(crate) key: Key,
    pub(crate) name: Box<[u8]>,
    pub(crate) head: Arc<H>,
    pub(crate) body: Bytes,
}

impl<H: Head> Complete<H> {
    /// Bytes it takes in the memory tier.
    pub(crate) fn weight(&self) -> u32 {
        let overhead =
            OVERHEAD_BYTES + if self.key.is_first() { 0 } else { VARIANT_OVERHEAD_BYTES };
        let own = [self.head.weight(), self.body.len(), self.name.len()].map(allocated);
        let bytes = own.iter().sum::<usize>() + overhead;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// Bytes that are taken from the system for so many: the allocator has four sizes for each power of two, and pages for
/// what is large.
fn allocated(bytes: usize) -> usize {
    const PAGE_BYTES: usize = 4_096;
    const SMALL_MAX_BYTES: usize = 128 * 1_024;
    if bytes > SMALL_MAX_BYTES {
        return bytes.next_multiple_of(PAGE_BYTES);
    }
    bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(8))
}
