//! The control service: holds sites, checks them, and feeds them to the edges.
//!
//! `router` and `routes` answer, `db` alone knows SQL, `feed` tells followers of every change.

mod auth;
mod clock;
pub mod config;
mod db;
mod feed;
mod idempotent;
mod input;
mod metrics;
mod precondition;
mod problem;
mod rest;
mod router;
mod routes;
pub mod server;
mod stall;
pub mod telemetry;
pub mod token;

pub use db::OpenError;
pub use feed::nats::ConnectFailed;

/// The OpenAPI document, as it is served.
#[must_use]
pub fn openapi() -> &'static str {
    routes::openapi::text()
}
