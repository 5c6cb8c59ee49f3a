//! How long is a response fresh? RFC 9111 §4.2.1, §4.2.2.
//!
//! `s-maxage`, then `max-age`, then `Expires` − `Date`, then the site's defaults (by status,
//! then for all), then a tenth of the
//! time since `Last-Modified`, at most [`HEURISTIC_MAX_SECONDS`]. A targeted field that speaks hides
//! `Expires` too (RFC 9213 §2.2).

use std::time::SystemTime;

use http::StatusCode;
use http::header::{DATE, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED};

use crate::date;
use crate::directives::ResponseDirectives;
use crate::policy::{CachePolicy, whole_seconds};

/// No heuristic lifetime is longer: a day, after which §4.2.2 once asked for a warning.
const HEURISTIC_MAX_SECONDS: u32 = 24 * 60 * 60;

/// What gives a response its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The policy's `lifetime`, whatever the response says.
    Policy,
    /// `s-maxage`.
    SMaxage,
    /// `max-age`.
    MaxAge,
    /// `Expires` less `Date`.
    Expires,
    /// The policy's `status_lifetimes`.
    PolicyForStatus,
    /// The policy's `default_lifetime`.
    PolicyDefault,
    /// A tenth of the time since `Last-Modified`.
    Heuristic,
}

/// What gives a response its lifetime, and the field that its directives are read from. `None` for one
/// that has no lifetime.
pub fn basis(
    status: StatusCode,
    response: &HeaderMap,
    policy: &CachePolicy,
    response_time: SystemTime,
) -> (Option<Basis>, HeaderName) {
    let directives = ResponseDirectives::read(response, policy);
    let chosen = chosen(status, response, &directives, policy, response_time);
    (chosen.map(|(basis, _)| basis), directives.field())
}

/// The lifetime in seconds; `None` when neither the response nor the policy gives one.
pub(crate) fn lifetime(
    status: StatusCode,
    response: &HeaderMap,
    directives: &ResponseDirectives,
    policy: &CachePolicy,
    response_time: SystemTime,
) -> Option<u32> {
    chosen(status, response, directives, policy, response_time).map(|(_, seconds)| seconds)
}

fn chosen(
    status: StatusCode,
    response: &HeaderMap,
    directives: &ResponseDirectives,
    policy: &CachePolicy,
    response_time: SystemTime,
) -> Option<(Basis, u32)> {
    let explicit = explicit_lifetime(response, directives, response_time);
    let cacheable = directives.public || is_heuristically_cacheable(status);
    let error = status.is_client_error() || status.is_server_error() || status.as_u16() > 599;
    let overriding = policy.lifetime.filter(|_| !error && (cacheable || explicit.is_some()));
    let for_status = policy.status_lifetimes.of(status);
    let default = policy.default_lifetime.filter(|_| !error && cacheable);
    let ours = |basis| move |lifetime| (basis, whole_seconds(lifetime));
    let heuristic = || heuristic_lifetime(response, response_time);
    overriding
        .map(ours(Basis::Policy))
        .or(explicit)
        .or_else(|| for_status.map(ours(Basis::PolicyForStatus)))
        .or_else(|| default.map(ours(Basis::PolicyDefault)))
        .or_else(|| if cacheable && policy.heuristic { heuristic() } else { None })
}

/// Whether the response itself gives a lifetime, valid or not (§4.2.1).
pub(crate) fn is_explicit(response: &HeaderMap, directives: &ResponseDirectives) -> bool {
    let expires = !directives.targeted() && response.contains_key(EXPIRES);
    directives.s_maxage.is_some() || directives.max_age.is_some() || expires
}

/// Whether RFC 9110 §15.1 lets a status be cached without explicit freshness. 206 isn't stored here.
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

fn explicit_lifetime(
    response: &HeaderMap,
    directives: &ResponseDirectives,
    response_time: SystemTime,
) -> Option<(Basis, u32)> {
    let s_maxage = directives.s_maxage.map(|seconds| (Basis::SMaxage, seconds));
    let max_age = || directives.max_age.map(|seconds| (Basis::MaxAge, seconds));
    let expires = || {
        is_explicit(response, directives)
            .then(|| (Basis::Expires, expires_lifetime(response, response_time)))
    };
    s_maxage.or_else(max_age).or_else(expires)
}

