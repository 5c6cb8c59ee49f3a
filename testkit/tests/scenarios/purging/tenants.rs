//! A purge is of one site, whatever it says.

use super::{Installation, TAGS};
use crate::scene::{FRESH, HOST, site};
use serde_json::{Value, json};

const OTHER: &str = "b.example";
const BELOW: &str = "www.b.example";

/// Another site with the same paths and tags, and a wildcard.
async fn with_neighbour() -> Installation {
    let own = Installation::start().await;
    let hosts = json!({ "hosts": [OTHER, "*.b.example"] });
    let record = own.control.put_site(&site("b", OTHER, &own.origin.url(), hosts)).await;
    own.control.wait_adopted(&own.edge, record.seq).await;
    let script = own.origin.on("/a").respond(200).header("Cache-Control", FRESH);
    script.header("Cache-Tag", TAGS).body("x");
    for host in [HOST, OTHER, BELOW] {
        own.edge.get(host, "/a").await;
        assert!(own.edge.get(host, "/a").await.is_hit(), "{host}");
    }
    own
}

#[tokio::test]
async fn a_purge_leaves_other_sites_alone() {
    let own = with_neighbour().await;
    for body in super::SELECTORS {
        own.get("/a").await;
        own.purge(&super::parsed(body)).await;
        for host in [OTHER, BELOW] {
            assert!(own.edge.get(host, "/a").await.is_hit(), "{body} {host}");
        }
        assert!(!own.get("/a").await.is_hit(), "{body}");
    }
}

#[tokio::test]
async fn a_purge_that_names_another_s_host_is_refused_whole() {
    let own = with_neighbour().await;
    let check = async |body: Value| {
        let answer = own.send("a", &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
    };
    for host in [OTHER, BELOW, "*.b.example", "B.EXAMPLE.", "nobody.example"] {
        check(json!({ "hosts": [host] })).await;
        check(json!({ "urls": [format!("https://{host}/a")] })).await;
        check(json!({ "urls": ["/a", format!("{host}/a")] })).await;
        check(json!({ "prefixes": [format!("http://{host}/")] })).await;
    }
    for host in [HOST, OTHER, BELOW] {
        assert!(own.edge.get(host, "/a").await.is_hit(), "{host}");
    }
}

#[tokio::test]
async fn a_purge_of_no_site_is_not_found() {
    let own = with_neighbour().await;
    assert_eq!(own.send("c", &json!({ "everything": true })).await.status, 404);
    assert!(own.get("/a").await.is_hit());
}
