//! HTTP/3 beside HTTP/1.1: told of, served from the same store, and ended in order. What a client may not do, and most of
//! what it may, is asked by another implementation in `conformance/h3`.

use crate::scene::{FRESH, HOST, Scene, site};
use quinn::ConnectionError;
use serde_json::json;
use std::net::TcpListener;
use testkit::{Authority, Barrier, Edge, EdgeOptions, Feed, Http3, Origin, Tls};

struct Secured {
    scene: Scene,
    tls: Tls,
    _authority: Authority,
}

impl Secured {
    async fn start(config: &str) -> Self {
        Self::with(EdgeOptions::new().https().config(config)).await
    }

    async fn with(options: EdgeOptions) -> Self {
        let (authority, origin, feed) =
            (Authority::new(), Origin::start().await, Feed::start().await);
        let edge = Edge::start(options.control(&feed.url(), "ls_test")).await;
        feed.put_certificate(1, &authority.issue(&[HOST]));
        let document = site("a", HOST, &origin.url(), json!({}));
        feed.adopted(feed.put_site(1, document)).await;
        let tls = Tls::trusting(&authority);
        Self { scene: Scene { origin, feed, edge }, tls, _authority: authority }
    }

    async fn connect(&self) -> Http3 {
        Http3::connect(self.scene.edge.https(), HOST, &self.tls).await
    }
}

#[tokio::test]
async fn one_store_serves_every_protocol() {
    let secured = Secured::start("").await;
    let Scene { origin, edge, .. } = &secured.scene;
    origin.on("/a").respond(200).header("Cache-Control", FRESH).body("stored");
    let mut client = secured.connect().await;
    for told in ["fwd=uri-miss", "; hit"] {
        let answer = client.get(HOST, "/a").await;
        assert_eq!((answer.status, &*answer.text()), (200, "stored"));
        assert!(answer.field("cache-status").expect("it is told").contains(told));
        assert_eq!(answer.field("alt-svc"), None, "the client knows");
    }
    let mut other = edge.connect_secure(HOST, &secured.tls).await;
    let answer = other.get(HOST, "/a").await;
    assert!(answer.field("cache-status").expect("it is told").contains("; hit"));
    assert_eq!(origin.count("/a"), 1);
    let lines = edge.access_log_lines(3).await;
    let protocols: Vec<_> = lines.iter().map(|line| &line["protocol"]).collect();
    assert_eq!(protocols, ["HTTP/3", "HTTP/3", "HTTP/1.1"]);
    assert_eq!(lines[0]["scheme"], "https");
}

#[tokio::test]
async fn clients_over_tls_are_told_and_origins_alternatives_are_not() {
    let secured = Secured::start("").await;
    let Scene { origin, edge, .. } = &secured.scene;
    let elsewhere = "h3=\"elsewhere.example:443\"";
    origin.on("/a").respond(200).header("Cache-Control", FRESH).header("Alt-Svc", elsewhere);
    let mut client = edge.connect_secure(HOST, &secured.tls).await;
    let expected = format!("h3=\":{}\"; ma=86400", edge.https().port());
    // a miss, a hit by way of Pingora, and one without
    for _ in 0..3 {
        let answer = client.get(HOST, "/a").await;
        assert_eq!(answer.fields.all("alt-svc"), [&*expected]);
    }
    let answer = edge.get(HOST, "/a").await;
    assert_eq!(answer.field("alt-svc"), None, "not without TLS");
}

#[tokio::test]
async fn it_can_be_kept_to_oneself_or_left_out() {
    let quiet = Secured::start("[http3]\nadvertise_seconds = 0\n").await;
    let answer = quiet.connect().await.get(HOST, "/").await;
    assert_eq!(answer.status, 404);
    let without = Secured::start("[http3]\nenabled = false\n").await;
    for secured in [&quiet, &without] {
        let mut client = secured.scene.edge.connect_secure(HOST, &secured.tls).await;
        assert_eq!(client.get(HOST, "/").await.field("alt-svc"), None);
    }
}

#[tokio::test]
async fn what_an_origin_breaks_off_is_broken_off() {
    let secured = Secured::start("").await;
    let origin = &secured.scene.origin;
    origin.on("/a").respond(200).header("Cache-Control", FRESH).length(10).body("short").close();
    let mut client = secured.connect().await;
    // the head may be lost with the rest, and a page may say what went wrong
    let answer = client.try_call("GET", HOST, "/a").await;
    let looks_whole =
        |answer: testkit::Http3Response| answer.status == 200 && answer.body.is_some();
    assert!(!answer.is_ok_and(looks_whole));
}

#[tokio::test]
async fn many_handshakes_at_a_time_have_clients_show_their_address() {
    let secured = Secured::start("[http3]\nretry_above_handshakes = 0\n").await;
    assert_eq!(secured.connect().await.get(HOST, "/").await.status, 404);
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_end() {
    let mut secured = Secured::start("").await;
    let barrier = Barrier::new();
    secured.scene.origin.on("/slow").respond(200).body("first ").wait(&barrier).body("second");
    let (mut client, idle) = (secured.connect().await, secured.connect().await);
    let origin = &secured.scene.origin;
    let asked = tokio::spawn(async move {
        let answer = client.get(HOST, "/slow").await;
        (answer, client)
    });
    origin.arrived("/slow", 1).await;
    secured.scene.edge.program.terminate();
    let ended = idle.closed().await;
    assert!(
        matches!(&ended, ConnectionError::ApplicationClosed(close)
        if close.error_code.into_inner() == 0x100),
        "{ended}"
    );
    barrier.release();
    let (answer, client) = asked.await.expect("it is answered");
    assert_eq!(answer.text(), "first second");
    assert!(matches!(client.closed().await, ConnectionError::ApplicationClosed(_)));
    assert_eq!(secured.scene.edge.program.exit_code().await, Some(0));
}

#[tokio::test]
async fn connections_of_an_edge_that_died_are_reset_by_the_next() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = port.expect("the kernel has a port").to_string();
    let mut secured = Secured::with(EdgeOptions::new().https_at(&address)).await;
    let mut client = secured.connect().await;
    assert_eq!(client.get(HOST, "/").await.status, 404);
    secured.scene.edge.program.kill().await;
    secured.scene.edge.start_again().await;
    // who speaks on is told at once, and needn't wait for a timeout
    let asked = client.try_call("GET", HOST, "/").await;
    assert!(asked.is_err(), "{asked:?}");
    assert!(matches!(client.closed().await, ConnectionError::Reset));
    // the feed begins anew with it
    let status = secured.connect().await.get(HOST, "/").await.status;
    assert!([404, 421].contains(&status), "{status}");
}
