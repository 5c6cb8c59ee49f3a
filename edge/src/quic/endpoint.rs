//! Where QUIC comes in: the socket, what connections may take, and which thread serves them. RFC 9000 §8, §10.3.
//!
//! One task reads the socket, on the first serving thread. A connection lives on the thread that it is handed to, in turn.

use super::fault::Code;
use super::measured::Measured;
use super::secret::Secret;
use crate::config::{self, Config};
use crate::listen::{Counted, Front};
use pingora_core::apps::HttpServerApp;
use quinn::{
    AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, IdleTimeout,
    Incoming, Runtime as _, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;

/// How long clients are told that a connection is over.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes the system may hold of what was received, and of what is to be sent.
const SOCKET_BYTES: usize = 4 << 20;
/// Bytes of a body that a client may send before it is read: of one request, and of all on a connection.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes of responses that a client has not acknowledged.
const SEND_WINDOW_BYTES: u64 = 4 << 20;
/// Streams beside requests that a client may have open. It needs three.
const BESIDE_MAX: u32 = 8;
/// Connections that wait to be looked at, and bytes that come for them meanwhile.
const WAITING_MAX: usize = 1_024;
const WAITING_BYTES_EACH: u64 = 64 << 10;
const WAITING_BYTES: u64 = 16 << 20;
/// Sessions that are kept for early data.
const SESSIONS_MAX: usize = 16_384;
const ID_BYTES: usize = 8;
/// Between two resets of connections that aren't known.
const RESET_INTERVAL: Duration = Duration::from_millis(1);
/// Version 1 (RFC 9000 §15).
const VERSIONS: [u32; 1] = [1];

/// A connection that begins, on its way to the thread that serves it.
pub(super) struct Arrived {
    pub(super) incoming: Incoming,
    /// Where the socket is bound.
    pub(super) local: SocketAddr,
    /// One of those that [`Front`] has, and what counts the client's connection.
    pub(super) place: Place,
    pub(super) shaking: Shaking,
    pub(super) takes_early_data: bool,
}

/// A place among all connections, and among those of the client's address.
pub(super) type Place = (OwnedSemaphorePermit, Option<Counted>);

/// A handshake under way; counted until it is dropped.
pub(super) struct Shaking(Arc<AtomicUsize>);

impl Shaking {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What QUIC is to be on an edge.
pub(crate) struct Quic {
    pub(crate) socket: UdpSocket,
    pub(crate) tls: rustls::ServerConfig,
    pub(crate) secret: Secret,
    pub(crate) options: config::Http3,
    pub(crate) idle_timeout: Duration,
}

/// Why QUIC can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuicError {
    #[error("the TLS configuration is none for QUIC")]
    Tls(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    #[error("http.idle_timeout_seconds is too long for QUIC")]
    IdleTimeout(#[from] quinn::VarIntBoundsExceeded),
    #[error("a socket for QUIC can't be used")]
    Socket(#[from] io::Error),
}

impl Quic {
    /// What a configuration wants, at the port of `beside`; none where it wants no HTTP/3.
    pub(crate) fn bind(config: &Config, beside: &TcpListener) -> io::Result<Option<UdpSocket>> {
        config.http3.enabled.then(|| bind(beside.local_addr()?)).transpose()
    }
}

/// Takes a UDP socket at `address`.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // the system gives as much as it is allowed to
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Quic {
    /// Serves connections until the edge is stopped, and then those that are open to their end. Runs on the thread that
    /// reads the socket.
    ///
    /// While another process may have the socket, nothing is read of it: packets can't be told apart by whose connection
    /// they are of. Open connections are closed then, and their clients connect to the one that follows.
    async fn run<A>(self, front: Arc<Front<A>>, threads: Vec<Thread>)
    where
        A: HttpServerApp + Send + Sync + 'static,
    {
        let handshakes = Arc::default();
        let (mut accepting, mut stopping) = (front.accepting.clone(), front.stopping.clone());
        loop {
            tokio::select! {
                biased;
                () = until(&mut stopping, true) => return,
                () = until(&mut accepting, true) => {}
            }
            let (endpoint, socket, local) = match self.endpoint() {
                Ok(endpoint) => endpoint,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    return tracing::error!(error, "HTTP/3 is not served");
                }
            };
            let door =
                Open { quic: &self, front: &front, threads: &threads, handshakes: &handshakes };
            tokio::select! {
                biased;
                () = until(&mut stopping, true) => {
                    // nothing new, while open connections come to their end
                    endpoint.set_server_config(None);
                    return endpoint.wait_idle().await;
                }
                () = until(&mut accepting, false) => {
                    socket.leave();
                    endpoint.close(Code::NoError.into(), b"another process follows");
                    timeout(LAST_WORDS, endpoint.wait_idle()).await.ok();
                }
                () = door.accept(&endpoint, local) => return,
            }
        }
    }

    fn endpoint(&self) -> Result<(Endpoint, Arc<Measured>, SocketAddr), QuicError> {
        let Self { socket, tls, secret, options, idle_timeout } = self;
        let (socket, mut tls) = (socket.try_clone()?, tls.clone());
        let local = socket.local_addr()?;
        if options.early_data {
            // a session is taken out of this store when it is gone on with, so early data comes once here; tickets that
            // hold the session themselves can be shown again, and rustls takes no early data with them
            tls.max_early_data_size = u32::MAX;
            tls.ticketer = Arc::new(NoTickets);
            tls.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        }
        let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(Arc::new(tls))?;
        let mut server = ServerConfig::new(Arc::new(crypto), secret.token_key());
        server
            .transport_config(Arc::new(transport(options, *idle_timeout)?))
            .max_incoming(WAITING_MAX)
            .incoming_buffer_size(WAITING_BYTES_EACH)
            .incoming_buffer_size_total(WAITING_BYTES);
        let mut config = EndpointConfig::new(secret.reset_key());
        config
            .supported_versions(VERSIONS.to_vec())
            .min_reset_interval(RESET_INTERVAL)
            .cid_generator(|| Box::new(Ids));
        let socket = Arc::new(Measured::new(TokioRuntime.wrap_udp_socket(socket)?));
        let runtime = Arc::new(TokioRuntime);
        let own: Arc<dyn AsyncUdpSocket> = Arc::<Measured>::clone(&socket);
        let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), own, runtime)?;
        Ok((endpoint, socket, local))
    }
}

/// Waits until something is so. Who would change it is gone only when the process ends.
async fn until(state: &mut watch::Receiver<bool>, wanted: bool) {
    state.wait_for(|is| *is == wanted).await.ok();
}

/// A socket that is read.
struct Open<'q, A> {
    quic: &'q Quic,
    front: &'q Arc<Front<A>>,
    threads: &'q [Thread],
    handshakes: &'q Arc<AtomicUsize>,
}

