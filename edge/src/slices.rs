//! Which slices of a response belong together? What is remembered of a name of which parts are stored.
//!
//! The table is bounded, and so forgets; what it forgot is found again in the store, where each group is kept as a
//! response without a body ([`record`]), beside its slices. A group that was purged for good is none: what is fetched from
//! then on begins a new one, so that no two representations are mixed, nor is anything asked of the one that is gone.

mod record;

use crate::cache::{self, Cache as Responses, Head};
use crate::snapshot::Served;
use crate::stage::keep;
use crate::stage::lookup::Named;
use crate::stage::reuse::Kept;
use crate::stage::slice::Facts;
use http::HeaderMap;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use purge::{Compared, Tags, Verdict};
use semantics::fields::TAG_FIELDS;
use semantics::range::Spec;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::{Found, Moment};
use ulid::Ulid;

/// Bytes that a name which has slices holds in memory, and one that has none; measured as growth of the process.
const GROUP_BYTES: u32 = 1_400;
const DECLINED_BYTES: u32 = 400;
const DECLINED_LIFETIME: Duration = Duration::from_mins(2);
/// Tags that are remembered of a group; one with more is given up by any purge of a tag.
const TAGS_MAX: usize = 64;

/// The slices of all names.
pub(crate) struct Slices {
    /// Bytes of a slice.
    pub(crate) bytes: u64,
    groups: Cache<[u8; 16], Arc<Group>>,
    declined: Cache<[u8; 16], ()>,
}

/// Slices of one representation.
pub(crate) struct Group {
    /// Tells the slices of this group from all others, those of earlier runs too: it is random.
    pub(crate) number: u64,
    known: OnceLock<Known>,
}

struct Known {
    facts: Facts,
    /// The response's `Vary`, and what its request selected by it.
    vary: HeaderMap,
    variance: Option<[u8; 16]>,
    /// The response's tags, where it is known from itself: those that were forgotten are with its slices alone.
    tags: Tags,
    /// The newest number that it is known not to have been purged with.
    compared: Compared,
}

impl Slices {
    /// None yet, of `bytes` each. What is remembered of names takes twice `remembered_bytes` at most; beyond, what was
    /// used least is forgotten, and the slices of that name with it.
    pub(crate) fn new(bytes: u64, remembered_bytes: u64) -> Self {
        Self {
            bytes,
            groups: Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(remembered_bytes)
                .weigher(|_, _| GROUP_BYTES)
                .build(),
            declined: Cache::builder()
                .max_capacity(remembered_bytes)
                .weigher(|_, ()| DECLINED_BYTES)
                .time_to_live(DECLINED_LIFETIME)
                .build(),
        }
    }

    /// The group of the name with this hash; a new one where there is none.
    pub(crate) async fn group(
        &self,
        responses: &Responses,
        (name, hash): (&[u8], [u8; 16]),
        served: &Served,
    ) -> Arc<Group> {
        match self.known_group(responses, (name, hash), served).await {
            Some(group) => group,
            None => self.groups.get_with(hash, || Arc::new(Group::new())),
        }
    }

    /// The group of a name, if there is one that isn't purged and something is known of it.
    pub(crate) async fn known_group(
        &self,
        responses: &Responses,
        (name, hash): (&[u8], [u8; 16]),
        served: &Served,
    ) -> Option<Arc<Group>> {
        if let Some(group) = self.groups.get(&hash) {
            if group.is_gone(name, served) {
                self.leave(hash, &group);
                return None;
            }
            return group.facts().is_some().then_some(group);
        }
        let group = record::find(responses, name).await?;
        if group.is_gone(name, served) {
            return None;
        }
        let group = self.groups.get_with(hash, || Arc::new(group));
        if record::find(responses, name).await.is_none() {
            // forgotten between the two: that is noted in the store first
            self.groups.invalidate(&hash);
            return None;
        }
        Some(group)
    }

    /// The group of a name that a whole with these `facts` tells of; a new one where what is known is of another.
    /// None where what is known is of another variant.
    pub(crate) fn group_of_whole(
        &self,
        (name, hash): (&[u8], [u8; 16]),
        told: &Told<'_>,
        served: &Served,
    ) -> Option<Arc<Group>> {
        let known = self.groups.get(&hash).filter(|group| !group.is_gone(name, served));
        if known.as_ref().is_some_and(|group| !group.is_selected(told.request, told.key)) {
            return None;
        }
        if let Some(group) = known.filter(|group| group.accepts(told)) {
            return Some(group);
        }
        let group = Arc::new(Group::new());
        group.accepts(told);
        self.groups.insert(hash, Arc::clone(&group));
        Some(group)
    }

    /// Whether the slices of a name were given up since a fetch began at `since`: then none that it brings may be
    /// found, and the group that it has begun is taken away.
    pub(crate) fn are_overtaken(
        &self,
        responses: &Responses,
        name: &[u8],
        hash: [u8; 16],
        since: Moment,
    ) -> bool {
        // in this order: whoever gives slices up notes that first, and then takes the group away
        let is_overtaken = record::is_removed(responses, name, since);
        if is_overtaken {
            self.groups.invalidate(&hash);
        }
        is_overtaken
    }

