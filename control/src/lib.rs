//! The control service: holds sites, checks them, and feeds them to the edges.
//!
//! `router` and `routes` answer, `db` alone knows SQL, `feed` tells followers of every change, `reports` keeps what edges
//! say, and `waiting` has those wait who asked for their acknowledgement.

mod acme;
mod asker;
mod auth;
mod authority;
mod certificate;
mod channel;
mod clock;
pub mod config;
mod db;
mod feed;
mod idempotent;
mod input;
pub mod keys;
mod local;
mod metrics;
mod order;
mod precondition;
mod problem;
mod reports;
mod rest;
mod router;
mod routes;
mod secrets;
mod selectors;
pub mod server;
mod stall;
mod standing;
pub mod telemetry;
pub mod token;
mod waiting;

pub use acme::authority::AuthorityError;
pub use acme::dns::EdgeName;
pub use channel::ChannelError;
pub use db::OpenError;
pub use feed::nats::ConnectFailed;
pub use secrets::SecretsError;

/// The OpenAPI document, as it is served.
#[must_use]
pub fn openapi() -> &'static str {
    routes::openapi::text()
}
