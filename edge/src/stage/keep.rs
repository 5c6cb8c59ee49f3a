//! May this response be stored, without which fields, and for how long?

use crate::clock::Now;
use crate::context::Context;
use crate::stage::reuse::Kept;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use pingora_http::{RequestHeader, ResponseHeader};
use semantics::reuse::is_origin_failure;
use semantics::storing::{Exchange, Keep, Reason, keep, listed_in_update};
use std::time::SystemTime;

/// A response to store.
pub(crate) struct ToKeep {
    pub(crate) kept: Kept,
    /// The head to store: without fields that end here, and with a Date.
    pub(crate) header: ResponseHeader,
    /// What is left out of it, and is for the client that is answered now.
    pub(crate) withheld: HeaderMap,
}

/// Why a response isn't stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// For Cache-Status.
    pub(crate) token: &'static str,
    /// Whether the next response will be refused too, as far as this one tells: it is the response that says so, or the
    /// request's Authorization, and not a status that tells of this request or of a passing failure.
    pub(crate) lasts: bool,
}

impl Refused {
    /// Whether the response is for its client alone: what it says is no measure for what others are sent.
    pub(crate) fn is_for_one(self) -> bool {
        [Reason::Private, Reason::NoStore].iter().any(|reason| reason.token() == self.token)
    }
}

/// Why a 304 about another response renews nothing.
pub(crate) const NOT_ABOUT: Refused = Refused { token: "other-entity", lasts: false };
pub(crate) const TOO_LARGE: Refused = Refused { token: "too-large", lasts: true };
/// What answers the request for a slice and is none, or can't be put together with others.
const NO_SLICE: Refused = Refused { token: "slice", lasts: false };
/// What a shield answered that didn't say that it knows all purges that are known here.
const DOUBTFUL: Refused = Refused { token: "unconfirmed", lasts: false };
const UNREADABLE: Refused = Refused { token: "head", lasts: false };

/// Decides whether a response is stored.
///
/// `stored` is the head of the stored response that a 304 validated: its status, and its fields as the 304 updates
/// them, are what is stored then (RFC 9111 §3.2, §4.3.4).
pub(crate) fn decide(
    request: &RequestHeader,
    response: &ResponseHeader,
    stored: Option<&ResponseHeader>,
    context: &Context,
    now: Now,
) -> Result<ToKeep, Refused> {
    if context.forward.is_doubtful {
        return Err(DOUBTFUL);
    }
    let validated = stored.zip(context.forward.not_modified.as_ref());
    if validated
        .is_some_and(|(stored, update)| !semantics::update::is_about(&stored.headers, update))
    {
        return Err(NOT_ABOUT);
    }
    let updated = validated.map(|(stored, update)| {
        let mut fields = stored.headers.clone();
        semantics::update::freshen(&mut fields, update, context.policy());
        (stored.status, fields)
    });
    let (status, fields) = match &updated {
        Some((status, fields)) => (*status, fields),
        None => (response.status, &response.headers),
    };
    let is_slice = match &context.slice {
        Some(request) => {
            request.slice.facts(status, fields).ok_or(NO_SLICE)?;
            true
        }
        None => false,
    };
    // a Content-Location is compared with it, which may be absolute (RFC 9110 §8.7)
    let absolute =
        (request.method == Method::POST).then(|| absolute(&request.uri, context)).flatten();
    let received = context.forward.response_time.unwrap_or(now);
    let exchange = Exchange {
        // HEAD is fetched as GET where the response may be stored
        method: if request.method == Method::HEAD { &Method::GET } else { &request.method },
        target: absolute.as_ref().unwrap_or(&request.uri),
        request: &request.headers,
        // a slice is stored as a response of its own, by the rules for the whole it is of (RFC 9111 §3.3)
        status: if is_slice { StatusCode::OK } else { status },
        response: fields,
        request_time: request_time(context, received),
        response_time: received.wall,
    };
    match keep(&exchange, context.policy()) {
        Keep::Refuse(reason) => Err(Refused {
            token: reason.token(),
            lasts: lasts(reason) && tells_of_resource(exchange.status),
        }),
        Keep::Store(stored) => {
            let kept = Kept {
                freshness: stored.freshness,
                received,
                applied: context.forward.applied,
                is_failure: is_origin_failure(status),
                forwards_cdn_cache_control: context
                    .route
                    .as_ref()
                    .is_some_and(|routed| routed.rule.caching.forwards_cdn_cache_control),
            };
            let header =
                head(status, fields, &stored.omit, exchange.response_time).ok_or(UNREADABLE)?;
            let withheld = match validated {
                Some((_, update)) => {
                    withheld(update, &listed_in_update(update, fields, context.policy()))
                }
                None => withheld(fields, &stored.omit),
            };
            Ok(ToKeep { kept, header, withheld })
        }
    }
}

/// When the origin was asked, on the wall clock as it was at `received`: how long the exchange took counts, and not what
/// that clock was set to meanwhile.
fn request_time(context: &Context, received: Now) -> SystemTime {
    let asked = context.forward.request_time.unwrap_or(received);
    received.wall.checked_sub(received.steady.since(asked.steady)).unwrap_or(received.wall)
}

fn absolute(uri: &Uri, context: &Context) -> Option<Uri> {
    let identity = context.identity.as_ref()?;
    let (scheme, authority) = (identity.scheme.as_str(), identity.host.authority());
    format!("{scheme}://{authority}{}", uri.path_and_query()?).parse().ok()
}

/// Whether a reason for not storing a response holds for the next one to a like request.
const fn lasts(reason: Reason) -> bool {
    match reason {
        Reason::Method | Reason::RequestNoStore => false,
        Reason::Status
        | Reason::NoStore
        | Reason::Private
        | Reason::Authorization
        | Reason::SetCookie
        | Reason::VaryStar
        | Reason::VaryLimit
        | Reason::NoCache
        | Reason::NoFreshness
        | Reason::Stale => true,
    }
}

