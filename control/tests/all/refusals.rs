//! Requests that are refused, each with a problem that says why, and none with a 5xx.

use crate::on_both_databases;
use crate::service::{Database, site};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

on_both_databases!(paths_and_queries_are_refused, bodies_are_refused);

const JSON: (&str, &str) = ("content-type", "application/json");
const TOML: (&str, &str) = ("content-type", "application/toml");

async fn paths_and_queries_are_refused(database: Database) {
    let service = database.start().await;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/sites/", 404),
        ("GET", "//v1/sites", 404),
        ("GET", "/v1/sites/a/b", 404),
        ("GET", "/v1/sites/../../etc/passwd", 404),
        ("GET", "/v1/sites/%2e%2e%2f", 404),
        ("GET", "/v1/sites/%00", 404),
        ("GET", "/v1/sites/%ff", 404),
        ("GET", "/v1/sites/a'%20OR%20'1'='1", 404),
        ("GET", "/v1/sites/site_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", 404),
        ("POST", "/v1/sites/none/purge", 415),
        ("PATCH", "/v1/sites", 405),
        ("OPTIONS", "/v1/sites", 405),
        ("TRACE", "/v1/sites/a", 405),
        ("POST", "/healthz", 405),
        ("GET", "/v1/sites?limit=0", 400),
        ("GET", "/v1/sites?limit=201", 400),
        ("GET", "/v1/sites?limit=-1", 400),
        ("GET", "/v1/sites?limit=1e2", 400),
        ("GET", "/v1/sites?limit=99999999999999999999", 400),
        ("GET", "/v1/sites?limit=", 400),
        ("GET", "/v1/sites?limit=1&limit=1", 400),
        ("GET", "/v1/sites?colour=red", 400),
        ("GET", "/v1/sites?after=x", 400),
        ("GET", "/v1/sites?after=edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", 400),
        ("GET", "/v1/sites?name=%00", 400),
        ("GET", "/v1/sites?name=A", 400),
        ("GET", "/v1/sites/a?x=1", 400),
        ("GET", "/v1/feed?after=-1", 400),
        ("GET", "/v1/feed?after=18446744073709551616", 400),
        ("GET", "/v1/feed?log=x", 400),
        ("GET", "/v1/feed?since=1", 400),
        ("DELETE", "/v1/edges/edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2", 404),
    ] {
        let answer = service.admin.send(method, path, &[], "").await.expect(status);
        assert!(status != 405 || !answer.header("allow").is_empty(), "{method} {path}");
    }
    let refused = service.admin.get("/v1/sites?limit=500").await;
    assert_eq!(refused.fields(), ["limit"]);
    let headers = [("x-request-id", "mine-1")];
    let answer = service.admin.send("GET", "/nowhere", &headers, "").await.expect(404);
    assert_eq!(answer.header("x-request-id"), "mine-1");
    let metrics = service.admin.get("/metrics").await.expect(200);
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(
        text.contains(r#"requests_total{method="other",route="/v1/sites/{site}",status="4xx"} 1"#)
    );
    assert!(!text.contains("passwd"));
}

async fn bodies_are_refused(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    let large = "x".repeat(262_145);
    let fits = format!("{}{}", site("fits"), " ".repeat(262_144 - site("fits").to_string().len()));
    let (deep, dotted) = ("[".repeat(200_000), vec!["a"; 100_000].join("."));
    for (headers, body, status) in [
        (&[][..], site("a").to_string(), 415),
        (&[("content-type", "text/plain")], site("a").to_string(), 415),
        (&[("content-type", "application/json+x")], site("a").to_string(), 415),
        (&[JSON], String::new(), 400),
        (&[JSON], "{\"name\": ".to_owned(), 400),
        (&[JSON], "{} {}".to_owned(), 400),
        (&[JSON], "nul".to_owned(), 400),
        (&[JSON], "1e999".to_owned(), 400),
        (&[JSON], "\u{feff}{}".to_owned(), 400),
        (&[JSON], deep.clone(), 400),
        (&[JSON], "null".to_owned(), 422),
        (&[JSON], "[]".to_owned(), 422),
        (&[JSON], "{}".to_owned(), 422),
        (&[JSON], "\"\\u0000\"".to_owned(), 422),
        (&[JSON], large.clone(), 413),
        (&[TOML], large, 413),
        (&[TOML], "name = ".to_owned(), 400),
        (&[TOML], format!("a = {deep}"), 400),
        (&[TOML], format!("{dotted} = 1"), 400),
        (&[TOML], "name = 2024-01-01".to_owned(), 422),
        (&[TOML], "name = nan".to_owned(), 422),
        (&[JSON], fits, 201),
    ] {
        control.send("POST", "/v1/sites", headers, body).await.expect(status);
    }
    let wrong = control.send("POST", "/v1/sites", &[JSON], "{\n \"name\": x}").await.expect(400);
    let detail = wrong.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("line 2 column 10"), "{detail}");
    for (path, body) in [
        ("/v1/sites", r#"{"hosts": ["a.example"], "hosts": ["b.example"]}"#),
        ("/v1/sites/fits/purge", r#"{"everything": false, "hosts": 1, "hosts": 2}"#),
    ] {
        let twice = control.send("POST", path, &[JSON], body).await.expect(400);
        let detail = twice.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("the member `hosts` stands there twice"), "{detail}");
    }
    let bytes = bytes::Bytes::from_static(b"{\"name\": \"\xff\"}");
    control.send("POST", "/v1/sites", &[JSON], bytes.clone()).await.expect(400);
    control.send("POST", "/v1/sites", &[TOML], bytes).await.expect(400);
    for body in ["{}", "{\"everything\": false}", "{\"everything\": 1}", "{\"tags\": []}", "[true]"]
    {
        control.send("POST", "/v1/sites/fits/purge", &[JSON], body).await.expect(422);
    }
    control
        .send("POST", "/v1/sites/none/purge", &[JSON], "{\"everything\":true}")
        .await
        .expect(404);
}

/// What is no request at all is refused by the HTTP parser, and the service goes on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused() {
    let service = Database::sqlite().start().await;
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    for raw in [
        "\r\n\r\n\r\nx",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\0 HTTP/1.1\r\n\r\n",
        "POST /v1/sites HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        "POST /v1/sites HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        "\u{16}\u{3}\u{1}hello",
        &long,
        &many,
        "CONNECT a:1 HTTP/1.1\r\nconnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET http://other/healthz2 HTTP/1.1\r\nconnection: close\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(service.admin.address).await.unwrap();
        // the other end may have closed before it has read everything
        let _ = stream.write_all(raw.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let head = String::from_utf8_lossy(&answer);
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{raw:.40}: {head}");
    }
    service.admin.get("/healthz").await.expect(200);
}
