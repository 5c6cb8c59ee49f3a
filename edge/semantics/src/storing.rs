//! May a response be stored, and without which fields? RFC 9111 §3, §3.1, §3.5, §5.2.2.3, §7.3.
//!
//! Asked when a response's head arrives, and again when a 304 or HEAD has freshened a stored one
//! ([`crate::update`]): then with the stored status, the merged head and the new exchange's times.
//! Whether the body arrives completely (§3.3) is the store's to see.

mod omission;
mod reason;

use std::time::SystemTime;

use http::header::{
    AUTHORIZATION, CONTENT_LOCATION, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, SET_COOKIE,
};
use http::{Method, StatusCode, Uri};

use self::omission::omitted;
pub use self::reason::Reason;
use crate::directives::{RequestDirectives, ResponseDirectives};
use crate::freshness::{Freshness, initial_age, is_explicit, is_heuristically_cacheable, lifetime};
use crate::policy::CachePolicy;
use crate::reference::{resolve, same_resource};
use crate::vary::{self, Selection};

/// A request as it was forwarded, its response, and when.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The method forwarded: GET also where a HEAD was asked and fetched as GET.
    pub method: &'a Method,
    /// The target; in origin form only its path and query are compared.
    pub target: &'a Uri,
    /// The client's request fields.
    pub request: &'a HeaderMap,
    /// The response's status.
    pub status: StatusCode,
    /// The response's fields as received, with those of [`crate::fields::CONSUMED_FIELDS`].
    pub response: &'a HeaderMap,
    /// When the request was sent.
    pub request_time: SystemTime,
    /// When the head of the response was received.
    pub response_time: SystemTime,
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Store it.
    Store(Stored),
    /// Don't, and don't make other requests wait for it.
    Refuse(Reason),
}

/// How to store a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// To keep beside it.
    pub freshness: Freshness,
    /// Fields of the response to leave out of the stored head, but not of this answer unless they are
    /// hop-by-hop: hop-by-hop, nominated by `Connection`, listed by `no-cache` or `private`.
    pub omit: Vec<HeaderName>,
}

/// Decides whether to store the response of `exchange`.
pub fn keep(exchange: &Exchange<'_>, policy: &CachePolicy) -> Keep {
    let directives = ResponseDirectives::read(exchange.response, policy);
    let decided = exchange
        .refused_by_request(&directives, policy)
        .or_else(|| exchange.refused_by_response(&directives))
        .map_or_else(|| exchange.useful(&directives, policy), Err);
    let freshness = match decided {
        Ok(freshness) => freshness,
        Err(reason) => return Keep::Refuse(reason),
    };
    let omit = omitted(exchange.response, &directives);
    let sets_cookie = exchange.response.contains_key(SET_COOKIE) && !omit.contains(&SET_COOKIE);
    if sets_cookie && !policy.store_set_cookie {
        return Keep::Refuse(Reason::SetCookie);
    }
    Keep::Store(Stored { freshness, omit })
}

/// The fields of a 304, `update`, that are for the client answered now and not stored: those that the directives of
/// the stored response as it is `updated` list.
pub fn listed_in_update(
    update: &HeaderMap,
    updated: &HeaderMap,
    policy: &CachePolicy,
) -> Vec<HeaderName> {
    let mut listed = Vec::new();
    ResponseDirectives::read(updated, policy).each_listed(updated, |name| {
        if update.contains_key(&name) && !listed.contains(&name) {
            listed.push(name);
        }
    });
    listed
}

