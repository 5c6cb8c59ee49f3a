use super::*;
use crate::snapshot::Served;
use crate::stage::testing;
use crate::telemetry::metrics::Metrics;
use api::explain::FieldLine;
use futures_util::FutureExt;
use std::sync::Arc;
use store::{Limits, Store};

fn explained(request: &ExplainRequest) -> Result<Explanation, Vec<FieldProblem>> {
    let served: Arc<Served> = testing::routed().served;
    let limits = Limits {
        capacity_bytes: 1 << 20,
        response_max_bytes: 1 << 16,
        filling_max_bytes: 1 << 16,
        variants_max: 4,
    };
    let known = Known {
        snapshot: &Snapshot::new(0, 0, [served].into_iter()),
        cache: &Cache::new(Store::new(limits), 0),
        slices: &Slices::new(1 << 16, 1 << 16),
        uncacheable: &Uncacheable::new(10, std::time::Duration::from_secs(60)),
        telemetry: &Telemetry { metrics: Metrics::new().unwrap(), log: None, geo: None },
        now: SystemTime::UNIX_EPOCH,
    };
    explain(request, &known).now_or_never().unwrap()
}

fn request(method: &str, url: &str, fields: &[(&str, &str)]) -> ExplainRequest {
    let line =
        |(name, value): &(&str, &str)| FieldLine { name: (*name).into(), value: (*value).into() };
    ExplainRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        fields: fields.iter().map(line).collect(),
        client: None,
    }
}

#[test]
fn every_problem_of_what_is_asked_is_told() {
    let wrong = request("G T", "ftp://a.example/", &[("a b", "1"), ("a", "\u{7f}")]);
    let problems = explained(&wrong).unwrap_err();
    let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["method", "url", "fields[0].name", "fields[1].value"]);
    let wrong = request("CONNECT", "http://a.example/", &[("a", "1"), ("Host", "b.example")]);
    let problems = explained(&wrong).unwrap_err();
    let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["method", "fields[1].name"]);
    let many = vec![("a", "1"); 101];
    let problems = explained(&request("GET", "http://a.example/", &many)).unwrap_err();
    assert!(problems[0].detail.contains("at most 100"), "{problems:?}");
}

#[test]
fn what_needs_no_store_is_told_without() {
    let check = |method, url, fields: &[_], outcome, status| {
        let found = explained(&request(method, url, fields)).unwrap();
        assert_eq!(
            (found.outcome, found.status),
            (outcome, status),
            "{method} {url}: {}",
            found.why
        );
    };
    check("GET", "http://b.example/", &[], Outcome::Answered, Some(421));
    check("TRACE", "http://a.example/", &[], Outcome::Answered, Some(405));
    check("POST", "http://a.example/", &[], Outcome::Bypass, None);
    check("GET", "http://a.example/", &[("content-length", "5")], Outcome::Bypass, None);
    check("GET", "http://a.example/?a", &[], Outcome::Miss, None);
    check("HEAD", "http://a.example/?a", &[], Outcome::Miss, None);
    check("GET", "http://a.example/", &[("expect", "100-continue")], Outcome::Miss, None);
    check("GET", "http://a.example/", &[("expect", "tea")], Outcome::Answered, Some(417));
    let named = [("connection", "close, content-length"), ("content-length", "5")];
    check("GET", "http://a.example/", &named, Outcome::Bypass, None);
    let upgrade = [("connection", "Upgrade, a"), ("upgrade", "websocket")];
    check("GET", "http://a.example/", &upgrade, Outcome::Bypass, None);
    let only = [("cache-control", "only-if-cached")];
    check("GET", "http://a.example/", &only, Outcome::Answered, Some(504));
    let named = [("connection", "Upgrade, max-forwards"), ("max-forwards", "0")];
    check("OPTIONS", "http://a.example/", &named, Outcome::Bypass, None);
}

#[test]
fn the_name_is_told_by_its_parts() {
    let found = explained(&request("HEAD", "http://A.example:80/a?b", &[])).unwrap();
    let key = found.key.unwrap();
    assert_eq!(key.parts[1..], ["GET", "http", "a.example", "/a", "b"]);
    assert_eq!(key.hash.len(), 16);
}
