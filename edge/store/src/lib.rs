//! The store: complete responses in memory, and responses being filled, which readers can follow as they arrive.
//!
//! [`Store`] finds a response by its [`Key`] and verifies the whole name it was stored under. A [`Fill`] takes a body
//! in; each [`Reader`] gives one out, at its own pace. What a head is, is the caller's choice ([`Head`]): this crate
//! knows bytes, names and bounds, and nothing of HTTP or of Pingora.

mod complete;
#[expect(dead_code, reason = "the tiers that use it come next")]
mod disk;
mod fill;
mod key;
mod reader;
mod removals;
mod store;
mod variants;

pub use disk::{
    DirectoryOptions, DirectoryState, DirectoryStatistics, DiskOptions, DiskStatistics,
};
pub use fill::{Fill, FillError};
pub use key::Key;
pub use reader::{ReadError, Reader};
pub use store::{Found, Limits, Moment, Statistics, Store};

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
