//! A client that sends one request a connection, and checks that what is answered is documented.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::net::TcpStream;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(control::openapi()).unwrap());
const PATIENCE: Duration = Duration::from_secs(20);

/// A client, with the token it shows.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// The same client with another token.
    pub(crate) fn with(&self, token: Option<String>) -> Self {
        Self { address: self.address, token }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// As `post`, by a control that may go away.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let headers = [("content-type", "application/json")];
        let response = self.try_open("POST", path, &headers, body.to_string().into()).await?;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(axum::body::Body::new(body), 64 << 20).await.ok()?;
        Some(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub(crate) async fn put(&self, path: &str, if_match: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("if-match", if_match)];
        self.send("PUT", path, &headers, body.to_string()).await
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let response = self.open(method, path, headers, body.into()).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(axum::body::Body::new(body), 64 << 20).await.unwrap();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        answer.check(method, path);
        answer
    }

    /// Sends a request and reads the head of the answer.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> http::Response<hyper::body::Incoming> {
        self.try_open(method, path, headers, body).await.expect("an answer")
    }

    /// The same, by a control that may go away.
    pub(crate) async fn try_open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Option<http::Response<hyper::body::Incoming>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = Request::builder().method(method).uri(path).header("host", "control");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::from(body)).unwrap();
        let sent = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        sent.expect("an answer in time").ok()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The fields that a problem names.
    pub(crate) fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    /// What is true of every answer.
    fn check(&self, method: &str, path: &str) {
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("x-content-type-options"), "nosniff");
        let id = self.header("x-request-id");
        assert!(!id.is_empty());
        let error = self.status.is_client_error() || self.status.is_server_error();
        if error && method != "HEAD" {
            assert_eq!(self.header("content-type"), "application/problem+json");
            assert_eq!(self.json()["status"], self.status.as_u16());
            assert_eq!(self.json()["request_id"], id);
        }
        if let Some(responses) = documented(method, path) {
            let status = self.status.as_str();
            assert!(
                responses.get(status).is_some(),
                "{method} {path}: {status} is no answer of it"
            );
        }
    }
}

/// The responses that the OpenAPI document has for an operation.
fn documented(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next()?;
    let same = |template: &str| {
        let (ours, theirs) = (path.split('/'), template.split('/'));
        ours.clone().count() == theirs.clone().count()
            && ours.zip(theirs).all(|(ours, theirs)| ours == theirs || theirs.starts_with('{'))
    };
    let (_, item) = DOCUMENT["paths"].as_object()?.iter().find(|(path, _)| same(path))?;
    item.get(method.to_ascii_lowercase())?.get("responses")
}
