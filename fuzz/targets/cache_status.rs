//! `Cache-Status` as written: another reader of Structured Fields finds one member, and in it what was told.
#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use semantics::cache_status::{CacheStatus, Forward, Outcome};
use sfv::{BareItem, List, ListEntry, Parser};

fuzz_target!(|input: (bool, Option<i64>, Option<u16>, Option<&str>, Option<&str>)| {
    let (hit, ttl, status, key, detail) = input;
    let outcome = if hit { Outcome::Hit } else { Outcome::Forward(Forward::UriMiss) };
    let told = CacheStatus {
        ttl,
        forward_status: status.and_then(|status| StatusCode::from_u16(status).ok()),
        stored: ttl.is_some(),
        collapsed: key.is_some(),
        key,
        detail,
        ..outcome.into()
    };
    let mut written = Vec::new();
    told.append_to(&mut written);
    let list = Parser::new(&written).parse::<List>().expect("it is a List");
    let [ListEntry::Item(member)] = list.as_slice() else { panic!("it has one member") };
    assert_eq!(member.bare_item.as_token().map(|name| name.as_str()), Some("longshore"));
    let parameter = |name: &str| {
        member.params.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
    };
    assert_eq!(parameter("hit").is_some(), hit);
    let seconds = parameter("ttl").and_then(BareItem::as_integer).map(i64::from);
    assert_eq!(seconds, ttl.map(|ttl| ttl.clamp(-999_999_999_999_999, 999_999_999_999_999)));
    check(key, parameter("key").and_then(BareItem::as_string).map(|told| told.as_str()));
    assert_eq!(parameter("detail").is_some(), detail.is_some());
    if let Some(told) = parameter("detail").and_then(BareItem::as_string) {
        check(detail, Some(told.as_str()));
    }
});

/// What was told begins what was given, other than printable ASCII aside.
fn check(given: Option<&str>, told: Option<&str>) {
    let (Some(given), Some(told)) = (given, told) else {
        return assert!(given.is_none() && told.is_none());
    };
    let printable = |character| if matches!(character, ' '..='~') { character } else { '?' };
    assert!(given.chars().map(printable).take(told.len()).eq(told.chars()));
    assert!(told.len() == given.chars().count() || told.len() >= 128);
}