impl Exchange<'_> {
    fn refused_by_request(
        &self,
        directives: &ResponseDirectives,
        policy: &CachePolicy,
    ) -> Option<Reason> {
        let stored = match *self.method {
            Method::GET => true,
            Method::POST => policy.store_post && self.answers_a_get(directives),
            _ => false,
        };
        if !stored {
            return Some(Reason::Method);
        }
        let asked = RequestDirectives::read(self.request, policy);
        asked.no_store().then_some(Reason::RequestNoStore)
    }

    /// RFC 9110 §9.3.3: with a lifetime, a 200 to POST whose `Content-Location` is the target is as good
    /// as one to GET.
    fn answers_a_get(&self, directives: &ResponseDirectives) -> bool {
        let location = self.response.get(CONTENT_LOCATION).and_then(|value| value.to_str().ok());
        let located = location.and_then(|reference| resolve(self.target, reference));
        let same = located.is_some_and(|located| same_resource(self.target, &located));
        self.status == StatusCode::OK && same && is_explicit(self.response, directives)
    }

    fn refused_by_response(&self, directives: &ResponseDirectives) -> Option<Reason> {
        let understood = directives.must_understand && is_understood(self.status);
        let opened =
            directives.public || directives.must_revalidate || directives.s_maxage.is_some();
        if is_bound_to_its_request(self.status) || (directives.must_understand && !understood) {
            Some(Reason::Status)
        } else if directives.no_store && !understood {
            Some(Reason::NoStore)
        } else if directives.private {
            Some(Reason::Private)
        } else if self.request.contains_key(AUTHORIZATION) && !opened {
            Some(Reason::Authorization)
        } else {
            match vary::selection(self.response) {
                Selection::Star => Some(Reason::VaryStar),
                Selection::TooMany => Some(Reason::VaryLimit),
                Selection::None | Selection::Fields => None,
            }
        }
    }

    /// The response's freshness, if the response can ever be used with it.
    fn useful(
        &self,
        directives: &ResponseDirectives,
        policy: &CachePolicy,
    ) -> Result<Freshness, Reason> {
        let lifetime = lifetime(self.status, self.response, directives, policy, self.response_time);
        let age = initial_age(self.response, self.request_time, self.response_time);
        let freshness = Freshness::new(directives, policy, lifetime, age);
        if lifetime.is_none() && !directives.public && !is_heuristically_cacheable(self.status) {
            return Err(Reason::Status);
        }
        let usable = if freshness.validates_always() {
            self.can_be_validated()
        } else {
            freshness.lifetime() > age || self.can_be_validated() || may_be_used_stale(directives)
        };
        match lifetime {
            _ if usable => Ok(freshness),
            _ if freshness.validates_always() => Err(Reason::NoCache),
            Some(_) => Err(Reason::Stale),
            None => Err(Reason::NoFreshness),
        }
    }

    fn can_be_validated(&self) -> bool {
        self.response.contains_key(ETAG) || self.response.contains_key(LAST_MODIFIED)
    }
}

/// Whether the response itself opens a window for stale use. The policy's windows don't count: they
/// would have us store every response that is never fresh.
fn may_be_used_stale(directives: &ResponseDirectives) -> bool {
    let longest = directives.stale_while_revalidate.max(directives.stale_if_error);
    longest > Some(0) && !directives.forbids_stale()
}

/// Whether a response of this status is only good for the request it answers: interim, partial, or
/// about that request's conditions or ranges.
fn is_bound_to_its_request(status: StatusCode) -> bool {
    status.is_informational() || matches!(status.as_u16(), 206 | 304 | 412 | 416)
}

