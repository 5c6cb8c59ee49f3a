//! The clients, each with its own counts: wrk for HTTP/1.1, h2load for HTTP/2, and one of our own for HTTP/3 and handshakes.

mod h2load;
mod secure;
mod wrk;

use crate::case::{Case, Over};
use crate::servers::{HOST, Server};
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::path::Path;
use wrk::Counts;

/// Asks for `seconds`. Errors when any answer was not right, or a connection broke.
pub(crate) async fn run(
    case: &Case,
    server: &Server,
    script: &Path,
    seconds: u64,
) -> Result<Counts> {
    let secure = || -> Result<SocketAddr> { server.secure.context("a server without TLS") };
    let url = case.url(server);
    match case.over {
        Over::Plain | Over::Http1 => wrk::run(script, &url, HOST, seconds).await,
        Over::Http2 => h2load::run(&url, secure()?, seconds).await,
        Over::Http3 => secure::run("h3", secure()?, case.path(), seconds).await,
        Over::Full => secure::run("full", secure()?, case.path(), seconds).await,
        Over::Resumed => secure::run("resumed", secure()?, case.path(), seconds).await,
    }
}
