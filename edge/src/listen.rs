//! Where clients come in: accepts connections, reads each request's head strictly and in time, and hands requests to
//! the proxy one at a time.
//!
//! Every serving thread has a runtime of its own and accepts from the same sockets, so that a connection stays on the
//! thread that accepted it.

mod addresses;
mod admit;
mod connection;
mod exchange;
mod fence;
mod h1;
mod h2;
mod head;
mod pace;
mod proxy_protocol;
mod refusal;
mod stream;
mod tls;
mod transport;

pub(crate) use addresses::Counted;
pub(crate) use admit::Clients;
pub(crate) use connection::{Connection, Protocol};
pub(crate) use fence::Wrong;
#[cfg(test)]
pub(crate) use head::read as read_head;
pub(crate) use head::{FIELDS_MAX, Plain, fields, is_method, is_special};
pub(crate) use pace::{Rate, Watch, watched};
pub(crate) use refusal::Refusal;
pub(crate) use stream::ClientStream;
pub(crate) use tls::{Failed, Handshakes};

use crate::config;
use crate::plain::PlainHits;
use crate::quic::AltSvc;
use crate::telemetry::Telemetry;
use bytes::BytesMut;
use pingora_core::apps::HttpServerApp;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};

/// Pause after the system refuses a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of this edge share.
pub(crate) struct Front<A> {
    pub(crate) app: Arc<A>,
    pub(crate) plain_hits: PlainHits,
    pub(crate) limits: Limits,
    /// What clients over TLS are told of other protocols.
    pub(crate) alt_svc: Option<&'static AltSvc>,
    /// None where no client comes over TLS.
    pub(crate) handshakes: Option<Handshakes>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) telemetry: Arc<Telemetry>,
    /// False while connections are to wait in the system's queue, for another process.
    pub(crate) accepting: watch::Receiver<bool>,
    /// True once the edge is being stopped.
    pub(crate) stopping: watch::Receiver<bool>,
    /// One permit per connection.
    pub(crate) places: Arc<Semaphore>,
}

/// What clients speak who come to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Http,
    Https,
}

/// How much a client may send, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) head_max_bytes: usize,
    pub(crate) head_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    h2: h2::Limits,
}

impl Limits {
    pub(crate) fn new(http: &config::Http, http2: &config::Http2) -> Self {
        Self {
            h2: h2::Limits::new(http2),
            head_max_bytes: http.head_max_bytes,
            head_timeout: Duration::from_secs(http.head_timeout_seconds),
            idle_timeout: Duration::from_secs(http.idle_timeout_seconds),
        }
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Accepts and serves until the edge is stopped.
    pub(crate) async fn run(self: Arc<Self>, listener: TcpListener, door: Door) {
        let (mut accepting, mut stopping) = (self.accepting.clone(), self.stopping.clone());
        loop {
            let place = tokio::select! {
                place = self.place(&mut accepting) => place,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            let accepted = tokio::select! {
                // none is accepted that another process could have had
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                _ = accepting.wait_for(|accepting| !*accepting) => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, client)) => {
                    let front = Arc::clone(&self);
                    tokio::spawn(async move {
                        front.serve(tcp, client, door).await;
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

    /// Waits for room for a connection, and until one may be accepted.
    async fn place(
        &self,
        accepting: &mut watch::Receiver<bool>,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        // who would change it is gone only when the process ends
        accepting.wait_for(|accepting| *accepting).await.ok();
        Arc::clone(&self.places).acquire_owned().await
    }

    async fn serve(self: &Arc<Self>, mut tcp: TcpStream, peer: SocketAddr, door: Door) {
        let _open = self.telemetry.metrics.connection_opened();
        let Some((client, _counted)) = self.admit(&mut tcp, peer).await else { return };
        let Ok(local) = tcp.local_addr() else { return };
        // latency counts more than packets; a socket that can't has gone away and shows it at the first read
        tcp.set_nodelay(true).ok();
        match door {
            Door::Http => {
                let connection = Arc::new(Connection { client, local, secure: None });
                self.serve_cleartext(ClientStream::plain(tcp, connection)).await;
            }
            Door::Https => self.serve_tls(tcp, client, local).await,
        }
    }

    async fn serve_cleartext(self: &Arc<Self>, mut stream: ClientStream) {
        let mut read = BytesMut::new();
        if self.limits.h2.cleartext {
            let timeouts = (self.limits.idle_timeout, self.limits.head_timeout);
            match h2::is_meant(&mut stream, &mut read, timeouts).await {
                Some(true) => {
                    let connection = Arc::clone(stream.connection());
                    stream.demand(Arc::clone(&self.clients.rate));
                    return self.serve_h2(stream, read, connection).await;
                }
                Some(false) => {}
                None => return,
            }
        }
        self.serve_h1(stream, read).await;
    }
}
