//! What is stored, a page at a time. To be listed is no use: it keeps nothing in the store.
//!
//! Tiers follow one another, and in each of them what was stored first comes first. So what is there all the while
//! is listed, once, and what comes after a page was made can be in a later one.

use crate::complete::Complete;
use crate::disk;
use crate::fill::Filling;
use crate::tiers::Inner;
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
    /// Each page passes over all that is in memory, or some of what is on disk, so call it where that may take a while.
    pub async fn list(
        &self,
        place: Place,
        limit: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Page<H> {
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
                for complete in self.inner.memory.all() {
                    if place.is_before(complete.number) && wanted(&complete.name) {
                        page.add(complete.number, || Listed::complete(&complete));
                    }
                }
            }
            Tier::Disk => return self.list_disk(place.after, limit, wanted).await,
        }
        page.end(place.tier)
    }

    fn fills(&self) -> Vec<Arc<Filling<H>>> {
        self.inner.under_way().fills.values().flatten().map(Arc::clone).collect()
    }

    /// `after` is the disk tier's own mark of where it was.
    async fn list_disk(
        &self,
        after: Option<u64>,
        limit: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Page<H> {
        let Some(disk) = &self.inner.disk else { return Page { listed: Vec::new(), next: None } };
        let (listed, next) = disk.list(after.unwrap_or_default(), limit, wanted).await;
        let next = next.map(|after| Place { tier: Tier::Disk, after: Some(after) });
        Page { listed: listed.into_iter().map(Listed::on_disk).collect(), next }
    }

    /// The tiers that a response listed is in; one of them is that it was listed in.
    #[must_use]
    pub fn tiers(&self, listed: &Listed<H>) -> Vec<Tier> {
        let Inner { memory, disk, .. } = &*self.inner;
        let is_on_disk = || disk.as_ref().is_some_and(|disk| disk.contains(&listed.key));
        let other = match listed.tier {
            Tier::Memory if is_on_disk() => Some(Tier::Disk),
            Tier::Disk if memory.contains(&listed.key) => Some(Tier::Memory),
            Tier::Filling | Tier::Memory | Tier::Disk => None,
        };
        let mut tiers: Vec<_> = std::iter::once(listed.tier).chain(other).collect();
        tiers.sort_unstable();
        tiers
    }

    /// Every variant of a name, with those being filled before those that are complete. `key` is any of its keys.
    pub async fn variants(&self, key: &Key, name: &[u8]) -> Vec<Listed<H>> {
        let fills = self.fills().into_iter().filter(|filling| *filling.name == *name);
        let mut listed: Vec<_> = fills.map(|filling| Listed::filling(&filling)).collect();
        listed.sort_by_key(|listed| listed.number);
        let others = self.inner.memory.variants_of(key.name);
        for key in std::iter::once(key.first()).chain(others) {
            let complete = self.inner.memory.get(&key).filter(|found| *found.name == *name);
            listed.extend(complete.map(|complete| Listed::complete(&complete)));
        }
        if let Some(disk) = &self.inner.disk {
            listed.extend(disk.of_name(key.name, name).await.into_iter().map(Listed::on_disk));
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

    fn on_disk(listed: disk::Listed<H>) -> Self {
        let disk::Listed { key, number, name, head, body_bytes, .. } = listed;
        let (head, length) = (Arc::new(head), Some(body_bytes));
        Self { tier: Tier::Disk, number, key, name, head, length }
    }

    fn complete(complete: &Complete<H>) -> Self {
        Self {
            tier: Tier::Memory,
            number: complete.number,
            key: complete.key,
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

        fn encode(&self, _: &mut Vec<u8>) {}

        fn decode(_: &[u8]) -> Option<Self> {
            Some(Self)
        }
    }

    fn key(name: u8, variant: u8) -> Key {
        Key { name: [name; 16], variant: [variant; 16] }
    }

    fn store(names: &[&str]) -> Store<Name> {
        let limits = Limits {
            memory_bytes: 1 << 20,
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

    async fn all(
        store: &Store<Name>,
        limit: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Vec<Vec<String>> {
        let (mut place, mut pages) = (Some(Place::beginning(Tier::Filling)), Vec::new());
        while let Some(at) = place {
            let page = store.list(at, limit, &wanted).await;
            pages.push(names(&page).into_iter().map(str::to_owned).collect());
            place = page.next;
        }
        pages
    }

    #[tokio::test]
    async fn pages_follow_one_another_through_the_tiers() {
        let store = store(&["a", "b", "c", "d", "e"]);
        let _fill = store.fill(key(9, 0), (*b"f").into(), Name, store.moment());
        let by_two = all(&store, 2, |_| true).await;
        assert_eq!(by_two, [vec!["f"], vec!["a", "b"], vec!["c", "d"], vec!["e"], vec![]]);
        let by_five = all(&store, 5, |_| true).await;
        assert_eq!(by_five, [vec!["f"], vec!["a", "b", "c", "d", "e"], vec![]]);
        assert_eq!(
            all(&store, 2, |name| name > b"b".as_slice()).await,
            [vec!["f"], vec!["c", "d"], vec!["e"], vec![]]
        );
    }

    #[tokio::test]
    async fn what_stays_is_listed_once_whatever_comes_and_goes() {
        let store = store(&["a", "b", "c", "d"]);
        let first = store.list(Place::beginning(Tier::Memory), 2, |_| true).await;
        store.remove(&key(0, 0));
        put(&store, key(1, 0), "again");
        let second = store.list(first.next.unwrap(), 9, |_| true).await;
        assert_eq!((names(&first), names(&second)), (vec!["a", "b"], vec!["c", "d", "again"]));
        assert_eq!(second.next, Some(Place::beginning(Tier::Disk)));
    }

    #[tokio::test]
    async fn every_variant_of_a_name_is_told() {
        let store = store(&["a", "b"]);
        put(&store, key(0, 7), "a");
        let _fill = store.fill(key(0, 8), (*b"a").into(), Name, store.moment());
        let found = store.variants(&key(0, 7), b"a").await;
        let found: Vec<_> =
            found.iter().map(|found| (found.tier, found.key.variant[0], found.length)).collect();
        let expected =
            [(Tier::Filling, 8, None), (Tier::Memory, 0, Some(1)), (Tier::Memory, 7, Some(1))];
        assert_eq!(found, expected);
        assert!(store.variants(&key(0, 0), b"b").await.is_empty(), "a name of the same hash");
        assert!([0, 7, 8].iter().all(|variant| store.holds(&key(0, *variant))));
        assert!(!store.holds(&key(0, 9)));
    }
}
