//! What does a 304, or the answer to a HEAD, change of a stored response? RFC 9111 §3.2, §4.3.4, §4.3.5.
//!
//! After freshening, ask [`crate::storing::keep`] again with the merged head: the new fields may
//! shorten its life or end it.

use http::StatusCode;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, SET_COOKIE,
};

use crate::directives::ResponseDirectives;
use crate::entity_tag::EntityTag;
use crate::fields::{connection_nominated, is_never_stored};
use crate::list::{all_members, exact_integer};
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

/// What the answer to a HEAD makes of the response that is stored for GET (§4.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByHead {
    /// It is about the stored response: [`freshen`] that with its fields.
    Freshen,
    /// The resource has changed: the stored response is stale, whatever its age.
    Invalidate,
    /// Nothing: it says nothing about the stored response.
    Nothing,
}

/// Decides what a HEAD that was forwarded and answered with `status` and `head` makes of a response
/// stored with `stored_status`, the fields `stored` and a whole body of `stored_length` bytes.
///
/// Ask it of each stored response that could have been chosen for the HEAD. Only a 200 says anything. Then each of
/// `ETag`, `Last-Modified` and `Content-Length` that it has must be the stored one; a field it lacks is
/// not compared. Entity tags compare weakly, as in a 304.
pub fn by_head(
    (stored_status, stored, stored_length): (StatusCode, &HeaderMap, u64),
    (status, head): (StatusCode, &HeaderMap),
) -> ByHead {
    if status != StatusCode::OK {
        return ByHead::Nothing;
    }
    let same = stored_status == StatusCode::OK
        && has_same_tag(stored, head)
        && (!head.contains_key(LAST_MODIFIED) || same_lines(stored, head, &LAST_MODIFIED))
        && tells_length(head, stored_length);
    if same { ByHead::Freshen } else { ByHead::Invalidate }
}

fn has_same_tag(stored: &HeaderMap, head: &HeaderMap) -> bool {
    let Some(tag) = head.get(ETAG) else { return true };
    let stored_tag = stored.get(ETAG).and_then(|value| EntityTag::read(value.as_bytes()));
    match stored_tag.zip(EntityTag::read(tag.as_bytes())) {
        Some((stored, tag)) => stored.is_weakly(tag),
        None => same_lines(stored, head, &ETAG),
    }
}

fn same_lines(one: &HeaderMap, other: &HeaderMap, name: &HeaderName) -> bool {
    one.get_all(name).iter().eq(other.get_all(name))
}

/// Whether each `Content-Length` is `length`; true where there is none.
fn tells_length(head: &HeaderMap, length: u64) -> bool {
    let mut members = all_members(head.get_all(CONTENT_LENGTH)).peekable();
    !head.contains_key(CONTENT_LENGTH)
        || (members.peek().is_some() && members.all(|member| exact_integer(member) == Some(length)))
}

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
    use http::header::VARY;
    use proptest::prelude::*;

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

    fn check_head(stored: &[&str], status: u16, answer: &[&str], expected: ByHead) {
        let status = StatusCode::from_u16(status).unwrap();
        let found = by_head((StatusCode::OK, &head(stored), 5), (status, &head(answer)));
        assert_eq!(found, expected, "{stored:?} {status} {answer:?}");
    }

    #[test]
    fn a_head_with_the_same_validators_and_length_freshens() {
        let check =
            |stored: &[&str], answer: &[&str]| check_head(stored, 200, answer, ByHead::Freshen);
        check(&[], &[]);
        check(&["etag: \"a\"", "last-modified: x"], &[]);
        check(&["etag: \"a\""], &["etag: \"a\"", "content-length: 5"]);
        check(&["etag: \"a\""], &["etag: W/\"a\""]);
        check(&["etag: a"], &["etag: a"]);
        check(&["last-modified: x"], &["last-modified: x", "content-length: 5, 5"]);
    }

    #[test]
    fn a_head_that_differs_in_a_validator_or_in_length_invalidates() {
        let check =
            |stored: &[&str], answer: &[&str]| check_head(stored, 200, answer, ByHead::Invalidate);
        check(&["etag: \"a\""], &["etag: \"b\""]);
        check(&["etag: \"a\""], &["etag: a"]);
        check(&[], &["etag: \"a\""]);
        check(&["last-modified: x"], &["last-modified: y"]);
        check(&[], &["last-modified: y"]);
        check(&["etag: \"a\"", "last-modified: x"], &["etag: \"a\"", "last-modified: y"]);
        for length in ["4", "", "x", "5, 4", "18446744073709551621"] {
            check(&["etag: \"a\""], &["etag: \"a\"", &format!("content-length: {length}")]);
        }
    }

    #[test]
    fn only_a_200_to_head_says_anything() {
        for status in [204, 206, 301, 304, 404, 410, 500] {
            check_head(&["etag: \"a\""], status, &["etag: \"b\""], ByHead::Nothing);
        }
        let stored = (StatusCode::NOT_FOUND, &head(&[]), 5);
        assert_eq!(by_head(stored, (StatusCode::OK, &head(&[]))), ByHead::Invalidate);
    }

    proptest! {
        #[test]
        fn what_describes_the_body_outlives_any_update(
            stored in fields(), update in fields(), connection in "(a|etag|content-length|close)?",
        ) {
            let (mut merged, mut update) = (stored.clone(), update);
            update.append("connection", connection.parse().unwrap());
            freshen(&mut merged, &update, &CachePolicy::default());
            for name in &BOUND_TO_BODY {
                prop_assert!(same_lines(&merged, &stored, name), "{name}");
            }
            for name in [&ETAG, &VARY].into_iter().filter(|name| update.contains_key(*name)) {
                let source = if connection == name.as_str() { &stored } else { &update };
                prop_assert!(same_lines(&merged, source, name), "{name}");
            }
            prop_assert!(!merged.contains_key("connection"));
            let mut again = merged.clone();
            freshen(&mut again, &update, &CachePolicy::default());
            prop_assert_eq!(again, merged);
        }
    }

    /// Lines of fields that matter here, some of them more than once.
    fn fields() -> impl Strategy<Value = HeaderMap> {
        let name = "a|etag|vary|age|date|content-(encoding|length|range|digest|md5|type)";
        let lines = proptest::collection::vec((name, "[a-z0-9\"]{0,3}"), 0..8);
        lines.prop_map(|lines| {
            let lines: Vec<_> =
                lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            head(&lines.iter().map(String::as_str).collect::<Vec<_>>())
        })
    }
}
