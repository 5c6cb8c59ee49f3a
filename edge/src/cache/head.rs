//! What is stored beside a body, and what Pingora knows of it.

mod lines;
mod written;

use crate::clock::{self, Now};
use crate::stage::reuse::Kept;
use http::header::{self, HeaderMap};
use http::{HeaderName, StatusCode};
use lines::Lines;
use pingora_cache::CacheMeta;
use pingora_cache::key::HashBinary;
use pingora_http::ResponseHeader;
use purge::{Compared, Tags, tags_in};
use semantics::fields::TAG_FIELDS;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// The windows in which Pingora asks whether a stale response may be used: always. `stage::reuse` decides.
const ASK_ALWAYS_SECONDS: u32 = u32::MAX;
/// Bytes that a map takes in memory, and each of its fields beside its value.
const MAP_BYTES: usize = 128;
const FIELD_BYTES: usize = 128;
/// Tags that are kept of one response.
const TAGS_MAX: usize = 1_000;

/// What is stored beside a body.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    lines: Lines,
    pub(super) kept: Kept,
    pub(super) variance: Option<[u8; 16]>,
    /// The place in the order of all responses ([`super::Cache::new_meta`]) of the first of those that this one renews. What
    /// comes before the first variant of its name is a variant of a response that is gone, or chosen by another `Vary`.
    pub(super) since: u64,
    /// What purges may select it by.
    tags: Tags,
    /// The newest number that it is known not to have been purged with: at first what was applied when its fetch began.
    compared: Compared,
    /// The fields that tell which requests select it; none where it doesn't vary.
    selecting: Option<Box<HeaderMap>>,
    met: Met,
    requests: Requests,
}

/// How many requests it has answered, or nearly: some that come at once count as one. No part of what it is.
#[derive(Debug, Default)]
struct Requests(AtomicU32);

impl PartialEq for Requests {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The highest number of the purges that have been counted as matching a response. No part of what it is.
#[derive(Debug, Default)]
struct Met(AtomicU64);

impl PartialEq for Met {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl store::Head for Head {
    fn weight(&self) -> usize {
        let selecting = self.selecting.as_ref().map_or(0, |fields| {
            MAP_BYTES + fields.values().map(|value| value.len() + FIELD_BYTES).sum::<usize>()
        });
        size_of::<Self>() + self.lines.len() + size_of_val(self.tags.hashes()) + selecting
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.write(clock::boot(), out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes, clock::boot(), clock::now())
    }
}

impl Head {
    pub(super) fn of(meta: &CacheMeta) -> Option<Self> {
        let kept = *meta.extensions().get::<Kept>()?;
        let consumed = semantics::fields::consumed(kept.forwards_cdn_cache_control);
        let lines = Lines::of(meta.response_header(), consumed)?;
        let variance = meta.extensions().get::<Selected>()?.0;
        Some(Self::new(lines, kept, variance, place_at(meta.provenance())))
    }

    fn new(lines: Lines, kept: Kept, variance: Option<[u8; 16]>, since: u64) -> Self {
        let fields = lines.some(&[header::VARY, header::CONTENT_LANGUAGE]);
        let selecting = fields.contains_key(header::VARY).then(|| Box::new(fields));
        let tags = Tags::read(lines.values(&TAG_FIELDS), TAGS_MAX);
        let compared = Compared::with(kept.applied);
        let (met, requests) = (Met::default(), Requests::default());
        Self { lines, kept, variance, since, tags, compared, selecting, met, requests }
    }

    /// How many requests it has answered, as far as that was counted since it came into memory.
    pub(crate) fn requests(&self) -> u32 {
        self.requests.0.load(Ordering::Relaxed)
    }

    /// Counts a request that it answers. Two steps that others may come between: that is enough to tell what is asked
    /// for most, and costs nothing.
    pub(crate) fn count_request(&self) {
        self.requests.0.store(self.requests().saturating_add(1), Ordering::Relaxed);
    }

    /// Goes on with the count of the response that it renews.
    pub(super) fn count_on(&self, renewed: &Self) {
        self.requests.0.store(renewed.requests(), Ordering::Relaxed);
    }

    /// Whether the purge with this number is met as matching it, and wasn't before; it has been from now on. A response
    /// that isn't in memory is another each time it is read.
    pub(crate) fn is_first_met_by(&self, seq: u64) -> bool {
        self.met.0.fetch_max(seq, Ordering::Relaxed) < seq
    }

