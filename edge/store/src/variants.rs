//! Which variants of a name are stored beside its first one? Bounds their number.

use crate::Key;
use std::collections::{HashMap, VecDeque};

/// Capacity that is kept where less is used.
const SPARE_MAX: usize = 8;

/// What is stored of each name beside its first variant.
pub(crate) struct Variants {
    /// How many a name may have.
    max: usize,
    /// Invariant: by name, the number and the hash of each variant stored, in rising order of numbers; no empty ones.
    /// What a store doesn't hold any more is taken out by its listener, so this is bounded by what is stored.
    names: HashMap<[u8; 16], VecDeque<(u64, [u8; 16])>>,
}

impl Variants {
    /// Of each name at most `max`, its first variant included.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.saturating_sub(1), names: HashMap::new() }
    }

    /// Notes that `key` is stored under `number`, higher than all before, instead of under `replaced`. Returns a
    /// variant that is one too many and must be removed: that of its name which was stored least recently.
    pub(crate) fn add(&mut self, key: &Key, number: u64, replaced: Option<u64>) -> Option<Key> {
        replaced.map(|replaced| self.remove(key, replaced));
        let variants = self.names.entry(key.name).or_default();
        variants.push_back((number, key.variant));
        let surplus = (variants.len() > self.max).then(|| variants.pop_front()).flatten();
        if variants.is_empty() {
            self.names.remove(&key.name);
        }
        surplus.map(|(_, variant)| Key { variant, ..*key })
    }

    /// Forgets what was stored of `key` under `number`. False when it wasn't known.
    pub(crate) fn remove(&mut self, key: &Key, number: u64) -> bool {
        let Some(variants) = self.names.get_mut(&key.name) else { return false };
        let Ok(place) = variants.binary_search_by_key(&number, |(number, _)| *number) else {
            return false;
        };
        variants.remove(place);
        if variants.is_empty() {
            self.names.remove(&key.name);
        } else if variants.capacity() > SPARE_MAX.max(4 * variants.len()) {
            variants.shrink_to(2 * variants.len());
        }
        true
    }

    /// The variants of a name beside its first.
    pub(crate) fn of(&self, name: [u8; 16]) -> Vec<Key> {
        let variants = self.names.get(&name).into_iter().flatten();
        variants.map(|(_, variant)| Key { name, variant: *variant }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn key(name: u8, variant: u8) -> Key {
        Key { name: [name; 16], variant: [variant; 16] }
    }

    #[test]
    fn the_least_recently_stored_goes() {
        let mut variants = Variants::new(3);
        assert_eq!(variants.add(&key(1, 1), 1, None), None);
        assert_eq!(variants.add(&key(1, 2), 2, None), None);
        assert_eq!(variants.add(&key(1, 1), 3, Some(1)), None);
        assert_eq!(variants.add(&key(2, 9), 4, None), None);
        assert_eq!(variants.add(&key(1, 3), 5, None), Some(key(1, 2)));
        assert_eq!(variants.of([1; 16]), [key(1, 1), key(1, 3)]);
        assert!(!variants.remove(&key(1, 2), 2) && variants.remove(&key(1, 1), 3));
    }

    #[test]
    fn where_only_the_first_may_be_stored_all_others_go() {
        let mut variants = Variants::new(1);
        assert_eq!(variants.add(&key(1, 1), 1, None), Some(key(1, 1)));
        assert!(variants.names.is_empty());
    }

    proptest! {
        #[test]
        fn a_name_never_has_more_than_it_may(
            max in 1_usize..5,
            steps in prop::collection::vec((0_u8..2, 1_u8..8, any::<bool>()), 0..60),
        ) {
            let mut variants = Variants::new(max);
            let mut stored: HashMap<Key, u64> = HashMap::new();
            for (number, (name, variant, adds)) in (0_u64..).zip(steps) {
                let key = key(name, variant);
                if adds {
                    let surplus = variants.add(&key, number, stored.get(&key).copied());
                    stored.insert(key, number);
                    surplus.map(|surplus| stored.remove(&surplus));
                } else if let Some(number) = stored.remove(&key) {
                    prop_assert!(variants.remove(&key, number));
                }
                for name in [[0; 16], [1; 16]] {
                    let mut own: Vec<_> = stored.iter().filter(|(key, _)| key.name == name).collect();
                    own.sort_by_key(|(_, number)| **number);
                    let own: Vec<_> = own.into_iter().map(|(key, _)| *key).collect();
                    prop_assert!(own.len() < max);
                    prop_assert_eq!(variants.of(name), own);
                }
            }
            for (key, number) in stored {
                prop_assert!(variants.remove(&key, number));
            }
            prop_assert!(variants.names.is_empty());
        }
    }
}
