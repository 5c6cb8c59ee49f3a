//! What did a handler leave of a request's body? A refused request is often answered before its body was read. The
//! rest is read and thrown away, within limits, so that the client can go on to use the connection; beyond the limits
//! the answer says that the connection ends.

use axum::body::{Body, BodyDataStream, HttpBody as _};
use axum::extract::Request;
use futures_util::StreamExt as _;
use http::header::EXPECT;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

const REST_MAX_BYTES: usize = 1_048_576;
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// The body of a request, shared with its handler.
pub(crate) struct Rest {
    body: Arc<Mutex<BodyDataStream>>,
    /// Whether the client waits for a word before it sends its body (RFC 9110 §10.1.1).
    waits: bool,
}

impl Rest {
    /// Shares the body of a request, if it has one.
    pub(crate) fn share(request: &mut Request) -> Option<Self> {
        if request.body().is_end_stream() {
            return None;
        }
        let waits = request.headers().contains_key(EXPECT);
        let body = std::mem::take(request.body_mut()).into_data_stream();
        let body = Arc::new(Mutex::new(body));
        let chunks = futures_util::stream::unfold(Arc::clone(&body), |body| async {
            let chunk = body.lock().await.next().await?;
            Some((chunk, body))
        });
        *request.body_mut() = Body::from_stream(chunks);
        Some(Self { body, waits })
    }

    /// Throws away what is left. False when there was too much of it, or the client must not be told to send it.
    pub(crate) async fn discard(&self) -> bool {
        let mut body = self.body.lock().await;
        let ended = body.is_end_stream();
        ended
            || (!self.waits && matches!(timeout(REST_TIMEOUT, discard(&mut body)).await, Ok(true)))
    }
}

async fn discard(body: &mut BodyDataStream) -> bool {
    let mut read = 0;
    while let Some(chunk) = body.next().await {
        let Ok(chunk) = chunk else { return false };
        read += chunk.len();
        if read > REST_MAX_BYTES {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(length: usize, expect: bool, expected: Option<bool>) {
        let mut request = Request::new(Body::from(vec![0; length]));
        if expect {
            request.headers_mut().insert(EXPECT, http::HeaderValue::from_static("100-continue"));
        }
        let rest = Rest::share(&mut request);
        let found = match &rest {
            Some(rest) => Some(rest.discard().await),
            None => None,
        };
        assert_eq!(found, expected, "{length}");
    }

    #[tokio::test]
    async fn a_rest_is_discarded_up_to_a_limit() {
        check(0, false, None).await;
        check(5, false, Some(true)).await;
        check(REST_MAX_BYTES, false, Some(true)).await;
        check(REST_MAX_BYTES + 1, false, Some(false)).await;
        check(5, true, Some(false)).await;
    }

    #[tokio::test]
    async fn a_body_that_was_read_leaves_no_rest() {
        let mut request = Request::new(Body::from("hello"));
        request.headers_mut().insert(EXPECT, http::HeaderValue::from_static("100-continue"));
        let rest = Rest::share(&mut request).unwrap();
        let body = axum::body::to_bytes(request.into_body(), 10).await.unwrap();
        assert_eq!(body, "hello");
        assert!(rest.discard().await);
    }
}
