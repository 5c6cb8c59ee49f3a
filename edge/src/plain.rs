//! Answers the plainest of requests from the store, without Pingora: a GET that says nothing of caching, conditions or
//! ranges, for a response that is whole and fresh.
//!
//! The same stages decide as for every other request. What isn't plain after all is left to them, untouched: this file
//! either gives the whole answer or none.

use crate::cache::{self, Cache, Head};
use crate::clock::{self, Steady};
use crate::listen::{self, Connection, Plain};
use crate::record::shorten;
use crate::request_id::RequestId;
use crate::snapshot::{Current, Served};
use crate::stage::deliver::{self, Handling, KeyText};
use crate::stage::entrance::{Access, Entrance};
use crate::stage::lookup;
use crate::stage::record::Over;
use crate::stage::reuse::{self, Outcome};
use crate::telemetry::Telemetry;
use crate::tls;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pingora_core::protocols::Stream;
use route::Host;
use semantics::cache_status::{self, CacheStatus};
use semantics::directives::RequestDirectives;
use semantics::reuse::Reuse;
use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;
use store::Found;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Room for a response's name, and then for the head of the answer.
const BUFFER_BYTES: usize = 1_024;

/// What answers are made from.
pub(crate) struct PlainHits {
    pub(crate) current: Current,
    pub(crate) cache: &'static Cache,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) stall_timeout: Duration,
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Asked<'r> {
    connection: &'r Connection,
    host: &'r str,
    /// Path and query.
    target: &'r str,
}

/// A stored response that answers it.
struct Hit {
    host: Host,
    served: Arc<Served>,
    found: Found<Head>,
    /// That of its name.
    hash: [u8; 16],
    resident: Duration,
    /// What Strict-Transport-Security is to say.
    hsts: Option<HeaderValue>,
    body: Bytes,
    /// Empty, with room for a head.
    buffer: Vec<u8>,
}

/// An answer, ready to be sent.
struct Answer {
    host: Host,
    served: Arc<Served>,
    head: Vec<u8>,
    /// Where in `head` the value of Cache-Status is.
    cache_status: std::ops::Range<usize>,
    status: StatusCode,
    body: Bytes,
}

impl PlainHits {
    /// Answers a request, if a stored response answers it as it is. None when nothing was done; an error when the
    /// client has gone, or stalls.
    pub(crate) async fn answer(
        &self,
        stream: &mut Stream,
        connection: &Connection,
        plain: Plain,
        request: &[u8],
    ) -> Option<io::Result<()>> {
        let received = clock::now();
        let answer = self.find(connection, plain, request, received.steady)?;
        let length = answer.body.len() as u64;
        let sent = self.send(stream, &answer.head, answer.body).await;
        let cache_status = answer.head.get(answer.cache_status).unwrap_or_default();
        self.telemetry.over(Over {
            received: received.wall,
            request_id: Some(RequestId::next()),
            client: Some(connection.client.ip()),
            client_country: None,
            method: "GET",
            scheme: connection.scheme().as_str(),
            host: answer.host.authority(),
            target: plain.target(request),
            protocol: "HTTP/1.1",
            tls: connection.secure.as_ref().into(),
            status: answer.status.as_u16(),
            body_bytes: if sent.is_ok() { length } else { 0 },
            duration: clock::steady().since(received.steady),
            site: Some(&answer.served.site.name),
            handling: Handling::Hit,
            reason: None,
            detail: None,
            cache_status: String::from_utf8_lossy(cache_status),
            origin: None,
            error: sent.is_err().then_some("connection_terminated"),
            user_agent: shorten(Cow::Borrowed(plain.user_agent(request))),
            referer: shorten(Cow::Borrowed(plain.referer(request))),
        });
        Some(sent)
    }

    /// The answer in HTTP/1.1.
    fn find(
        &self,
        connection: &Connection,
        plain: Plain,
        request: &[u8],
        now: Steady,
    ) -> Option<Answer> {
        let asked = Asked { connection, host: plain.host(request), target: plain.target(request) };
        let selected = |head: &Head| is_selected(head, || Cow::Owned(listen::fields(request)));
        let mut hit = self.look_up(asked, selected, now)?;
        let mut head = std::mem::take(&mut hit.buffer);
        let cache_status = write_head(&hit, &mut head);
        let Hit { host, served, found, body, .. } = hit;
        Some(Answer { host, served, head, cache_status, status: found.head.status(), body })
    }