    /// Whether the slices of a group are those of its name, as far as the table tells.
    pub(crate) fn is_current(&self, hash: [u8; 16], group: &Group) -> bool {
        self.groups.get(&hash).is_some_and(|current| current.number == group.number)
    }

    /// Stores what is known of a group, so that its slices are found when the table has forgotten it. `since` is when
    /// the fetch began that told it.
    pub(crate) fn keep_group(
        &self,
        responses: &Responses,
        name: &[u8],
        group: &Group,
        (kept, since): (Kept, Moment),
    ) {
        record::keep(responses, name, group, kept, since);
    }

    /// How many names have slices, and of how many none can be had.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.groups.run_pending_tasks();
        self.declined.run_pending_tasks();
        (self.groups.entry_count(), self.declined.entry_count())
    }

    /// Gives up the slices of a name.
    pub(crate) fn forget(&self, responses: &Responses, name: &[u8], hash: [u8; 16]) {
        record::remove(responses, name);
        self.groups.invalidate(&hash);
    }

    /// Has the table forget this group, if the name has no other by now.
    fn leave(&self, hash: [u8; 16], group: &Group) {
        self.groups.entry(hash).and_compute_with(|held| {
            let is_same = held.is_some_and(|held| held.value().number == group.number);
            if is_same { Op::Remove } else { Op::Nop }
        });
    }

    /// Remembers for a while that new slices of a name can't be had.
    pub(crate) fn decline(&self, name: [u8; 16]) {
        self.declined.insert(name, ());
    }

    /// Whether new slices of a name can't be had, `remembered` being why its last response was not to be stored.
    pub(crate) fn are_in_vain(&self, name: [u8; 16], remembered: Option<&'static str>) -> bool {
        // what is too large to be stored whole is what slices are for
        let lasts = remembered.is_some_and(|reason| reason != keep::TOO_LARGE.token);
        lasts || self.declined.contains_key(&name)
    }

    /// Whether what is wanted can be cut from something whole that is there and not purged, or soon will be: what is
    /// being filled comes to its first bytes soon, and to others late.
    pub(crate) fn are_needless(
        &self,
        whole: Option<Found<Head>>,
        wanted: Spec,
        (name, served): (&[u8], &Served),
    ) -> bool {
        let is_begun = match wanted {
            Spec::From(first) | Spec::Between(first, _) => first < self.bytes,
            Spec::Suffix(_) => false,
        };
        whole.is_some_and(|found| {
            (found.length.is_some() || is_begun) && !served.is_gone(name, &found.head)
        })
    }
}

/// What tells of the representation that slices are of.
pub(crate) struct Told<'t> {
    pub(crate) facts: &'t Facts,
    /// The fields of the response, and those of its request.
    pub(crate) head: &'t HeaderMap,
    pub(crate) request: &'t HeaderMap,
    pub(crate) key: Option<&'t route::Key>,
    /// The number up to which the feed was applied when the response's fetch began.
    pub(crate) applied: u64,
}

impl Group {
    fn new() -> Self {
        let number = u64::try_from(Ulid::new().random() & u128::from(u64::MAX)).unwrap_or_default();
        Self { number, known: OnceLock::new() }
    }

    /// What its slices are of, once one was seen.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        self.known.get().map(|known| &known.facts)
    }

    /// Whether it was purged for good: its slices are those of the whole that is stored under `name`.
    fn is_gone(&self, name: &[u8], served: &Served) -> bool {
        let Some(known) = self.known.get() else { return false };
        let facts = || Some(Named::read(name)?.facts(&known.tags));
        matches!(served.purges.compare(&known.compared, facts), Verdict::Gone(_))
    }

    /// Whether a request selects the variant whose slices these are. A group of which nothing is known takes any.
    pub(crate) fn is_selected(&self, request: &HeaderMap, key: Option<&route::Key>) -> bool {
        let Some(known) = self.known.get() else { return true };
        cache::variance(&known.vary, None, request, key) == known.variance
    }

    /// Whether a slice, or a whole, is of the same representation. What the first says holds from then on.
    pub(crate) fn accepts(&self, told: &Told<'_>) -> bool {
        let known = self.known.get_or_init(|| {
            let lines = told.head.get_all(http::header::VARY).into_iter();
            Known {
                facts: told.facts.clone(),
                vary: lines.map(|line| (http::header::VARY, line.clone())).collect(),
                variance: cache::variance(told.head, None, told.request, told.key),
                tags: tags(told.head),
                compared: Compared::with(told.applied),
            }
        });
        known.facts.agree(told.facts)
    }
}

fn tags(head: &HeaderMap) -> Tags {
    let lines = TAG_FIELDS.iter().flat_map(|name| head.get_all(name));
    Tags::read(lines.map(http::HeaderValue::as_bytes), TAGS_MAX)
}

#[cfg(test)]
mod tests;