impl<A: HttpServerApp + Send + Sync + 'static> Open<'_, A> {
    /// Hands connections to the threads in turn.
    async fn accept(&self, endpoint: &Endpoint, local: SocketAddr) {
        let mut turns = self.threads.iter().cycle();
        let takes_early_data = self.quic.options.early_data;
        while let (Some(incoming), Some(thread)) = (endpoint.accept().await, turns.next()) {
            if let Some((incoming, place)) = self.admit(incoming) {
                let shaking = Shaking::new(self.handshakes);
                let arrived = Arrived { incoming, local, place, shaking, takes_early_data };
                // a thread that is behind with so many would come to them too late
                thread.try_send(arrived).ok();
            }
        }
    }

    /// Lets a connection in, or tells it to show its address first, or refuses it.
    fn admit(&self, incoming: Incoming) -> Option<(Incoming, Place)> {
        let (front, validated) = (self.front, incoming.remote_address_validated());
        let retry_above = self.quic.options.retry_above_handshakes;
        if !validated && handshakes_of(self.handshakes) >= retry_above && incoming.may_retry() {
            // only who has sent a token before may not be asked for another, and has just been left out
            incoming.retry().ok();
            return None;
        }
        let client = incoming.remote_address();
        // an address that may be another's is not held against it
        let may_shake = if validated { front.clients.handshake(client.ip()) } else { Ok(()) };
        let counted = match may_shake.and_then(|()| front.clients.connect(client.ip())) {
            Ok(counted) => counted,
            Err(refusal) => {
                front.turn_away(client, refusal);
                incoming.refuse();
                return None;
            }
        };
        if let Ok(place) = Arc::clone(&front.places).try_acquire_owned() {
            return Some((incoming, (place, counted)));
        }
        incoming.refuse();
        None
    }
}

fn handshakes_of(count: &Arc<AtomicUsize>) -> usize {
    count.load(Ordering::Relaxed)
}

fn transport(
    options: &config::Http3,
    idle_timeout: Duration,
) -> Result<TransportConfig, QuicError> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(options.streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(BESIDE_MAX))
        .max_idle_timeout(Some(IdleTimeout::try_from(idle_timeout)?))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None);
    Ok(transport)
}

/// Has sessions kept here, and not by clients.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Makes connection ids at random. Those of the last run can't be told from others that way, and so every packet of an
/// unknown connection may be answered with a reset.
struct Ids;

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        // where the system gives no randomness, there are no handshakes either
        aws_lc_rs::rand::fill(&mut id).ok();
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The way to a thread that serves connections.
type Thread = mpsc::Sender<Arrived>;

/// What one serving thread does for QUIC.
pub(crate) struct Share {
    arrivals: mpsc::Receiver<Arrived>,
    /// The first thread also reads the socket.
    socket: Option<(Quic, Vec<Thread>)>,
}

impl Share {
    /// Those of `count` threads.
    pub(crate) fn of(quic: Quic, count: usize) -> Vec<Self> {
        let (threads, arrivals): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(WAITING_MAX)).unzip();
        let mut socket = Some((quic, threads));
        arrivals.into_iter().map(|arrivals| Self { arrivals, socket: socket.take() }).collect()
    }

    /// Serves the connections that come to this thread.
    pub(crate) async fn run<A>(mut self, front: Arc<Front<A>>)
    where
        A: HttpServerApp + Send + Sync + 'static,
    {
        if let Some((quic, threads)) = self.socket {
            tokio::spawn(quic.run(Arc::clone(&front), threads));
        }
        while let Some(arrived) = self.arrivals.recv().await {
            tokio::spawn(Arc::clone(&front).serve_quic(arrived));
        }
    }
}
