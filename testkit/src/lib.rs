//! What our tests stand on: an origin that does what a script says, a client that shows what it read byte by byte,
//! and the built programs in directories of their own on ports the kernel chose.
//!
//! A test reads from top to bottom: what the origin answers, what the client asks, what it gets.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use testkit::{Client, Origin};
//! let origin = Origin::start().await;
//! origin.on("/a").respond(200).header("Cache-Control", "max-age=60").body("x");
//! let answer = Client::connect(origin.address()).await.get("a.example", "/a").await;
//! assert_eq!((answer.status, answer.text()), (200, "x"));
//! assert_eq!(origin.count("/a"), 1);
//! # });
//! ```
//!
//! Nothing here sleeps and nothing waits for ever: see [`PATIENCE`]. Failing is panicking: this crate is for tests only.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod client;
mod dns;
mod feed;
mod http2;
mod http3;
mod message;
mod origin;
mod program;
mod tls;
mod wait;
mod wire;

pub use client::{Call, Client, Interim, Response};
pub use dns::Dns;
pub use feed::Feed;
pub use http2::{Http2, Http2Stream};
pub use http3::{Http3, Http3Response};
pub use message::{Broken, Fields};
pub use origin::{Live, Origin, Request, Script, Unreachable};
pub use program::control::Control;
pub use program::edge::{Edge, EdgeOptions};
pub use program::metrics::Metrics;
pub use program::pebble::{Pebble, PebbleOptions};
pub use program::process::{Failed, Program, program_path};
pub use program::up::Up;
pub use tls::{Authority, Issued, Tls};
pub use wait::{Barrier, PATIENCE, eventually, within};