/// Whether a status is the resource's for now: no part, no answer to a condition, no failure, nothing that this
/// client did.
const fn tells_of_resource(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 207..=303 | 305..=399 | 404 | 405 | 410)
}

/// The head to store. Age is computed anew for each reuse; a missing Date is the time of receipt (RFC 9110 §6.6.1).
fn head(
    status: StatusCode,
    fields: &HeaderMap,
    omit: &[HeaderName],
    received: SystemTime,
) -> Option<ResponseHeader> {
    let mut header = ResponseHeader::build_no_case(status, Some(fields.len() + 1)).ok()?;
    for (name, value) in fields {
        if *name != header::AGE && !omit.contains(name) {
            // a copy: as received, each value keeps alive the buffer of the whole head
            header.append_header(name, HeaderValue::from_bytes(value.as_bytes()).ok()?).ok()?;
        }
    }
    if !fields.contains_key(header::DATE) {
        let date = HeaderValue::try_from(httpdate::fmt_http_date(received)).ok()?;
        header.insert_header(header::DATE, date).ok()?;
    }
    Some(header)
}

/// The lines of `fields` that aren't stored, hop-by-hop ones aside, which `fields` has no more. Of Age, what is valid
/// (RFC 9111 §5.1).
fn withheld(fields: &HeaderMap, omit: &[HeaderName]) -> HeaderMap {
    let lines = fields.iter().filter(|(name, _)| **name != header::AGE && omit.contains(name));
    let mut withheld: HeaderMap =
        lines.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(age) = semantics::freshness::age_value(fields) {
        withheld.insert(header::AGE, age.into());
    }
    withheld
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use std::sync::Arc;
    use std::time::Duration;

    const NOW: Now = Now::ZERO;

    fn head(fields: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    fn decided(
        response: &ResponseHeader,
        stored: Option<&ResponseHeader>,
    ) -> Result<ToKeep, Refused> {
        let request = RequestHeader::build("GET", b"/", None).unwrap();
        let mut context = Context::new(Arc::new(Snapshot::default()));
        context.forward.not_modified = stored.map(|_| response.headers.clone());
        decide(&request, response, stored, &context, NOW)
    }

    #[test]
    fn what_is_for_this_client_alone_is_withheld_and_not_stored() {
        let check = |fields: &[(&'static str, &'static str)], expected: &[&str]| {
            let kept = decided(&head(fields), None).unwrap();
            let withheld: Vec<_> = kept.withheld.keys().map(HeaderName::as_str).collect();
            assert_eq!(withheld, expected, "{fields:?}");
            assert!(kept.withheld.keys().all(|name| !kept.header.headers.contains_key(name)));
        };
        check(&[("cache-control", "max-age=9"), ("a", "1")], &[]);
        check(&[("cache-control", "max-age=9"), ("age", "5")], &["age"]);
        check(&[("cache-control", "max-age=9, no-cache=\"a\""), ("a", "1"), ("b", "1")], &["a"]);
        check(&[("cache-control", "max-age=9, private=a"), ("a", "1"), ("a", "2")], &["a"]);
    }

    #[test]
    fn a_clock_that_is_set_during_an_exchange_makes_no_age() {
        let hour = Duration::from_hours(1);
        let mut context = Context::new(Arc::new(Snapshot::default()));
        let asked = NOW.after(500_000 * hour);
        context.forward.request_time = Some(asked);
        let later = asked.after(Duration::from_secs(2));
        for wall in [later.wall, later.wall - hour, later.wall + 8_766 * hour] {
            context.forward.response_time = Some(Now { wall, ..later });
            let request = RequestHeader::build("GET", b"/", None).unwrap();
            let response = head(&[("cache-control", "max-age=60"), ("age", "5")]);
            let kept = decide(&request, &response, None, &context, NOW).unwrap().kept;
            assert_eq!(kept.freshness.age(Duration::ZERO).as_secs(), 7);
        }
    }

    #[test]
    fn a_304_about_another_response_renews_nothing() {
        let check = |tag: &'static str, expected: Result<(), Refused>| {
            let stored = head(&[("cache-control", "max-age=9"), ("etag", "\"a\"")]);
            let update = head(&[("etag", tag)]);
            assert_eq!(decided(&update, Some(&stored)).map(|_| ()), expected, "{tag}");
        };
        check("\"a\"", Ok(()));
        check("W/\"b\"", Ok(()));
        check("\"b\"", Err(NOT_ABOUT));
    }

    #[test]
    fn a_refusal_lasts_where_the_response_says_so() {
        let check = |status: u16, fields: &[(&'static str, &'static str)], expected| {
            let mut response = head(fields);
            response.set_status(status).unwrap();
            let Err(refused) = decided(&response, None) else { panic!("{status} {fields:?}") };
            assert_eq!((refused.token, refused.lasts), expected, "{status} {fields:?}");
        };
        let no_store = [("cache-control", "no-store")];
        check(200, &no_store, ("no-store", true));
        check(200, &[("cache-control", "private")], ("private", true));
        check(200, &[("set-cookie", "a=b"), ("cache-control", "max-age=9")], ("set-cookie", true));
        check(200, &[("vary", "*"), ("cache-control", "max-age=9")], ("vary-star", true));
        check(200, &[], ("no-freshness", true));
        check(302, &[], ("status", true));
        check(404, &no_store, ("no-store", true));
        for status in [500, 503, 429, 401, 403, 206, 304] {
            let token = if [206, 304].contains(&status) { "status" } else { "no-store" };
            check(status, &no_store, (token, false));
        }
    }
}
