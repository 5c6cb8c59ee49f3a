//! Heads, times and decisions out of a fuzzer's bytes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};
use semantics::freshness::Freshness;
use semantics::policy::CachePolicy;
use semantics::storing::{Exchange, Keep, keep};

/// Tuesday, 14 November 2023, 22:13:20 GMT.
pub const NOW: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// [`NOW`] as a time.
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// The lines of `data` that can be field values.
pub fn values(data: &[u8]) -> impl Iterator<Item = HeaderValue> {
    data.split(|&byte| byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok())
}

/// Every line of `data` as a line of the field `name`.
pub fn field(name: &'static str, data: &[u8]) -> HeaderMap {
    values(data).map(|value| (HeaderName::from_static(name), value)).collect()
}

/// The lines of `data` as fields: a line's first byte, of `a`, `b`, … chooses among `names`.
pub fn head(names: &[&'static str], data: &[u8]) -> HeaderMap {
    let mut head = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n') {
        let Some((choice, value)) = line.split_first() else { continue };
        let name = names[usize::from(choice.wrapping_sub(b'a')) % names.len()];
        if let Ok(value) = HeaderValue::from_bytes(value) {
            head.append(name, value);
        }
    }
    head
}

/// `fields` and one more line.
pub fn and(fields: &HeaderMap, name: &'static str, value: &'static str) -> HeaderMap {
    let mut fields = fields.clone();
    fields.append(name, HeaderValue::from_static(value));
    fields
}

/// The same lines in reverse order.
pub fn reversed(fields: &HeaderMap) -> HeaderMap {
    let lines: Vec<_> = fields.iter().collect();
    lines.into_iter().rev().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether and how a 200 to GET, answered at once, is stored.
pub fn decide(request: &HeaderMap, response: &HeaderMap, policy: &CachePolicy) -> Keep {
    let decided = keep(
        &Exchange {
            method: &Method::GET,
            target: &Uri::from_static("https://a/b"),
            request,
            status: StatusCode::OK,
            response,
            request_time: now(),
            response_time: now(),
        },
        policy,
    );
    match decided {
        Keep::Store(mut stored) => {
            assert!(stored.omit.iter().all(|name| response.contains_key(name)));
            assert_eq!(Freshness::from_bytes(&stored.freshness.to_bytes()), stored.freshness);
            stored.omit.sort_by(|one, other| one.as_str().cmp(other.as_str()));
            Keep::Store(stored)
        }
        refused => refused,
    }
}

/// The freshness of a response with these fields, if it is stored.
pub fn freshness(response: &HeaderMap) -> Option<Freshness> {
    match decide(&HeaderMap::new(), response, &CachePolicy::default()) {
        Keep::Store(stored) => Some(stored.freshness),
        Keep::Refuse(_) => None,
    }
}
