//! Is it another edge of this installation that asks, and how much has that one applied?
//!
//! An edge that asks a shield says which log it follows and up to which number that was applied when the fetch began. What
//! it says is authenticated by the key that all followers of the log have in common, for this one request; and so is the
//! shield's word that it has understood. Anybody else's field means nothing, and is removed.

use api::feed::Key;
use api::id::LogId;
use blake3::Hash;
use http::header;
use http::{HeaderName, HeaderValue};
use pingora_http::RequestHeader;
use std::fmt;

/// Of a request: the log, the number, and the code of both. Of the response to it: another code.
pub(crate) const FIELD: HeaderName = HeaderName::from_static("longshore-applied");

/// The certificate that the client has shown (RFC 9440 §2.2).
pub(crate) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

const REQUEST: &[u8] = b"longshore request to a shield";
const RESPONSE: &[u8] = b"longshore response of a shield";

/// Who asks.
#[derive(Debug, Clone, Default)]
pub(crate) enum Asking {
    /// Anybody.
    #[default]
    Client,
    /// Another edge of the installation.
    Edge {
        /// What it takes for the word that it was understood.
        answer: HeaderValue,
        /// It has applied what this edge has not.
        is_ahead: bool,
    },
}

impl Asking {
    pub(crate) const fn is_edge(&self) -> bool {
        matches!(self, Self::Edge { .. })
    }
}

/// The edges that follow one log.
#[derive(Clone)]
pub(crate) struct Installation {
    log: LogId,
    key: [u8; Key::BYTES],
}

impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation").field("log", &self.log).finish_non_exhaustive()
    }
}

impl Installation {
    /// None where the key is none.
    pub(crate) fn new(log: LogId, key: &Key) -> Option<Self> {
        Some(Self { log, key: key.bytes()? })
    }

    /// What a request with this head says to a shield, whose edge has applied as much; and what the shield answers.
    pub(crate) fn sign(
        &self,
        head: &RequestHeader,
        applied: u64,
    ) -> Option<(HeaderValue, HeaderValue)> {
        let said = format!("{};{applied}", self.log);
        let code = self.code(REQUEST, head, &said);
        let field = HeaderValue::try_from(format!("{said};{}", code.to_hex())).ok()?;
        Some((field, self.answer(head, &said)?))
    }

    /// Up to which number the edge that sent this request has applied the log, and what it is answered. None where the
    /// request isn't of an edge of this installation.
    pub(crate) fn verify(&self, head: &RequestHeader) -> Option<(u64, HeaderValue)> {
        let mut lines = head.headers.get_all(&FIELD).iter();
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        let (said, code) = line.to_str().ok()?.rsplit_once(';')?;
        // compared in constant time
        if Hash::from_hex(code).ok()? != self.code(REQUEST, head, said) {
            return None;
        }
        let (log, applied) = said.split_once(';')?;
        let applied = applied.parse().ok().filter(|_| log == self.log.as_str())?;
        Some((applied, self.answer(head, said)?))
    }

    fn answer(&self, head: &RequestHeader, said: &str) -> Option<HeaderValue> {
        HeaderValue::from_str(self.code(RESPONSE, head, said).to_hex().as_str()).ok()
    }

    /// Each part is behind its length, so that no two messages are the same bytes.
    fn code(&self, purpose: &[u8], head: &RequestHeader, said: &str) -> Hash {
        let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let host = head.headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
        // a shield believes the edge that asks whose certificate it has seen
        let certificate = head.headers.get(CLIENT_CERT).map_or(&b""[..], HeaderValue::as_bytes);
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let method = head.method.as_str().as_bytes();
        let parts = [purpose, method, host, target.as_bytes(), said.as_bytes(), certificate];
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(key: u8) -> Installation {
        let log = LogId::from_ulid("01J9Z3K8Q4W5E6R7T8Y9V0B1N2").unwrap();
        Installation::new(log, &Key::new(&[key; Key::BYTES])).unwrap()
    }

    fn head(method: &str, host: &str, target: &str) -> RequestHeader {
        let mut head = RequestHeader::build(method, target.as_bytes(), None).unwrap();
        head.insert_header(header::HOST, host).unwrap();
        head
    }

    fn signed() -> (RequestHeader, HeaderValue, HeaderValue) {
        let mut head = head("GET", "a.example", "/a?b");
        let (field, answer) = installation(1).sign(&head, 7).unwrap();
        head.insert_header(FIELD, field.clone()).unwrap();
        (head, field, answer)
    }

    #[test]
    fn edges_of_one_installation_understand_each_other() {
        let (head, field, answer) = signed();
        assert_eq!(installation(1).verify(&head), Some((7, answer.clone())));
        assert_ne!(field, answer);
        assert!(installation(2).verify(&head).is_none(), "another key");
    }

    #[test]
    fn what_was_said_holds_for_one_request() {
        let (_, field, _) = signed();
        for mut other in [
            head("HEAD", "a.example", "/a?b"),
            head("GET", "b.example", "/a?b"),
            head("GET", "a.example", "/a?c"),
            head("GET", "a.example", "/a"),
        ] {
            other.insert_header(FIELD, field.clone()).unwrap();
            assert!(installation(1).verify(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn what_is_changed_or_said_twice_is_nothing() {
        let (mut head, field, _) = signed();
        let text = field.to_str().unwrap();
        for wrong in [text.replace(";7;", ";8;"), text.replace(";7;", ";"), "x".to_owned()] {
            head.insert_header(FIELD, wrong).unwrap();
            assert!(installation(1).verify(&head).is_none());
        }
        head.insert_header(FIELD, field.clone()).unwrap();
        head.append_header(FIELD, field).unwrap();
        assert!(installation(1).verify(&head).is_none());
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", installation(171)).contains("171"));
    }
}
