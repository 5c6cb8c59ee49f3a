//! Which field's directives apply to us? RFC 9213 §2.2: the first valid targeted field, or else
//! `Cache-Control`.
//!
//! Order: `Longshore-CDN-Cache-Control`, `CDN-Cache-Control`, then `Surrogate-Control` if the policy
//! says so. A targeted field that isn't a Dictionary, is empty, or gives a directive a value of the
//! wrong type is ignored as a whole. Of `Surrogate-Control` only `max-age` (without its `+` extension)
//! and `no-store` are read; without either it doesn't apply.

use http::header::{CACHE_CONTROL, HeaderMap, HeaderName};

use crate::fields::{CDN_CACHE_CONTROL, LONGSHORE_CDN_CACHE_CONTROL, SURROGATE_CONTROL};
use crate::list::{Argument, Directive, all_members};
use crate::policy::CachePolicy;
use crate::structured::{Item, dictionary};

/// The field whose directives apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Source {
    #[default]
    CacheControl,
    Longshore,
    Cdn,
    Surrogate,
}

impl Source {
    /// Chooses for a response.
    pub(crate) fn of(response: &HeaderMap, policy: &CachePolicy) -> Self {
        if applies(response, Self::Longshore) {
            Self::Longshore
        } else if applies(response, Self::Cdn) {
            Self::Cdn
        } else if policy.surrogate_control && surrogate(response).next().is_some() {
            Self::Surrogate
        } else {
            Self::CacheControl
        }
    }

    /// Calls `each` for every directive in this field, in order.
    pub(crate) fn each<'h>(self, response: &'h HeaderMap, mut each: impl FnMut(Directive<'h>)) {
        match self {
            Self::CacheControl => {
                all_members(response.get_all(CACHE_CONTROL)).map(Directive::read).for_each(each);
            }
            Self::Surrogate => surrogate(response).for_each(each),
            Self::Longshore | Self::Cdn => {
                for line in response.get_all(self.field()) {
                    let _ = dictionary(line.as_bytes(), |name, item| {
                        if let Some(argument) = argument(item) {
                            each(Directive { name, argument });
                        }
                    });
                }
            }
        }
    }

    pub(crate) fn field(self) -> HeaderName {
        match self {
            Self::CacheControl => CACHE_CONTROL,
            Self::Longshore => LONGSHORE_CDN_CACHE_CONTROL,
            Self::Cdn => CDN_CACHE_CONTROL,
            Self::Surrogate => SURROGATE_CONTROL,
        }
    }
}

/// Whether `targeted` is there, valid and not empty.
fn applies(response: &HeaderMap, targeted: Source) -> bool {
    let (mut members, mut typed) = (0_usize, true);
    for line in response.get_all(targeted.field()) {
        let read = dictionary(line.as_bytes(), |name, item| {
            members += 1;
            typed &= has_its_type(name, item);
        });
        typed &= read.is_some();
    }
    typed && members > 0
}

/// Whether `item` is of a type the directive `name` can have (RFC 9213 §2.1).
fn has_its_type(name: &[u8], item: Item<'_>) -> bool {
    match name {
        b"max-age" | b"s-maxage" | b"stale-while-revalidate" | b"stale-if-error" => {
            matches!(item, Item::Integer(_))
        }
        b"no-cache" | b"private" => matches!(item, Item::Boolean(_) | Item::String(_)),
        b"no-store" | b"public" | b"must-revalidate" | b"proxy-revalidate" | b"must-understand"
        | b"immutable" => matches!(item, Item::Boolean(_)),
        _ => true,
    }
}

/// The item in the terms of `Cache-Control`; `None` for a directive said to be off.
fn argument(item: Item<'_>) -> Option<Argument<'_>> {
    match item {
        Item::Boolean(true) => Some(Argument::Absent),
        Item::Boolean(false) => None,
        Item::Integer(digits) => Some(Argument::Token(digits)),
        Item::String(inner) => Some(Argument::Quoted(inner)),
        Item::Other => Some(Argument::Invalid),
    }
}

fn surrogate(response: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    all_members(response.get_all(SURROGATE_CONTROL)).map(Directive::read).filter_map(|directive| {
        if directive.name.eq_ignore_ascii_case(b"no-store") {
            return Some(directive);
        }
        let Argument::Token(written) = directive.argument else {
            return directive.name.eq_ignore_ascii_case(b"max-age").then_some(directive);
        };
        let digits = written.split(|&byte| byte == b'+').next().unwrap_or(written);
        let argument = Argument::Token(digits);
        directive
            .name
            .eq_ignore_ascii_case(b"max-age")
            .then_some(Directive { argument, ..directive })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::head;

    fn check(lines: &[&str], expected: Source) {
        let policy = CachePolicy { surrogate_control: true, ..CachePolicy::default() };
        assert_eq!(Source::of(&head(lines), &policy), expected, "{lines:?}");
    }

    #[test]
    fn the_most_specific_valid_field_speaks() {
        check(&[], Source::CacheControl);
        check(&["cache-control: no-store"], Source::CacheControl);
        check(&["cdn-cache-control: max-age=1", "cache-control: no-store"], Source::Cdn);
        check(
            &["cdn-cache-control: max-age=1", "longshore-cdn-cache-control: max-age=2"],
            Source::Longshore,
        );
        check(&["cdn-cache-control: max-age=1", "surrogate-control: max-age=2"], Source::Cdn);
        check(&["cdn-cache-control: foo"], Source::Cdn);
    }

    #[test]
    fn an_invalid_targeted_field_is_ignored_as_a_whole() {
        check(&["cdn-cache-control: max-age=10000, &&&&&"], Source::CacheControl);
        check(&["cdn-cache-control: max-age=\"10000\""], Source::CacheControl);
        check(&["cdn-cache-control: max-age"], Source::CacheControl);
        check(&["cdn-cache-control: no-store=1"], Source::CacheControl);
        check(&["cdn-cache-control:"], Source::CacheControl);
        check(&["cdn-cache-control: max-age=1", "cdn-cache-control: ,"], Source::CacheControl);
        check(
            &["longshore-cdn-cache-control: MAX-AGE=1", "cdn-cache-control: max-age=1"],
            Source::Cdn,
        );
    }

    #[test]
    fn surrogate_control_needs_an_age_or_no_store() {
        check(&["surrogate-control: content=\"ESI/1.0\""], Source::CacheControl);
        check(&["surrogate-control: content=\"ESI/1.0\", max-age=60"], Source::Surrogate);
        check(&["surrogate-control: no-store"], Source::Surrogate);
        let each = |line| {
            let (head, mut arguments) = (head(&[line]), Vec::new());
            let policy = CachePolicy { surrogate_control: true, ..CachePolicy::default() };
            Source::of(&head, &policy)
                .each(&head, |directive| arguments.push(directive.argument.delta_seconds()));
            arguments
        };
        assert_eq!(each("surrogate-control: max-age=60+10, content=\"x\""), [Some(60)]);
        assert_eq!(each("surrogate-control: max-age=x+10"), [None]);
        let off = CachePolicy::default();
        assert_eq!(Source::of(&head(&["surrogate-control: no-store"]), &off), Source::CacheControl);
    }
}
