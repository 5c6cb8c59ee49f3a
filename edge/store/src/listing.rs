//! What is stored, a page at a time. To be listed is no use: it keeps nothing in the store.
//!
//! Tiers follow one another, and in each of them what was stored first comes first. So what is there all the while
//! is listed, once, and what comes after a page was made can be in a later one.

use crate::fill::Filling;
use crate::store::{Complete, locked};
use crate::{Head, Key, Store};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a response is. Their order is that of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// On its way from an origin.
    Filling,
    /// Complete, in memory.
    Memory,
    /// Complete, on disk.
    Disk,
}

/// Where a listing goes on: after the response of this number, in this tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The tier.
    pub tier: Tier,
    /// Responses up to this number were listed; none for the beginning of the tier.
    pub after: Option<u64>,
}

/// Some of what is stored.
pub struct Page<H> {
    /// In the order of their numbers.
    pub listed: Vec<Listed<H>>,
    /// Where the next page begins. None after the last one.
    pub next: Option<Place>,
}

/// A response that is stored, or being filled.
pub struct Listed<H> {
    /// Where it is.
    pub tier: Tier,
    /// Tells it from all others of its tier.
    pub number: u64,
    /// What it is stored under.
    pub key: Key,
    /// Its whole name.
    pub name: Box<[u8]>,
    /// Its head.
    pub head: Arc<H>,
    /// Bytes of its body; none while it is being filled.
    pub length: Option<u64>,
}

impl Place {
    /// The beginning of a tier.
    #[must_use]
    pub const fn beginning(tier: Tier) -> Self {
        Self { tier, after: None }
    }

    fn is_before(self, number: u64) -> bool {
        self.after.is_none_or(|after| number > after)
    }
}

impl<H: Head> Store<H> {
    /// At most `limit` responses whose name is `wanted`, from `place` on. A page ends with its tier, so it can be short,
    /// or empty, where another one follows.
    ///
    /// Each page passes over all that is in its tier, so call it where that may take a while.
    #[must_use]
    pub fn list(&self, place: Place, limit: usize, wanted: impl Fn(&[u8]) -> bool) -> Page<H> {
        let mut page = Lowest { limit, listed: BTreeMap::new(), is_cut: false };
        match place.tier {
            Tier::Filling => {
                for filling in self.fills() {
                    if place.is_before(filling.number) && wanted(&filling.name) {
                        page.add(filling.number, || Listed::filling(&filling));
                    }
                }
            }
            Tier::Memory => {
                for (key, complete) in &self.inner.complete {
                    if place.is_before(complete.number) && wanted(&complete.name) {
                        page.add(complete.number, || Listed::complete(*key, &complete));
                    }
                }
            }
            // there are no directories yet
            Tier::Disk => {}
        }
        page.end(place.tier)
    }

    fn fills(&self) -> Vec<Arc<Filling<H>>> {
        self.inner.under_way().fills.values().flatten().map(Arc::clone).collect()
    }

    /// Every variant of a name, with those being filled before those that are complete. `key` is any of its keys.
    #[must_use]
    pub fn variants(&self, key: &Key, name: &[u8]) -> Vec<Listed<H>> {
        let under_way = self.inner.under_way();
        let fills = under_way.fills.iter().filter(|(filled, _)| filled.name == key.name);
        let fills = fills.flat_map(|(_, fills)| fills).filter(|filling| *filling.name == *name);
        let mut listed: Vec<_> = fills.map(|filling| Listed::filling(filling)).collect();
        drop(under_way);
        listed.sort_by_key(|listed| listed.number);
        let others = locked(&self.inner.variants).of(key.name);
        for key in std::iter::once(key.first()).chain(others) {
            let complete = self.inner.complete.get(&key).filter(|found| *found.name == *name);
            listed.extend(complete.map(|complete| Listed::complete(key, &complete)));
        }
        listed
    }
}

impl<H> Listed<H> {
    fn filling(filling: &Filling<H>) -> Self {
        Self {
            tier: Tier::Filling,
            number: filling.number,
            key: filling.key,
            name: filling.name.clone(),
            head: Arc::clone(&filling.head),
            length: None,
        }
    }

    fn complete(key: Key, complete: &Complete<H>) -> Self {
        Self {
            tier: Tier::Memory,
            number: complete.number,
            key,
            name: complete.name.clone(),
            head: Arc::clone(&complete.head),
            length: Some(complete.body.len() as u64),
        }
    }
}

