//! The store: complete responses in memory, and responses being filled, which readers can follow as they arrive.
//!
//! [`Store`] finds a response by its [`Key`] and verifies the whole name it was stored under. A [`Fill`] takes a body
//! in; each [`Reader`] gives one out, at its own pace. What a head is, is the caller's choice ([`Head`]): this crate
//! knows bytes, names and bounds, and nothing of HTTP or of Pingora.

mod fill;
mod key;
mod reader;
mod removals;
mod store;
mod variants;

pub use fill::{Fill, FillError, Own};
pub use key::Key;
pub use reader::{ReadError, Reader};
pub use store::{Found, Limits, Moment, Statistics, Store};

/// What is stored beside a body.
pub trait Head: Send + Sync + 'static {
    /// Bytes of memory it holds, itself included.
    fn weight(&self) -> usize;
}
