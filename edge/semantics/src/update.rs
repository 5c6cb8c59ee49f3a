//! What does a 304 change of a stored response? RFC 9111 §3.2, §4.3.4.
//!
//! After freshening, ask [`crate::storing::keep`] again with the merged head: the new fields may
//! shorten its life or end it.

use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName,
    HeaderValue, SET_COOKIE,
};

use crate::directives::ResponseDirectives;
use crate::entity_tag::EntityTag;
use crate::fields::{connection_nominated, is_never_stored};
use crate::policy::CachePolicy;

/// Describe the bytes of the stored body rather than the response, so that only a new body changes them (§3.2).
/// `Content-Digest` of a 304 is that of no content at all (RFC 9530 §2).
const BOUND_TO_BODY: [HeaderName; 5] = [
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
];

/// Whether a 304 is about this stored response (§4.3.4): a strong entity tag it carries must be the
/// stored one. If not, fetch anew without the condition.
pub fn is_about(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    let strong =
        |value: &&HeaderValue| EntityTag::read(value.as_bytes()).is_some_and(EntityTag::is_strong);
    let tag = not_modified.get(ETAG).filter(strong);
    tag.is_none_or(|tag| stored.get(ETAG) == Some(tag))
}

/// Replaces the fields of `stored` by those of `update` (§3.2).
///
/// All but those bound to the body, those never stored, and `Set-Cookie` unless the policy stores it.
/// `Age` and `Date` go even when `update` has none, as they told of the earlier exchange; the caller
/// adds a `Date` (RFC 9110 §6.6.1).
pub fn freshen(stored: &mut HeaderMap, update: &HeaderMap, policy: &CachePolicy) {
    let mut kept: Vec<_> = BOUND_TO_BODY.into();
    kept.extend(Some(SET_COOKIE).filter(|_| !policy.store_set_cookie));
    kept.extend(connection_nominated(update));
    ResponseDirectives::read(update, policy).each_listed(update, |name| kept.push(name));
    stored.remove(AGE);
    stored.remove(DATE);
    for name in update.keys().filter(|name| !is_never_stored(name) && !kept.contains(name)) {
        stored.remove(name);
        for value in update.get_all(name) {
            stored.append(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::head;

    fn check_with(policy: &CachePolicy, stored: &[&str], update: &[&str], expected: &[&str]) {
        let mut merged = head(stored);
        freshen(&mut merged, &head(update), policy);
        assert_eq!(merged, head(expected), "{stored:?} {update:?}");
    }

    fn check(stored: &[&str], update: &[&str], expected: &[&str]) {
        check_with(&CachePolicy::default(), stored, update, expected);
    }

    #[test]
    fn a_304_replaces_all_lines_of_its_fields_and_keeps_the_rest() {
        check(&["a: 1", "b: 1", "b: 2"], &["b: 3", "c: 4"], &["a: 1", "b: 3", "c: 4"]);
        check(&["b: 1"], &["b: 2", "b: 3"], &["b: 2", "b: 3"]);
        check(
            &["cache-control: max-age=1"],
            &["cache-control: no-store"],
            &["cache-control: no-store"],
        );
        check(
            &["vary: a"],
            &["vary: b", "content-location: /x"],
            &["vary: b", "content-location: /x"],
        );
        check(&["content-type: a/b"], &["content-type: c/d"], &["content-type: c/d"]);
    }

    #[test]
    fn fields_of_the_body_and_of_the_hop_stay() {
        let names = ["content-length", "content-encoding", "content-range", "content-md5"];
        for name in names.into_iter().chain(["content-digest"]) {
            let [old, new] = ["1", "2"].map(|value| format!("{name}: {value}"));
            check(&[&old], &[&new], &[&old]);
        }
        check(&["a: 1"], &["connection: a", "a: 2", "keep-alive: x", "te: x"], &["a: 1"]);
        check(&["a: 1"], &["proxy-authenticate: x", "transfer-encoding: chunked"], &["a: 1"]);
    }

    #[test]
    fn age_and_date_are_of_the_new_exchange() {
        check(&["age: 100", "date: x"], &[], &[]);
        check(&["age: 100"], &["age: 5", "date: y"], &["age: 5", "date: y"]);
    }

    #[test]
    fn private_fields_are_not_merged() {
        check(&["a: 1"], &["set-cookie: x=1"], &["a: 1"]);
        let storing = CachePolicy { store_set_cookie: true, ..CachePolicy::default() };
        check_with(&storing, &["a: 1"], &["set-cookie: x=1"], &["a: 1", "set-cookie: x=1"]);
        let update = &["cache-control: private=\"b\", max-age=1", "b: 2"];
        check(&["a: 1"], update, &["a: 1", "cache-control: private=\"b\", max-age=1"]);
    }

    #[test]
    fn a_304_with_another_strong_tag_is_about_another_response() {
        let check = |stored: &[&str], update: &[&str], expected| {
            assert_eq!(is_about(&head(stored), &head(update)), expected, "{stored:?} {update:?}");
        };
        check(&["etag: \"a\""], &["etag: \"a\""], true);
        check(&["etag: \"a\""], &["etag: \"b\""], false);
        check(&["etag: \"a\""], &["etag: W/\"b\""], true);
        check(&["etag: \"a\""], &[], true);
        check(&["last-modified: x"], &["etag: \"b\""], false);
    }
}
