//! One request of a connection that carries many: HTTP/2 and HTTP/3.

use super::{Connection, Front, Refusal, Watch, watched};
use crate::bridge::head::{self, Arrival, Head};
use crate::bridge::{Bridge, Exchange};
use crate::clock;
use crate::plain::Whole;
use crate::stage::fail::refusal_page;
use http::request::Parts;
use http::{HeaderValue, Method, header};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_http::RequestHeader;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the answer to a refused request may take to be sent.
const REFUSED: Duration = Duration::from_secs(5);
/// When a client may ask again that has asked too often: what it may is counted by the second.
const A_SECOND: HeaderValue = HeaderValue::from_static("1");

/// A request whose head was read.
pub(crate) enum Begun {
    /// It goes through the proxy.
    Proxied(Box<Head>),
    /// A stored response answers it as it is.
    Found(Box<(RequestHeader, Whole)>),
    Refused {
        refusal: Refusal,
        is_head: bool,
    },
}

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Reads a request's head, and finds out what becomes of it.
    pub(crate) fn begin_exchange(
        &self,
        parts: Parts,
        arrival: Arrival<'_>,
        connection: &Connection,
    ) -> Begun {
        let is_head = parts.method == Method::HEAD;
        if self.clients.request(connection.client.ip()).is_err() {
            return Begun::Refused { refusal: Refusal::Requests, is_head };
        }
        match head::read(parts, arrival, self.limits.head_max_bytes) {
            Ok(head) if arrival.ends && !*self.stopping.borrow() => {
                match self.plain_hits.find_whole(&head.request, connection) {
                    Some(whole) => Begun::Found(Box::new((head.request, whole))),
                    None => Begun::Proxied(Box::new(head)),
                }
            }
            Ok(head) => Begun::Proxied(Box::new(head)),
            Err(refusal) => Begun::Refused { refusal, is_head },
        }
    }

    /// Reads a request's head, and answers. Says why where it is refused.
    pub(crate) async fn serve_exchange<E: Exchange>(
        &self,
        exchange: E,
        parts: Parts,
        arrival: Arrival<'_>,
        connection: &Arc<Connection>,
    ) -> Option<Refusal> {
        let begun = self.begin_exchange(parts, arrival, connection);
        let refused = match begun {
            Begun::Refused { refusal, .. } => Some(refusal),
            _ => None,
        };
        self.serve_begun(exchange, begun, connection).await;
        refused
    }

    /// Answers a request.
    pub(crate) async fn serve_begun<E: Exchange>(
        &self,
        exchange: E,
        begun: Begun,
        connection: &Arc<Connection>,
    ) {
        let _busy = self.telemetry.metrics.request_begun();
        match begun {
            Begun::Proxied(head) => {
                let bridge = Bridge::new(exchange, *head, connection, Some(&self.clients.rate));
                let session = ServerSession::new_custom(Box::new(bridge));
                self.app.process_new_http(session, &self.stopping).await;
            }
            Begun::Found(found) => {
                let (request, whole) = *found;
                self.send_whole(exchange, &request, whole, connection).await;
            }
            Begun::Refused { refusal, is_head } => {
                self.refuse_exchange(exchange, is_head, connection, refusal).await;
            }
        }
    }

    async fn send_whole<E: Exchange>(
        &self,
        mut exchange: E,
        request: &RequestHeader,
        whole: Whole,
        connection: &Connection,
    ) {
        let (head, mut body, told) = whole.into_parts();
        let stall_timeout = self.plain_hits.stall_timeout;
        let stalled = |_| io::Error::from(io::ErrorKind::TimedOut);
        let sending = async {
            let ends = body.is_empty();
            timeout(stall_timeout, exchange.send_head(head, ends)).await.map_err(stalled)??;
            let mut watch = Some(Watch::new(Arc::clone(&self.clients.rate)));
            while !body.is_empty() {
                let sending = async {
                    let before = body.len();
                    exchange.send_data(&mut body, true).await.map(|()| before - body.len())
                };
                let sending = watched(&mut watch, sending, |sent| *sent);
                timeout(stall_timeout, sending).await.map_err(stalled)??;
            }
            io::Result::Ok(())
        };
        let is_sent = sending.await.is_ok();
        if !is_sent {
            exchange.reset();
        }
        self.plain_hits.whole_is_over(&told, request, connection, is_sent);
    }

    /// Answers what can't be processed.
    pub(crate) async fn refuse_exchange<E: Exchange>(
        &self,
        mut exchange: E,
        is_head: bool,
        connection: &Connection,
        refusal: Refusal,
    ) {
        let (status, word) = refusal.reply();
        self.telemetry.refused(connection.client, status, word);
        if refusal.is_malformed() {
            return exchange.refuse();
        }
        let (mut head, mut body) = refusal_page(status, &refusal.to_string(), clock::wall());
        if refusal == Refusal::Requests {
            head.headers_mut().insert(header::RETRY_AFTER, A_SECOND);
        }
        let answered = async {
            exchange.send_head(head, is_head).await?;
            while !is_head && !body.is_empty() {
                exchange.send_data(&mut body, true).await?;
            }
            io::Result::Ok(())
        };
        // the client may be gone, or take nothing
        if !matches!(timeout(REFUSED, answered).await, Ok(Ok(()))) {
            exchange.reset();
        }
    }
}
