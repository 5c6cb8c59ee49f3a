//! What certificate authorities are answered that want to see who has a host (RFC 8555 §8.3, RFC 8737).

use super::certificate::open_answer;
use super::secret::Secret;
use api::certificate::{Answer, Challenge};
use route::Shards;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Where HTTP-01 challenges are answered.
pub(crate) const HTTP_PATH: &str = "/.well-known/acme-challenge/";
/// How many there may be before those that have expired are looked for.
const TIDY_MIN: usize = 64;

/// Challenges by host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Challenges {
    by_host: Shards<Arc<[Arc<Held>]>>,
    by_id: Shards<Arc<Held>>,
    /// At how many those that have expired are looked for.
    tidy_at: usize,
}

/// A challenge.
pub(crate) struct Held {
    pub(crate) seq: u64,
    /// The whole entry, its key sealed.
    pub(crate) text: Box<str>,
    told: Challenge,
    /// For a handshake.
    key: Option<Arc<CertifiedKey>>,
}

impl Challenges {
    /// Every challenge, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.by_id.iter().map(|(_, held)| held)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn put(&mut self, seq: u64, told: Challenge, text: &str, secret: Option<&Secret>) {
        let id = told.challenge_id.as_str().to_owned();
        let key = match open_answer(&told.answer, &id, secret).transpose() {
            Ok(key) => key.map(Arc::new),
            Err(error) => {
                tracing::warn!(
                    challenge.id = id,
                    host = told.host,
                    "a challenge can't be answered: {error}"
                );
                None
            }
        };
        self.remove(&id);
        let held = Arc::new(Held { seq, text: text.into(), told, key });
        let host = &held.told.host;
        let others = self.by_host.get(host).map_or(&[][..], |others| &**others);
        let all = others.iter().chain([&held]).cloned().collect();
        self.by_host.insert(host, all);
        self.by_id.insert(&id, held);
    }

    pub(crate) fn remove(&mut self, id: &str) {
        let Some(held) = self.by_id.remove(id) else { return };
        let host = &held.told.host;
        let others = self.by_host.get(host).map_or(&[][..], |others| &**others);
        let left: Vec<_> =
            others.iter().filter(|other| !Arc::ptr_eq(other, &held)).cloned().collect();
        if left.is_empty() {
            self.by_host.remove(host);
        } else {
            self.by_host.insert(host, left.into());
        }
    }

    /// Forgets those that have expired, now and then.
    pub(crate) fn tidy(&mut self, now: i64) {
        if self.by_id.len() <= self.tidy_at.max(TIDY_MIN) {
            return;
        }
        let expired = self.iter().filter(|held| held.has_expired(now));
        let expired: Vec<_> =
            expired.map(|held| held.told.challenge_id.as_str().to_owned()).collect();
        expired.iter().for_each(|id| self.remove(id));
        self.tidy_at = 2 * self.by_id.len();
    }

    /// The body that answers a request for `path`.
    pub(crate) fn http(&self, host: &str, path: &str, now: i64) -> Option<&str> {
        let asked = path.strip_prefix(HTTP_PATH)?;
        self.of(host, now).find_map(|held| match &held.told.answer {
            Answer::Http { token, key_authorization } if token == asked => {
                Some(key_authorization.as_str())
            }
            Answer::Http { .. } | Answer::TlsAlpn { .. } | Answer::Unknown => None,
        })
    }

    /// The certificate for a handshake, of the challenge that came last.
    pub(crate) fn handshake(&self, host: &str, now: i64) -> Option<&Arc<CertifiedKey>> {
        self.of(host, now).filter_map(|held| held.key.as_ref()).last()
    }

    fn of(&self, host: &str, now: i64) -> impl Iterator<Item = &Arc<Held>> {
        let held = self.by_host.get(host).map_or(&[][..], |held| &**held);
        held.iter().filter(move |held| !held.has_expired(now))
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (id, host) = (self.id(), &self.told.host);
        f.debug_struct("Held").field("id", &id).field("host", host).finish()
    }
}

impl Held {
    pub(crate) fn has_expired(&self, now: i64) -> bool {
        self.told.expires_at <= now
    }

    pub(crate) fn id(&self) -> &str {
        self.told.challenge_id.as_str()
    }
}
