//! Pingora's `Storage` over our store: the only place where the two meet.

mod head;
mod miss;

pub(crate) use head::{Head, has_body, tags};
pub(crate) use miss::Course;

use crate::clock;
use crate::context::Routed;
use crate::snapshot::Served;
use crate::stage::reuse::Kept;
use async_trait::async_trait;
use bytes::Bytes;
use head::{Selected, meta};
use pingora_cache::CacheMeta;
use pingora_cache::key::{CacheHashKey, CacheKey, HashBinary};
use pingora_cache::storage::{
    HandleHit, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora_cache::trace::SpanHandle;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{Found, Key, Moment, Reader, Store, Was};

/// When the fetch of a response began; long ago for one that wasn't fetched.
fn began(meta: &CacheMeta) -> Moment {
    meta.extensions().get::<Moment>().copied().unwrap_or_default()
}

/// The site that a response is stored for; none where it isn't a request's.
fn served(meta: &CacheMeta) -> Option<&Arc<Served>> {
    meta.extensions().get()
}

/// The first 128 bits of BLAKE3: two names with the same hash are told apart by the store, so this need only be rare.
pub(crate) fn hash(name: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    blake3::Hasher::new().update(name).finalize_xof().fill(&mut hash);
    hash
}

/// The variant that a request with the fields `request` selects of a response with the fields `stored`, by what the
/// rule's key names and by `Vary` (RFC 9111 §4.1); none where neither names anything. `first` is the variant that `stored`
/// itself is, once it is stored: where the key names nothing, a request selects it also by preferring its language.
pub(crate) fn variance(
    stored: &http::HeaderMap,
    first: Option<[u8; 16]>,
    request: &http::HeaderMap,
    rule_key: Option<&route::Key>,
) -> Option<[u8; 16]> {
    let rule_key = rule_key.filter(|key| key.selects());
    if rule_key.is_none() && !stored.contains_key(http::header::VARY) {
        return None;
    }
    let mut key = Vec::with_capacity(128);
    if let Some(rule_key) = rule_key {
        rule_key.append_selected(request, &mut key);
    }
    semantics::vary::variant_key(stored, request, &mut key);
    let selected = (!key.is_empty()).then(|| hash(&key))?;
    let by_language = first.filter(|&first| {
        first != selected
            && rule_key.is_none()
            && semantics::vary::is_preferred_language(stored, request)
    });
    by_language.or(Some(selected))
}

/// The variant to look for where `found` is the first variant of its name, and `selected` the one that the request
/// selects of it. What was stored as the variant of something is nobody's where nothing selects any more.
pub(crate) fn wanted(found: Option<[u8; 16]>, selected: Option<[u8; 16]>) -> Option<[u8; 16]> {
    selected.or_else(|| found.map(|_| hash(&[])))
}

/// Which variant a response with the fields `own` to `request` is. One that renews a response stays the variant that it
/// was, `renewed` with its fields, while it varies by the same.
fn variant(
    own: &http::HeaderMap,
    renewed: Option<(Option<HashBinary>, &http::HeaderMap)>,
    request: &http::HeaderMap,
    rule_key: Option<&route::Key>,
) -> Option<HashBinary> {
    match renewed {
        Some((variant, fields)) if varies_alike(own, fields) => variant,
        _ => variance(own, None, request, rule_key),
    }
}

fn varies_alike(one: &http::HeaderMap, other: &http::HeaderMap) -> bool {
    one.get_all(http::header::VARY).iter().eq(other.get_all(http::header::VARY))
}

/// Pingora's key for a name and its hash.
pub(crate) fn cache_key(name: Vec<u8>, hash: [u8; 16]) -> CacheKey {
    let mut key = CacheKey::new(name, String::new());
    key.set_primary_bin_override(hash);
    key
}

/// The store's key of the first variant of a name.
pub(crate) fn first_variant(name: &[u8]) -> Key {
    first_variant_of(hash(name))
}

/// The store's key of the first variant of the name with this hash.
pub(crate) fn first_variant_of(hash: [u8; 16]) -> Key {
    Key { name: hash, variant: [0; 16] }
}

/// The store's key of what Pingora looked up.
pub(crate) fn store_key(key: &CacheKey) -> Key {
    Key { name: key.primary_bin(), variant: key.get_variance_key().copied().unwrap_or_default() }
}

/// What a request selects of what is stored under a name.
#[derive(Default)]
pub(crate) struct Selection {
    /// Whether it isn't the first variant.
    pub(crate) varied: bool,
    pub(crate) response: Option<(Key, Found<Head>)>,
}

/// The store as Pingora sees it.
pub(crate) struct Cache {
    pub(crate) store: Store<Head>,
    /// Bytes that may be yet to come of a response for which nobody waits.
    abandoned_max_bytes: u64,
    /// Invariant: higher than the places of all responses that were ever stored.
    next_place: AtomicU64,
}

/// What Content-Length says, where it can be read.
pub(crate) fn content_length(fields: &http::HeaderMap) -> Option<u64> {
    fields.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Cache {
    pub(crate) fn new(store: Store<Head>, abandoned_max_bytes: u64) -> Self {
        let next_place = AtomicU64::new(store.first_number());
        Self { store, abandoned_max_bytes, next_place }
    }

    /// The meta of a response that is the variant `variance`, to a fetch that began at `began`.
    fn new_meta(
        &self,
        kept: Kept,
        began: Moment,
        header: ResponseHeader,
        variance: Option<HashBinary>,
    ) -> CacheMeta {
        let mut meta = meta(kept, self.next_place(), header, kept.received);
        meta.extensions_mut().insert(began);
        meta.extensions_mut().insert(Selected(variance));
        meta
    }

    /// The meta of a response to `request`, to a fetch that began at `began`. `renewed` are the variant and the fields of
    /// the stored response that it renews, if it does; `routed` is where the request goes.
    pub(crate) fn meta_to(
        &self,
        request: &http::HeaderMap,
        (kept, header): (Kept, ResponseHeader),
        renewed: Option<(Option<HashBinary>, &http::HeaderMap)>,
        routed: Option<&Routed>,
        (began, course): (Moment, Course),
    ) -> CacheMeta {
        let rule_key = routed.map(|routed| &routed.rule.caching.key);
        let variant = variant(&header.headers, renewed, request, rule_key);
        let mut meta = self.new_meta(kept, began, header, variant);
        meta.extensions_mut().insert(course);
        if let Some(routed) = routed {
            meta.extensions_mut().insert(Arc::clone(&routed.served));
        }
        meta
    }

    /// What to store of a response to a request that Pingora's cache has no part in.
    pub(crate) fn new_head(
        &self,
        kept: Kept,
        began: Moment,
        header: ResponseHeader,
        variance: Option<HashBinary>,
    ) -> Option<Head> {
        Head::of(&self.new_meta(kept, began, header, variance))
    }

    /// The variant of what is stored under `name` that a request with the fields `request` selects (RFC 9111 §4.1).
    pub(crate) async fn select(
        &self,
        name: &[u8],
        request: &http::HeaderMap,
        rule_key: Option<&route::Key>,
    ) -> Selection {
        let key = first_variant(name);
        let Some(first) = self.store.find(&key, name).await else { return Selection::default() };
        let own = first.head.variance;
        let wanted = wanted(own, variance(first.head.selecting(), own, request, rule_key));
        if wanted == own {
            return Selection { varied: false, response: Some((key, first)) };
        }
        let key = Key { variant: wanted.unwrap_or_default(), ..key };
        let other = self.store.find(&key, name).await;
        let other = other
            .filter(|other| other.head.variance == wanted && other.head.since >= first.head.since);
        Selection { varied: true, response: other.map(|other| (key, other)) }
    }

    /// Gives the response `was`, stored under `name`, the head of `meta`, which renews it.
    pub(crate) fn freshen(&self, was: &Was<Head>, name: &[u8], meta: &CacheMeta) -> bool {
        let Some(mut head) = Head::of(meta) else { return false };
        head.since = was.head.since;
        self.renew(was, name, head, meta)
    }

    /// Gives the response `was` a new head, that of `meta`; nothing where another response has taken its place. Where
    /// another `Vary` came with it, requests are matched by that from now on.
    fn renew(&self, was: &Was<Head>, name: &[u8], head: Head, meta: &CacheMeta) -> bool {
        // by its own tags: with those of the new head, a purge that came meanwhile might not select it any more
        let changes_tags = head.tags() != was.head.tags();
        let served = served(meta).filter(|_| changes_tags);
        let is_gone = || served.is_some_and(|served| served.is_gone(name, &was.head));
        if is_gone() {
            return false;
        }
        let key = self.put_head(was, name, head, began(meta));
        if let Some(key) = key.filter(|_| is_gone()) {
            // the purge came between the two
            self.store.remove(&key);
        }
        key.is_some()
    }

    /// The key under which the response is now; none where another has taken its place.
    fn put_head(&self, was: &Was<Head>, name: &[u8], mut head: Head, began: Moment) -> Option<Key> {
        head.count_on(&was.head);
        let changed = head.variance != was.head.variance;
        if changed {
            head.since = self.next_place();
        }
        let to = if changed { was.key.first() } else { was.key };
        self.store.update(was, to, name, head, began).then_some(to)
    }

    /// A place after all others.
    fn next_place(&self) -> u64 {
        self.next_place.fetch_add(1, Ordering::Relaxed)
    }
}

#[async_trait]
impl Storage for Cache {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let store_key = store_key(key);
        let found = self.store.find(&store_key, key.primary_key()).await;
        Ok(found.map(|found| hit(found, store_key)))
    }

    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        tag: Option<&[u8]>,
        _: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let number = tag.and_then(|tag| <[u8; 8]>::try_from(tag).ok()).map(u64::from_le_bytes);
        let Some(number) = number else { return Ok(None) };
        let store_key = store_key(key);
        let found = self.store.find_fill(&store_key, key.primary_key(), number);
        Ok(found.map(|found| hit(found, store_key)))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<MissHandler> {
        Ok(Box::new(self.begin_fill(key, meta)?))
    }

    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _: PurgeType,
        _: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        let compact = target.key();
        let key = Key {
            name: compact.primary,
            variant: compact.variance.as_deref().copied().unwrap_or_default(),
        };
        Ok(if self.store.remove(&key) {
            PurgeOutcome::Purged(None)
        } else {
            PurgeOutcome::NotFound
        })
    }

    async fn update_meta(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _: &SpanHandle,
    ) -> Result<bool> {
        // Pingora adds what is beside the new meta to what was beside the one looked up
        let Some(was) = meta.extensions().get::<Was<Head>>() else { return Ok(false) };
        let Some(head) = Head::of(meta) else { return Ok(false) };
        Ok(self.renew(was, key.primary_key(), head, meta))
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

fn hit(found: Found<Head>, key: Key) -> (CacheMeta, HitHandler) {
    let mut meta = found.head.meta(found.length, clock::now());
    // which response a 304 renews
    let was = found.was(key);
    meta.extensions_mut().insert(was.clone());
    let Found { head, reader, .. } = found;
    let hit = Hit { reader, head, was };
    (meta, Box::new(hit))
}

/// A response found, whole or being filled.
pub(crate) struct Hit {
    reader: Reader,
    pub(crate) head: Arc<Head>,
    pub(crate) was: Was<Head>,
}

#[async_trait]
impl HandleHit for Hit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        // a fill that broke off is an error, never an end: what was sent is not the whole
        self.reader
            .read()
            .await
            .map_err(|error| Error::because(ErrorType::ReadError, "reading the store", error))
    }

    async fn finish(
        self: Box<Self>,
        _: &'static (dyn Storage + Sync),
        _: &CacheKey,
        _: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn can_seek_multipart(&self) -> bool {
        self.reader.rewinds()
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        self.reader.seek(start as u64, end.map(|end| end as u64));
        Ok(())
    }

    fn seek_multipart(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        self.seek(start, end)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

#[cfg(test)]
mod tests;
