//! Request bodies pass through, and answers of every framing come back whole.

use crate::scene::Scene;

#[tokio::test]
async fn request_bodies_pass_through() {
    let scene = Scene::start().await;
    scene.origin.on("/*").respond(201).body("made");
    let large = "x".repeat(1_000_000);
    for (path, call, body) in [
        ("/sized", scene.call("POST", "/sized").body("abc"), "abc"),
        ("/empty", scene.call("PUT", "/empty").body(""), ""),
        ("/chunked", scene.call("POST", "/chunked").chunks(&["ab", "c"]), "abc"),
        ("/large", scene.call("POST", "/large").body(&large), &large),
    ] {
        let answer = call.send().await;
        assert_eq!((answer.status, answer.text()), (201, "made"), "{path}");
        let request = scene.origin.received(path, 1).await;
        assert!(request.body == body.as_bytes(), "{path}: {} bytes", request.body.len());
        let framings = ["content-length", "transfer-encoding"];
        let framings = framings.iter().filter(|name| request.fields.has(name)).count();
        assert_eq!(framings, 1, "{path}: {:?}", request.fields);
    }
}

#[tokio::test]
async fn a_request_body_reaches_the_origin_while_it_is_being_sent() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("x");
    let mut client = scene.edge.connect().await;
    client.send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nabc").await;
    scene.origin.nth("/a", 1, |request| request.body == b"abc").await;
    client.send("def").await;
    assert_eq!(client.response().await.unwrap().text(), "x");
    assert_eq!(scene.origin.received("/a", 1).await.body, b"abcdef");
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("x");
    let call = scene.call("POST", "/a").header("Expect", "100-continue");
    let mut client = call.header("Content-Length", "3").open().await;
    assert_eq!(client.interim().await.unwrap().status, 100);
    client.send("abc").await;
    assert_eq!(client.response().await.unwrap().text(), "x");
    assert_eq!(scene.origin.received("/a", 1).await.body, b"abc");
}

#[tokio::test]
async fn a_request_cut_off_is_never_complete_at_the_origin() {
    let scene = Scene::start().await;
    scene.origin.on("/a").respond(200).body("x");
    let mut client = scene.edge.connect().await;
    client.send("POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nabc").await;
    scene.origin.nth("/a", 1, |request| request.body == b"abc").await;
    client.finish_sending().await;
    let answer = client.response().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status >= 400));
    assert!(!scene.origin.requests()[0].complete);
}

#[tokio::test]
async fn answers_of_every_framing_come_back_whole() {
    let scene = Scene::start().await;
    scene.origin.on("/length").respond(200).body("abc");
    scene.origin.on("/chunked").respond(200).chunked().body("ab").body("c");
    scene.origin.on("/close").respond(200).until_close().body("abc");
    for path in ["/length", "/chunked", "/close"] {
        assert_eq!(scene.get(path).await.text(), "abc", "{path}");
    }
    scene.origin.on("/none").respond(204);
    let none = scene.get("/none").await;
    assert_eq!((none.status, none.body.len(), none.field("content-length")), (204, 0, None));
    scene.origin.on("/head").respond(200).body("abc");
    let head = scene.call("HEAD", "/head").send().await;
    assert_eq!((head.status, head.field("content-length")), (200, Some("3")));
}
