//! Which requests wait for another's fetch, and which for nobody.
//!
//! Requests for one response wait for the first of them, until its head is there. Where that head says that nothing is
//! stored, they have waited in vain: so it is remembered for the name, and the next requests don't wait. Nor does one that
//! came after a purge of the name wait for a fetch that began before it.

use crate::cache::{self, Cache, Head};
use crate::clock::Steady;
use crate::snapshot::Served;
use crate::uncacheable::Uncacheable;
use pingora_cache::key::{CacheHashKey, CacheKey};
use pingora_cache::lock::{CacheKeyLock, CacheLock, LockStatus, Locked, WritePermit};
use pingora_cache::{NoCacheReason, predictor::CacheablePredictor};
use purge::Verdict;
use semantics::storing::Reason;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How long another request's fetch is waited for before one of the waiting becomes the fetcher.
const FETCH_MAX: Duration = Duration::from_secs(60);

/// What a request's key tells of the request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asker {
    /// It has Authorization. What it is answered is no measure for requests without, nor theirs for it.
    pub(crate) authorized: bool,
    /// It wants nothing stored, so nobody need wait for what it fetches.
    pub(crate) alone: bool,
    /// It is a fetch in the background, with a permit for what was stale. Where that is gone, it doesn't wait for itself.
    pub(crate) in_background: bool,
    /// Nothing is stored, and nothing will be, for this reason: it is forwarded as it came, without a lookup.
    pub(crate) passed: Option<&'static str>,
    /// When it was received; unknown for what isn't a request's.
    pub(crate) received: Option<Steady>,
    /// Whose response it asks for; unknown for what isn't a request's.
    pub(crate) served: Option<Arc<Served>>,
    /// The number of the newest hard purge of whatever has the name, when the request was looked up; 0 for none. Requests
    /// before and after such a purge don't wait for each other.
    pub(crate) purged: u64,
}

impl Asker {
    fn of(key: &CacheKey) -> Cow<'_, Self> {
        key.extensions.get().map_or_else(|| Cow::Owned(Self::default()), Cow::Borrowed)
    }

    /// Whether a stored response is none to look for again: it was purged.
    fn is_purged(&self, key: &CacheKey, head: &Head) -> bool {
        let served = self.served.as_ref();
        served.is_some_and(|served| served.verdict(key.primary_key(), head) != Verdict::Current)
    }
}

/// Pingora's lock, which nobody waits for where waiting is in vain.
pub(crate) struct Collapse {
    pub(crate) uncacheable: Uncacheable,
    cache: &'static Cache,
    /// The lock that all take part in.
    pub(crate) shared: Shared,
}

/// Pingora's lock, of the requests for a response that no purge of its name is between.
pub(crate) struct Shared(CacheLock);

/// Marks a permit that is in no table: nobody waits for it.
#[derive(Clone)]
struct Unshared;

impl Collapse {
    pub(crate) fn new(uncacheable: Uncacheable, cache: &'static Cache) -> Self {
        Self { uncacheable, cache, shared: Shared(CacheLock::new(FETCH_MAX)) }
    }

    /// Whether the response has come since the request was received, and so perhaps after its lookup: what another fetch
    /// brought between the two is not to be fetched again.
    fn has_come(&self, key: &CacheKey) -> bool {
        let asker = Asker::of(key);
        let Some(received) = asker.received else { return false };
        let found = self.cache.store.find_now(&cache::store_key(key), key.primary_key());
        found.is_some_and(|found| {
            found.head.kept().received.steady > received && !asker.is_purged(key, &found.head)
        })
    }

    /// Remembers that the response of a name was not to be stored.
    pub(crate) fn remember(&self, key: &CacheKey, reason: &'static str) {
        self.uncacheable.remember(key.primary_bin(), Asker::of(key).authorized, reason);
    }

    /// Forgets that: a response of the name was stored.
    pub(crate) fn forget(&self, key: &CacheKey) {
        self.uncacheable.forget(key.primary_bin(), Asker::of(key).authorized);
    }

    fn is_in_vain(&self, key: &CacheKey) -> bool {
        self.uncacheable.reason(key.primary_bin(), Asker::of(key).authorized).is_some()
    }
}

impl CacheKeyLock for Shared {
    fn lock(&self, key: &CacheKey, stale_writer: bool) -> Locked {
        self.0.lock(&since_purge(key), stale_writer)
    }

    fn release(&self, key: &CacheKey, permit: WritePermit, status: LockStatus) {
        self.0.release(&since_purge(key), permit, status);
    }
}

/// The key, told apart by the purge that its request came after.
fn since_purge(key: &CacheKey) -> Cow<'_, CacheKey> {
    let purged = Asker::of(key).purged;
    if purged == 0 {
        return Cow::Borrowed(key);
    }
    let mut name = key.primary_bin();
    let (number, _) = name.split_at_mut(size_of::<u64>());
    number.iter_mut().zip(purged.to_le_bytes()).for_each(|(byte, other)| *byte ^= other);
    let mut key = key.clone();
    key.set_primary_bin_override(name);
    Cow::Owned(key)
}

