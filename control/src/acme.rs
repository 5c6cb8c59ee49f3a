//! Certificates from an ACME authority (RFC 8555): who has which host, orders, challenges, renewals.
//!
//! What becomes of a domain is decided by pure functions: [`domain`], [`backoff`], [`renewal`], [`ownership`], [`method`],
//! [`words`]. One replica does the work ([`engine`]), a task for each domain ([`case`]); what it did is in the database
//! before it goes on, so that another one goes on from there. There is one certificate for each host of a site: a host
//! that can't be shown holds up no other one.

pub(crate) mod authority;
pub(crate) mod backoff;
pub(crate) mod case;
pub(crate) mod challenge;
pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod domain;
pub(crate) mod engine;
pub(crate) mod method;
pub(crate) mod order;
pub(crate) mod ownership;
pub(crate) mod provider;
pub(crate) mod renewal;
pub(crate) mod words;

use crate::config::Acme;
use tokio::sync::Notify;

/// What operations of the API have to do with domains.
#[derive(Default)]
pub(crate) struct Desk {
    /// There is something to do.
    pub(crate) word: Notify,
    /// What hosts may point to.
    pub(crate) points_to: Vec<String>,
}

impl Desk {
    /// As control is set up.
    pub(crate) fn new(config: &Acme) -> Self {
        let points_to = config.edge_names.iter().map(ToString::to_string).collect();
        Self { word: Notify::new(), points_to }
    }
}
