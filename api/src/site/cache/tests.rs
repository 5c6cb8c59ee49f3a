use super::*;
use crate::check::parse;
use serde_json::{Value, json};

/// The fields, below `cache`, of which a site with this caching is refused, with what is said of them.
fn problems(cache: &Value) -> Vec<(String, String)> {
    let site = json!({"name": "a", "hosts": ["a.example"], "cache": cache,
        "origins": [{"name": "main", "url": "http://127.0.0.1:9"}]});
    let found = parse::<crate::site::Site>(site).err().unwrap_or_default();
    found.into_iter().map(|problem| (problem.field, problem.detail)).collect()
}

fn check(cache: &Value, expected: &[(&str, &str)]) {
    let text = cache.to_string();
    let found = problems(cache);
    let found: Vec<_> =
        found.iter().map(|(field, detail)| (field.as_str(), detail.as_str())).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn lifetimes_of_statuses_are_bounded_and_of_statuses_that_are_stored() {
    check(&json!({"status_lifetimes_seconds": {"404": 10, "5xx": 1, "500": 0}}), &[]);
    check(
        &json!({"status_lifetimes_seconds": {"304": 1, "4x": 1, "5xx": 31_536_001}}),
        &[
            ("cache.status_lifetimes_seconds.304", "is a status that is never stored"),
            (
                "cache.status_lifetimes_seconds.4x",
                "must be a status from 200 to 599, or `2xx`, `3xx`, `4xx` or `5xx`",
            ),
            ("cache.status_lifetimes_seconds.5xx", "must be 0 to 31536000 seconds"),
        ],
    );
    let many: BTreeMap<String, u32> = (417..450).map(|status| (status.to_string(), 1)).collect();
    check(
        &json!({"status_lifetimes_seconds": many}),
        &[("cache.status_lifetimes_seconds", "must be 0 to 32 statuses and classes")],
    );
}

#[test]
fn a_key_names_what_the_origin_can_answer_by() {
    check(
        &json!({"key": {"query": {"deny": ["utm_*", "a%20b"]}, "sort_query": true, "headers": ["X-A"],
            "cookies": ["plan"], "country": true, "device": true}}),
        &[],
    );
    check(&json!({"key": {"query": "none"}}), &[]);
    check(&json!({"key": {"query": {"allow": []}}}), &[]);
    let refused = |header: &str| problems(&json!({"key": {"headers": [header]}}));
    for (header, word) in [
        ("Cookie", "`cookies`"),
        ("Authorization", "one client"),
        ("TE", "ends at the edge"),
        ("If-None-Match", "not sent to the origin"),
        ("Longshore-Device", "written by the edge"),
        ("a b", "field name"),
    ] {
        let found = refused(header);
        assert!(found.len() == 1 && found[0].1.contains(word), "{header}: {found:?}");
        assert_eq!(found[0].0, "cache.key.headers[0]");
    }
    let one = "must be one name: `*` stands for many in `deny` and `bypass` only";
    check(&json!({"key": {"cookies": ["a*"]}}), &[("cache.key.cookies[0]", one)]);
    check(&json!({"key": {"query": {"allow": ["a*"]}}}), &[("cache.key.query.allow[0]", one)]);
    let names = vec!["a"; 33];
    check(&json!({"key": {"headers": names}}), &[("cache.key.headers", "must be 0 to 32 names")]);
}

#[test]
fn a_query_of_a_wrong_shape_is_told_in_plain_words() {
    let shape = "must be `\"all\"`, `\"none\"`, or an object with either `allow` or `deny`";
    for wrong in [
        json!(5),
        json!("some"),
        json!([]),
        json!({"all": []}),
        json!({"allow": [], "deny": []}),
        json!({"except": ["a"]}),
        json!("allow"),
    ] {
        let found = problems(&json!({"key": {"query": wrong}, "enabled": 5}));
        let found: Vec<_> =
            found.iter().map(|(field, detail)| (field.as_str(), detail.as_str())).collect();
        assert!(found.contains(&("cache.key.query", shape)), "{wrong}: {found:?}");
        assert!(found.contains(&("cache.enabled", "must be true or false")), "{found:?}");
    }
    check(
        &json!({"key": {"query": {"allow": "a"}}}),
        &[("cache.key.query.allow", "must be a list")],
    );
    check(&json!({"key": []}), &[("cache.key", "must be an object, not a list")]);
}

#[test]
fn what_bypasses_is_named() {
    check(
        &json!({"bypass": {"headers": ["X-Preview"], "cookies": ["session*", "*"], "query": ["preview"]}}),
        &[],
    );
    let found =
        problems(&json!({"bypass": {"headers": ["X*:"], "cookies": ["a=b"], "query": ["a&b"]}}));
    let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        ["cache.bypass.headers[0]", "cache.bypass.cookies[0]", "cache.bypass.query[0]"]
    );
}

#[test]
fn a_rule_says_what_differs_from_its_site() {
    let read = |cache| serde_json::from_value::<Cache>(cache).unwrap();
    let site = read(
        json!({"heuristic": false, "key": {"query": "none", "device": true}, "bypass": {"query": ["p"]}}),
    );
    let rule = read(json!({"store_post": true, "key": {"query": "all"}, "bypass": {"query": []}}));
    let expected = json!({"heuristic": false, "store_post": true,
        "key": {"query": "all", "device": true}, "bypass": {"query": []}});
    assert_eq!(serde_json::to_value(rule.or(&site)).unwrap(), expected);
}

#[test]
fn what_says_nothing_is_written_as_before() {
    let text = serde_json::to_string(&Cache::default()).unwrap();
    assert_eq!(text, "{}");
}