    pub(crate) fn kept(&self) -> Kept {
        self.kept
    }

    /// What purges may select it by.
    pub(crate) fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Its tags as the origin wrote them, however many.
    pub(crate) fn tag_texts(&self) -> Vec<String> {
        let values = self.lines.values(&TAG_FIELDS).map(String::from_utf8_lossy);
        values.flat_map(|value| tags_in(&value).map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// The newest number that it is known not to have been purged with.
    pub(crate) fn compared(&self) -> &Compared {
        &self.compared
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.lines.status()
    }

    /// Which variant of its name this is, by the fields that its `Vary` names.
    pub(crate) fn variance(&self) -> Option<[u8; 16]> {
        self.variance
    }

    /// Those of its fields by which requests select it ([`super::variance`]).
    pub(crate) fn selecting(&self) -> &HeaderMap {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        self.selecting.as_deref().unwrap_or_else(|| &NONE)
    }

    /// Fields of the header that are for caches and end here.
    pub(crate) fn consumed(&self) -> &'static [HeaderName] {
        if self.lines.are_all_sent() {
            return &[];
        }
        semantics::fields::consumed(self.kept.forwards_cdn_cache_control)
    }

    /// Writes the status line and the fields of a response with a body of `length` bytes, up to where each reuse adds
    /// its own.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>, length: u64) {
        out.extend_from_slice(self.lines.sent());
        if !self.lines.have_length() {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The fields that clients are sent, with the `length` of the body, up to where each reuse adds its own.
    pub(crate) fn sent_fields(&self, length: u64) -> HeaderMap {
        let mut fields = self.lines.sent_fields();
        if !self.lines.have_length() {
            fields.insert(header::CONTENT_LENGTH, length.into());
        }
        fields
    }

    /// Whether it has a field of this name.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.lines.values(std::slice::from_ref(name)).next().is_some()
    }

    /// The header, made from its lines each time.
    pub(crate) fn header(&self) -> ResponseHeader {
        self.header_with(None)
    }

    /// The header, with the `length` of the body where it is known and to be told.
    pub(crate) fn header_with(&self, length: Option<u64>) -> ResponseHeader {
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = self.lines.status();
        head.headers = self.lines.fields();
        if let Some(length) = length.filter(|_| !self.lines.have_length() && has_body(head.status))
        {
            head.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        head.into()
    }

    /// As Pingora wants it at `now`. `length` is the body's, where it is known.
    pub(super) fn meta(&self, length: Option<u64>, now: Now) -> CacheMeta {
        let mut meta = meta(self.kept, self.since, self.header_with(length), now);
        if let Some(variance) = self.variance {
            meta.set_variance_key(variance);
        }
        meta
    }
}

/// The tags of a response with these fields, as they are kept.
pub(crate) fn tags(fields: &HeaderMap) -> Tags {
    let lines = TAG_FIELDS.iter().flat_map(|name| fields.get_all(name));
    Tags::read(lines.map(http::HeaderValue::as_bytes), TAGS_MAX)
}

/// Whether a response of this status has a body, of a length to be told (RFC 9110 §8.6).
pub(crate) fn has_body(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

/// Which variant of its name a response is, by the request it was fetched or validated for. Pingora would have a 304
/// leave this as it was.
#[derive(Clone, Copy)]
pub(super) struct Selected(pub(super) Option<HashBinary>);

/// A response as Pingora wants it, whose place in the order of all is `since`. Pingora counts its age on the wall clock,
/// from when the response would have been made by its age `now`.
pub(super) fn meta(kept: Kept, since: u64, header: ResponseHeader, now: Now) -> CacheMeta {
    let age = kept.freshness.age(kept.resident(now.steady));
    let made = now.wall.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let fresh_until = made.checked_add(kept.freshness.lifetime()).unwrap_or(made);
    // Pingora compares times, but a clock can be set back
    let place = SystemTime::UNIX_EPOCH + Duration::from_nanos(since);
    let mut meta =
        CacheMeta::new(fresh_until, place, ASK_ALWAYS_SECONDS, ASK_ALWAYS_SECONDS, header);
    meta.set_epoch_override(made);
    meta.extensions_mut().insert(kept);
    meta
}

/// The place that [`meta`] has told Pingora as a time.
fn place_at(time: SystemTime) -> u64 {
    let nanoseconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}
