//! One connection of HTTP/3: its requests, the streams beside them, and its end. RFC 9114 §5, §6.

use super::control::{self, Said};
use super::endpoint::Arrived;
use super::exchange::Stream;
use super::fault::{Code, Fault};
use super::frame::{Frames, kind, put_head, put_number};
use crate::listen::{Connection, Front};
use crate::tls::Secure;
use bytes::{BufMut, Bytes, BytesMut};
use pingora_core::apps::HttpServerApp;
use quinn::{RecvStream, SendStream};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Streams without a request's answer that one connection may have, beyond two for each that was answered.
const CANCELLED_MAX: u32 = 200;
/// Streams beside requests that one connection may open, all in all. Clients need three.
const BESIDE_MAX: u32 = 1_000;
/// How long a client's last acknowledgements are waited for when the edge is stopped.
const LAST_WORDS: Duration = Duration::from_millis(500);
const LAST_WORDS_LEAST: Duration = Duration::from_millis(20);

/// The other end of a connection.
pub(super) struct Peer {
    quic: quinn::Connection,
    pub(super) said: Said,
    /// Bytes of a field section that clients may send.
    pub(super) section_max_bytes: usize,
    cancelled: AtomicU32,
    answered: AtomicU32,
}

impl Peer {
    /// Ends the connection.
    pub(super) fn close(&self, code: Code, why: &str) {
        self.quic.close(code.into(), why.as_bytes());
    }

    /// Counts a request that the client gave up. One that gives up without end has something else in mind.
    pub(super) fn cancelled(&self) {
        let cancelled = self.cancelled.fetch_add(1, Ordering::Relaxed) + 1;
        let answered = self.answered.load(Ordering::Relaxed);
        if cancelled > CANCELLED_MAX.saturating_add(answered.saturating_mul(2)) {
            self.close(Code::ExcessiveLoad, "requests that are given up");
        }
    }

    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Does what a fault beside requests asks for.
    fn note(&self, fault: Fault) {
        match fault {
            Fault::Connection(code, why) | Fault::Stream(code, why) => self.close(code, why),
            Fault::Cancelled | Fault::Lost => {}
        }
    }
}

/// Why a connection takes no more requests.
enum End {
    /// There is nobody any more.
    Lost,
    /// It has been idle for too long, or the edge is being stopped.
    Ours,
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Serves a connection until it ends.
    pub(super) async fn serve_quic(self: Arc<Self>, arrived: Arrived) {
        let Arrived { incoming, local, place, shaking, takes_early_data } = arrived;
        let _open = self.telemetry.metrics.connection_opened();
        let Ok(connecting) = incoming.accept() else { return };
        let (quic, shaken) = if takes_early_data {
            // requests may come before the handshake is over; each of them tells
            let Ok((quic, shaken)) = connecting.into_0rtt() else { return };
            (quic, Some(shaken))
        } else {
            let Ok(Ok(quic)) = timeout(self.limits.head_timeout, connecting).await else { return };
            (quic, None)
        };
        let shaking = async move {
            if let Some(shaken) = shaken {
                shaken.await;
            }
            drop(shaking);
        };
        let client = quic.remote_address();
        let peer = Arc::new(Peer {
            quic,
            said: Said::default(),
            section_max_bytes: self.limits.head_max_bytes,
            cancelled: AtomicU32::default(),
            answered: AtomicU32::default(),
        });
        let connection = Arc::new(connection(&peer.quic, client, local));
        tokio::spawn(shaking);
        self.serve_h3(&peer, connection).await;
        drop(place);
    }

    async fn serve_h3(self: Arc<Self>, peer: &Arc<Peer>, mut connection: Arc<Connection>) {
        let Ok(mut control) = open_control(peer).await else { return };
        let mut beside = JoinSet::new();
        let mut requests = JoinSet::new();
        let end = self.accept(peer, &mut connection, &mut requests, &mut beside).await;
        if matches!(end, End::Ours) {
            self.go_away(peer, &mut control, &mut requests).await;
        }
        // what is under way notices by itself that the client has gone; what others wait for goes on
        requests.detach_all();
    }