/// The responses with the lowest numbers of all that were added.
struct Lowest<H> {
    limit: usize,
    /// Invariant: at most `limit`.
    listed: BTreeMap<u64, Listed<H>>,
    /// Whether there were more.
    is_cut: bool,
}

impl<H> Lowest<H> {
    fn add(&mut self, number: u64, listed: impl FnOnce() -> Listed<H>) {
        if self.listed.len() == self.limit {
            self.is_cut = true;
            if self.listed.last_key_value().is_none_or(|(&last, _)| last < number) {
                return;
            }
            self.listed.pop_last();
        }
        self.listed.insert(number, listed());
    }

    fn end(self, tier: Tier) -> Page<H> {
        let last = self.listed.last_key_value().map(|(&number, _)| number);
        let next = if self.is_cut {
            Some(Place { tier, after: last })
        } else {
            match tier {
                Tier::Filling => Some(Place::beginning(Tier::Memory)),
                Tier::Memory => Some(Place::beginning(Tier::Disk)),
                Tier::Disk => None,
            }
        };
        Page { listed: self.listed.into_values().collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use bytes::Bytes;

    struct Name;

    impl Head for Name {
        fn weight(&self) -> usize {
            0
        }
    }

    fn key(name: u8, variant: u8) -> Key {
        Key { name: [name; 16], variant: [variant; 16] }
    }

    fn store(names: &[&str]) -> Store<Name> {
        let limits = Limits {
            capacity_bytes: 1 << 20,
            response_max_bytes: 1_000,
            filling_max_bytes: 1_000,
            variants_max: 4,
        };
        let store = Store::new(limits);
        for (number, name) in (0..).zip(names) {
            put(&store, key(number, 0), name);
        }
        store
    }

    fn put(store: &Store<Name>, key: Key, name: &str) {
        let mut fill = store.fill(key, name.as_bytes().into(), Name, store.moment());
        fill.write(Bytes::copy_from_slice(name.as_bytes())).unwrap();
        fill.complete();
    }

    fn names(page: &Page<Name>) -> Vec<&str> {
        page.listed.iter().map(|listed| std::str::from_utf8(&listed.name).unwrap()).collect()
    }

    fn all(store: &Store<Name>, limit: usize, wanted: impl Fn(&[u8]) -> bool) -> Vec<Vec<String>> {
        let (mut place, mut pages) = (Some(Place::beginning(Tier::Filling)), Vec::new());
        while let Some(at) = place {
            let page = store.list(at, limit, &wanted);
            pages.push(names(&page).into_iter().map(str::to_owned).collect());
            place = page.next;
        }
        pages
    }

    #[test]
    fn pages_follow_one_another_through_the_tiers() {
        let store = store(&["a", "b", "c", "d", "e"]);
        let _fill = store.fill(key(9, 0), (*b"f").into(), Name, store.moment());
        let check =
            |limit, expected: &[&[&str]]| assert_eq!(all(&store, limit, |_| true), expected);
        check(2, &[&["f"], &["a", "b"], &["c", "d"], &["e"], &[]]);
        check(5, &[&["f"], &["a", "b", "c", "d", "e"], &[]]);
        assert_eq!(
            all(&store, 2, |name| name > b"b".as_slice()),
            [vec!["f"], vec!["c", "d"], vec!["e"], vec![]]
        );
    }

    #[test]
    fn what_stays_is_listed_once_whatever_comes_and_goes() {
        let store = store(&["a", "b", "c", "d"]);
        let first = store.list(Place::beginning(Tier::Memory), 2, |_| true);
        store.remove(&key(0, 0));
        put(&store, key(1, 0), "again");
        let second = store.list(first.next.unwrap(), 9, |_| true);
        assert_eq!((names(&first), names(&second)), (vec!["a", "b"], vec!["c", "d", "again"]));
        assert_eq!(second.next, Some(Place::beginning(Tier::Disk)));
    }

    #[test]
    fn every_variant_of_a_name_is_told() {
        let store = store(&["a", "b"]);
        put(&store, key(0, 7), "a");
        let _fill = store.fill(key(0, 8), (*b"a").into(), Name, store.moment());
        let found = store.variants(&key(0, 7), b"a");
        let found: Vec<_> =
            found.iter().map(|found| (found.tier, found.key.variant[0], found.length)).collect();
        let expected =
            [(Tier::Filling, 8, None), (Tier::Memory, 0, Some(1)), (Tier::Memory, 7, Some(1))];
        assert_eq!(found, expected);
        assert!(store.variants(&key(0, 0), b"b").is_empty(), "a name of the same hash");
    }
}