    /// Passes the request through the stages, as far as a hit goes.
    fn look_up(
        &self,
        Asked { connection, host, target }: Asked<'_>,
        is_selected: impl FnOnce(&Head) -> bool,
        now: Steady,
    ) -> Option<Hit> {
        let (snapshot, scheme) = (self.current.load(), connection.scheme());
        let host = Host::parse(host, scheme.default_port()).ok()?;
        let served = snapshot.site(host.name())?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let (tls, entrance) = (&served.site.tls, Entrance::of(connection));
        if entrance.access(&served.site) != Access::Granted
            // the certificate may select another response
            || tls.client_auth.is_some()
            || (path.starts_with(tls::HTTP_PATH) && !snapshot.challenges.is_empty())
        {
            return None;
        }
        let hsts = tls.hsts.as_ref().filter(|_| connection.secure.is_some());
        let rule = served.site.rule(path).rule;
        let caching = &rule.caching;
        if rule.redirect.is_some()
            || !caching.enabled
            || caching.reads_fields()
            || !rule.response_headers.is_empty()
        {
            return None;
        }
        let (query, site) = (caching.key.query(query), &served.site.id);
        let query = query.as_deref();
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        lookup::append_name(&mut buffer, path, query, scheme, &host, site, snapshot.epoch);
        let key = cache::first_variant(&buffer);
        let found = self.cache.store.find_now(&key, &buffer)?;
        let body = found.reader.whole()?;
        if !is_usable(&buffer, &found.head, served, now) || !is_selected(&found.head) {
            return None;
        }
        if hsts.is_some() && found.head.has(&header::STRICT_TRANSPORT_SECURITY) {
            return None;
        }
        found.head.count_request();
        let resident = found.head.kept().resident(now);
        buffer.clear();
        let hsts = hsts.cloned();
        let served = Arc::clone(served);
        Some(Hit { host, served, found, hash: key.name, resident, hsts, body, buffer })
    }

    /// Sends head and body in as few writes as the client lets it, and without copying them.
    async fn send(&self, stream: &mut Stream, head: &[u8], body: Bytes) -> io::Result<()> {
        let stalled = |_| io::Error::from(io::ErrorKind::TimedOut);
        let mut left = head.chain(body);
        while left.has_remaining() {
            let mut parts = [IoSlice::new(&[]); 2];
            let count = left.chunks_vectored(&mut parts);
            let writing = stream.write_vectored(parts.get(..count).unwrap_or(&parts));
            let written = timeout(self.stall_timeout, writing).await.map_err(stalled)??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            left.advance(written);
        }
        timeout(self.stall_timeout, stream.flush()).await.map_err(stalled)?
    }
}

/// Whether a stored response is fresh, not purged, and of a status that has a body.
fn is_usable(name: &[u8], head: &Head, served: &Served, now: Steady) -> bool {
    let verdict = served.verdict(name, head);
    let outcome = reuse::decide(head.kept(), &RequestDirectives::default(), verdict, now);
    let fresh = matches!(outcome, Outcome::Stored { reuse: Reuse::Fresh, .. });
    fresh && cache::has_body(head.status())
}

/// Whether the request selects this variant (RFC 9111 §4.1). Other variants are looked for by Pingora.
fn is_selected<'f>(head: &Head, fields: impl FnOnce() -> Cow<'f, HeaderMap>) -> bool {
    let variance = head.variance();
    variance.is_none() || cache::variance(head.selecting(), variance, &fields(), None) == variance
}

/// Writes the head of a hit. Returns where in it the value of Cache-Status is.
fn write_head(hit: &Hit, out: &mut Vec<u8>) -> std::ops::Range<usize> {
    let (head, resident) = (&hit.found.head, hit.resident);
    let freshness = head.kept().freshness;
    head.write_to(out, hit.body.len() as u64);
    out.extend_from_slice(b"Age: ");
    out.extend_from_slice(itoa::Buffer::new().format(freshness.age(resident).as_secs()).as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(deliver::CACHE_STATUS.as_str().as_bytes());
    out.extend_from_slice(b": ");
    let start = out.len();
    append_cache_status(freshness.ttl(resident), &hit.hash, out);
    let value = start..out.len();
    if let Some(hsts) = &hit.hsts {
        out.extend_from_slice(b"\r\nStrict-Transport-Security: ");
        out.extend_from_slice(hsts.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
    value
}

/// What Cache-Status says of a hit.
fn append_cache_status(ttl: i64, hash: &[u8; 16], out: &mut Vec<u8>) {
    let key = KeyText::of(hash);
    let (ttl, key) = (Some(ttl), Some(key.as_str()));
    CacheStatus { ttl, key, ..cache_status::Outcome::Hit.into() }.append_to(out);
}

mod many;

pub(crate) use many::Whole;

#[cfg(test)]
mod tests;