    /// Takes requests, and the streams beside them.
    async fn accept(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        connection: &mut Arc<Connection>,
        requests: &mut JoinSet<()>,
        beside: &mut JoinSet<()>,
    ) -> End {
        let mut stopping = self.stopping.clone();
        let (mut idle_since, mut opened) = (Instant::now(), 0);
        loop {
            let idle = async {
                sleep_until(idle_since + self.limits.idle_timeout).await;
            };
            tokio::select! {
                accepted = peer.quic.accept_bi() => {
                    let Ok((send, receive)) = accepted else { return End::Lost };
                    // a client told to go away may send again what is not counted
                    peer.said.requests.fetch_add(1, Ordering::Relaxed);
                    follow(peer, connection);
                    let (front, peer) = (Arc::clone(self), Arc::clone(peer));
                    let connection = Arc::clone(connection);
                    requests.spawn(front.request(peer, connection, send, receive));
                }
                Some(_) = requests.join_next() => idle_since = Instant::now(),
                accepted = peer.quic.accept_uni() => {
                    let Ok(stream) = accepted else { return End::Lost };
                    opened += 1;
                    if opened > BESIDE_MAX {
                        peer.close(Code::ExcessiveLoad, "streams beside requests");
                    }
                    let peer = Arc::clone(peer);
                    beside.spawn(async move {
                        if let Err(fault) = control::read(stream, &peer.said).await {
                            peer.note(fault);
                        }
                    });
                }
                Some(_) = beside.join_next() => {}
                () = idle, if requests.is_empty() => return End::Ours,
                _ = stopping.wait_for(|stopping| *stopping) => return End::Ours,
            }
        }
    }

    /// Ends a connection without harm to what was asked on it (RFC 9114 §5.2).
    async fn go_away(
        &self,
        peer: &Arc<Peer>,
        control: &mut SendStream,
        requests: &mut JoinSet<()>,
    ) {
        let _busy = self.telemetry.metrics.request_begun();
        let next = 4 * peer.said.requests.load(Ordering::Relaxed);
        let mut frame = BytesMut::new();
        let mut id = BytesMut::new();
        put_number(&mut id, next);
        put_head(&mut frame, kind::GOAWAY, id.len() as u64);
        frame.put(id);
        // the client may be gone; then the loop ends at once
        control.write_all(&frame).await.ok();
        loop {
            tokio::select! {
                accepted = peer.quic.accept_bi() => match accepted {
                    Ok((send, receive)) => reject(send, receive),
                    Err(_) => return,
                },
                over = requests.join_next() => if over.is_none() {
                    break;
                },
            }
        }
        let rest = (peer.quic.rtt() * 3).clamp(LAST_WORDS_LEAST, LAST_WORDS);
        timeout(rest, peer.quic.closed()).await.ok();
        peer.close(Code::NoError, "");
        // the connection's own task sends that
        sleep(Duration::from_millis(1)).await;
    }

    async fn request(
        self: Arc<Self>,
        peer: Arc<Peer>,
        connection: Arc<Connection>,
        send: SendStream,
        receive: RecvStream,
    ) {
        let is_early = receive.is_0rtt();
        let acknowledged = send.stopped();
        let stream = Stream::new(send, Frames::new(receive, Bytes::new()), Arc::clone(&peer));
        self.answer_h3(stream, &connection, is_early).await;
        if *self.stopping.borrow() {
            timeout(LAST_WORDS, acknowledged).await.ok();
        }
    }
}

/// Refuses a request of which nothing was looked at, so that the client may send it again elsewhere.
fn reject(mut send: SendStream, mut receive: RecvStream) {
    // either end may be closed already
    send.reset(Code::RequestRejected.into()).ok();
    receive.stop(Code::RequestRejected.into()).ok();
}

/// Notes where the client is now: it may move to another address (RFC 9000 §9).
fn follow(peer: &Peer, connection: &mut Arc<Connection>) {
    let client = peer.quic.remote_address();
    if client != connection.client {
        *connection = Arc::new(self::connection(&peer.quic, client, connection.local));
    }
}

/// What is known of a connection.
fn connection(quic: &quinn::Connection, client: SocketAddr, local: SocketAddr) -> Connection {
    let local = quic.local_ip().map_or(local, |ip| SocketAddr::new(ip, local.port()));
    Connection { client, local, secure: Some(Secure::quic()) }
}

/// Opens the control stream, with SETTINGS (RFC 9114 §6.2.1). There are none for QPACK: nothing is said there without a
/// dynamic table (RFC 9204 §4.2).
async fn open_control(peer: &Peer) -> Result<SendStream, Fault> {
    const CONTROL: u64 = 0x0;
    const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
    let mut settings = BytesMut::new();
    put_number(&mut settings, MAX_FIELD_SECTION_SIZE);
    put_number(&mut settings, peer.section_max_bytes as u64);
    let mut said = BytesMut::new();
    put_number(&mut said, CONTROL);
    put_head(&mut said, kind::SETTINGS, settings.len() as u64);
    said.put(settings);
    let mut stream = peer.quic.open_uni().await.map_err(|_| Fault::Lost)?;
    stream.write_all(&said).await?;
    Ok(stream)
}
