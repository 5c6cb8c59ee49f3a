//! `CDN-Cache-Control` and its like: a field applies where another reader of Structured Fields finds a Dictionary too.
#![no_main]

use fuzz::{decide, field};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use semantics::policy::CachePolicy;
use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored};
use sfv::{BareItem, Dictionary, KeyRef, ListEntry, Parser};
use std::convert::Infallible;

/// How often keys are given.
struct Keys(usize);

impl<'de> DictionaryVisitor<'de> for Keys {
    type Error = Infallible;

    fn entry(&mut self, _: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        self.0 += 1;
        Ok(Ignored)
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(line) = HeaderValue::from_bytes(data) else { return };
    for name in ["cdn-cache-control", "longshore-cdn-cache-control"] {
        let mut response = HeaderMap::new();
        response.append(name, line.clone());
        let applies = hides_cache_control(&response, &CachePolicy::default());
        if let Some(expected) = is_valid(line.as_bytes()) {
            assert_eq!(applies, expected);
        }
    }
    let policy = CachePolicy { surrogate_control: true, ..CachePolicy::default() };
    hides_cache_control(&field("surrogate-control", data), &policy);
});

/// Whether what is decided doesn't depend on `Cache-Control`.
fn hides_cache_control(response: &HeaderMap, policy: &CachePolicy) -> bool {
    let [one, other] = ["max-age=7", "private"].map(|value| {
        let response = fuzz::and(response, "cache-control", value);
        decide(&HeaderMap::new(), &response, policy)
    });
    one == other
}

/// `None` where a key is given twice: we read both, and others the last.
fn is_valid(line: &[u8]) -> Option<bool> {
    let Ok(dictionary) = Parser::new(line).parse::<Dictionary>() else { return Some(false) };
    let mut keys = Keys(0);
    Parser::new(line).parse_dictionary_with_visitor(&mut keys).ok()?;
    let typed = dictionary.iter().all(|(key, entry)| has_its_type(key.as_str(), entry));
    (keys.0 == dictionary.len()).then_some(typed && !dictionary.is_empty())
}

fn has_its_type(key: &str, entry: &ListEntry) -> bool {
    let item = match entry {
        ListEntry::Item(item) => Some(&item.bare_item),
        ListEntry::InnerList(_) => None,
    };
    match key {
        "max-age" | "s-maxage" | "stale-while-revalidate" | "stale-if-error" => {
            matches!(item, Some(BareItem::Integer(_)))
        }
        "no-cache" | "private" => matches!(item, Some(BareItem::Boolean(_) | BareItem::String(_))),
        "no-store" | "public" | "must-revalidate" | "proxy-revalidate" | "must-understand"
        | "immutable" => matches!(item, Some(BareItem::Boolean(_))),
        _ => true,
    }
}
