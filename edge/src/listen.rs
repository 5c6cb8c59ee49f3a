//! Where clients come in: accepts connections, reads each request's head strictly and in time, and hands requests to
//! the proxy one at a time.
//!
//! Every serving thread has a runtime of its own and accepts from the same sockets, so that a connection stays on the
//! thread that accepted it.

mod addresses;
mod admit;
mod connection;
mod fence;
mod h1;
mod head;
mod pace;
mod proxy_protocol;
mod refusal;
mod stream;
mod transport;

pub(crate) use admit::Clients;
pub(crate) use connection::{Connection, Protocol};
pub(crate) use fence::Wrong;
#[cfg(test)]
pub(crate) use head::read as read_head;
pub(crate) use head::{Plain, fields};
pub(crate) use refusal::Refusal;
pub(crate) use stream::ClientStream;

use crate::config;
use crate::plain::PlainHits;
use crate::telemetry::Telemetry;
use pingora_core::apps::HttpServerApp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Pause after the system refuses a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of this edge share.
pub(crate) struct Front<A> {
    pub(crate) app: Arc<A>,
    pub(crate) plain_hits: PlainHits,
    pub(crate) limits: Limits,
    pub(crate) clients: Arc<Clients>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// True once the edge is being stopped.
    pub(crate) stopping: watch::Receiver<bool>,
    /// One permit per connection.
    pub(crate) places: Arc<Semaphore>,
}

/// How much a client may send, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    head_max_bytes: usize,
    head_timeout: Duration,
    idle_timeout: Duration,
}

impl Limits {
    pub(crate) const fn new(http: &config::Http) -> Self {
        Self {
            head_max_bytes: http.head_max_bytes,
            head_timeout: Duration::from_secs(http.head_timeout_seconds),
            idle_timeout: Duration::from_secs(http.idle_timeout_seconds),
        }
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Accepts and serves until the edge is stopped.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&self.places).acquire_owned() => place,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match accepted {
                Ok((tcp, client)) => {
                    let front = Arc::clone(&self);
                    tokio::spawn(async move {
                        front.serve(tcp, client).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, mut tcp: TcpStream, peer: SocketAddr) {
        let _open = self.telemetry.metrics.connection_opened();
        let Some((client, _counted)) = self.admit(&mut tcp, peer).await else { return };
        let Ok(local) = tcp.local_addr() else { return };
        // latency counts more than packets; a socket that can't has gone away and shows it at the first read
        tcp.set_nodelay(true).ok();
        let connection = Arc::new(Connection { client, local, secure: None });
        self.serve_h1(ClientStream::plain(tcp, connection)).await;
    }
}
