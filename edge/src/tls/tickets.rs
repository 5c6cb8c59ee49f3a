//! Session tickets (RFC 8446 §4.6.1, RFC 5077) that every edge of an installation understands.
//!
//! A ticket is the number of its period, a nonce, and the session sealed with AES-256-GCM. Its key follows from the key of
//! the log, the period, and what clients have to show: so a session of a host that asks for no certificate is none where
//! one is asked for. A period's key makes tickets for as long as it lasts, and opens them for as long again.

use super::secret::Secret;
use crate::clock;
use crate::snapshot::Current;
use api::feed::Key;
use arc_swap::ArcSwapOption;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// How long a key makes tickets. Twice as long at most, one is good.
const PERIOD_SECONDS: u64 = 6 * 3_600;
/// How long clients may keep one.
const LIFETIME_SECONDS: u32 = 6 * 3_600;
const PERIOD_BYTES: usize = 8;
/// A session with a client's certificate is some thousand bytes.
const TICKET_MAX_BYTES: usize = 65_536;

/// Makes tickets, and opens them, for handshakes that go by one rule.
pub(super) struct Tickets {
    current: Current,
    /// For as long as there is no log.
    own: Arc<Secret>,
    /// The rule.
    context: [u8; 32],
    keys: ArcSwapOption<Keys>,
}

/// The keys of a period, the one before and the one after: clocks of edges differ.
struct Keys {
    of: Arc<Secret>,
    period: u64,
    before: RandomizedNonceKey,
    now: RandomizedNonceKey,
    after: RandomizedNonceKey,
}

impl Tickets {
    pub(super) fn new(current: Current, own: Arc<Secret>, context: [u8; 32]) -> Self {
        Self { current, own, context, keys: ArcSwapOption::empty() }
    }

    /// A secret that nobody else has.
    pub(super) fn new_secret() -> Option<Secret> {
        let mut bytes = [0; Key::BYTES];
        aws_lc_rs::rand::fill(&mut bytes).ok()?;
        Secret::new(&Key::new(&bytes))
    }

    fn keys(&self, period: u64) -> Option<Arc<Keys>> {
        let snapshot = self.current.load();
        let of = snapshot.secret.as_ref().unwrap_or(&self.own);
        if let Some(keys) = &*self.keys.load()
            && keys.period == period
            && Arc::ptr_eq(&keys.of, of)
        {
            return Some(Arc::clone(keys));
        }
        let key = |period: u64| {
            let context = [&self.context[..], &period.to_be_bytes()].concat();
            RandomizedNonceKey::new(&AES_256_GCM, &*of.derive_ticket_key(&context)?).ok()
        };
        let keys = Arc::new(Keys {
            of: Arc::clone(of),
            period,
            before: key(period.saturating_sub(1))?,
            now: key(period)?,
            after: key(period + 1)?,
        });
        self.keys.store(Some(Arc::clone(&keys)));
        Some(keys)
    }

    fn seal(&self, period: u64, session: &[u8]) -> Option<Vec<u8>> {
        let (period_bytes, mut sealed) = (period.to_be_bytes(), session.to_vec());
        let key = self.keys(period)?;
        let nonce = key.now.seal_in_place_append_tag(Aad::from(period_bytes), &mut sealed).ok()?;
        Some([&period_bytes[..], nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, now: u64, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX_BYTES {
            return None;
        }
        let (period_bytes, rest) = ticket.split_first_chunk::<PERIOD_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (period, keys) = (u64::from_be_bytes(*period_bytes), self.keys(now)?);
        let key = [&keys.before, &keys.now, &keys.after].into_iter().zip(now.saturating_sub(1)..);
        let (key, _) = key.into_iter().find(|(_, of)| *of == period)?;
        let (nonce, mut sealed) = (Nonce::assume_unique_for_key(*nonce), sealed.to_vec());
        let session = key.open_in_place(nonce, Aad::from(*period_bytes), &mut sealed).ok()?;
        Some(session.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(period(), plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(period(), cipher)
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets(_)")
    }
}

fn period() -> u64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / PERIOD_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Snapshot;
    use arc_swap::ArcSwap;

    fn tickets(key: u8, context: u8) -> Tickets {
        let secret = Secret::new(&Key::new(&[key; 32])).map(Arc::new);
        let current = Arc::new(ArcSwap::from_pointee(Snapshot { secret, ..Snapshot::default() }));
        Tickets::new(current, Arc::new(Tickets::new_secret().unwrap()), [context; 32])
    }

    #[test]
    fn edges_of_one_installation_open_each_others_tickets_for_one_rule() {
        let ticket = tickets(1, 1).seal(7, b"session").unwrap();
        assert_eq!(tickets(1, 1).open(7, &ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(2, 1).open(7, &ticket), None, "another installation");
        assert_eq!(tickets(1, 2).open(7, &ticket), None, "another rule");
    }

    #[test]
    fn a_ticket_is_good_for_its_period_and_the_next() {
        let ticket = tickets(1, 1).seal(7, b"session").unwrap();
        for (now, opens) in [(5, false), (6, true), (7, true), (8, true), (9, false)] {
            assert_eq!(tickets(1, 1).open(now, &ticket).is_some(), opens, "{now}");
        }
        let tickets = tickets(1, 1);
        assert!(tickets.open(8, &tickets.seal(7, b"session").unwrap()).is_some());
    }

    #[test]
    fn what_is_changed_opens_nothing() {
        let tickets = tickets(1, 1);
        let ticket = tickets.seal(7, b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.open(7, &changed), None, "{at}");
            assert_eq!(tickets.open(7, &ticket[..at]), None, "{at}");
        }
        assert_eq!(tickets.open(7, &vec![0; TICKET_MAX_BYTES + 1]), None);
    }

    #[test]
    fn without_a_log_tickets_are_an_edges_own() {
        let alone = |own| Tickets::new(Current::default(), Arc::clone(own), [0; 32]);
        let own = Arc::new(Tickets::new_secret().unwrap());
        let ticket = alone(&own).seal(7, b"session").unwrap();
        assert!(alone(&own).open(7, &ticket).is_some());
        assert!(alone(&Arc::new(Tickets::new_secret().unwrap())).open(7, &ticket).is_none());
    }
}
