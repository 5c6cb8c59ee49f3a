//! Clients that wait for a 100 before they send a body: RFC 9110 §10.1.1.

use crate::scene::{FRESH, HOST, Scene};
use testkit::{Call, within};

/// How often each case is tried.
const TIMES: usize = 40;

fn expecting(scene: &Scene, path: &str) -> Call {
    scene.call("POST", path).header("Expect", "100-continue")
}

#[tokio::test]
async fn the_origins_100_is_passed_and_the_body_sent_once() {
    let scene = Scene::start().await;
    scene.origin.on("/*").respond(201).body("made");
    let mut kept = scene.edge.connect().await;
    for n in 0..TIMES {
        kept.send(format!(
            "POST /{n} HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-Continue\r\nContent-Length: 4\r\n\r\n"
        ))
        .await;
        assert_eq!(kept.interim().await.unwrap().status, 100);
        kept.send("body").await;
        let answer = kept.response().await.unwrap();
        assert_eq!((answer.status, answer.text(), answer.interim.len()), (201, "made", 0));
        assert_eq!(scene.origin.received(&format!("/{n}"), 1).await.body, b"body");
    }
    assert_eq!(scene.origin.requests().len(), TIMES);
}

#[tokio::test]
async fn a_client_is_answered_without_having_sent_its_body() {
    let scene = Scene::start().await;
    let mut clients = Vec::new();
    for (status, body) in [(417, "no"), (401, ""), (413, "large"), (204, ""), (200, "done")] {
        for framing in ["length", "length, closed", "chunks", "close"] {
            let path = format!("/{status}/{framing}").replace(", ", "/");
            let script = scene.origin.on(&path).early().respond(status).body(body);
            match framing {
                "length, closed" => script.close(),
                "chunks" if status != 204 && !body.is_empty() => script.chunked(),
                "close" => script.until_close(),
                _ => script,
            };
            let call = expecting(&scene, &path).header("Content-Length", "4");
            let mut client = call.open().await;
            let answer = client.response().await.unwrap();
            assert_eq!((answer.status, answer.text()), (status, body), "{path}");
            assert_eq!(answer.interim.len(), 0, "{path}");
            assert_eq!(answer.field("connection"), Some("close"), "{path}");
            clients.push(client);
        }
    }
    for client in &mut clients {
        assert!(client.until_closed().await.unwrap().is_empty());
    }
    let told = scene.edge.access_log_lines(clients.len()).await;
    assert!(told.iter().all(|line| line["error"].is_null()), "{told:?}");
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_answered() {
    let scene = Scene::start().await;
    scene.origin.on("/early").early().respond(401).body("who?");
    scene.origin.on("/silent").without_continue().respond(201).body("made");
    scene.origin.on("/*").respond(201).body("made");
    for (path, status, interim) in
        [("/a", 201, vec![100]), ("/silent", 201, vec![]), ("/early", 401, vec![])]
    {
        let answer = expecting(&scene, path).body("body").send().await;
        assert_eq!((answer.status, answer.interim_statuses()), (status, interim), "{path}");
        assert_eq!(scene.origin.received(path, 1).await.body, b"body", "{path}");
    }
}

#[tokio::test]
async fn a_client_may_stop_waiting() {
    let scene = Scene::start().await;
    scene.origin.on("/a").without_continue().respond(201).body("made");
    let mut client = expecting(&scene, "/a").header("Content-Length", "4").open().await;
    let told = scene.origin.arrived("/a", 1).await;
    assert_eq!(told.field("expect"), Some("100-continue"));
    client.send("body").await;
    let answer = client.response().await.unwrap();
    assert_eq!((answer.status, answer.interim.len()), (201, 0));
    assert_eq!(scene.origin.received("/a", 1).await.body, b"body");
}

#[tokio::test]
async fn an_http_1_0_client_expects_nothing() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(201).body("made");
    for expectation in ["100-continue", "else"] {
        let mut client = scene.edge.connect().await;
        client
            .send(format!(
                "POST /a HTTP/1.0\r\nHost: {HOST}\r\nExpect: {expectation}\r\nContent-Length: 4\r\n\r\nbody"
            ))
            .await;
        let answer = client.response().await.unwrap();
        assert_eq!((answer.status, answer.interim.len(), answer.text()), (201, 0, "made"));
    }
    for request in scene.origin.requests() {
        assert!(request.body == b"body" && !request.fields.has("expect"), "{request:?}");
    }
}

#[tokio::test]
async fn what_is_unknown_here_can_not_be_expected() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("stored");
    scene.get("/a").await;
    for expectation in ["else", "100-continue, else", "100-continue;q=1", "\"100-continue\""] {
        for call in [scene.call("GET", "/a"), scene.call("POST", "/a").body("body")] {
            let answer = call.header("Expect", expectation).send().await;
            assert_eq!(answer.status, 417, "{expectation}: {}", answer.head);
            assert!(answer.field("proxy-status").unwrap().contains("http_request_error"));
        }
    }
    assert_eq!(scene.origin.requests().len(), 1);
}

#[tokio::test]
async fn a_request_without_a_body_waits_for_nothing() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).header("Cache-Control", FRESH).body("stored");
    for turn in ["miss", "hit"] {
        let answer = scene.call("GET", "/a").header("Expect", "100-continue").send().await;
        assert_eq!((answer.status, answer.interim.len()), (200, 0), "{turn}");
        assert_eq!(answer.is_hit(), turn == "hit", "{}", answer.head);
    }
    assert_eq!(scene.origin.arrived("/a", 1).await.field("expect"), None);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_not_waited_for() {
    let scene = Scene::start().await;
    scene.origin.on("/a").without_continue().respond(201);
    let client = expecting(&scene, "/a").header("Content-Length", "4").open().await;
    scene.origin.arrived("/a", 1).await;
    client.reset();
    scene.origin.on("/b").respond(200).body("x");
    let answer = within("another answer", scene.get("/b")).await;
    assert_eq!(answer.text(), "x");
    assert!(!scene.origin.requests()[0].complete);
}
