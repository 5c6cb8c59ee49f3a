//! Which variant of a stored response does a request select? RFC 9111 §4.1.
//!
//! [`variant_key`] turns the request fields that the stored `Vary` names into bytes: equal bytes,
//! matching requests. Field order, case of names and repeated names don't count; an absent field is not
//! an empty one. `normalise` says how values are compared, and why nothing an origin tells apart is
//! merged. Lengths frame names and values, so that no two selections share bytes.
//!
//! Beyond that, [`is_preferred_language`] matches a request with the language of a stored response.

mod language;
mod normalise;

use http::header::{HeaderMap, VARY};

pub use self::language::is_preferred_language;
use crate::list::{all_members, is_token};

/// More fields than this in `Vary` are not stored: each multiplies the variants of a URL.
pub const MEMBERS_MAX: usize = 16;

/// What a stored `Vary` selects by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// No `Vary`: the response matches every request.
    None,
    /// Some request fields.
    Fields,
    /// `*`, or a member that is no field name: it matches no request.
    Star,
    /// More than [`MEMBERS_MAX`] fields: treat as [`Selection::Star`].
    TooMany,
}

/// What the `Vary` of a response says.
pub fn selection(stored: &HeaderMap) -> Selection {
    match Nominated::read(stored) {
        Ok(_) => Selection::Fields,
        Err(selection) => selection,
    }
}

/// Appends to `key` what `request` selects of a response with the fields `stored`. Nothing is appended
/// unless the answer is [`Selection::Fields`].
pub fn variant_key(stored: &HeaderMap, request: &HeaderMap, key: &mut Vec<u8>) -> Selection {
    match Nominated::read(stored) {
        Ok(nominated) => {
            nominated.names().iter().for_each(|name| append_field(name, request, key));
            Selection::Fields
        }
        Err(selection) => selection,
    }
}

/// Appends what `request` selects by the field `name` alone, as if a `Vary` named it.
pub fn append_field(name: &[u8], request: &HeaderMap, key: &mut Vec<u8>) {
    append_framed(key, |key| {
        let start = key.len();
        key.extend_from_slice(name);
        key[start..].make_ascii_lowercase();
    });
    let lines = std::str::from_utf8(name).map(|name| request.get_all(name));
    match lines {
        Ok(lines) if lines.iter().next().is_some() => {
            key.push(1);
            append_framed(key, |key| normalise::append(name, &lines, key));
        }
        _ => key.push(0),
    }
}

