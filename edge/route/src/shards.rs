//! A map that is copied in pieces: a copy shares all of them with its original, and a change copies the piece it
//! falls in. So a generation of something large is made from the one before in the time that the change takes.

use hashbrown::HashTable;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

/// Groups of pieces, and pieces of a group. A change copies a group's list and a piece: few counters are touched, which
/// are all over memory.
const GROUPS: usize = 64;
const GROUP_BITS: u32 = 6;
/// Of a hash, where the bits that choose the piece begin; a piece's own table looks at the lowest and the highest.
const SHARD_SHIFT: u32 = 32;

/// Texts to `V`.
#[derive(Debug, Clone)]
pub struct Shards<V> {
    hasher: RandomState,
    groups: Arc<[Group<V>; GROUPS]>,
    len: usize,
}

type Group<V> = Arc<[Arc<Shard<V>>; GROUPS]>;
type Shard<V> = HashTable<(Arc<str>, V)>;

impl<V> Default for Shards<V> {
    fn default() -> Self {
        let empty = Arc::new(HashTable::new());
        let group: Group<V> = Arc::new(std::array::from_fn(|_| Arc::clone(&empty)));
        let groups = Arc::new(std::array::from_fn(|_| Arc::clone(&group)));
        Self { hasher: RandomState::new(), groups, len: 0 }
    }
}

impl<V> Shards<V> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&V> {
        let hash = self.hasher.hash_one(key);
        let (group, shard) = shard_of(hash);
        let shard = self.groups.get(group)?.get(shard)?;
        shard.find(hash, |(other, _)| **other == *key).map(|(_, value)| value)
    }

    /// Keys and their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &V)> {
        let shards = self.groups.iter().flat_map(|group| group.iter());
        shards.flat_map(|shard| shard.iter()).map(|(key, value)| (key, value))
    }

    /// How many keys have a value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<V: Clone> Shards<V> {
    /// Gives `key` a value, instead of any that it had.
    pub fn insert(&mut self, key: &str, value: V) {
        if let Some(held) = self.get_mut(key) {
            *held = value;
            return;
        }
        let hash = self.hasher.hash_one(key);
        let Some((shard, hasher)) = self.shard_mut(hash) else { return };
        shard.insert_unique(hash, (key.into(), value), |(key, _)| hasher.hash_one(&**key));
        self.len += 1;
    }

    /// The value of `key`, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        // a piece is not copied for what is not in it
        self.get(key)?;
        let hash = self.hasher.hash_one(key);
        let (shard, _) = self.shard_mut(hash)?;
        shard.find_mut(hash, |(other, _)| **other == *key).map(|(_, value)| value)
    }

    /// Takes a key and its value out.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        self.get(key)?;
        let hash = self.hasher.hash_one(key);
        let (shard, _) = self.shard_mut(hash)?;
        let found = shard.find_entry(hash, |(other, _)| **other == *key).ok()?;
        let ((_, value), _) = found.remove();
        self.len -= 1;
        Some(value)
    }

    fn shard_mut(&mut self, hash: u64) -> Option<(&mut Shard<V>, &RandomState)> {
        let (group, shard) = shard_of(hash);
        let group = Arc::make_mut(&mut self.groups).get_mut(group)?;
        let shard = Arc::make_mut(group).get_mut(shard)?;
        Some((Arc::make_mut(shard), &self.hasher))
    }
}

/// Which piece of which group a hash falls in: both below [`GROUPS`].
fn shard_of(hash: u64) -> (usize, usize) {
    let [group, shard] = [SHARD_SHIFT, SHARD_SHIFT + GROUP_BITS]
        .map(|shift| usize::from((hash >> shift).to_le_bytes()[0]) % GROUPS);
    (group, shard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_change_copies_one_piece() {
        let mut map = Shards::default();
        for number in 0..10_000 {
            map.insert(&number.to_string(), number);
        }
        let before = map.clone();
        map.insert("17", 0);
        map.remove("no such key");
        let shards = |map: &Shards<i32>| {
            let shards = map.groups.iter().flat_map(|group| group.iter());
            shards.map(Arc::as_ptr).collect::<Vec<_>>()
        };
        let (one, other) = (shards(&before), shards(&map));
        let shared = one.iter().zip(&other).filter(|(one, other)| one == other);
        assert_eq!(shared.count(), GROUPS * GROUPS - 1);
        assert_eq!((before.get("17"), map.get("17")), (Some(&17), Some(&0)));
    }

    proptest! {
        #[test]
        fn it_is_a_map(changes in prop::collection::vec((0..40_u8, any::<Option<u8>>()), 0..200)) {
            let (mut map, mut expected) = (Shards::default(), BTreeMap::new());
            let mut before = (map.clone(), expected.clone());
            for (at, (key, value)) in changes.into_iter().enumerate() {
                let text = key.to_string();
                if let Some(value) = value {
                    map.insert(&text, value);
                    expected.insert(text, value);
                } else {
                    prop_assert_eq!(map.remove(&text), expected.remove(&text));
                }
                if at == 100 {
                    before = (map.clone(), expected.clone());
                }
            }
            for (map, expected) in [(map, expected), before] {
                let found: BTreeMap<String, u8> =
                    map.iter().map(|(key, value)| (key.to_string(), *value)).collect();
                prop_assert_eq!(map.len(), expected.len());
                prop_assert_eq!(found, expected);
            }
        }
    }
}
