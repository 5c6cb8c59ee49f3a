//! One request of a connection that carries many: HTTP/2 and HTTP/3.

use super::{Connection, Front, Refusal};
use crate::bridge::head::{self, Arrival};
use crate::bridge::{Bridge, Exchange};
use crate::clock;
use crate::stage::fail::refusal_page;
use http::Method;
use http::request::Parts;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long the answer to a refused request may take to be sent.
const REFUSED: Duration = Duration::from_secs(5);

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Answers one request. Says why where it is refused.
    pub(crate) async fn serve_exchange<E: Exchange>(
        &self,
        exchange: E,
        parts: Parts,
        arrival: Arrival<'_>,
        connection: &Arc<Connection>,
    ) -> Option<Refusal> {
        let _busy = self.telemetry.metrics.request_begun();
        let is_head = parts.method == Method::HEAD;
        match head::read(parts, arrival, self.limits.head_max_bytes) {
            Ok(head) => {
                let bridge = Bridge::new(exchange, head, connection);
                let session = ServerSession::new_custom(Box::new(bridge));
                self.app.process_new_http(session, &self.stopping).await;
                None
            }
            Err(refusal) => {
                self.refuse_exchange(exchange, is_head, connection, refusal).await;
                Some(refusal)
            }
        }
    }

    async fn refuse_exchange<E: Exchange>(
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
        let (head, mut body) = refusal_page(status, &refusal.to_string(), clock::wall());
        let answered = async {
            exchange.send_head(head, is_head).await?;
            while !is_head && !body.is_empty() {
                exchange.send_data(&mut body, true).await?;
            }
            std::io::Result::Ok(())
        };
        // the client may be gone, or take nothing
        if !matches!(timeout(REFUSED, answered).await, Ok(Ok(()))) {
            exchange.reset();
        }
    }
}
