//! TLS of clients' connections: which certificate is shown, by which rules a handshake goes, and what is remembered of it.
//!
//! Certificates come by the feed, with their keys sealed. A handshake goes by the snapshot of its time: one that is
//! replaced is replaced for the next handshake, and no connection that stands notices.

mod certificate;
mod certificates;
mod challenges;
mod configs;
mod resolver;
mod secret;
mod secure;
mod tickets;

pub(crate) use certificate::{Certificate, Told as CertificateTold};
pub(crate) use certificates::Certificates;
pub(crate) use challenges::{Challenges, HTTP_PATH};
pub(crate) use configs::{Chosen, Configs, check_client_auth};
pub(crate) use secret::Secret;
pub(crate) use secure::Secure;

use std::time::SystemTime;

/// The protocol that an authority's challenge is a handshake for (RFC 8737 §4).
const ACME_PROTOCOL: &[u8] = b"acme-tls/1";

/// Seconds since 1970.
pub(crate) fn seconds(now: SystemTime) -> i64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
