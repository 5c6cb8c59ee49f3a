//! Origins over TLS and HTTP/2: which ones are trusted, how requests share connections, and what is asked again.

use crate::scene::{HOST, Scene, site};
use bytes::Bytes;
use h2::Reason;
use h2::server::{SendResponse, handshake};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{Authority, Edge, EdgeOptions, Feed, Issued, eventually};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// An origin that speaks HTTP/2.
struct Http2 {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Http2 {
    async fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            asked: Arc::default(),
        };
        let (connections, asked) = (Arc::clone(&origin.connections), Arc::clone(&origin.asked));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, asked) = (tls.clone(), Arc::clone(&asked));
                let connections = Arc::clone(&connections);
                tokio::spawn(async move {
                    let Some(config) = tls else {
                        connections.fetch_add(1, Ordering::SeqCst);
                        return serve(tcp, asked).await;
                    };
                    if let Ok(tls) = TlsAcceptor::from(config).accept(tcp).await {
                        connections.fetch_add(1, Ordering::SeqCst);
                        serve(tls, asked).await;
                    }
                });
            }
        });
        origin
    }

    fn count(&self, path: &str) -> usize {
        self.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, asked: Arc<Mutex<HashMap<String, usize>>>) {
    let Ok(mut connection) = handshake(io).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        let count = {
            let mut asked = asked.lock().unwrap();
            let count = asked.entry(path.clone()).or_default();
            *count += 1;
            *count
        };
        if path == "/ends" && count == 1 {
            // nothing of the next connection's requests is on this one
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(path, count, request, respond));
    }
}

