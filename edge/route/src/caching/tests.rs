use super::*;
use http::HeaderValue;
use proptest::prelude::*;
use serde_json::{Value, json};

fn caching(written: Value) -> Caching {
    let written: Cache = serde_json::from_value(written).unwrap();
    Caching::resolve(&written).unwrap()
}

fn key(written: &Value) -> Key {
    caching(json!({ "key": written })).key
}

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::try_from(*name).unwrap();
        fields.append(name, HeaderValue::try_from(*value).unwrap());
    }
    fields
}

#[test]
fn a_rule_that_says_nothing_changes_nothing() {
    let caching = caching(json!({}));
    assert!(caching.enabled && !caching.forwards_cdn_cache_control && !caching.reads_fields());
    assert_eq!(caching.policy, CachePolicy::STANDARD);
    assert_eq!(caching.key.query(Some("b=1&a")), Some("b=1&a".into()));
    let mut selected = Vec::new();
    caching.key.append_selected(&fields(&[("cookie", "a=b")]), &mut selected);
    assert!(selected.is_empty());
}

#[test]
fn what_is_written_is_what_differs() {
    let policy = caching(json!({"heuristic": false, "store_post": true, "surrogate_control": true,
        "status_lifetimes_seconds": {"404": 10, "5xx": 1}, "lifetime_seconds": 5}))
    .policy;
    let mut status_lifetimes = StatusLifetimes::default();
    status_lifetimes.set(http::StatusCode::NOT_FOUND, Duration::from_secs(10));
    status_lifetimes.set_class(http::StatusCode::INTERNAL_SERVER_ERROR, Duration::from_secs(1));
    let expected = CachePolicy {
        heuristic: false,
        store_post: true,
        surrogate_control: true,
        status_lifetimes,
        lifetime: Some(Duration::from_secs(5)),
        ..CachePolicy::STANDARD
    };
    assert_eq!(policy, expected);
}

#[test]
fn of_a_query_what_counts_stays_as_it_came() {
    let check = |written: Value, query: Option<&str>, expected: Option<&str>| {
        assert_eq!(key(&written).query(query).as_deref(), expected, "{written} {query:?}");
    };
    for written in [json!({}), json!({"query": "all"})] {
        check(written.clone(), Some("b&a=1&"), Some("b&a=1&"));
        check(written.clone(), Some(""), Some(""));
        check(written, None, None);
    }
    check(json!({"query": "none"}), Some("a=1"), None);
    let allow = json!({"query": {"allow": ["a", "c"]}});
    check(allow.clone(), Some("b=2&a=1&c&a=0"), Some("a=1&c&a=0"));
    check(allow.clone(), Some("b=2&A=1&%61=1&aa=1"), None);
    check(allow, Some(""), None);
    let deny = json!({"query": {"deny": ["utm_*", "fbclid"]}});
    check(deny.clone(), Some("utm_source=x&a=1&fbclid=2&utm_="), Some("a=1"));
    check(deny.clone(), Some("utm=1&fbclid2=&a"), Some("utm=1&fbclid2=&a"));
    check(deny.clone(), Some("fbclid"), None);
    check(deny, Some(""), Some(""));
    let sorted = json!({"sort_query": true});
    check(sorted.clone(), Some("b=2&a=2&a=1&B=0&a"), Some("B=0&a=2&a=1&a&b=2"));
    check(sorted, Some("b&a&"), Some("&a&b"));
    check(json!({"sort_query": true, "query": {"deny": ["b"]}}), Some("c&b=1&a"), Some("a&c"));
}

#[test]
fn what_bypasses_is_told_by_kind() {
    let bypass = caching(json!({"bypass": {
        "headers": ["X-Preview"], "cookies": ["session*", "id"], "query": ["preview", "draft_*"]}}))
    .bypass;
    let check = |query: Option<&str>, lines: &[(&str, &str)], expected: Option<&str>| {
        assert_eq!(bypass.reason(query, &fields(lines)), expected, "{query:?} {lines:?}");
    };
    check(None, &[], None);
    check(Some("a=preview"), &[("cookie", "a=session; sid=1"), ("x-other", "X-Preview")], None);
    check(None, &[("x-preview", "")], Some("header"));
    check(None, &[("cookie", "a=b;session-id=1")], Some("cookie"));
    check(None, &[("cookie", "a=b"), ("cookie", "x; id")], Some("cookie"));
    check(None, &[("cookie", "ID=1")], None);
    check(Some("a&preview"), &[], Some("query"));
    check(Some("draft_1=x"), &[("cookie", "a")], Some("query"));
    check(Some("previews=1"), &[], None);
}

