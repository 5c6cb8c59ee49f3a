//! Clients over TLS: certificates by name, swapped in use, and what handshakes come to.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{HOST, site};
use api::certificate::Answer;
use api::feed::Change;
use api::purge::{Mode, Purge, Selector, Warm};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};
use serde_json::{Value, json};
use std::process::Stdio;
use testkit::{Authority, Client, Edge, EdgeOptions, Feed, Issued, Origin, Response, Tls};
use tokio::process::Command;

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

/// Whether a session was resumed.
async fn resumes(edge: &Edge, host: &str, tls: &Tls) -> bool {
    let mut client = edge.connect_secure(host, tls).await;
    // tickets of TLS 1.3 come with the first answer
    client.get(host, "/").await;
    client.session().handshake_kind() == Some(HandshakeKind::Resumed)
}

#[tokio::test]
async fn edges_of_an_installation_resume_each_others_sessions() {
    let world = World::start().await;
    let options = EdgeOptions::new().control(&world.feed.url(), "ls_test").https();
    let other = Edge::start(options).await;
    other.wait_ready().await;
    for version in [&TLS12, &TLS13] {
        let tls = world.tls.speaking(&[version]);
        assert!(!resumes(&world.edge, HOST, &tls).await, "{version:?}");
        assert!(resumes(&other, HOST, &tls).await, "{version:?}");
        assert!(resumes(&world.edge, HOST, &tls).await, "{version:?}");
    }
}

#[tokio::test]
async fn sessions_outlive_a_restart() {
    let mut world = World::start().await;
    assert!(!resumes(&world.edge, HOST, &world.tls).await);
    world.edge.program.kill().await;
    // and certificates need no control
    world.feed.control().on("/v1/feed*").respond(503);
    world.edge.start_again().await;
    assert!(resumes(&world.edge, HOST, &world.tls).await);
}

