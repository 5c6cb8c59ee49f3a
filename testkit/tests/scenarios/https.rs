//! Clients over TLS: certificates by name, swapped in use, and what handshakes come to.

use crate::scene::{HOST, site};
use rustls::{HandshakeKind, ProtocolVersion};
use serde_json::{Value, json};
use testkit::{Authority, Client, Edge, EdgeOptions, Feed, Origin, Response, Tls};

/// An edge that listens for TLS, with a site at [`HOST`] and a certificate for it.
struct World {
    origin: Origin,
    feed: Feed,
    authority: Authority,
    tls: Tls,
    edge: Edge,
}

impl World {
    async fn start() -> Self {
        Self::start_with("").await
    }

    async fn start_with(config: &str) -> Self {
        let (origin, feed, authority) =
            (Origin::start().await, Feed::start().await, Authority::new());
        origin.on("/*").respond(200).header("Cache-Control", "max-age=60").body("x");
        let options = EdgeOptions::new().control(&feed.url(), "ls_test").https().config(config);
        let edge = Edge::start(options).await;
        feed.put_certificate(1, &authority.issue(&[HOST]));
        let tls = Tls::trusting(&authority);
        let world = Self { origin, feed, authority, tls, edge };
        world.put_site(1, &[HOST], json!({})).await;
        world
    }

    /// A site with these `tls` settings.
    async fn put_site(&self, number: u8, hosts: &[&str], tls: Value) {
        let mut document = site("a", HOST, &self.origin.url(), json!({}));
        document["name"] = json!(format!("site-{number}"));
        document["hosts"] = json!(hosts);
        document["tls"] = tls;
        self.feed.adopted(self.feed.put_site(number, document)).await;
    }

    async fn connect(&self, host: &str) -> Client {
        self.edge.connect_secure(host, &self.tls).await
    }

    async fn get(&self, host: &str, path: &str) -> Response {
        self.connect(host).await.get(host, path).await
    }

    /// Why a handshake fails, as the client sees it.
    async fn refused(&self, host: &str, tls: &Tls) -> String {
        self.edge.try_connect_secure(host, tls).await.expect_err("it fails").to_string()
    }
}

#[tokio::test]
async fn a_request_over_tls_is_answered_and_stored_by_its_scheme() {
    let world = World::start().await;
    let mut client = world.connect(HOST).await;
    assert_eq!(client.session().protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(client.session().alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(!client.get(HOST, "/a").await.is_hit());
    let hit = client.get(HOST, "/a").await;
    assert!(hit.is_hit() && hit.text() == "x", "{}", hit.head);
    let plain = world.edge.get(HOST, "/a").await;
    assert!(
        !plain.is_hit(),
        "another scheme is another URL: {}\n{}\n{:?}",
        hit.head,
        plain.head,
        world.edge.access_log_lines(3).await
    );
}

#[tokio::test]
async fn the_certificate_is_that_of_the_name() {
    let world = World::start().await;
    let feed = &world.feed;
    feed.put_certificate(2, &world.authority.issue(&["*.wild.example", "wild.example"]));
    feed.adopted(feed.put_certificate(3, &world.authority.issue(&["a.wild.example"]))).await;
    for host in [HOST, "wild.example", "b.wild.example", "a.wild.example"] {
        world.connect(host).await;
    }
    for host in ["other.example", "c.b.wild.example", "example"] {
        let refused = world.refused(host, &world.tls).await;
        assert!(refused.contains("UnrecognisedName"), "{host}: {refused}");
    }
    feed.adopted(feed.remove_certificate(2)).await;
    world.connect("a.wild.example").await;
    assert!(world.refused("b.wild.example", &world.tls).await.contains("UnrecognisedName"));
}

#[tokio::test]
async fn sessions_are_resumed() {
    let world = World::start().await;
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut client = world.connect(HOST).await;
        assert_eq!(client.get(HOST, "/").await.status, 200);
        let done = client.session().handshake_kind().expect("it is done");
        assert!(done == kind || done == HandshakeKind::FullWithHelloRetryRequest, "{done:?}");
    }
}
