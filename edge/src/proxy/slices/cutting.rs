//! Cuts a large response into slices while it passes to its client, so that the next ones find them.
//!
//! The response is taken in only as fast as its client reads it, and of all that has passed only the slice is held that
//! is being gathered. What breaks off leaves the slices that are complete. Lookups find complete ones only: who asks for
//! one that isn't fetches it, for this client may be slow.

use super::{Edge, may_be_sliced};
use crate::cache;
use crate::context::Context;
use crate::slices::{Group, Slices, Told};
use crate::snapshot::Served;
use crate::stage::keep::ToKeep;
use crate::stage::lookup;
use crate::stage::reuse::Kept;
use crate::stage::slice::{self, Slice};
use bytes::Bytes;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use purge::Verdict;
use std::sync::Arc;
use store::Fill;

/// A response that is cut.
pub(crate) struct Cutting {
    name: Vec<u8>,
    hash: [u8; 16],
    served: Arc<Served>,
    group: Arc<Group>,
    kept: Kept,
    /// Its head as it is stored, and which variant of its name it is.
    header: ResponseHeader,
    variance: Option<[u8; 16]>,
    complete_length: u64,
    /// The slice that passes, how much of it has, and what is gathered of it: nothing of one that is stored already, or
    /// for which there is no room.
    slice: Slice,
    passed: u64,
    gathered: Option<Fill<cache::Head>>,
}

impl Edge {
    /// Begins to cut a response that is to be kept, if it is one to be cut. False where nothing was begun.
    pub(in crate::proxy) fn cut(
        &self,
        session: &Session,
        response: &ResponseHeader,
        to_keep: &ToKeep,
        ctx: &mut Context,
    ) -> bool {
        let Some(cutting) = self.cutting(session, response, to_keep, ctx) else { return false };
        let since = ctx.forward.began.unwrap_or_default();
        if self.slices.are_overtaken(self.cache, &cutting.name, cutting.hash, since) {
            return false;
        }
        let about = (cutting.kept, since);
        self.slices.keep_group(self.cache, &cutting.name, &cutting.group, about);
        self.collapse.forget(session.cache.cache_key());
        self.note_tags(&cutting.header, &session.req_header().uri, ctx);
        if session.cache.maybe_cache_meta().is_some() {
            // slices are looked for where nothing whole is stored
            self.cache.store.remove(&cache::store_key(session.cache.cache_key()).first());
        }
        ctx.kept = Some(to_keep.kept);
        ctx.cutting = Some(Box::new(cutting));
        true
    }

    fn cutting(
        &self,
        session: &Session,
        response: &ResponseHeader,
        to_keep: &ToKeep,
        ctx: &Context,
    ) -> Option<Cutting> {
        let (identity, routed) = (ctx.identity.as_ref()?, ctx.route.as_ref()?);
        let caching = &routed.rule.caching;
        if !caching.slices || !may_be_sliced(session) {
            return None;
        }
        let request = session.req_header();
        let (fields, bytes) = (&request.headers, self.slices.bytes);
        let facts = slice::cuttable(fields, response.status, &response.headers, bytes)?;
        let name = lookup::name(
            &request.uri,
            identity,
            &routed.served.site.id,
            &caching.key,
            ctx.snapshot.epoch,
        );
        let hash = cache::hash(&name);
        if self.slices.are_in_vain(hash, None) {
            return None;
        }
        let key = ctx.key();
        let told = Told {
            facts: &facts,
            head: &response.headers,
            request: fields,
            key,
            applied: to_keep.kept.applied,
        };
        let group = self.slices.group_of_whole((&name, hash), &told, &routed.served)?;
        let slice = Slice { index: 0, bytes, group: group.number };
        Some(Cutting {
            name,
            hash,
            served: Arc::clone(&routed.served),
            group,
            kept: to_keep.kept,
            header: to_keep.header.clone(),
            variance: cache::variance(&to_keep.header.headers, None, fields, key),
            complete_length: facts.complete_length,
            slice,
            passed: 0,
            gathered: None,
        })
    }

    /// Takes in a piece of a response that is cut.
    pub(in crate::proxy) fn take_in(&self, body: Option<&Bytes>, ctx: &mut Context) {
        if let (Some(cutting), Some(body)) = (&mut ctx.cutting, body) {
            cutting.take_in(body.clone(), self.cache, self.slices);
        }
    }
}

impl Cutting {
    fn take_in(&mut self, mut body: Bytes, cache: &cache::Cache, slices: &Slices) {
        while !body.is_empty() {
            if self.passed == 0 {
                self.gathered = self.begin(cache, slices);
            }
            let length = self.slice.length(self.complete_length);
            let left = usize::try_from(length - self.passed).unwrap_or(usize::MAX);
            let piece = body.split_to(left.min(body.len()));
            if piece.is_empty() {
                // more than the response said it has
                return;
            }
            self.passed += piece.len() as u64;
            self.gathered = self.gathered.take().and_then(|fill| gather(fill, piece));
            if self.passed == length {
                let gathered = self.gathered.take();
                // slices of a group that was given up meanwhile are nobody's
                gathered.filter(|_| slices.is_current(self.hash, &self.group)).map(Fill::complete);
                (self.slice.index, self.passed) = (self.slice.index + 1, 0);
            }
        }
    }

    /// Begins to gather a slice. None where it is stored already and not purged, or can't be.
    fn begin(&self, cache: &cache::Cache, slices: &Slices) -> Option<Fill<cache::Head>> {
        let mut name = self.name.clone();
        self.slice.append_to(&mut name);
        let key = cache::first_variant(&name);
        let found = cache.store.find_now(&key, &name);
        let is_as_good = |found: store::Found<cache::Head>| {
            let stored = found.head.kept();
            let resident = stored.resident(self.kept.received.steady);
            self.served.verdict(&name, &found.head) == Verdict::Current
                && stored.freshness.ttl(resident) > 0
        };
        if found.is_some_and(is_as_good) || !slices.is_current(self.hash, &self.group) {
            return None;
        }
        let since = cache.store.moment();
        let header = self.slice.cut(&self.header, self.complete_length)?;
        let head = cache.new_head(self.kept, since, header, self.variance)?;
        Some(cache.store.fill_aside(key, name.into(), head, since))
    }
}

/// None where there is no room for what is being filled.
fn gather(mut fill: Fill<cache::Head>, piece: Bytes) -> Option<Fill<cache::Head>> {
    fill.write(piece).ok()?;
    (!fill.passes()).then_some(fill)
}