/// Whether we know what caching a status asks for (§3, `must-understand`): those of RFC 9110 §15.
fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 300..=303 | 305 | 307 | 308
        | 400..=411 | 413..=415 | 417 | 421 | 422 | 426 | 500..=505)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{at, date, head, now};

    const FRESH: &str = "cache-control: max-age=60";

    /// A GET answered at once, to be changed where a test is about something else.
    struct Case<'a> {
        method: &'a str,
        asked: &'a [&'a str],
        status: u16,
        policy: CachePolicy,
    }

    const GET: Case<'_> =
        Case { method: "GET", asked: &[], status: 200, policy: CachePolicy::STANDARD };

    impl Case<'_> {
        fn keep(&self, answered: &[&str]) -> Keep {
            let exchange = Exchange {
                method: &Method::from_bytes(self.method.as_bytes()).unwrap(),
                target: &"https://a/b".parse().unwrap(),
                request: &head(self.asked),
                status: StatusCode::from_u16(self.status).unwrap(),
                response: &head(answered),
                request_time: at(-1),
                response_time: now(),
            };
            keep(&exchange, &self.policy)
        }

        fn check(&self, answered: &[&str], expected: Result<u64, Reason>) {
            let found = match self.keep(answered) {
                Keep::Store(stored) => Ok(stored.freshness.lifetime().as_secs()),
                Keep::Refuse(reason) => Err(reason),
            };
            assert_eq!(
                found, expected,
                "{} {:?} {} {answered:?}",
                self.method, self.asked, self.status
            );
        }
    }

    #[test]
    fn only_get_is_stored_unless_a_rule_stores_post() {
        Case { method: "GET", ..GET }.check(&[FRESH], Ok(60));
        for method in ["HEAD", "POST", "PUT", "QUERY"] {
            Case { method, ..GET }.check(&[FRESH, "content-location: /b"], Err(Reason::Method));
        }
        let policy = CachePolicy { store_post: true, ..GET.policy };
        let post = Case { method: "POST", policy, ..GET };
        post.check(&[FRESH, "content-location: /b"], Ok(60));
        post.check(&[FRESH, "content-location: https://a:443/b"], Ok(60));
        post.check(&[FRESH, "content-location: /c"], Err(Reason::Method));
        post.check(&[FRESH], Err(Reason::Method));
        let modified = format!("last-modified: {}", date(-1000));
        post.check(&["content-location: b", &modified], Err(Reason::Method));
    }

    #[test]
    fn any_final_status_with_a_lifetime_is_stored() {
        for status in
            [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 503, 599]
        {
            Case { status, ..GET }.check(&[FRESH], Ok(60));
        }
        for status in [100, 103, 206, 304, 412, 416] {
            Case { status, ..GET }.check(&[FRESH], Err(Reason::Status));
        }
        for status in [201, 302, 403, 500, 599] {
            Case { status, ..GET }.check(&["etag: \"a\""], Err(Reason::Status));
            Case { status, ..GET }.check(&["etag: \"a\"", "cache-control: public"], Ok(0));
        }
    }

    #[test]
    fn must_understand_opens_no_store_for_what_we_understand() {
        let lines = &["cache-control: max-age=60, no-store, must-understand"];
        GET.check(lines, Ok(60));
        Case { status: 599, ..GET }.check(lines, Err(Reason::Status));
        Case { status: 599, ..GET }
            .check(&["cache-control: max-age=60, must-understand"], Err(Reason::Status));
    }

    #[test]
    fn directives_refuse() {
        GET.check(&["cache-control: max-age=60, no-store"], Err(Reason::NoStore));
        GET.check(&["cache-control: max-age=60, private"], Err(Reason::Private));
        GET.check(&["cache-control: no-store", "cdn-cache-control: max-age=5"], Ok(5));
        GET.check(&[FRESH, "cdn-cache-control: private"], Err(Reason::Private));
        let asked = &["cache-control: no-store"];
        Case { asked, ..GET }.check(&[FRESH], Err(Reason::RequestNoStore));
        let policy = CachePolicy { honour_request_directives: false, ..GET.policy };
        Case { asked, policy, ..GET }.check(&[FRESH], Ok(60));
    }

    #[test]
    fn authorization_needs_a_response_for_all() {
        let authorized = Case { asked: &["authorization: x"], ..GET };
        authorized.check(&[FRESH], Err(Reason::Authorization));
        authorized.check(&[FRESH, "cache-control: proxy-revalidate"], Err(Reason::Authorization));
        authorized.check(&[FRESH, "cache-control: public"], Ok(60));
        authorized.check(&[FRESH, "cache-control: must-revalidate"], Ok(60));
        authorized.check(&[FRESH, "cache-control: s-maxage=5"], Ok(5));
        authorized.check(
            &[FRESH, "cdn-cache-control: max-age=5", "cache-control: public"],
            Err(Reason::Authorization),
        );
    }

    #[test]
    fn set_cookie_is_refused_unless_stored_by_rule_or_omitted() {
        GET.check(&[FRESH, "set-cookie: a=b"], Err(Reason::SetCookie));
        GET.check(&[FRESH, "cache-control: no-cache=\"Set-Cookie\"", "set-cookie: a=b"], Ok(60));
        let policy = CachePolicy { store_set_cookie: true, ..GET.policy };
        Case { policy, ..GET }.check(&[FRESH, "set-cookie: a=b"], Ok(60));
    }

    #[test]
    fn vary_star_is_refused() {
        GET.check(&[FRESH, "vary: a, *"], Err(Reason::VaryStar));
        let many = (0..17).map(|n| format!("n{n}")).collect::<Vec<_>>().join(",");
        GET.check(&[FRESH, &format!("vary: {many}")], Err(Reason::VaryLimit));
        GET.check(&[FRESH, "vary: a"], Ok(60));
    }

    #[test]
    fn what_could_never_be_used_is_refused() {
        GET.check(&[], Err(Reason::NoFreshness));
        GET.check(&["etag: \"a\""], Ok(0));
        GET.check(&[&format!("last-modified: {}", date(-1000))], Ok(100));
        GET.check(&["cache-control: no-cache"], Err(Reason::NoCache));
        GET.check(&["cache-control: no-cache", "etag: \"a\""], Ok(0));
        GET.check(&["cache-control: no-cache, max-age=60"], Err(Reason::NoCache));
        GET.check(&["cache-control: no-cache, stale-if-error=60"], Err(Reason::NoCache));
        GET.check(&["cache-control: max-age=0"], Err(Reason::Stale));
        GET.check(&["cache-control: max-age=0", "etag: \"a\""], Ok(0));
        GET.check(&["cache-control: max-age=0, stale-while-revalidate=5"], Ok(0));
        GET.check(&["cache-control: max-age=0, s-maxage=0, stale-if-error=5"], Err(Reason::Stale));
        GET.check(&["cache-control: max-age=60", "age: 58"], Ok(60));
        GET.check(&["cache-control: max-age=60", "age: 59"], Err(Reason::Stale));
        GET.check(&["expires: 0"], Err(Reason::Stale));
        let window = Some(Duration::from_secs(60));
        let policy =
            CachePolicy { stale_if_error: window, stale_while_revalidate: window, ..GET.policy };
        let window = Case { policy, ..GET };
        window.check(&["cache-control: max-age=0"], Err(Reason::Stale));
        window.check(&[], Err(Reason::NoFreshness));
    }

    #[test]
    fn the_time_the_exchange_took_is_age() {
        let Keep::Store(stored) = GET.keep(&[FRESH, "age: 5"]) else { panic!("it is stored") };
        assert_eq!(stored.freshness.age(Duration::ZERO).as_secs(), 6);
    }
}
