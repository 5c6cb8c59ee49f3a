//! What does the origin say about caching this response? RFC 9111 §5.2.2, RFC 5861, RFC 8246.
//!
//! A directive given twice counts in its most restrictive form, one with an invalid argument as the
//! most restrictive there is: a lifetime or window of zero (§4.2.1), an unqualified `no-cache` or
//! `private`. A permission (`public`, `must-understand`) counts only without an argument; `immutable`
//! counts with any (RFC 8246 §2).

use http::header::{HeaderMap, HeaderName};

use super::Source;
use crate::list::{Argument, Directive, is_token, members, trim};
use crate::policy::CachePolicy;

/// The directives that apply to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    pub(crate) source: Source,
    pub(crate) no_store: bool,
    /// Without a field list.
    pub(crate) no_cache: bool,
    /// Without a field list.
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) immutable: bool,
    /// Some `no-cache` or `private` lists fields: see [`ResponseDirectives::each_listed`].
    pub(crate) lists_fields: bool,
    /// Seconds, as are the following.
    pub(crate) max_age: Option<u32>,
    pub(crate) s_maxage: Option<u32>,
    pub(crate) stale_while_revalidate: Option<u32>,
    pub(crate) stale_if_error: Option<u32>,
}

impl ResponseDirectives {
    /// Reads a response's head.
    pub(crate) fn read(response: &HeaderMap, policy: &CachePolicy) -> Self {
        let mut read = Self { source: Source::of(response, policy), ..Self::default() };
        read.source.each(response, |directive| read.add(directive));
        read
    }

    /// The field that was read.
    pub(crate) fn field(&self) -> HeaderName {
        self.source.field()
    }

    /// Whether a targeted field spoke, so that `Cache-Control` and `Expires` are not for us.
    pub(crate) fn targeted(&self) -> bool {
        self.source != Source::CacheControl
    }

    /// Whether a stale response is never to be used: §5.2.2.2, §5.2.2.8, §5.2.2.10, §5.2.2.4.
    pub(crate) fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.no_cache || self.s_maxage.is_some()
    }

    /// Calls `each` for the fields that `no-cache` and `private` list, which aren't to be stored.
    pub(crate) fn each_listed(&self, response: &HeaderMap, mut each: impl FnMut(HeaderName)) {
        if !self.lists_fields {
            return;
        }
        self.source.each(response, |directive| {
            let named = [b"no-cache".as_slice(), b"private"]
                .iter()
                .any(|name| directive.name.eq_ignore_ascii_case(name));
            let list = if named { listed(directive.argument) } else { None };
            let names = list.into_iter().flat_map(members);
            names.filter_map(|name| HeaderName::from_bytes(name).ok()).for_each(&mut each);
        });
    }

    fn add(&mut self, directive: Directive<'_>) {
        let argument = directive.argument;
        let bare = argument == Argument::Absent;
        match directive.lowered(&mut [0; 24]) {
            Some(b"no-store") => self.no_store = true,
            Some(b"no-cache") => self.no_cache |= self.is_unqualified(argument),
            Some(b"private") => self.private |= self.is_unqualified(argument),
            Some(b"must-revalidate") => self.must_revalidate = true,
            Some(b"proxy-revalidate") => self.proxy_revalidate = true,
            Some(b"public") => self.public |= bare,
            Some(b"must-understand") => self.must_understand |= bare,
            Some(b"immutable") => self.immutable = true,
            Some(b"max-age") => shorten(&mut self.max_age, argument),
            Some(b"s-maxage") => shorten(&mut self.s_maxage, argument),
            Some(b"stale-while-revalidate") => shorten(&mut self.stale_while_revalidate, argument),
            Some(b"stale-if-error") => shorten(&mut self.stale_if_error, argument),
            _ => {}
        }
    }

    /// Whether the argument is no list of field names; notes it when it is.
    fn is_unqualified(&mut self, argument: Argument<'_>) -> bool {
        let lists = listed(argument).is_some();
        self.lists_fields |= lists;
        !lists
    }
}

/// The argument if it is a non-empty list of field names and nothing else.
fn listed(argument: Argument<'_>) -> Option<&[u8]> {
    let (Argument::Quoted(list) | Argument::Token(list)) = argument else { return None };
    let names = !trim(list).is_empty() && members(list).all(is_token);
    (names && members(list).next().is_some()).then_some(list)
}

