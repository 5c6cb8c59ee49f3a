//! What is refused, and what the refusal says.

use super::with_site;
use crate::on_both_databases;
use crate::service::{Database, site};
use serde_json::{Value, json};

on_both_databases!(refusals_name_field_value_and_reason, another_tenant_can_t_be_named);

async fn refusals_name_field_value_and_reason(database: Database) {
    let service = with_site(&database).await;
    let control = &service.admin;
    let check = async |path: &str, body: Value, field: &str, detail: &str, value: Option<&str>| {
        let refused = control.post(&format!("/v1/sites/a/{path}"), &body).await.expect(422).json();
        let error = &refused["errors"][0];
        assert_eq!(error["field"], field, "{refused}");
        assert!(error["detail"].as_str().unwrap().contains(detail), "{refused}");
        let written = error["value"].as_str();
        let expected = value.is_none_or(|value| written.is_some_and(|it| it.starts_with(value)));
        assert!(expected, "{refused}");
    };
    let of_site = "must be under a host of the site";
    for (body, field, detail, value) in [
        (json!({}), "", "needs `tags`", None),
        (json!({ "everything": true, "urls": ["/"] }), "everything", "must be false", Some("true")),
        (json!({ "tags": ["a"], "colour": 1 }), "colour", "is no known field", Some("1")),
        (json!({ "tags": ["a b"] }), "tags[0]", "no comma, white space", Some("\"a b\"")),
        (json!({ "tags": [""] }), "tags[0]", "1 to 1024 bytes", Some("\"\"")),
        (json!({ "tags": vec!["a"; 10_001] }), "", "at most 10000 selectors", Some("10001")),
        (
            json!({ "urls": ["/", "/a?b", "a.example/x", "ftp://a.example/"] }),
            "urls[3]",
            "http or https",
            Some("\"ftp://a.example/\""),
        ),
        (json!({ "urls": ["/a#b"] }), "urls[0]", "no fragment", Some("\"/a#b\"")),
        (
            json!({ "urls": ["https://b.example/"] }),
            "urls[0]",
            of_site,
            Some("\"https://b.example/\""),
        ),
        (json!({ "urls": ["x".repeat(8_193)] }), "urls[0]", "1 to 8192 bytes", None),
        (json!({ "prefixes": ["/a?b"] }), "prefixes[0]", "must have no query", Some("\"/a?b\"")),
        (json!({ "prefixes": ["b.example/"] }), "prefixes[0]", of_site, Some("\"b.example/\"")),
        (json!({ "hosts": ["*.example"] }), "hosts[0]", "must name a host", Some("\"*.example\"")),
        (json!({ "hosts": ["example"] }), "hosts[0]", of_site, Some("\"example\"")),
        (json!({ "tags": ["a"], "regions": ["EU"] }), "regions[0]", "lower-case", Some("\"EU\"")),
        (json!({ "tags": ["a"], "wait": "region" }), "wait", "needs `regions`", Some("\"region\"")),
        (json!({ "tags": ["a"], "wait": "some" }), "wait", "", Some("\"some\"")),
        (
            json!({ "tags": ["a"], "timeout_ms": 300_001 }),
            "timeout_ms",
            "0 to 300000",
            Some("300001"),
        ),
        (json!({ "tags": ["a"], "mode": "mild" }), "mode", "", Some("\"mild\"")),
    ] {
        check("purge", body, field, detail, value).await;
    }
    let relative = "must begin with `http://` or `https://`";
    for (path, body, field, detail, value) in [
        ("revalidate", json!({}), "", "needs `paths` or `tags`", None),
        (
            "revalidate",
            json!({ "paths": ["b.example/"] }),
            "paths[0]",
            of_site,
            Some("\"b.example/\""),
        ),
        (
            "revalidate",
            json!({ "tags": ["a"], "refetch": 10_001 }),
            "refetch",
            "0 to 10000",
            Some("10001"),
        ),
        (
            "revalidate",
            json!({ "tags": ["a"], "urls": ["/"] }),
            "urls",
            "is no known field",
            Some("[\"/\"]"),
        ),
        ("warm", json!({}), "", "needs `urls` or `sitemaps`", None),
        ("warm", json!({ "urls": ["/a"] }), "urls[0]", relative, Some("\"/a\"")),
        (
            "warm",
            json!({ "sitemaps": ["a.example/s"] }),
            "sitemaps[0]",
            relative,
            Some("\"a.example/s\""),
        ),
        (
            "warm",
            json!({ "urls": ["http://b.example/"] }),
            "urls[0]",
            of_site,
            Some("\"http://b.example/\""),
        ),
        (
            "warm",
            json!({ "urls": ["http://a.example/"], "rate": 0 }),
            "rate",
            "1 to 1000",
            Some("0"),
        ),
    ] {
        check(path, body, field, detail, value).await;
    }
    for path in ["purge", "revalidate", "warm"] {
        let everything = json!({ "tags": ["a"] });
        let path = format!("/v1/sites/a/{path}");
        service.client(&["sites:write", "edge"]).await.post(&path, &everything).await.expect(403);
        control.post(&format!("{path}?x=1"), &everything).await.expect(400);
    }
}

/// A purge is of one site, whatever it says: a host of another is refused, and edges are told this site's id.
async fn another_tenant_can_t_be_named(database: Database) {
    let service = with_site(&database).await;
    let control = &service.admin;
    control.post("/v1/sites", &site("b")).await.expect(201);
    let body = json!({ "urls": ["https://b.example/x", "/x"], "hosts": ["b.example:81"],
        "prefixes": ["http://B.EXAMPLE/"] });
    let refused = control.post("/v1/sites/a/purge", &body).await.expect(422);
    assert_eq!(refused.fields(), ["urls[0]", "prefixes[0]", "hosts[0]"]);
    let body = json!({ "site_id": "site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", "everything": true });
    let refused = control.post("/v1/sites/a/purge", &body).await.expect(422);
    assert_eq!(refused.fields(), ["site_id"]);
    control.post("/v1/sites/b/purge", &json!({ "hosts": ["b.example"] })).await.expect(202);
}
