//! One request of HTTP/3, from its first byte to its answer.

use super::exchange::{Opening, Stream, UNDECODABLE};
use super::fault::Fault;
use super::head::{self, NoRequest, Section};
use crate::bridge::head::Arrival;
use crate::listen::{Connection, Front, Protocol, Refusal};
use crate::stage::identify::Scheme;
use futures_util::FutureExt as _;
use http::header::{self as field, HeaderName, HeaderValue};
use http::request::Parts;
use pingora_core::apps::HttpServerApp;
use std::sync::Arc;
use tokio::time::timeout;

/// Field of RFC 8470 §5.1.
const EARLY_DATA: HeaderName = HeaderName::from_static("early-data");

impl<A: HttpServerApp + Send + Sync + 'static> Front<A> {
    /// Answers a request. `is_early` where it may be one that somebody else sends again (RFC 8446 §8).
    pub(super) async fn answer_h3(
        &self,
        mut stream: Stream,
        connection: &Arc<Connection>,
        is_early: bool,
    ) {
        let Section { mut parts, tunnel } = match self.read_section(&mut stream).await {
            Ok(section) => section,
            Err(NoSection::Fault(fault)) => return stream.note(fault),
            Err(NoSection::Refused(refusal)) => {
                return self.refuse_exchange(stream, false, connection, refusal).await;
            }
        };
        let ends = match self.look_ahead(&mut stream, &parts).await {
            Ok(ends) => ends,
            Err(fault) => return stream.note(fault),
        };
        if let Err(refusal) = early(&mut parts, is_early, ends) {
            let is_head = parts.method == http::Method::HEAD;
            return self.refuse_exchange(stream, is_head, connection, refusal).await;
        }
        stream.heed_priority(&parts.headers);
        let arrival = Arrival {
            scheme: Scheme::Https,
            protocol: Protocol::Http3,
            tunnel: tunnel.as_deref(),
            ends,
        };
        self.serve_exchange(stream, parts, arrival, connection).await;
    }

    async fn read_section(&self, stream: &mut Stream) -> Result<Section, NoSection> {
        let bytes_max = self.limits.head_max_bytes;
        let opening = timeout(self.limits.head_timeout, stream.opening());
        let section = match opening.await.map_err(|_| Refusal::TooSlow)?? {
            Opening::Section(section) => section,
            Opening::TooLarge => return Err(Refusal::TooLarge.into()),
        };
        match head::read(&section, bytes_max) {
            Ok(section) => Ok(section),
            Err(NoRequest::Undecodable(_)) => Err(UNDECODABLE.into()),
            Err(NoRequest::Refused(refusal)) => Err(refusal.into()),
        }
    }

    /// Whether the request is known to end with its head. One that hardly has a body is waited for: its end may come in
    /// the next packet.
    async fn look_ahead(&self, stream: &mut Stream, parts: &Parts) -> Result<bool, Fault> {
        let has_body = !parts.method.is_safe() || parts.headers.contains_key(field::CONTENT_LENGTH);
        if has_body || parts.method == http::Method::CONNECT {
            return stream.look_ahead().now_or_never().unwrap_or(Ok(false));
        }
        let looking = timeout(self.limits.head_timeout, stream.look_ahead());
        looking.await.unwrap_or(Ok(false))
    }
}

/// Why there is no section.
enum NoSection {
    Fault(Fault),
    Refused(Refusal),
}

impl From<Fault> for NoSection {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Refusal> for NoSection {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Decides whether a request may be answered that came before the handshake was over (RFC 8470 §3): one that does no harm
/// however often it comes. Origins are told.
fn early(parts: &mut Parts, is_early: bool, ends: bool) -> Result<(), Refusal> {
    if !is_early {
        return Ok(());
    }
    if !parts.method.is_safe() || !ends {
        return Err(Refusal::TooEarly);
    }
    parts.headers.insert(EARLY_DATA, HeaderValue::from_static("1"));
    Ok(())
}

/// How much a client wants a response, of 0 to 7, the least first (RFC 9218 §4.1); none where it doesn't say.
pub(super) fn urgency(fields: &http::HeaderMap) -> Option<u8> {
    let lines = fields.get_all("priority").iter();
    let members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut urgency = None;
    for member in members {
        if let [b'u', b'=', digit @ b'0'..=b'7'] = member.trim_ascii() {
            urgency = Some(digit - b'0');
        }
    }
    urgency
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    #[test]
    fn early_requests_are_safe_ones_without_a_body() {
        let check = |method: Method, is_early, ends, expected: Result<bool, Refusal>| {
            let request = http::Request::builder().method(&method).body(()).unwrap();
            let mut parts = request.into_parts().0;
            let decided = early(&mut parts, is_early, ends);
            let told = decided.map(|()| parts.headers.contains_key(EARLY_DATA));
            assert_eq!(told, expected, "{method} {is_early} {ends}");
        };
        check(Method::GET, true, true, Ok(true));
        check(Method::HEAD, true, true, Ok(true));
        check(Method::GET, false, true, Ok(false));
        check(Method::POST, false, false, Ok(false));
        check(Method::GET, true, false, Err(Refusal::TooEarly));
        check(Method::POST, true, true, Err(Refusal::TooEarly));
        check(Method::DELETE, true, true, Err(Refusal::TooEarly));
    }

    #[test]
    fn urgency_is_read() {
        let check = |value: &'static str, expected| {
            let mut fields = http::HeaderMap::new();
            fields.insert("priority", HeaderValue::from_static(value));
            assert_eq!(urgency(&fields), expected, "{value}");
        };
        check("u=0", Some(0));
        check("u=7, i", Some(7));
        check("i, u=2", Some(2));
        check("u=8", None);
        check("i", None);
    }
}
