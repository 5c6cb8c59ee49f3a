//! What is stored beside a body, and what Pingora knows of it.

use crate::clock::Now;
use crate::stage::reuse::Kept;
use http::HeaderName;
use pingora_cache::CacheMeta;
use pingora_cache::key::HashBinary;
use pingora_error::Result;
use pingora_http::ResponseHeader;
use std::time::SystemTime;

/// The windows in which Pingora asks whether a stale response may be used: always. `stage::reuse` decides.
const ASK_ALWAYS_SECONDS: u32 = u32::MAX;
/// Bytes a field takes in memory beside its name and value: the map's entry, its hash, its two handles.
const FIELD_BYTES: usize = 120;

/// What is stored beside a body.
pub(crate) struct Head {
    header: ResponseHeader,
    pub(super) kept: Kept,
    pub(super) variance: Option<[u8; 16]>,
    /// The place in the order of all responses ([`super::Cache::new_meta`]) of the first of those that this one renews. What
    /// comes before the first variant of its name is a variant of a response that is gone, or chosen by another `Vary`.
    pub(super) since: SystemTime,
    /// Whether the header says how long the body is.
    has_length: bool,
    /// The status line and fields as clients are sent them, without what each reuse adds.
    wire: Box<[u8]>,
    /// Fields of the header that are for caches and end here.
    pub(super) consumed: &'static [HeaderName],
}

impl store::Head for Head {
    fn weight(&self) -> usize {
        let fields = self.header.headers.iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
        size_of::<Self>() + self.wire.len() + fields.sum::<usize>()
    }

    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &[u8]) -> Option<Self> {
        None
    }
}

impl Head {
    pub(super) fn of(meta: &CacheMeta) -> Option<Self> {
        let header = meta.response_header_copy();
        let kept = *meta.extensions().get::<Kept>()?;
        let consumed = semantics::fields::consumed(kept.forwards_cdn_cache_control);
        let is_there = consumed.iter().any(|name| header.headers.contains_key(name));
        let consumed = if is_there { consumed } else { &[] };
        Some(Self {
            kept,
            variance: meta.extensions().get::<Selected>()?.0,
            since: meta.provenance(),
            has_length: header.headers.contains_key(http::header::CONTENT_LENGTH),
            consumed,
            wire: wire(&header, consumed),
            header,
        })
    }

    pub(crate) fn kept(&self) -> Kept {
        self.kept
    }

    pub(crate) fn header(&self) -> &ResponseHeader {
        &self.header
    }

    pub(crate) fn fields(&self) -> &http::HeaderMap {
        &self.header.headers
    }

    pub(crate) fn status(&self) -> http::StatusCode {
        self.header.status
    }

    /// Which variant of its name this is, by the fields that its `Vary` names.
    pub(crate) fn variance(&self) -> Option<[u8; 16]> {
        self.variance
    }

    /// Writes the status line and the fields of a response with a body of `length` bytes, up to where each reuse adds
    /// its own.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>, length: u64) {
        out.extend_from_slice(&self.wire);
        if !self.has_length {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The header, with the `length` of the body where it is known and to be told.
    pub(crate) fn header_with(&self, length: Option<u64>) -> Result<ResponseHeader> {
        let mut header = self.header.clone();
        if let Some(length) = length.filter(|_| !self.has_length && has_body(self.header.status)) {
            header.insert_header(http::header::CONTENT_LENGTH, length)?;
        }
        Ok(header)
    }

    /// As Pingora wants it at `now`. `length` is the body's, where it is known.
    pub(super) fn meta(&self, length: Option<u64>, now: Now) -> Result<CacheMeta> {
        let mut meta = meta(self.kept, self.since, self.header_with(length)?, now);
        if let Some(variance) = self.variance {
            meta.set_variance_key(variance);
        }
        Ok(meta)
    }
}

/// Whether a response of this status has a body, of a length to be told (RFC 9110 §8.6).
pub(crate) fn has_body(status: http::StatusCode) -> bool {
    status != http::StatusCode::NO_CONTENT && status != http::StatusCode::NOT_MODIFIED
}

fn wire(header: &ResponseHeader, consumed: &[HeaderName]) -> Box<[u8]> {
    let mut sent = header.clone();
    for name in consumed {
        sent.remove_header(name);
    }
    let reason = sent.status.canonical_reason().unwrap_or_default();
    let mut wire = Vec::with_capacity(512);
    wire.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", sent.status.as_str()).as_bytes());
    sent.header_to_h1_wire(&mut wire);
    wire.into()
}

/// Which variant of its name a response is, by the request it was fetched or validated for. Pingora would have a 304
/// leave this as it was.
#[derive(Clone, Copy)]
pub(super) struct Selected(pub(super) Option<HashBinary>);

/// A response as Pingora wants it, whose place in the order of all is `since`. Pingora counts its age on the wall clock,
/// from when the response would have been made by its age `now`.
pub(super) fn meta(kept: Kept, since: SystemTime, header: ResponseHeader, now: Now) -> CacheMeta {
    let age = kept.freshness.age(kept.resident(now.steady));
    let made = now.wall.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let fresh_until = made.checked_add(kept.freshness.lifetime()).unwrap_or(made);
    let mut meta =
        CacheMeta::new(fresh_until, since, ASK_ALWAYS_SECONDS, ASK_ALWAYS_SECONDS, header);
    meta.set_epoch_override(made);
    meta.extensions_mut().insert(kept);
    meta
}
