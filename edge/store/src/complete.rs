//! A response that is complete and in memory.

use crate::{Head, Key};
use bytes::Bytes;
use std::sync::Arc;

/// What moka and the allocator spend on a response beside what it weighs itself; measured as growth of the process.
const OVERHEAD_BYTES: usize = 1_000;
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
        let bytes = self.head.weight() + self.body.len() + self.name.len() + overhead;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}
