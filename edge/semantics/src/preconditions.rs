//! Does the client's condition hold for the stored response? RFC 9110 §13, RFC 9111 §4.3.2.
//!
//! Asked once a stored response may be used (fresh, or just validated), for GET and HEAD. §13.1.1 and
//! §13.1.4 let a cache leave `If-Match` and `If-Unmodified-Since` to the origin; we answer them, as the
//! stored response is what we'd send otherwise.

use std::time::SystemTime;

use http::header::{
    DATE, ETAG, HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{Method, StatusCode};

use crate::date;
use crate::entity_tag::{EntityTag, entity_tags};
use crate::list::trim;

/// What the preconditions make of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as without them.
    Proceed,
    /// Answer 304.
    NotModified,
    /// Answer 412.
    PreconditionFailed,
}

/// A stored response, as far as conditions are about it.
#[derive(Clone, Copy, Debug)]
pub struct Representation<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub head: &'a HeaderMap,
    /// When it was received or last validated: stands in for a missing `Date`.
    pub response_time: SystemTime,
}

/// Evaluates the preconditions in the order of §13.2.2, `If-Range` excepted. Ignores them all when the
/// answer would be no success (§13.2.1). A request without them costs four look-ups.
pub fn evaluate(method: &Method, request: &HeaderMap, stored: &Representation<'_>) -> Verdict {
    if !stored.status.is_success() {
        return Verdict::Proceed;
    }
    let may_proceed = if request.contains_key(IF_MATCH) {
        matches(request, &IF_MATCH, stored.etag(), EntityTag::is_strongly)
    } else {
        stored.is_unmodified_since(request)
    };
    if !may_proceed {
        return Verdict::PreconditionFailed;
    }
    let reads = *method == Method::GET || *method == Method::HEAD;
    let is_held = if request.contains_key(IF_NONE_MATCH) {
        matches(request, &IF_NONE_MATCH, stored.etag(), EntityTag::is_weakly)
            || stored.has_the_very_tag(request)
    } else {
        reads && stored.is_held_since(request)
    };
    match is_held {
        false => Verdict::Proceed,
        true if reads => Verdict::NotModified,
        true => Verdict::PreconditionFailed,
    }
}

/// Whether `Range` is to be honoured as far as `If-Range` goes (§13.1.5): true without one. Evaluate
/// the other preconditions first.
pub fn range_applies(request: &HeaderMap, stored: &Representation<'_>) -> bool {
    let mut lines = request.get_all(IF_RANGE).iter();
    match (lines.next(), lines.next()) {
        (None, _) => true,
        (Some(line), None) => stored.is_validated_by(trim(line.as_bytes())),
        (Some(_), Some(_)) => false,
    }
}

/// Whether a list of entity tags, or `*`, holds the stored one.
fn matches<'a>(
    request: &'a HeaderMap,
    name: &HeaderName,
    stored: Option<EntityTag<'a>>,
    same: fn(EntityTag<'a>, EntityTag<'a>) -> bool,
) -> bool {
    request.get_all(name).into_iter().any(|line| {
        trim(line.as_bytes()) == b"*"
            || stored
                .is_some_and(|stored| entity_tags(line.as_bytes()).any(|tag| same(tag, stored)))
    })
}

/// The field's date; `None` unless it is there once, and a valid HTTP-date.
fn single_date(head: &HeaderMap, name: HeaderName, now: SystemTime) -> Option<SystemTime> {
    let mut lines = head.get_all(name).into_iter();
    let line = lines.next()?;
    if lines.next().is_some() { None } else { date::parse(trim(line.as_bytes()), now) }
}