/// `Expires` − `Date`. Zero when any `Expires` line is no date or not after `Date` (§5.3); the least of
/// several lines. A missing or invalid `Date` is the time of the response.
fn expires_lifetime(response: &HeaderMap, response_time: SystemTime) -> u32 {
    let base = date_of(response, response_time);
    let line_lifetime =
        |expires: SystemTime| whole_seconds(expires.duration_since(base).unwrap_or_default());
    let lines = response.get_all(EXPIRES).into_iter();
    lines
        .map(|line| date::parse(line.as_bytes(), response_time).map_or(0, line_lifetime))
        .min()
        .unwrap_or(0)
}

fn heuristic_lifetime(response: &HeaderMap, response_time: SystemTime) -> Option<(Basis, u32)> {
    let modified = date::parse(response.get(LAST_MODIFIED)?.as_bytes(), response_time)?;
    let unchanged = date_of(response, response_time).duration_since(modified).ok()?;
    Some((Basis::Heuristic, (whole_seconds(unchanged) / 10).min(HEURISTIC_MAX_SECONDS)))
}

fn date_of(response: &HeaderMap, response_time: SystemTime) -> SystemTime {
    let date = response.get(DATE).and_then(|date| date::parse(date.as_bytes(), response_time));
    date.unwrap_or(response_time)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::StatusLifetimes;
    use crate::testing::{date, head, now};

    fn check_with(policy: &CachePolicy, status: u16, lines: &[&str], expected: Option<u32>) {
        let head = head(lines);
        let directives = ResponseDirectives::read(&head, policy);
        let status = StatusCode::from_u16(status).unwrap();
        let found = lifetime(status, &head, &directives, policy, now());
        assert_eq!(found, expected, "{status} {lines:?}");
    }

    fn check(lines: &[&str], expected: Option<u32>) {
        check_with(&CachePolicy::default(), 200, lines, expected);
    }

    #[test]
    fn the_basis_is_what_the_lifetime_comes_from() {
        let policy = CachePolicy {
            default_lifetime: Some(Duration::from_secs(9)),
            ..CachePolicy::default()
        };
        let check = |policy: &CachePolicy, lines: &[&str], expected, field: &str| {
            let (found, from) = basis(StatusCode::OK, &head(lines), policy, now());
            assert_eq!((found, from.as_str()), (expected, field), "{lines:?}");
        };
        let modified = format!("last-modified: {}", date(-1000));
        let standard = &CachePolicy::default();
        check(
            standard,
            &["cache-control: max-age=1, s-maxage=2"],
            Some(Basis::SMaxage),
            "cache-control",
        );
        check(
            standard,
            &["cdn-cache-control: max-age=1"],
            Some(Basis::MaxAge),
            "cdn-cache-control",
        );
        check(standard, &["expires: 0"], Some(Basis::Expires), "cache-control");
        check(standard, &[&modified], Some(Basis::Heuristic), "cache-control");
        check(&policy, &[&modified], Some(Basis::PolicyDefault), "cache-control");
        check(standard, &[], None, "cache-control");
    }

    #[test]
    fn explicit_lifetimes_have_an_order() {
        let past = format!("expires: {}", date(-7200));
        let future = format!("expires: {}", date(3600));
        check(&[], None);
        check(&["cache-control: max-age=3600, s-maxage=1"], Some(1));
        check(&["cache-control: max-age=1, s-maxage=3600", &past], Some(3600));
        check(&["cache-control: max-age=1, s-maxage=x"], Some(0));
        check(&["cache-control: max-age=3600", &past], Some(3600));
        check(&["cache-control: max-age=3600", "expires: 0"], Some(3600));
        check(&["cache-control: max-age=0", &future], Some(0));
        check(&["cdn-cache-control: foo", &future], None);
        check(&["cdn-cache-control: max-age=5", "cache-control: s-maxage=9", &future], Some(5));
    }

    #[test]
    fn expires_counts_from_date() {
        let check = |expires: &str, date_value: &str, expected| {
            check(
                &[&format!("expires: {expires}"), &format!("date: {date_value}")],
                Some(expected),
            );
        };
        check(&date(3600), &date(0), 3600);
        check(&date(0), &date(0), 0);
        check(&date(300), &date(400), 0);
        check(&date(10), &date(-10), 20);
        check(&date(20), &date(10), 10);
        check(&date(10), "foo", 10);
        check("0", &date(0), 0);
        check("Thu, 18 Aug 2050 02:01:18 UTC", &date(0), 0);
        check("Sun, 21 Nov 9999 04:46:39 GMT", &date(0), 1 << 31);
    }

    #[test]
    fn several_expires_lines_count_in_their_most_restrictive_form() {
        let [soon, late] = [10, 20].map(|offset| format!("expires: {}", date(offset)));
        check(&[&late, &soon], Some(10));
        check(&[&late, "expires: 0"], Some(0));
    }

    #[test]
    fn a_heuristic_lifetime_is_a_tenth_of_the_time_unchanged() {
        let modified = |offset| format!("last-modified: {}", date(offset));
        let check = |status, lines: &[&str], expected| {
            check_with(&CachePolicy::default(), status, lines, expected);
        };
        check(200, &[&modified(-86_400)], Some(8640));
        check(200, &[&modified(-100), &format!("date: {}", date(-50))], Some(5));
        check(200, &[&modified(-5)], Some(0));
        check(200, &[&modified(5)], None);
        check(200, &[&modified(-86_400 * 3650)], Some(HEURISTIC_MAX_SECONDS));
        check(200, &["last-modified: x"], None);
        for status in [203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            check(status, &[&modified(-100)], Some(10));
        }
        for status in [201, 202, 302, 307, 400, 403, 500, 502, 503, 504, 599] {
            check(status, &[&modified(-100)], None);
        }
        check(599, &[&modified(-100), "cache-control: public"], Some(10));
        let off = CachePolicy { heuristic: false, ..CachePolicy::default() };
        check_with(&off, 200, &[&modified(-100)], None);
    }

    #[test]
    fn a_rule_sets_lifetimes_below_400_and_by_status() {
        let some = |seconds| Some(Duration::from_secs(seconds));
        let mut status_lifetimes = StatusLifetimes::default();
        status_lifetimes.set_class(StatusCode::BAD_REQUEST, Duration::from_secs(5));
        status_lifetimes.set(StatusCode::INTERNAL_SERVER_ERROR, Duration::from_secs(5));
        status_lifetimes.set(StatusCode::NON_AUTHORITATIVE_INFORMATION, Duration::from_secs(7));
        status_lifetimes.set(StatusCode::SEE_OTHER, Duration::from_secs(8));
        let policy =
            CachePolicy { default_lifetime: some(60), status_lifetimes, ..CachePolicy::default() };
        check_with(&policy, 203, &[], Some(7));
        check_with(&policy, 303, &[], Some(8));
        check_with(&policy, 303, &["cache-control: max-age=1"], Some(1));
        check_with(&policy, 200, &[&format!("last-modified: {}", date(-86_400))], Some(60));
        check_with(&policy, 200, &["cache-control: max-age=1"], Some(1));
        check_with(&policy, 302, &[], None);
        check_with(&policy, 404, &[], Some(5));
        check_with(&policy, 500, &[], Some(5));
        check_with(&policy, 500, &["cache-control: max-age=1"], Some(1));
        let policy = CachePolicy { lifetime: some(90), ..policy };
        check_with(&policy, 200, &["cache-control: max-age=1"], Some(90));
        check_with(&policy, 200, &[], Some(90));
        check_with(&policy, 302, &[], None);
        check_with(&policy, 302, &["cache-control: max-age=1"], Some(90));
        check_with(&policy, 404, &["cache-control: max-age=1"], Some(1));
    }
}