/// Appends what `content` appends, behind its length in four bytes.
fn append_framed(key: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = key.len();
    key.extend([0; 4]);
    content(key);
    let length = u32::try_from(key.len() - start - 4).unwrap_or(u32::MAX);
    key[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// The fields `Vary` names, sorted, each once.
struct Nominated<'a> {
    names: [&'a [u8]; MEMBERS_MAX],
    length: usize,
}

impl<'a> Nominated<'a> {
    fn read(stored: &'a HeaderMap) -> Result<Self, Selection> {
        let mut read = Self { names: [&[]; MEMBERS_MAX], length: 0 };
        let mut too_many = false;
        for name in all_members(stored.get_all(VARY)) {
            if name == b"*" || !is_token(name) {
                return Err(Selection::Star);
            }
            too_many |= !read.insert(name);
        }
        match read.length {
            _ if too_many => Err(Selection::TooMany),
            0 => Err(Selection::None),
            _ => Ok(read),
        }
    }

    fn names(&self) -> &[&'a [u8]] {
        &self.names[..self.length]
    }

    /// Whether there was room.
    fn insert(&mut self, name: &'a [u8]) -> bool {
        let lowered = |name: &'a [u8]| name.iter().map(u8::to_ascii_lowercase);
        let position = self.names().binary_search_by(|kept| lowered(kept).cmp(lowered(name)));
        let Err(position) = position else { return true };
        if self.length == MEMBERS_MAX {
            return false;
        }
        self.names[position..=self.length].rotate_right(1);
        self.names[position] = name;
        self.length += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::head;

    fn key(vary: &[&str], request: &[&str]) -> Vec<u8> {
        let lines: Vec<_> = vary.iter().map(|value| format!("vary: {value}")).collect();
        let stored = head(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let mut key = Vec::new();
        assert_eq!(variant_key(&stored, &head(request), &mut key), Selection::Fields);
        key
    }

    #[test]
    fn a_star_anywhere_matches_nothing() {
        let check = |vary: &[&str], expected| {
            let lines: Vec<_> = vary.iter().map(|value| format!("vary: {value}")).collect();
            let stored = head(&lines.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(selection(&stored), expected, "{vary:?}");
        };
        check(&[], Selection::None);
        check(&[", "], Selection::None);
        check(&["foo"], Selection::Fields);
        for star in ["*", "*, *", ", *", "*, Foo", "Foo, *", "foo bar"] {
            check(&[star], Selection::Star);
        }
        check(&["", "*"], Selection::Star);
        let names =
            |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>().join(",");
        check(&[&names(MEMBERS_MAX)], Selection::Fields);
        check(&[&names(MEMBERS_MAX), "N1"], Selection::Fields);
        check(&[&names(MEMBERS_MAX + 1)], Selection::TooMany);
        check(&[&names(MEMBERS_MAX + 1), "*"], Selection::Star);
    }

    #[test]
    fn requests_match_by_the_nominated_fields_only() {
        let check = |vary: &[&str], one: &[&str], other: &[&str], same| {
            assert_eq!(key(vary, one) == key(vary, other), same, "{vary:?} {one:?} {other:?}");
        };
        check(&["Foo"], &["foo: 1"], &["foo: 1", "other: 2"], true);
        check(&["Foo"], &["foo: 1"], &["foo: 2"], false);
        check(&["Foo"], &["foo: 1"], &[], false);
        check(&["Foo"], &["foo:"], &[], false);
        check(&["Foo, Bar, Baz"], &["foo: 1", "baz: 3"], &["baz: 3", "foo: 1"], true);
        check(&["Foo, Bar"], &["foo: 1", "bar: 2"], &["foo: 1"], false);
        check(&["Foo, Bar"], &["foo: x"], &["bar: x"], false);
    }

    #[test]
    fn the_order_of_vary_does_not_count() {
        let request = &["foo: 1", "bar: 2"];
        assert_eq!(key(&["Foo, bar"], request), key(&["BAR", "foo, Bar"], request));
    }

    #[test]
    fn lengths_frame_names_and_values() {
        let expected = b"\0\0\0\x01a\x01\0\0\0\x0312,\0\0\0\x01b\0";
        assert_eq!(key(&["B, a"], &["a: 12 ,"]), expected);
    }

    proptest! {
        #[test]
        fn keys_of_distinct_values_are_distinct(
            one in proptest::collection::vec("[a-c]{0,3}", 3),
            other in proptest::collection::vec("[a-c]{0,3}", 3),
        ) {
            let request = |values: &[String]| {
                let lines: Vec<_> = values.iter().zip(["x", "y", "z"])
                    .map(|(value, name)| format!("{name}: {value}")).collect();
                key(&["x, y, z"], &lines.iter().map(String::as_str).collect::<Vec<_>>())
            };
            prop_assert_eq!(request(&one) == request(&other), one == other);
        }

        #[test]
        fn keys_are_the_same_where_names_and_normal_values_are(
            one in selecting(), other in selecting(), same_names in any::<bool>(),
        ) {
            let other = if same_names { (one.0.clone(), other.1) } else { other };
            let key = |(vary, request): &(Vec<String>, HeaderMap)| {
                let lines = lines(request);
                key(&texts(vary), &texts(&lines))
            };
            prop_assert_eq!(key(&one) == key(&other), selected(&one) == selected(&other));
        }
    }

    /// The members of a `Vary`, and a request.
    fn selecting() -> impl Strategy<Value = (Vec<String>, HeaderMap)> {
        let lines = proptest::collection::vec(("[xy]{1,2}", "[ab, ]{0,3}"), 0..4);
        let request = lines.prop_map(|lines| {
            let lines: Vec<_> =
                lines.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            head(&texts(&lines))
        });
        (proptest::collection::vec("[xyXY]{1,2}", 1..4), request)
    }

    fn texts(strings: &[String]) -> Vec<&str> {
        strings.iter().map(String::as_str).collect()
    }

    fn lines(request: &HeaderMap) -> Vec<String> {
        request.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    fn selected((vary, request): &(Vec<String>, HeaderMap)) -> BTreeMap<String, Option<Vec<u8>>> {
        let value = |name: &str| {
            let mut value = Vec::new();
            normalise::append(name.as_bytes(), &request.get_all(name), &mut value);
            request.contains_key(name).then_some(value)
        };
        vary.iter().map(|name| (name.to_ascii_lowercase(), value(name))).collect()
    }
}