impl<'a> Representation<'a> {
    /// Its entity tag, where that is a valid one.
    pub(crate) fn etag(&self) -> Option<EntityTag<'a>> {
        EntityTag::read(self.head.get(ETAG)?.as_bytes())
    }

    fn date(&self, name: HeaderName) -> Option<SystemTime> {
        single_date(self.head, name, self.response_time)
    }

    /// Whether the client repeats our `ETag` byte for byte. Only this matches a malformed one, such as
    /// an unquoted one, which the client can but have from us.
    fn has_the_very_tag(&self, request: &HeaderMap) -> bool {
        self.head.get(ETAG).is_some_and(|etag| request.get(IF_NONE_MATCH) == Some(etag))
    }

    /// `If-Unmodified-Since` (§13.1.4); true without one, or without a `Last-Modified` to compare.
    fn is_unmodified_since(&self, request: &HeaderMap) -> bool {
        if !request.contains_key(IF_UNMODIFIED_SINCE) {
            return true;
        }
        let since = single_date(request, IF_UNMODIFIED_SINCE, self.response_time);
        let modified = self.date(LAST_MODIFIED);
        modified.zip(since).is_none_or(|(modified, since)| modified <= since)
    }

    /// `If-Modified-Since` (§13.1.3). Without a `Last-Modified`, `Date` counts, or when we received the
    /// response (RFC 9111 §4.3.2).
    fn is_held_since(&self, request: &HeaderMap) -> bool {
        if !request.contains_key(IF_MODIFIED_SINCE) {
            return false;
        }
        let modified = self.date(LAST_MODIFIED).or_else(|| self.date(DATE));
        let since = single_date(request, IF_MODIFIED_SINCE, self.response_time);
        since.is_some_and(|since| modified.unwrap_or(self.response_time) <= since)
    }

    /// Whether an `If-Range` value is our strong validator.
    fn is_validated_by(&self, validator: &[u8]) -> bool {
        if let Some(tag) = EntityTag::read(validator) {
            return self.etag().is_some_and(|etag| tag.is_strongly(etag));
        }
        let given = date::parse(validator, self.response_time);
        given.is_some() && given == self.strong_modification_date()
    }

    /// `Last-Modified` where it is a strong validator: at least a second before `Date` (§8.8.2.2).
    pub(crate) fn strong_modification_date(&self) -> Option<SystemTime> {
        let (date, modified) = self.date(DATE).zip(self.date(LAST_MODIFIED))?;
        (modified < date).then_some(modified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{date, head, now};

    fn check_as(method: &Method, status: u16, stored: &[&str], asked: &[&str], expected: Verdict) {
        let (head, request) = (head(stored), head(asked));
        let status = StatusCode::from_u16(status).unwrap();
        let stored = Representation { status, head: &head, response_time: now() };
        assert_eq!(evaluate(method, &request, &stored), expected, "{head:?} {asked:?}");
    }

    fn check(stored: &[&str], asked: &[&str], expected: Verdict) {
        check_as(&Method::GET, 200, stored, asked, expected);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let check = |etag: &str, asked: &str, expected| {
            check(&[&format!("etag: {etag}")], &[&format!("if-none-match: {asked}")], expected);
        };
        check("\"a\"", "\"a\"", Verdict::NotModified);
        check("\"a\"", "W/\"a\"", Verdict::NotModified);
        check("W/\"a\"", "\"x\", \"a\"", Verdict::NotModified);
        check("\"a\"", "*", Verdict::NotModified);
        check("\"a\"", "\"b\"", Verdict::Proceed);
        check("\"a\"", "a", Verdict::Proceed);
        check("a", "a", Verdict::NotModified);
        check("w/\"a\"", "w/\"a\"", Verdict::NotModified);
        check("\"abcd\u{fc}\"", "\"abcd\u{fc}\"", Verdict::NotModified);
    }

    #[test]
    fn if_none_match_reads_every_line_and_needs_a_tag() {
        let lines = &["if-none-match: \"x\"", "if-none-match: \"a\""];
        check(&["etag: \"a\""], lines, Verdict::NotModified);
        check(&[], &["if-none-match: \"a\""], Verdict::Proceed);
        check(&[], &["if-none-match: *"], Verdict::NotModified);
    }

    #[test]
    fn if_none_match_precedes_if_modified_since() {
        let stored = &["etag: \"a\"", &format!("last-modified: {}", date(-5000))];
        let since = |offset| format!("if-modified-since: {}", date(offset));
        check(stored, &["if-none-match: \"a\"", &since(-10_000)], Verdict::NotModified);
        check(stored, &["if-none-match: \"b\"", &since(0)], Verdict::Proceed);
    }

    #[test]
    fn if_modified_since_compares_with_the_best_date_there_is() {
        let modified = format!("last-modified: {}", date(-3000));
        let dated = format!("date: {}", date(-100));
        let since = |offset| format!("if-modified-since: {}", date(offset));
        check(&[&modified], &[&since(-3000)], Verdict::NotModified);
        check(&[&modified], &[&since(-2000)], Verdict::NotModified);
        check(&[&modified], &[&since(-3001)], Verdict::Proceed);
        check(&[&modified, &dated], &[&since(-2000)], Verdict::NotModified);
        check(&[&dated], &[&since(-100)], Verdict::NotModified);
        check(&[&dated], &[&since(-101)], Verdict::Proceed);
        check(&[], &[&since(0)], Verdict::NotModified);
        check(&[], &[&since(-1)], Verdict::Proceed);
        check(&[&modified], &["if-modified-since: x"], Verdict::Proceed);
        check(&[&modified], &[&since(0), &since(0)], Verdict::Proceed);
        check(
            &[&modified],
            &["if-modified-since: Tuesday, 14-Nov-23 22:13:20 GMT"],
            Verdict::NotModified,
        );
    }

    #[test]
    fn if_match_compares_strongly_and_comes_first() {
        let check = |etag: &str, asked: &[&str], expected| {
            check(&[&format!("etag: {etag}")], asked, expected);
        };
        check("\"a\"", &["if-match: \"b\", \"a\""], Verdict::Proceed);
        check("\"a\"", &["if-match: *"], Verdict::Proceed);
        check("\"a\"", &["if-match: \"b\""], Verdict::PreconditionFailed);
        check("W/\"a\"", &["if-match: W/\"a\""], Verdict::PreconditionFailed);
        check("\"a\"", &["if-match: \"b\"", "if-none-match: \"a\""], Verdict::PreconditionFailed);
        check("\"a\"", &["if-match: \"a\"", "if-none-match: \"a\""], Verdict::NotModified);
    }

    #[test]
    fn if_unmodified_since_counts_without_if_match() {
        let stored = &["etag: \"a\"", &format!("last-modified: {}", date(-5000))];
        let since = |offset| format!("if-unmodified-since: {}", date(offset));
        check(stored, &[&since(-5000)], Verdict::Proceed);
        check(stored, &[&since(-5001)], Verdict::PreconditionFailed);
        check(stored, &[&since(-5001), "if-match: \"a\""], Verdict::Proceed);
        check(stored, &["if-unmodified-since: x"], Verdict::Proceed);
        check(&[], &[&since(-5001)], Verdict::Proceed);
    }

    #[test]
    fn conditions_are_only_about_successes_and_reading() {
        let (stored, asked) = (&["etag: \"a\""], &["if-none-match: \"a\""]);
        check_as(&Method::GET, 404, stored, asked, Verdict::Proceed);
        check_as(&Method::GET, 301, stored, asked, Verdict::Proceed);
        check_as(&Method::HEAD, 200, stored, asked, Verdict::NotModified);
        check_as(&Method::PUT, 200, stored, asked, Verdict::PreconditionFailed);
    }

    #[test]
    fn if_range_needs_a_strong_validator() {
        let check = |stored: &[&str], asked: &[&str], expected| {
            let (head, request) = (head(stored), head(asked));
            let stored =
                Representation { status: StatusCode::OK, head: &head, response_time: now() };
            assert_eq!(range_applies(&request, &stored), expected, "{head:?} {asked:?}");
        };
        let modified = format!("last-modified: {}", date(-60));
        let dated = |offset| format!("date: {}", date(offset));
        let given = |offset| format!("if-range: {}", date(offset));
        check(&[], &[], true);
        check(&["etag: \"a\""], &["if-range: \"a\""], true);
        check(&["etag: \"a\""], &["if-range: \"b\""], false);
        check(&["etag: W/\"a\""], &["if-range: W/\"a\""], false);
        check(&[], &["if-range: \"a\""], false);
        check(&[&modified, &dated(0)], &[&given(-60)], true);
        check(&[&modified, &dated(0)], &[&given(-50)], false);
        check(&[&modified, &dated(-60)], &[&given(-60)], false);
        check(&[&modified], &[&given(-60)], false);
        check(&["etag: \"a\""], &["if-range: x"], false);
        check(&["etag: \"a\""], &["if-range: \"a\"", "if-range: \"a\""], false);
    }
}
