//! How is an authority spoken to? HTTPS by the client that control has, bounded in time and size, and an eye on
//! `Retry-After` (RFC 8555 §6.6).

use crate::acme::backoff::after;
use crate::clock::{Moment, now};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer: chains of certificates are the longest.
const BODY_MAX_BYTES: usize = 1_048_576;

/// Who speaks to an authority. Its clones share what it heard.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    /// When the authority wants to be asked again, as its last refusal said.
    said: Arc<Mutex<Option<Moment>>>,
}

impl Http {
    /// A client that trusts the machine's roots, or only those of `roots` in PEM.
    ///
    /// # Errors
    /// Where they are none.
    pub(crate) fn new(roots: Option<&[u8]>) -> reqwest::Result<Self> {
        let agent = concat!("longshore-control/", env!("CARGO_PKG_VERSION"));
        let mut builder = reqwest::Client::builder()
            .user_agent(agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(roots) = roots {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(roots)?);
        }
        Ok(Self { client: builder.build()?, said: Arc::default() })
    }

    /// A client for one conversation, which has heard nothing yet.
    pub(crate) fn anew(&self) -> Self {
        Self { client: self.client.clone(), said: Arc::default() }
    }

    /// When the authority wants to be asked again, where its last refusal said so.
    pub(crate) fn said(&self) -> Option<Moment> {
        *self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let failed = |error: reqwest::Error| Error::Other(Box::new(error));
        let (parts, body) = request.into_parts();
        let body = to_bytes(Body::new(body), BODY_MAX_BYTES).await;
        let body = body.map_err(|error| Error::Other(error.into()))?;
        let request = Request::from_parts(parts, reqwest::Body::from(body));
        let request = request.try_into().map_err(failed)?;
        let mut answer = self.client.execute(request).await.map_err(failed)?;
        self.note(&answer);
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut whole = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if whole.len() + chunk.len() > BODY_MAX_BYTES {
                let text = format!("the authority's answer is longer than {BODY_MAX_BYTES} bytes");
                return Err(Error::Other(text.into()));
            }
            whole.extend_from_slice(&chunk);
        }
        let mut response = Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        let (parts, ()) = response.into_parts();
        Ok(BytesResponse { parts, body: Box::new(Bytes::from(whole)) })
    }

    fn note(&self, answer: &reqwest::Response) {
        let refuses = answer.status().is_client_error() || answer.status().is_server_error();
        let field = answer.headers().get(RETRY_AFTER).and_then(|field| field.to_str().ok());
        let said = field.filter(|_| refuses).and_then(|text| retry_after(text, now()));
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

/// The moment that `Retry-After` names (RFC 9110 §10.2.3): seconds from now, or a date.
fn retry_after(text: &str, now: Moment) -> Option<Moment> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(after(now, Duration::from_secs(seconds.into())));
    }
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    Some(Moment(i64::try_from(since.as_millis()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_says_when_to_come_again() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/dir", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let body = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow"}"#;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4_096]).await;
                let head =
                    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7200\r\nConnection: close";
                let length = body.len();
                let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let http = Http::new(None).unwrap();
        let request = |http: &Http| {
            let request = Request::builder().uri(&url).body(BodyWrapper::default()).unwrap();
            http.request(request)
        };
        let one = http.anew();
        assert_eq!(request(&one).await.unwrap().parts.status, 429);
        let seconds = (one.said().unwrap().0 - now().0) / 1_000;
        assert!((7_190..=7_200).contains(&seconds), "{seconds}");
        assert_eq!(http.anew().said(), None, "another conversation has not heard it");
        let problem = serde_json::json!({
            "type": "urn:ietf:params:acme:error:rateLimited", "detail": "slow", "status": 429,
        });
        let error = Error::Api(serde_json::from_value(problem).unwrap());
        let trouble = crate::acme::words::trouble("a", &error, one.said());
        assert_eq!(trouble.not_before, one.said());
        assert!(trouble.order_lives);
    }

    #[test]
    fn a_time_to_come_again_is_seconds_or_a_date() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(retry_after(text, Moment(5_000)), expected.map(Moment), "{text}");
        };
        check("120", Some(125_000));
        check("Thu, 01 Jan 1970 00:01:00 GMT", Some(60_000));
        check("soon", None);
        check("-1", None);
    }
}
