//! Messages as clients and origins may write them: forms of targets, versions, codings, methods.

use crate::scene::{FRESH, HOST, Scene};

#[tokio::test]
async fn an_absolute_target_reaches_the_origin_in_origin_form() {
    let scene = Scene::start().await;
    scene.origin.on("/a?b").respond(200).header("Cache-Control", FRESH).body("x");
    let mut client = scene.edge.connect().await;
    client.send(format!("GET http://{HOST}/a?b HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    assert_eq!(client.response().await.unwrap().text(), "x");
    assert_eq!(scene.origin.arrived("/a?b", 1).await.target, "/a?b");
    assert!(scene.get("/a?b").await.is_hit());
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).chunked().body("whole");
    for turn in ["miss", "hit"] {
        let mut client = scene.edge.connect().await;
        client.send(format!("GET /a HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).await;
        let answer = client.until_closed().await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{turn}: {head}");
        assert_eq!(body, "whole", "{turn}: {head}");
    }
}

#[tokio::test]
async fn an_upgrade_that_is_none_changes_nothing() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("x");
    scene.get("/a").await;
    let answer = scene.call("GET", "/a").header("Upgrade", "x").send().await;
    assert!(answer.is_hit(), "{}", answer.head);
}

#[tokio::test]
async fn a_coded_body_that_would_lose_its_coding_is_refused() {
    let scene = Scene::start().await;
    let coded = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nzz\r\n0\r\n\r\n";
    scene.origin.on("/a").raw(coded);
    for turn in 1..=2 {
        let answer = scene.get("/a").await;
        assert_eq!(answer.status, 502, "{}", answer.head);
        assert!(answer.field("proxy-status").unwrap().contains("http_protocol_error"));
        assert_eq!(scene.origin.count("/a"), turn);
    }
}

#[tokio::test]
async fn a_stored_204_has_no_length() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(204).header("Cache-Control", FRESH);
    scene.get("/a").await;
    let hit = scene.get("/a").await;
    assert!(hit.is_hit() && hit.status == 204, "{}", hit.head);
    assert_eq!(hit.field("content-length"), None, "{}", hit.head);
}

#[tokio::test]
async fn trace_and_requests_that_may_go_no_further_stay_here() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("options");
    let trace = scene.call("TRACE", "/a").header("Cookie", "secret").send().await;
    assert_eq!((trace.status, trace.field("allow").is_some()), (405, true), "{}", trace.head);
    let last = scene.call("OPTIONS", "/a").header("Max-Forwards", "0").send().await;
    assert_eq!((last.status, last.field("allow").is_some()), (204, true), "{}", last.head);
    assert_eq!(scene.origin.count("/a"), 0);
    let further = scene.call("OPTIONS", "/a").header("Max-Forwards", "5").send().await;
    assert_eq!(further.status, 200);
    assert_eq!(scene.origin.arrived("/a", 1).await.field("max-forwards"), Some("4"));
}
