//! The same for HTTP/2 and HTTP/3: a head of fields, and a body.

use super::{Asked, Hit, PlainHits, append_cache_status, is_selected};
use crate::clock::{self, Now};
use crate::listen::{self, Connection, Protocol};
use crate::record::shorten;
use crate::request_id::RequestId;
use crate::snapshot::Served;
use crate::stage::deliver::{CACHE_STATUS, Handling};
use crate::stage::record::Over;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response};
use pingora_http::RequestHeader;
use route::Host;
use std::borrow::Cow;
use std::sync::Arc;

/// A whole answer.
pub(crate) struct Whole {
    pub(crate) head: Response<()>,
    pub(crate) body: Bytes,
    told: Told,
}

/// What is told of an answer once it is over.
pub(crate) struct Told {
    request_id: RequestId,
    received: Now,
    host: Host,
    served: Arc<Served>,
    status: u16,
    length: usize,
    cache_status: HeaderValue,
}

impl PlainHits {
    /// The answer to a request without a body, if a stored response answers it as it is.
    pub(crate) fn find_whole(
        &self,
        request: &RequestHeader,
        connection: &Connection,
    ) -> Option<Whole> {
        if !is_plain(request) {
            return None;
        }
        let received = clock::now();
        let asked = Asked {
            connection,
            host: request.uri.authority()?.as_str(),
            target: request.uri.path_and_query()?.as_str(),
        };
        let selected = |head: &_| is_selected(head, || Cow::Borrowed(&request.headers));
        let hit = self.look_up(asked, selected, received.steady)?;
        let Hit { host, served, found, hash, resident, hsts, body, mut buffer } = hit;
        let freshness = found.head.kept().freshness;
        append_cache_status(freshness.ttl(resident), &hash, &mut buffer);
        let cache_status = HeaderValue::from_maybe_shared(Bytes::from(buffer)).ok()?;
        let mut head = Response::new(());
        *head.status_mut() = found.head.status();
        let fields = head.headers_mut();
        *fields = found.head.sent_fields(body.len() as u64);
        fields.insert(header::AGE, freshness.age(resident).as_secs().into());
        fields.append(CACHE_STATUS, cache_status.clone());
        fields.extend(hsts.map(|hsts| (header::STRICT_TRANSPORT_SECURITY, hsts)));
        let (status, length) = (head.status().as_u16(), body.len());
        let request_id = RequestId::next();
        let told = Told { request_id, received, host, served, status, length, cache_status };
        Some(Whole { head, body, told })
    }

    /// Tells of an answer that was sent to its end, or wasn't.
    pub(crate) fn whole_is_over(
        &self,
        told: &Told,
        request: &RequestHeader,
        connection: &Connection,
        is_sent: bool,
    ) {
        self.telemetry.over(Over {
            received: told.received.wall,
            request_id: Some(told.request_id),
            client: Some(connection.client.ip()),
            client_country: None,
            method: "GET",
            scheme: connection.scheme().as_str(),
            host: told.host.authority(),
            target: request.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str),
            protocol: Protocol::of(request).as_str(),
            tls: connection.secure.as_ref().into(),
            status: told.status,
            body_bytes: if is_sent { told.length as u64 } else { 0 },
            duration: clock::steady().since(told.received.steady),
            site: Some(&told.served.site.name),
            handling: Handling::Hit,
            reason: None,
            detail: None,
            cache_status: String::from_utf8_lossy(told.cache_status.as_bytes()),
            origin: None,
            error: (!is_sent).then_some("connection_terminated"),
            user_agent: field(request, &header::USER_AGENT),
            referer: field(request, &header::REFERER),
        });
    }
}

impl Whole {
    /// Head, body, and what is told of them.
    pub(crate) fn into_parts(self) -> (Response<()>, Bytes, Told) {
        (self.head, self.body, self.told)
    }
}

/// Whether any stored response may answer as it is.
fn is_plain(request: &RequestHeader) -> bool {
    let is_special = |(name, value): (&HeaderName, &HeaderValue)| {
        listen::is_special(name.as_str().as_bytes(), value.as_bytes())
    };
    request.method == Method::GET && !request.headers.iter().any(is_special)
}

fn field<'r>(request: &'r RequestHeader, name: &HeaderName) -> Cow<'r, str> {
    let value = request.headers.get(name).map(HeaderValue::as_bytes);
    shorten(String::from_utf8_lossy(value.unwrap_or_default()))
}