/// Keeps the shorter of two values; an invalid one is zero.
fn shorten(kept: &mut Option<u32>, argument: Argument<'_>) {
    let value = argument.delta_seconds().unwrap_or(0);
    *kept = Some(kept.map_or(value, |kept| kept.min(value)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::head;

    fn read(lines: &[&str]) -> ResponseDirectives {
        ResponseDirectives::read(&head(lines), &CachePolicy::default())
    }

    #[test]
    fn max_age_counts_in_its_most_restrictive_form() {
        let check = |value: &str, expected| {
            assert_eq!(read(&[&format!("cache-control: {value}")]).max_age, expected, "{value}");
        };
        check("max-age=3600", Some(3600));
        check("foobar, MaX-aGe=3600", Some(3600));
        check("max-age=\"3600\"", Some(3600));
        check("max-age=1800, max-age=1", Some(1));
        check("max-age=1, max-age=1800", Some(1));
        check("max-age=1, extension=\"max-age=3600\"", Some(1));
        check("extension=\"x, max-age=1\"", None);
        check("max-age=99999999999", Some(1 << 31));
        for invalid in ["-3600", "'3600'", "3600.0", "a3600", "3600a", " 3600", "", "\"36"] {
            check(&format!("max-age={invalid}"), Some(0));
        }
        check("max-age =3600", Some(0));
        check("max-age", Some(0));
        check("x-max-age=5", None);
    }

    #[test]
    fn lines_are_one_list() {
        let read = read(&["cache-control: max-age=9", "cache-control: s-maxage=1, No-Store"]);
        assert_eq!((read.max_age, read.s_maxage, read.no_store), (Some(9), Some(1), true));
    }

    #[test]
    fn a_targeted_field_replaces_the_others() {
        let read = read(&["cache-control: no-store", "cdn-cache-control: max-age=5, no-cache=?0"]);
        assert!(read.targeted() && !read.no_store && !read.no_cache);
        assert_eq!(read.max_age, Some(5));
    }

    #[test]
    fn a_field_list_qualifies() {
        let check = |value: &str, no_cache, fields: &[&str]| {
            let head = head(&[&format!("cache-control: {value}")]);
            let read = ResponseDirectives::read(&head, &CachePolicy::default());
            let mut listed = Vec::new();
            read.each_listed(&head, |name| listed.push(name));
            assert_eq!((read.no_cache, listed), (no_cache, named(fields)), "{value}");
        };
        check("no-cache", true, &[]);
        check("no-cache=\"a, B\"", false, &["a", "b"]);
        check("no-cache=Set-Cookie", false, &["set-cookie"]);
        check("private=\"x\"", false, &["x"]);
        check("no-cache=\"a\", no-cache", true, &["a"]);
        check("no-cache=\"\"", true, &[]);
        check("no-cache=\",\"", true, &[]);
        check("no-cache=\"a b\"", true, &[]);
        check("no-cache= a", true, &[]);
        check("other=\"a\"", false, &[]);
    }

    fn named(fields: &[&str]) -> Vec<HeaderName> {
        fields.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn a_permission_takes_no_argument() {
        let with = read(&["cache-control: public=1, must-understand=1"]);
        assert!(!with.public && !with.must_understand);
        let without = read(&["cache-control: public, must-understand"]);
        assert!(without.public && without.must_understand);
        assert!(read(&["cache-control: Immutable=1"]).immutable);
    }

    proptest! {
        #[test]
        fn any_value_can_be_read(value in "[ -~]{0,60}") {
            let head = head(&[&format!("cache-control: {value}"), &format!("cdn-cache-control: {value}")]);
            let read = ResponseDirectives::read(&head, &CachePolicy::default());
            read.each_listed(&head, |_| {});
        }

        #[test]
        fn a_further_directive_never_lengthens(
            first in "(max-age|s-maxage)=[0-9x]{1,4}", second in "(max-age|s-maxage)=[0-9x]{1,4}",
        ) {
            let one = read(&[&format!("cache-control: {first}")]);
            let both = read(&[&format!("cache-control: {first}"), &format!("cache-control: {second}")]);
            prop_assert!(one.max_age.is_none_or(|age| both.max_age.is_some_and(|both| both <= age)));
            prop_assert!(one.s_maxage.is_none_or(|age| both.s_maxage.is_some_and(|both| both <= age)));
        }
    }
}
