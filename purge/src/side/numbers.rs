//! Which number has a hash? In many small tables, so that one more number never costs much: when there are too many for the
//! tables, one more table takes a part of what another holds (linear hashing), and nothing is ever moved as a whole.

use hashbrown::HashTable;

/// Numbers for each table. One has twice as many at most, before it is its turn to be parted.
const TABLE_NUMBERS: usize = 3_000;

/// A hash, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) hash: u64,
    pub(super) seq: u64,
}

/// Numbers by hashes.
#[derive(Debug, Default, Clone)]
pub(super) struct Numbers {
    /// Invariant: each hash is in the table at its [`Numbers::place`].
    tables: Vec<HashTable<Held>>,
    len: usize,
}

impl Numbers {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.tables.iter().flatten()
    }

    pub(super) fn get(&self, hash: u64) -> Option<u64> {
        let table = self.tables.get(self.place(hash))?;
        table.find(hash, |held| held.hash == hash).map(|held| held.seq)
    }

    /// Gives a hash this number, unless it has a higher one.
    pub(super) fn raise(&mut self, held: Held) {
        if self.len >= self.tables.len() * TABLE_NUMBERS {
            self.grow();
        }
        let place = self.place(held.hash);
        let Some(table) = self.tables.get_mut(place) else { return };
        let entry = table.entry(held.hash, |other| other.hash == held.hash, |held| held.hash);
        let before = self.len;
        self.len += usize::from(matches!(entry, hashbrown::hash_table::Entry::Vacant(_)));
        let mut entry = entry.or_insert(held);
        if self.len == before {
            let seq = &mut entry.get_mut().seq;
            *seq = held.seq.max(*seq);
        }
    }

    /// Forgets numbers up to `seq` in the table with this index. False where there is no such table.
    pub(super) fn retire(&mut self, index: usize, seq: u64) -> bool {
        let Some(table) = self.tables.get_mut(index) else {
            if self.len == 0 {
                self.tables = Vec::new();
            }
            return false;
        };
        let before = table.len();
        table.retain(|held| held.seq > seq);
        self.len -= before - table.len();
        table.shrink_to_fit(|held| held.hash);
        true
    }

    /// With 2^n tables, and some more, those more have what the first of the 2^n have parted with.
    fn place(&self, hash: u64) -> usize {
        // other bits than those by which a table has its own places
        let bits = usize::try_from(hash >> 32).unwrap_or_default();
        let count = self.tables.len().max(1);
        let all = count.next_power_of_two();
        let place = bits & (all - 1);
        if place < count { place } else { place - all / 2 }
    }

    /// Makes one more table, of a part of another.
    fn grow(&mut self) {
        let count = self.tables.len();
        self.tables.push(HashTable::new());
        let parted = count.checked_sub(1).map(|_| count - (count + 1).next_power_of_two() / 2);
        let Some(parted) = parted.and_then(|parted| self.tables.get_mut(parted)) else { return };
        let held = std::mem::take(parted);
        for held in held {
            let place = self.place(held.hash);
            if let Some(table) = self.tables.get_mut(place) {
                table.insert_unique(held.hash, held, |held| held.hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Hashes as they are: spread over all bits.
    fn hash(number: u64) -> u64 {
        twox_hash::XxHash3_64::oneshot(&number.to_le_bytes())
    }

    #[test]
    fn every_number_is_found_however_many_there_are() {
        let (mut numbers, mut model) = (Numbers::default(), HashMap::new());
        assert_eq!(numbers.get(hash(0)), None);
        for number in 0..40_000 {
            numbers.raise(Held { hash: hash(number), seq: number });
            model.insert(hash(number), number);
            if number % 3 == 0 {
                numbers.raise(Held { hash: hash(number / 2), seq: number });
                model.insert(hash(number / 2), number);
            }
            if number % 3_777 == 0 {
                assert!(model.iter().all(|(hash, seq)| numbers.get(*hash) == Some(*seq)));
                assert_eq!((numbers.len(), numbers.iter().count()), (model.len(), model.len()));
            }
        }
        assert!(numbers.tables.iter().all(|table| table.len() < 2 * TABLE_NUMBERS + 500));
        let mut index = 0;
        while numbers.retire(index, 20_000) {
            index += 1;
        }
        model.retain(|_, seq| *seq > 20_000);
        assert!(model.iter().all(|(hash, seq)| numbers.get(*hash) == Some(*seq)));
        assert_eq!(numbers.len(), model.len());
        (0..=index).for_each(|index| {
            numbers.retire(index, u64::MAX);
        });
        assert_eq!((numbers.len(), numbers.tables.len()), (0, 0));
        numbers.raise(Held { hash: hash(7), seq: 1 });
        assert_eq!(numbers.get(hash(7)), Some(1));
    }
}
