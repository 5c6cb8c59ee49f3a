//! What do followers of the feed hear, and when? Server-sent events, as `api::feed` says.
//!
//! One task reads what is new, and has it written and compressed once (`tail`, `chunk`, `encoding`). The newest part is
//! in memory for the followers that have everything before it (`ring`); those that are behind read the log, and share
//! what they read (`pages`). Each holds one chunk at a time and waits for nobody else (`follower`). What is kept of the
//! log is `retention`'s, and who publishes it elsewhere is `nats`.

pub(crate) mod chunk;
pub(crate) mod encoding;
pub(crate) mod follower;
pub(crate) mod nats;
mod pages;
pub(crate) mod retention;
mod ring;
pub(crate) mod tail;

use crate::metrics::Metrics;
use pages::Pages;
use ring::Ring;

/// What followers share.
pub(crate) struct Feed {
    ring: Ring,
    pages: Pages,
}

impl Feed {
    /// Nothing in memory yet; followers that have everything up to `newest` wait for what comes after.
    pub(crate) fn new(newest: u64, metrics: &Metrics) -> Self {
        Self { ring: Ring::new(newest), pages: Pages::new(metrics.pages()) }
    }
}
