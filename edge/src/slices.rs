//! Which slices of a response belong together? What is remembered of a name of which parts are stored.

use crate::cache::{self, Head};
use crate::stage::keep;
use crate::stage::slice::Facts;
use http::HeaderMap;
use moka::sync::Cache;
use purge::Horizon;
use semantics::range::Spec;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use store::Found;

/// Bytes that a name which has slices holds in memory, and one that has none; measured as growth of the process.
const GROUP_BYTES: u32 = 1_400;
const DECLINED_BYTES: u32 = 400;
const DECLINED_LIFETIME: Duration = Duration::from_mins(2);

/// The slices of all names.
pub(crate) struct Slices {
    /// Bytes of a slice.
    pub(crate) bytes: u64,
    groups: Cache<[u8; 16], Arc<Group>>,
    declined: Cache<[u8; 16], ()>,
    next_number: AtomicU64,
}

/// Slices of one representation.
pub(crate) struct Group {
    /// Tells the slices of this group from all others.
    pub(crate) number: u64,
    known: OnceLock<Known>,
}

struct Known {
    facts: Facts,
    /// The response's `Vary`, and what its request selected by it.
    vary: HeaderMap,
    variance: Option<[u8; 16]>,
}

impl Slices {
    /// None yet, of `bytes` each. What is remembered of names takes twice `remembered_bytes` at most; beyond, what was
    /// used least is forgotten, and the slices of that name with it.
    pub(crate) fn new(bytes: u64, remembered_bytes: u64) -> Self {
        Self {
            bytes,
            groups: Cache::builder()
                .max_capacity(remembered_bytes)
                .weigher(|_, _| GROUP_BYTES)
                .build(),
            declined: Cache::builder()
                .max_capacity(remembered_bytes)
                .weigher(|_, ()| DECLINED_BYTES)
                .time_to_live(DECLINED_LIFETIME)
                .build(),
            next_number: AtomicU64::new(0),
        }
    }

    /// The group of a name; a new one where there is none.
    pub(crate) fn group(&self, name: [u8; 16]) -> Arc<Group> {
        self.groups.get_with(name, || {
            let number = self.next_number.fetch_add(1, Ordering::Relaxed);
            Arc::new(Group { number, known: OnceLock::new() })
        })
    }

    /// The group of a name, if there is one and something is known of it.
    pub(crate) fn known_group(&self, name: [u8; 16]) -> Option<Arc<Group>> {
        self.groups.get(&name).filter(|group| group.known.get().is_some())
    }

    /// How many names have slices, and of how many none can be had.
    pub(crate) fn counts(&self) -> (u64, u64) {
        self.groups.run_pending_tasks();
        self.declined.run_pending_tasks();
        (self.groups.entry_count(), self.declined.entry_count())
    }

    /// Gives up the slices of a name.
    pub(crate) fn forget(&self, name: [u8; 16]) {
        self.groups.invalidate(&name);
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
        horizon: Horizon,
    ) -> bool {
        let is_begun = match wanted {
            Spec::From(first) | Spec::Between(first, _) => first < self.bytes,
            Spec::Suffix(_) => false,
        };
        whole.is_some_and(|found| {
            (found.length.is_some() || is_begun) && !horizon.purges(found.head.kept().applied)
        })
    }
}

impl Group {
    /// What its slices are of, once one was seen.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        self.known.get().map(|known| &known.facts)
    }

    /// Whether a request selects the variant whose slices these are. A group of which nothing is known takes any.
    pub(crate) fn is_selected(&self, request: &HeaderMap, key: Option<&route::Key>) -> bool {
        let Some(known) = self.known.get() else { return true };
        cache::variance(&known.vary, None, request, key) == known.variance
    }

    /// Whether a slice is of the same representation. What the first slice says holds from then on.
    pub(crate) fn accepts(
        &self,
        facts: &Facts,
        head: &HeaderMap,
        request: &HeaderMap,
        key: Option<&route::Key>,
    ) -> bool {
        let known = self.known.get_or_init(|| {
            let lines = head.get_all(http::header::VARY).into_iter();
            Known {
                facts: facts.clone(),
                vary: lines.map(|line| (http::header::VARY, line.clone())).collect(),
                variance: cache::variance(head, None, request, key),
            }
        });
        known.facts.agree(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::slice::Slice;
    use crate::stage::testing::fields;

    fn facts(complete_length: u64) -> Facts {
        let range = format!("bytes 0-0/{complete_length}");
        let head = [
            (http::header::CONTENT_RANGE, range.parse().unwrap()),
            (http::header::CONTENT_LENGTH, "1".parse().unwrap()),
            (http::header::ETAG, "\"a\"".parse().unwrap()),
        ];
        let slice = Slice { index: 0, bytes: 1, group: 0 };
        slice.facts(http::StatusCode::PARTIAL_CONTENT, &head.into_iter().collect()).unwrap()
    }

    #[test]
    fn a_group_is_of_one_representation() {
        let slices = Slices::new(10, 1 << 20);
        let group = slices.group([1; 16]);
        let none = HeaderMap::new();
        assert!(slices.known_group([1; 16]).is_none());
        assert!(group.accepts(&facts(5), &none, &none, None));
        assert!(!group.accepts(&facts(6), &none, &none, None));
        assert_eq!(slices.known_group([1; 16]).map(|group| group.number), Some(group.number));
        slices.forget([1; 16]);
        assert_ne!(slices.group([1; 16]).number, group.number);
    }

    #[test]
    fn a_group_is_of_one_variant() {
        let group = Slices::new(10, 1 << 20).group([1; 16]);
        let head = fields(&[("vary", "a")]);
        assert!(group.is_selected(&fields(&[("a", "2")]), None));
        assert!(group.accepts(&facts(5), &head, &fields(&[("a", "1")]), None));
        assert!(group.is_selected(&fields(&[("a", "1"), ("b", "2")]), None));
        assert!(!group.is_selected(&fields(&[("a", "2")]), None));
    }

    #[test]
    fn a_name_that_was_declined_keeps_its_slices() {
        let slices = Slices::new(10, 1 << 20);
        let none = HeaderMap::new();
        assert!(slices.group([1; 16]).accepts(&facts(5), &none, &none, None));
        slices.decline([1; 16]);
        assert!(slices.are_in_vain([1; 16], None) && !slices.are_in_vain([2; 16], None));
        assert!(slices.are_in_vain([2; 16], Some("private")));
        assert!(!slices.are_in_vain([2; 16], Some(keep::TOO_LARGE.token)));
        assert!(slices.known_group([1; 16]).is_some());
    }
}