#[test]
fn fields_and_cookies_select_by_their_values() {
    let selected = |written: &Value, lines: &[(&str, &str)]| {
        let mut selected = Vec::new();
        key(written).append_selected(&fields(lines), &mut selected);
        selected
    };
    let check = |written: Value, one: &[(&str, &str)], other: &[(&str, &str)], same: bool| {
        let equal = selected(&written, one) == selected(&written, other);
        assert_eq!(equal, same, "{written} {one:?} {other:?}");
    };
    let header = json!({"headers": ["X-Plan", "Accept-Language"]});
    check(header.clone(), &[("x-plan", "a")], &[("x-plan", "b")], false);
    check(header.clone(), &[("x-plan", "")], &[], false);
    check(header.clone(), &[("x-plan", "a"), ("x-other", "1")], &[("x-plan", "a")], true);
    check(header, &[("accept-language", "de, en")], &[("accept-language", "en,de")], true);
    let cookie = json!({"cookies": ["plan", "ab"]});
    check(cookie.clone(), &[("cookie", "plan=a; x=1")], &[("cookie", "y=2;plan=a")], true);
    check(cookie.clone(), &[("cookie", "plan=a")], &[("cookie", "plan=b")], false);
    check(cookie.clone(), &[("cookie", "plan=")], &[("cookie", "x=plan")], false);
    check(cookie.clone(), &[("cookie", "plan=a; plan=b")], &[("cookie", "plan=b; plan=a")], false);
    check(cookie.clone(), &[("cookie", "plan=a")], &[("cookie", "ab=a")], false);
    check(cookie, &[("cookie", "plan=a"), ("cookie", "ab=c")], &[("cookie", "ab=c; plan=a")], true);
    let told = json!({"country": true, "device": true});
    check(told.clone(), &[("longshore-country", "DE")], &[("longshore-country", "FR")], false);
    check(told, &[("longshore-device", "bot")], &[("longshore-device", "mobile")], false);
    let (one, other) = (json!({"headers": ["a", "B"]}), json!({"headers": ["b", "A", "a"]}));
    assert_eq!(selected(&one, &[("a", "1")]), selected(&other, &[("a", "1")]));
}

proptest! {
    #[test]
    fn no_field_and_no_query_is_too_odd(
        cookie in prop::collection::vec(0x20..=0xff_u8, 0..24), query in "[ -~]{0,16}",
    ) {
        let caching = caching(json!({"bypass": {"cookies": ["a*", "*="], "query": ["a*"]},
            "key": {"cookies": ["a"], "headers": ["user-agent"], "query": {"deny": ["a*"]}, "sort_query": true}}));
        let value = HeaderValue::from_bytes(&cookie).unwrap_or(HeaderValue::from_static(""));
        let mut odd = HeaderMap::new();
        odd.insert(header::COOKIE, value.clone());
        odd.insert(header::USER_AGENT, value);
        let bypassed = caching.bypass.reason(Some(&query), &odd);
        prop_assert!(matches!(bypassed, None | Some("cookie" | "query")));
        let form = caching.key.query(Some(&query));
        prop_assert!(form.is_none_or(|form| !form.split('&').any(|parameter| parameter.starts_with('a'))));
        let mut selected = Vec::new();
        caching.key.append_selected(&odd, &mut selected);
        prop_assert!(!selected.is_empty() && !Device::of(&odd).as_str().is_empty());
    }

    /// A query's form that counts is equal exactly if the parameters that count are.
    #[test]
    fn queries_are_the_same_exactly_if_what_counts_is(one in "[ab=&]{0,7}", other in "[ab=&]{0,7}") {
        let key = key(&json!({"query": {"allow": ["a"]}}));
        let counting = |query: &str| -> Vec<String> {
            let all = query.split('&').filter(|parameter| parameter.split('=').next() == Some("a"));
            all.map(str::to_owned).collect()
        };
        let equal = key.query(Some(&one)) == key.query(Some(&other));
        prop_assert_eq!(equal, counting(&one) == counting(&other));
        // the form of a form is itself, so what the origin is asked for has the name it is stored under
        let form = key.query(Some(&one));
        prop_assert_eq!(key.query(form.as_deref()), form.clone());
    }

    #[test]
    fn a_sorted_query_is_sorted_once(query in "[abA=&%]{0,12}") {
        let key = key(&json!({"sort_query": true}));
        let form = key.query(Some(&query));
        prop_assert_eq!(form.as_ref().map(|form| form.len()), Some(query.len()));
        prop_assert_eq!(key.query(form.as_deref()), form.clone());
    }

    /// Two requests select the same exactly if the keyed fields and cookies are the same.
    #[test]
    fn requests_select_the_same_exactly_if_what_is_keyed_is(
        one in prop::option::of("[ab]{0,2}"), other in prop::option::of("[ab]{0,2}"),
        one_cookies in prop::collection::vec(("[xy]", "[ab=]{0,2}"), 0..3),
        other_cookies in prop::collection::vec(("[xy]", "[ab=]{0,2}"), 0..3),
    ) {
        let key = key(&json!({"headers": ["h"], "cookies": ["x"]}));
        let selected = |header: &Option<String>, cookies: &[(String, String)]| {
            let line = cookies.iter().map(|(name, value)| format!("{name}={value}"));
            let line = line.collect::<Vec<_>>().join("; ");
            let mut lines = vec![("cookie", line.as_str())];
            lines.extend(header.as_ref().map(|value| ("h", value.as_str())));
            let mut out = Vec::new();
            key.append_selected(&fields(&lines), &mut out);
            out
        };
        let keyed = |header: &Option<String>, cookies: &[(String, String)]| {
            let own = cookies.iter().filter(|(name, _)| name == "x").map(|(_, value)| value.clone());
            (header.clone(), own.collect::<Vec<_>>())
        };
        prop_assert_eq!(
            selected(&one, &one_cookies) == selected(&other, &other_cookies),
            keyed(&one, &one_cookies) == keyed(&other, &other_cookies)
        );
    }
}
