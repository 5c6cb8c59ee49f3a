//! The store: complete responses in memory and on disk, and responses being filled, which readers can follow as they
//! arrive.
//!
//! [`Store`] finds a response by its [`Key`] and verifies the whole name it was stored under. A [`Fill`] takes a body
//! in; each [`Reader`] gives one out, at its own pace. What a head is, is the caller's choice ([`Head`]): this crate
//! knows bytes, names and bounds, and nothing of HTTP or of Pingora.

mod changes;
mod complete;
mod disk;
mod fill;
mod filled;
mod key;
mod listing;
mod memory;
mod reader;
mod seen;
mod statistics;
mod store;
mod sweep;
mod tiers;
mod under_way;
mod variants;

pub use disk::{
    DirectoryOptions, DirectoryState, DirectoryStatistics, DiskOptions, DiskStatistics,
};
pub use fill::{Fill, FillError, Own};
pub use key::Key;
pub use listing::{Listed, Page, Place, Tier};
pub use reader::{ReadError, Reader};
pub use statistics::{DiskLimits, Hits, Statistics};
pub use store::{Found, Limits, Moment, Store, Was};
pub use sweep::{Met, Visitor};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is stored beside a body.
pub trait Head: Send + Sync + 'static {
    /// Bytes of memory it holds, itself included.
    fn weight(&self) -> usize;

    /// Writes it down, for [`Head::decode`] of this or a later version.
    fn encode(&self, out: &mut Vec<u8>);

    /// What was encoded; none for bytes that this version doesn't understand. Any bytes may be given.
    fn decode(bytes: &[u8]) -> Option<Self>
    where
        Self: Sized;
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // a panic elsewhere leaves what is locked whole: every change is complete when its guard is dropped
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
