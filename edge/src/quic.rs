//! HTTP/3: RFC 9114 over QUIC, which quinn speaks, in front of the same proxy as HTTP/1.1 and HTTP/2.
//!
//! Frames, field sections and the streams beside requests are read here, strictly and within bounds; see
//! docs/adr/0023-http3.md for why.

mod alt_svc;
mod connection;
mod control;
mod endpoint;
mod exchange;
mod fault;
mod frame;
mod head;
mod measured;
mod qpack;
mod request;
mod secret;

pub(crate) use alt_svc::AltSvc;
pub(crate) use endpoint::{Quic, Share};
pub(crate) use secret::Secret;