#[tokio::test]
async fn a_private_key_is_on_disk_sealed_alone() {
    let world = World::start().await;
    let issued = world.authority.issue(&[HOST]);
    let secret: String = issued.key.lines().nth(1).expect("PEM has lines").to_owned();
    world.feed.adopted(world.feed.put_certificate(2, &issued)).await;
    world.connect(HOST).await;
    let journal = std::fs::read(world.edge.state_directory().join("journal")).expect("it is there");
    let text = String::from_utf8_lossy(&journal);
    assert!(text.contains("BEGIN CERTIFICATE") && !text.contains(&secret));
    assert!(!text.contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_opened_leaves_the_last_good_one() {
    let world = World::start().await;
    let mut wrong = world.authority.issue(&[HOST]);
    wrong.key = world.authority.issue(&[HOST]).key;
    let seq = world.feed.put_certificate(1, &wrong);
    world.feed.adopted(seq).await;
    world.connect(HOST).await;
    let metrics = world.edge.metrics().await;
    assert_eq!(metrics.sum("longshore_edge_certificates_unusable", &[]), 1.0);
    let log = world.edge.program.log();
    assert!(log.contains("another certificate's") && !log.contains("PRIVATE KEY"), "{log}");
    world.feed.adopted(world.feed.put_certificate(1, &world.authority.issue(&[HOST]))).await;
    let metrics = world.edge.metrics().await;
    assert_eq!(metrics.sum("longshore_edge_certificates_unusable", &[]), 0.0);
}

#[tokio::test]
async fn of_two_certificates_the_newest_that_is_valid_is_shown() {
    let world = World::start().await;
    let shown = || async {
        let client = world.edge.connect_secure(HOST, &world.tls.forgetful()).await;
        client.session().peer_certificates().expect("it has one")[0].to_vec()
    };
    let first = shown().await;
    let (early, late) = (
        world.authority.issue_for(&[HOST], 3_600, 7_200),
        world.authority.issue_for(&[HOST], -60, 7_200),
    );
    world.feed.adopted(world.feed.put_certificate(2, &early)).await;
    assert_eq!(shown().await, first, "one that is not valid yet");
    world.feed.adopted(world.feed.put_certificate(3, &late)).await;
    assert_ne!(shown().await, first);
    world.feed.adopted(world.feed.remove_certificate(3)).await;
    assert_eq!(shown().await, first);
}

#[tokio::test]
async fn a_client_that_names_no_host_is_shown_what_is_for_its_address() {
    let world = World::start().await;
    let nameless = world.tls.without_server_name();
    assert!(world.refused("127.0.0.1", &nameless).await.contains("UnrecognisedName"));
    let issued = world.authority.issue(&["127.0.0.1"]);
    world.feed.adopted(world.feed.put_certificate(2, &issued)).await;
    world.connect("127.0.0.1").await;
    world.edge.connect_secure("127.0.0.1", &nameless).await;
}

#[tokio::test]
async fn a_default_certificate_is_shown_to_everybody_else() {
    let world = World::start_with("[https]\ndefault_certificate = \"A.example\"\n").await;
    for host in ["other.example", "127.0.0.1"] {
        let refused = world.refused(host, &world.tls).await;
        assert!(refused.contains("not valid for name"), "{host}: {refused}");
    }
}

#[tokio::test]
async fn a_site_may_ask_for_the_newest_version() {
    let world = World::start().await;
    let old = world.tls.speaking(&[&TLS12]);
    let session = world.edge.connect_secure(HOST, &old).await;
    assert_eq!(session.session().protocol_version(), Some(ProtocolVersion::TLSv1_2));
    world.feed.put_certificate(2, &world.authority.issue(&["new.example"]));
    world.put_site(2, &["new.example"], json!({ "minimum_version": "1.3" })).await;
    assert!(world.refused("new.example", &old).await.contains("ProtocolVersion"));
    assert_eq!(world.get("new.example", "/").await.status, 200);
    let mut client = world.edge.connect_secure(HOST, &old).await;
    assert_eq!(client.get("new.example", "/").await.status, 421, "named in the request alone");
    assert_eq!(client.get(HOST, "/").await.status, 200);
}

#[tokio::test]
async fn clients_have_to_show_certificates_where_a_site_asks_for_them() {
    let world = World::start().await;
    let (ours, others) = (Authority::new(), Authority::new());
    world.feed.put_certificate(2, &world.authority.issue(&["must.example", "may.example"]));
    let asks = |optional| json!({ "client_auth": { "ca": ours.root(), "optional": optional } });
    world.put_site(2, &["must.example"], asks(false)).await;
    world.put_site(3, &["may.example"], asks(true)).await;
    let known = world.tls.presenting(&ours.issue_to_client("a client"));
    let unknown = world.tls.presenting(&others.issue_to_client("a client"));
    let check = |host: &'static str, tls: Tls, expected: Option<bool>| {
        let world = &world;
        async move {
            let told = async {
                let mut client = world.edge.try_connect_secure(host, &tls).await.ok()?;
                let path = format!("/{}", world.origin.count("/*"));
                // in TLS 1.3, the client learns from the answer that it is refused
                client
                    .try_send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
                    .await
                    .ok()?;
                let answer = client.response().await.ok()?;
                assert_eq!(answer.status, 200, "{}", answer.head);
                let asked = world.origin.received(&path, 1).await;
                let told = asked.fields.first("client-cert").map(str::to_owned);
                Some(told.is_some_and(|told| told.starts_with(":MII") && told.ends_with(':')))
            };
            assert_eq!(told.await, expected, "{host}");
        }
    };
    for version in [&TLS12, &TLS13] {
        check("must.example", world.tls.speaking(&[version]), None).await;
        check("may.example", world.tls.speaking(&[version]), Some(false)).await;
    }
    check("must.example", known.clone(), Some(true)).await;
    check("must.example", known.clone(), Some(true)).await;
    check("must.example", unknown.clone(), None).await;
    check("may.example", known, Some(true)).await;
    check("may.example", unknown, None).await;
    let failures = world.edge.metrics().await;
    let labels = ["reason=\"client_certificate\""];
    let failures = failures.sum("longshore_edge_tls_handshake_failures_total", &labels);
    assert!(failures >= 4.0, "{failures}");
}

#[tokio::test]
async fn nobody_gets_around_a_certificate_by_another_name() {
    let world = World::start().await;
    let ours = Authority::new();
    world.feed.put_certificate(2, &world.authority.issue(&["must.example"]));
    let asks = json!({ "client_auth": { "ca": ours.root() } });
    world.put_site(2, &["must.example"], asks.clone()).await;
    let known = world.tls.presenting(&ours.issue_to_client("a client"));
    let mut client = world.edge.connect_secure("must.example", &known).await;
    assert_eq!(client.get("must.example", "/").await.status, 200);
    assert!(!client.get("must.example", "/").await.head.is_empty());
    assert_eq!(client.get(HOST, "/").await.status, 421);
    let mut client = world.connect(HOST).await;
    let answer = client.get("must.example", "/").await;
    assert_eq!(answer.status, 421);
    assert_eq!(answer.field("proxy-status"), Some("longshore; error=http_request_denied"));
    let answer = world.edge.get("must.example", "/").await;
    assert_eq!((answer.status, answer.field("location")), (308, Some("https://must.example/")));
    // a session from before is none by the new rule
    assert!(
        resumes(&world.edge, HOST, &world.tls).await
            || resumes(&world.edge, HOST, &world.tls).await
    );
    world.put_site(1, &[HOST], asks).await;
    let again = world.edge.try_connect_secure(HOST, &world.tls).await;
    if let Ok(mut client) = again {
        assert_ne!(client.session().handshake_kind(), Some(HandshakeKind::Resumed));
        client.try_send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await.ok();
        assert!(client.response().await.is_err());
    }
}

#[tokio::test]
async fn who_has_no_certificate_cannot_say_that_it_has_one() {
    let world = World::start().await;
    for (count, tls) in [(1, false), (2, true)] {
        let path = format!("/{count}");
        let mut client = if tls { world.connect(HOST).await } else { world.edge.connect().await };
        let fields = "Client-Cert: :AAAA:\r\nClient-Cert-Chain: :AAAA:\r\n";
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n")).await;
        assert_eq!(client.response().await.expect("an answer").status, 200);
        let asked = world.origin.received(&path, 1).await;
        assert_eq!(asked.fields.first("client-cert"), None);
        assert_eq!(asked.fields.first("client-cert-chain"), None);
    }
}

#[tokio::test]
async fn plain_http_is_redirected_where_a_site_wants_that() {
    let world = World::start_with("[https]\npublic_port = 8443\n").await;
    assert!(!world.edge.get(HOST, "/a").await.is_hit());
    assert!(world.edge.get(HOST, "/a").await.is_hit());
    world.put_site(1, &[HOST], json!({ "redirect_http": true })).await;
    for (method, target) in [("GET", "/a"), ("GET", "/a?b=1&c"), ("POST", "/a"), ("HEAD", "/")] {
        let host = format!("{HOST}:8080");
        let mut client = world.edge.call(method, &host, target).open().await;
        let answer = if method == "HEAD" { client.head().await } else { client.response().await };
        let answer = answer.expect("an answer");
        let to = format!("https://{HOST}:8443{target}");
        assert_eq!((answer.status, answer.field("location")), (308, Some(&*to)), "{}", answer.head);
        assert_eq!(answer.field("strict-transport-security"), None);
    }
    assert_eq!(world.get(HOST, "/a").await.status, 200);
}

#[tokio::test]
async fn browsers_are_told_to_use_https_alone() {
    let world = World::start().await;
    let hsts = json!({ "hsts": { "max_age_seconds": 63_072_000, "include_subdomains": true, "preload": true } });
    world.put_site(1, &[HOST], hsts).await;
    world
        .origin
        .on("/own")
        .respond(200)
        .header("Strict-Transport-Security", "max-age=1")
        .header("Cache-Control", "max-age=60")
        .body("x");
    world.origin.on("/broken").reset();
    let mut client = world.connect(HOST).await;
    let expected = vec!["max-age=63072000; includeSubDomains; preload"];
    for path in ["/a", "/a", "/own", "/own", "/broken"] {
        let answer = client.get(HOST, path).await;
        assert_eq!(
            answer.fields.all("strict-transport-security"),
            expected,
            "{path} {}",
            answer.head
        );
        if path == "/broken" {
            assert_eq!(answer.status, 502);
        }
    }
    let plain = world.edge.get(HOST, "/a").await;
    assert_eq!(plain.field("strict-transport-security"), None);
}

#[tokio::test]
async fn an_authority_is_answered_over_plain_http() {
    let world = World::start().await;
    world.put_site(1, &[HOST], json!({ "redirect_http": true })).await;
    let answer = |token: &str| Answer::Http {
        token: token.to_owned(),
        key_authorization: format!("{token}.thumbprint"),
    };
    let path = |token: &str| format!("/.well-known/acme-challenge/{token}");
    world.feed.put_challenge(1, HOST, 3_600, answer("one"));
    world.feed.put_challenge(2, "unknown.example", 3_600, answer("two"));
    world.feed.adopted(world.feed.put_challenge(3, HOST, -1, answer("gone"))).await;
    for (host, token) in [(HOST, "one"), ("unknown.example", "two")] {
        let answer = world.edge.get(host, &path(token)).await;
        assert_eq!((answer.status, answer.text()), (200, &*format!("{token}.thumbprint")));
    }
    for (host, token, status) in
        [(HOST, "gone", 308), (HOST, "two", 308), (HOST, "", 308), ("unknown.example", "one", 421)]
    {
        assert_eq!(world.edge.get(host, &path(token)).await.status, status, "{host} {token}");
    }
    assert_eq!(world.get(HOST, &path("one")).await.text(), "one.thumbprint");
}

/// What `openssl s_client` says of a handshake.
async fn s_client(edge: &Edge, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &edge.https().to_string()]).args(arguments);
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.expect("openssl is not there: install the package openssl");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn an_authority_is_answered_by_a_handshake() {
    let world = World::start().await;
    let issued = world.authority.issue_for_challenge("new.example", &[0xa5; 32]);
    world.feed.adopted(world.feed.put_handshake_challenge(1, "new.example", &issued)).await;
    let told = s_client(&world.edge, &["-alpn", "acme-tls/1", "-servername", "new.example"]).await;
    assert!(told.contains("ALPN protocol: acme-tls/1"), "{told}");
    let body: String = issued.chain.lines().nth(3).expect("PEM has lines").to_owned();
    assert!(told.contains(&body), "{told}");
    for name in [HOST, "other.example"] {
        let told = s_client(&world.edge, &["-alpn", "acme-tls/1", "-servername", name]).await;
        assert!(told.contains("no peer certificate available"), "{told}");
    }
    let metrics = world.edge.metrics().await;
    assert_eq!(metrics.sum("longshore_edge_tls_challenges_total", &[]), 1.0);
}