async fn answer(
    path: String,
    count: usize,
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    if path.starts_with("/refused") && count == 1 {
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    if path == "/slow" {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(Ok(piece)) = body.data().await {
        length += piece.len();
        body.flow_control().release_capacity(piece.len()).ok();
    }
    let head = Response::builder().header("cache-control", "no-store").body(()).unwrap();
    let Ok(mut stream) = respond.send_response(head, false) else { return };
    if path == "/breaks" {
        stream.send_data(Bytes::from_static(b"half"), false).ok();
        tokio::time::sleep(Duration::from_millis(50)).await;
        return stream.send_reset(Reason::INTERNAL_ERROR);
    }
    stream.send_data(Bytes::from(format!("{length} bytes")), false).ok();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers).ok();
}

fn server(issued: &Issued, clients: Option<&Authority>, protocol: &str) -> Arc<ServerConfig> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

/// An edge with one site.
struct Stage {
    feed: Feed,
    edge: Edge,
}

impl Stage {
    async fn start() -> Self {
        let feed = Feed::start().await;
        let edge = Edge::start(EdgeOptions::new().control(&feed.url(), "ls_test")).await;
        Self { feed, edge }
    }

    async fn to(&self, url: &str, members: Value) {
        let mut document = site("a", HOST, url, json!({}));
        if let (Some(origin), Value::Object(members)) =
            (document["origins"][0].as_object_mut(), members)
        {
            origin.extend(members);
        }
        self.feed.adopted(self.feed.put_site(1, document)).await;
    }

    /// What a GET is answered: the status, and the error that is told.
    async fn outcome(&self) -> (u16, String) {
        let answer = self.edge.get(HOST, "/").await;
        (answer.status, answer.field("proxy-status").unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn a_hundred_requests_share_few_connections() {
    let (stage, origin) = (Stage::start().await, Http2::start(None).await);
    stage.to(&format!("http://{}", origin.address), json!({"protocol": "http2"})).await;
    assert_eq!(stage.edge.get(HOST, "/").await.text(), "0 bytes");
    let calls = (0..100).map(|_| {
        let call = stage.edge.call("GET", HOST, "/slow");
        tokio::spawn(call.send())
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap().status, 200);
    }
    let connections = origin.connections.load(Ordering::SeqCst);
    assert!(connections <= 10, "{connections}");
}

#[tokio::test]
async fn bodies_go_both_ways_and_one_that_breaks_off_is_no_whole_one() {
    let (stage, origin) = (Stage::start().await, Http2::start(None).await);
    stage.to(&format!("http://{}", origin.address), json!({"protocol": "http2"})).await;
    let body = vec![b'x'; 5 << 20];
    let answer = stage.edge.call("POST", HOST, "/post").body(&body).send().await;
    assert_eq!(answer.text(), "5242880 bytes");
    assert!(stage.edge.call("GET", HOST, "/breaks").try_send().await.is_err());
}

#[tokio::test]
async fn what_an_origin_has_not_begun_with_is_asked_again() {
    let (stage, origin) = (Stage::start().await, Http2::start(None).await);
    stage.to(&format!("http://{}", origin.address), json!({"protocol": "http2"})).await;
    let answer = stage.edge.call("POST", HOST, "/refused").body("abc").send().await;
    assert_eq!((answer.status, answer.text(), origin.count("/refused")), (200, "3 bytes", 2));
    // more than can be sent a second time
    let body = vec![b'x'; 1 << 20];
    let answer = stage.edge.call("POST", HOST, "/refused/large").body(&body).send().await;
    assert!(answer.status == 502 || answer.status == 200, "{}", answer.status);
    for _ in 0..3 {
        assert_eq!(stage.edge.get(HOST, "/ends").await.status, 200);
    }
    assert!(origin.connections.load(Ordering::SeqCst) >= 2, "the first one takes no more");
}

#[tokio::test]
async fn an_origin_is_trusted_by_its_own_authority_name_and_pins() {
    let (own, other) = (Authority::new(), Authority::new());
    let issued = own.issue(&["origin.example", "127.0.0.1"]);
    let (stage, origin) =
        (Stage::start().await, Http2::start(Some(server(&issued, None, "h2"))).await);
    let url = format!("https://{}", origin.address);
    let certificate_error = "longshore; error=tls_certificate_error";
    let check = async |tls: Value, expected: (u16, &str)| {
        stage.to(&url, json!({"protocol": "http2", "tls": tls.clone()})).await;
        let (status, told) = stage.outcome().await;
        assert_eq!((status, &*told), expected, "{tls}");
    };
    let (right, wrong) = ((200, ""), (502, certificate_error));
    check(json!({}), wrong).await;
    check(json!({"ca": own.root()}), right).await;
    check(json!({"ca": other.root()}), wrong).await;
    check(json!({"ca": format!("{}{}", other.root(), own.root())}), right).await;
    check(json!({"ca": own.root(), "server_name": "origin.example"}), right).await;
    check(json!({"ca": own.root(), "server_name": "else.example"}), wrong).await;
    let der = CertificateDer::from_pem_slice(issued.chain.as_bytes()).unwrap();
    let pin = pin(&der);
    let asked = origin.count("/");
    check(json!({"ca": own.root(), "pins": ["0".repeat(64)]}), wrong).await;
    check(json!({"verify": false, "pins": ["0".repeat(64)]}), wrong).await;
    assert_eq!(origin.count("/"), asked, "it is sent nothing");
    check(json!({"verify": false, "pins": ["0".repeat(64), pin]}), right).await;
}

/// In hexadecimal.
fn pin(certificate: &[u8]) -> String {
    let digest = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let rustls::SupportedCipherSuite::Tls13(suite) = digest else { panic!("it is of TLS 1.3") };
    let digest = suite.common.hash_provider.hash(certificate);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_log_tells_what_is_wrong_with_a_certificate() {
    let own = Authority::new();
    let issued = own.issue_for(&["127.0.0.1"], -200, -100);
    let (stage, origin) =
        (Stage::start().await, Http2::start(Some(server(&issued, None, "h2"))).await);
    let url = format!("https://{}", origin.address);
    stage.to(&url, json!({"protocol": "auto", "tls": {"ca": own.root()}})).await;
    assert_eq!(stage.outcome().await.1, "longshore; error=tls_certificate_error");
    eventually("the log to tell", || async {
        let log = stage.edge.program.log();
        log.contains("\"certificate.problem\":\"expired\"").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_origin_is_shown_the_certificate_it_asks_for() {
    let (own, clients) = (Authority::new(), Authority::new());
    let issued = own.issue(&["127.0.0.1"]);
    let config = server(&issued, Some(&clients), "h2");
    let (stage, origin) = (Stage::start().await, Http2::start(Some(config)).await);
    let url = format!("https://{}", origin.address);
    let id = Feed::certificate_id(7);
    let tls = json!({"ca": own.root(), "client_certificate": id});
    stage.to(&url, json!({"protocol": "http2", "tls": tls})).await;
    assert_eq!(stage.outcome().await, (500, "longshore; error=proxy_configuration_error".into()));
    let seq = stage.feed.put_certificate(7, &clients.issue_to_client("edge"));
    stage.feed.adopted(seq).await;
    assert_eq!(stage.outcome().await, (200, String::new()));
    stage.to(&url, json!({"protocol": "http2", "tls": {"ca": own.root()}})).await;
    let (status, told) = stage.outcome().await;
    assert!(status == 502 && told != "longshore; error=tls_certificate_error", "{told}");
}

#[tokio::test]
async fn a_websocket_is_agreed_to_in_time_and_may_be_silent_then() {
    let scene = Scene::with_config("[http]\nwebsocket_idle_timeout_seconds = 3\n").await;
    let origin = json!([{ "name": "main", "url": scene.origin.url(), "read_timeout_seconds": 1 }]);
    let document = site("a", HOST, "", json!({ "origins": origin }));
    scene.feed.adopted(scene.feed.put_site(1, document)).await;
    scene.origin.on("/never").hang();
    let answer = scene.origin.on("/ws").respond(101).header("Connection", "Upgrade");
    answer.header("Upgrade", "websocket").echo();
    let open = async |path: &str| {
        let call = scene.call("GET", path).header("Connection", "Upgrade");
        call.header("Upgrade", "websocket").open().await
    };
    let answer = open("/never").await.response().await.unwrap();
    assert_eq!(answer.status, 504);
    assert_eq!(answer.field("proxy-status"), Some("longshore; error=http_response_timeout"));
    let mut client = open("/ws").await;
    assert_eq!(client.head().await.unwrap().status, 101);
    let gauge = "longshore_edge_websockets_open";
    assert_eq!(scene.edge.metrics().await.sum(gauge, &[]), 1.0);
    let began = std::time::Instant::now();
    assert!(client.some().await.unwrap_or_default().is_none(), "it ends");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    eventually("it to be counted", || async {
        (scene.edge.metrics().await.sum(gauge, &[]) == 0.0).then_some(())
    })
    .await;
}