impl CacheKeyLock for Collapse {
    fn lock(&self, key: &CacheKey, stale_writer: bool) -> Locked {
        let asker = Asker::of(key);
        let is_itself = asker.in_background && !stale_writer;
        if !asker.alone && !is_itself && !self.is_in_vain(key) {
            let locked = self.shared.lock(key, stale_writer);
            let Locked::Write(permit) = locked else { return locked };
            if !self.has_come(key) {
                return Locked::Write(permit);
            }
            // waits for nothing, and looks again
            let again = self.shared.lock(key, stale_writer);
            self.shared.release(key, permit, LockStatus::Done);
            return again;
        }
        let mut mark = http::Extensions::new();
        mark.insert(Unshared);
        Locked::Write(WritePermit::new(FETCH_MAX, stale_writer, mark).0)
    }

    fn release(&self, key: &CacheKey, mut permit: WritePermit, status: LockStatus) {
        if permit.extensions().get::<Unshared>().is_some() {
            permit.unlock(status);
        } else {
            self.shared.release(key, permit, status);
        }
    }

    /// What only the fetching request has caused is nothing to the others: one of them fetches next.
    fn custom_lock_status(&self, reason: &'static str) -> LockStatus {
        if [Reason::Authorization, Reason::RequestNoStore].iter().any(|own| own.token() == reason) {
            LockStatus::TransientError
        } else {
            LockStatus::GiveUp
        }
    }
}

/// Tells Pingora which requests to forward without a lookup. What is remembered isn't its to decide.
pub(crate) struct Passing;

impl CacheablePredictor for Passing {
    fn cacheable_prediction(&self, key: &CacheKey) -> bool {
        Asker::of(key).passed.is_none()
    }

    fn predicted_uncacheable_reason(&self, key: &CacheKey) -> Option<NoCacheReason> {
        Asker::of(key).passed.map(NoCacheReason::Custom)
    }

    fn mark_cacheable(&self, _: &CacheKey) -> bool {
        true
    }

    fn mark_uncacheable(&self, _: &CacheKey, _: NoCacheReason) -> Option<bool> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, asker: Asker) -> CacheKey {
        let mut key = cache::cache_key(name.into(), cache::hash(name.as_bytes()));
        key.extensions.insert(asker);
        key
    }

    fn collapse() -> Collapse {
        let limits = store::Limits {
            memory_bytes: 1_000,
            response_max_bytes: 1_000,
            filling_max_bytes: 1_000,
            variants_max: 1,
        };
        let cache = Box::leak(Box::new(Cache::new(store::Store::new(limits), 0)));
        Collapse::new(Uncacheable::new(1_000, Duration::from_secs(60)), cache)
    }

    /// Releases what is written, so that nobody waits after the test.
    fn writes(collapse: &Collapse, key: &CacheKey, locked: Locked) -> bool {
        match locked {
            Locked::Write(permit) => {
                collapse.release(key, permit, LockStatus::Done);
                true
            }
            Locked::Read(_) => false,
        }
    }

    #[test]
    fn the_second_waits_unless_waiting_was_in_vain() {
        let (collapse, key) = (collapse(), key("/a", Asker::default()));
        let first = collapse.lock(&key, false);
        assert!(!writes(&collapse, &key, collapse.lock(&key, false)));
        collapse.remember(&key, "no-store");
        assert!(writes(&collapse, &key, collapse.lock(&key, false)));
        collapse.forget(&key);
        // the lock of the first is still there
        assert!(!writes(&collapse, &key, collapse.lock(&key, false)));
        assert!(writes(&collapse, &key, first));
        assert!(writes(&collapse, &key, collapse.lock(&key, false)));
    }

    #[test]
    fn nobody_waits_for_a_fetch_that_began_before_a_purge() {
        let collapse = collapse();
        let key = |purged| key("/a", Asker { purged, ..Asker::default() });
        let first = collapse.lock(&key(0), false);
        assert!(!writes(&collapse, &key(0), collapse.lock(&key(0), false)));
        let second = collapse.lock(&key(7), false);
        assert!(second.is_write());
        assert!(!writes(&collapse, &key(7), collapse.lock(&key(7), false)));
        assert!(writes(&collapse, &key(0), first) && writes(&collapse, &key(7), second));
    }

    #[test]
    fn one_who_wants_nothing_stored_neither_waits_nor_is_waited_for() {
        let alone = key("/a", Asker { alone: true, ..Asker::default() });
        let (collapse, other) = (collapse(), key("/a", Asker::default()));
        let first = collapse.lock(&alone, false);
        let second = collapse.lock(&other, false);
        assert!(second.is_write());
        assert!(writes(&collapse, &alone, collapse.lock(&alone, false)));
        assert!(writes(&collapse, &alone, first) && writes(&collapse, &other, second));
    }

    #[test]
    fn a_fetch_in_the_background_does_not_wait_for_itself() {
        let (collapse, parent) = (collapse(), key("/a", Asker::default()));
        let own = key("/a", Asker { in_background: true, ..Asker::default() });
        let permit = collapse.lock(&parent, true);
        assert!(permit.is_write());
        // what Pingora expects: it has the permit already
        assert!(!writes(&collapse, &own, collapse.lock(&own, true)));
        assert!(writes(&collapse, &own, collapse.lock(&own, false)));
        assert!(writes(&collapse, &parent, permit));
    }

    #[test]
    fn authorization_is_remembered_apart() {
        let authorized = key("/a", Asker { authorized: true, ..Asker::default() });
        let collapse = collapse();
        collapse.remember(&authorized, "authorization");
        let hash = cache::hash(b"/a");
        assert_eq!(collapse.uncacheable.reason(hash, true), Some("authorization"));
        assert_eq!(collapse.uncacheable.reason(hash, false), None);
    }
}