#[tokio::test]
async fn what_the_issuer_says_of_revocation_is_stapled() {
    let world = World::start().await;
    // a response that says `unauthorized`, the shortest there is (RFC 6960 §4.2.1)
    let ocsp = Some("MAMKAQY=".to_owned());
    let issued = Issued { ocsp, ..world.authority.issue(&[HOST]) };
    world.feed.adopted(world.feed.put_certificate(1, &issued)).await;
    let told = s_client(&world.edge, &["-status", "-servername", HOST]).await;
    assert!(told.contains("OCSP Response Status: unauthorized (0x6)"), "{told}");
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_or_left() {
    let world = World::start_with("[https]\nhandshake_timeout_seconds = 1\n").await;
    let mut client = Client::connect(world.edge.https()).await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    let answer = client.response().await.expect("an answer");
    assert!(answer.status == 400 && answer.text().contains("HTTPS"), "{}", answer.text());
    for garbage in [
        &b"\x00"[..],
        b"\x16\x03\x01\x00\x05hello",
        b"\x80\x2e\x01\x00\x02",
        b"\x16\x03\x01\xff\xff",
    ] {
        let mut client = Client::connect(world.edge.https()).await;
        client.try_send(garbage).await.ok();
        // an alert, then the end; or the end of the time that a handshake may take
        drop(client.until_closed().await);
    }
    let mut silent = Client::connect(world.edge.https()).await;
    assert!(silent.until_closed().await.expect("it is closed").is_empty());
    let h2_only = world.tls.offering(&["spdy/1"]);
    assert!(world.refused(HOST, &h2_only).await.contains("NoApplicationProtocol"));
    let metrics = world.edge.metrics().await;
    for (reason, least) in [
        ("cleartext", 1.0),
        ("too_slow", 1.0),
        ("malformed", 1.0),
        ("no_application_protocol", 1.0),
    ] {
        let name = "longshore_edge_tls_handshake_failures_total";
        assert!(metrics.sum(name, &[&format!("reason=\"{reason}\"")]) >= least, "{reason}");
    }
    world.connect(HOST).await;
}

#[tokio::test]
async fn what_is_fetched_by_itself_is_fetched_by_its_scheme() {
    let world = World::start().await;
    world.put_site(1, &[HOST], json!({ "redirect_http": true })).await;
    let warm = Warm {
        site_id: Feed::site_id(1),
        urls: vec![format!("https://{HOST}/a?b"), format!("https://{HOST}:443/c")],
        sitemaps: Vec::new(),
        rate: 1_000,
        regions: Vec::new(),
    };
    let seq = world.feed.entry(Change::Warm(warm));
    let progress = world.feed.progress(seq, |progress| progress.finished).await;
    assert_eq!((progress.fetched, progress.failed), (2, 0));
    for path in ["/a?b", "/c"] {
        assert!(world.get(HOST, path).await.is_hit(), "{path}");
    }
    let (selector, mode) = (Selector::Everything, Mode::Soft);
    let site_id = Feed::site_id(1);
    let purge = Purge { site_id, selector, mode, regions: Vec::new(), refetch: 1 };
    let seq = world.feed.entry(Change::Purge(purge));
    let progress = world.feed.progress(seq, |progress| progress.finished).await;
    assert_eq!((progress.fetched, progress.failed), (1, 0));
    let hits = [world.get(HOST, "/a?b").await, world.get(HOST, "/c").await];
    let fresh = hits.iter().filter(|hit| {
        hit.cache_status().contains("hit; ttl=5") || hit.cache_status().contains("hit; ttl=60")
    });
    assert_eq!(fresh.count(), 1, "{hits:?}");
}

#[tokio::test]
async fn certificates_are_swapped_in_use() {
    let world = World::start().await;
    let mut standing = world.connect(HOST).await;
    let live = testkit::Live::new();
    world.origin.on("/live").respond(200).chunked().live(&live);
    standing.send(format!("GET /live HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    live.push("begin".to_owned());
    assert_eq!(standing.head().await.expect("a head").status, 200);
    assert_eq!(standing.at_least(5).await.expect("it goes on"), b"begin");
    for round in 0..100 {
        let seq = world.feed.put_certificate(1, &world.authority.issue(&[HOST]));
        if round % 10 == 0 {
            world.feed.adopted(seq).await;
        }
        let tls = world.tls.forgetful();
        for _ in 0..10 {
            let mut client = world.edge.connect_secure(HOST, &tls).await;
            assert_eq!(client.get(HOST, "/a").await.status, 200);
        }
    }
    live.push(" end".to_owned());
    assert_eq!(standing.at_least(4).await.expect("it goes on"), b" end");
}
