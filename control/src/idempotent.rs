//! Is a request one that was answered before? `Idempotency-Key` on POST.
//!
//! The answer is kept in the transaction that makes it true, so there is none without the other. Only successes are
//! kept: a request that was refused changed nothing and may be sent again under the same key.

use crate::db::idempotency::{Asked, Given, Known};
use crate::db::{Change, Db};
use crate::input::Call;
use crate::problem::Error;
use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

const NAME: &str = "Idempotency-Key";
const KEY_MAX_BYTES: usize = 255;

/// The requests with a key that are being served.
#[derive(Default)]
pub(crate) struct InFlight(Mutex<HashSet<(String, String)>>);

/// A request with a key, while it is being served.
pub(crate) struct Attempt<'f> {
    in_flight: &'f InFlight,
    asked: Asked,
}

impl InFlight {
    /// Notes a request if it has a key.
    ///
    /// # Errors
    /// When the key has not the right form, or a request with it is being served.
    pub(crate) fn enter(&self, call: &Call, body: &[u8]) -> Result<Option<Attempt<'_>>, Error> {
        let Some(key) = key(&call.headers)? else { return Ok(None) };
        let media_type = call.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let hash = hash(&[call.path().as_bytes(), media_type, body]);
        let asked = Asked { token: call.caller.token.clone(), key, hash };
        if !self.lock().insert((asked.token.to_string(), asked.key.clone())) {
            return Err(Error::KeyInUse);
        }
        Ok(Some(Attempt { in_flight: self, asked }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(String, String)>> {
        // a set is whole after every insert and remove
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&(self.asked.token.to_string(), self.asked.key.clone()));
    }
}

impl Attempt<'_> {
    /// The answer the request had before, if it had one.
    pub(crate) async fn earlier(&self, change: &mut Change<'_>) -> Result<Option<Given>, Error> {
        given(change.known(&self.asked).await?)
    }

    /// The answer the request had before, if it had one, as it is known before a change begins.
    pub(crate) async fn given(&self, db: &Db) -> Result<Option<Given>, Error> {
        given(db.known(&self.asked).await?)
    }

    /// Keeps the answer with the change.
    pub(crate) async fn keep(&self, change: &mut Change<'_>, given: &Given) -> Result<(), Error> {
        Ok(change.answer(&self.asked, given, crate::clock::now()).await?)
    }
}

fn given(known: Known) -> Result<Option<Given>, Error> {
    match known {
        Known::New => Ok(None),
        Known::Answered(given) => Ok(Some(given)),
        Known::Other => Err(Error::KeyReused),
    }
}

/// The response that says what was said.
pub(crate) fn response(given: Given) -> Response {
    let mut response = Response::new(Body::from(given.body));
    *response.status_mut() = StatusCode::from_u16(given.status).unwrap_or(StatusCode::OK);
    let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().extend([json]);
    for (name, value) in given.headers {
        let field = http::HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        response.headers_mut().extend(field);
    }
    response
}

/// A wire type as JSON. None of ours has a map with keys that are no text, which is what JSON cannot write.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let mut fields = headers.get_all(NAME).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(Error::Header { name: NAME, detail: "is there twice" });
    }
    let bytes = field.as_bytes();
    let right =
        (1..=KEY_MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    let key = field.to_str().ok().filter(|_| right);
    let detail = "must be 1 to 255 visible ASCII characters";
    key.map(|key| Some(key.to_owned())).ok_or(Error::Header { name: NAME, detail })
}

/// A hash of parts, each framed by its length: no two lists of parts are hashed as the same bytes.
fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        let check = |value: &str, expected: bool| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static("idempotency-key"), value)]);
            assert_eq!(key(&headers).is_ok(), expected);
        };
        check("a", true);
        check(&"k".repeat(255), true);
        check(&"k".repeat(256), false);
        check("", false);
        check("a b", false);
        check("é", false);
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
    }
}
