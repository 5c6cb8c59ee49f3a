//! Finds what serves a host.

use crate::shards::Shards;
use api::site::host::HostPattern;
use std::sync::Arc;

/// Hosts, exact and wildcard, to `T`. An exact host goes before a wildcard, a longer wildcard before a shorter one.
///
/// Of several that claim a host, the one with the lowest rank has it, for as long as it claims it.
/// A copy shares everything with its original; a change copies little ([`Shards`]).
#[derive(Debug, Clone)]
pub struct Table<T> {
    exact: Shards<Claims<T>>,
    below: Shards<Claims<T>>,
}

/// What may serve hosts.
pub trait Claimant {
    /// What tells one from others, and which of two is first.
    type Rank: Ord + ?Sized;

    /// Its own.
    fn rank(&self) -> &Self::Rank;
}

impl<T: Claimant> Claimant for Arc<T> {
    type Rank = T::Rank;

    fn rank(&self) -> &T::Rank {
        T::rank(self)
    }
}

#[derive(Debug, Clone)]
struct Claims<T> {
    first: T,
    /// Invariant: by rank, each after `first`.
    others: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { exact: Shards::default(), below: Shards::default() }
    }
}

impl<T> Table<T> {
    /// What serves the host `name`, normalised and without a port.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&T> {
        if let Some(found) = self.exact.get(name) {
            return Some(&found.first);
        }
        if self.below.is_empty() {
            return None;
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = self.below.get(parent) {
                return Some(&found.first);
            }
            rest = parent;
        }
        None
    }

    /// What serves any host, for each of its hosts, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.iter().chain(self.below.iter()).map(|(_, claims)| &claims.first)
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.below.len()
    }

    /// Whether there is no host at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Claimant + Clone> Table<T> {
    /// Claims a host. What claimed it with the same rank is replaced.
    pub fn put(&mut self, pattern: &HostPattern, value: T) {
        let (hosts, host) = self.part(pattern);
        match hosts.get_mut(host) {
            Some(claims) => claims.put(value),
            None => hosts.insert(host, Claims { first: value, others: Vec::new() }),
        }
    }

    /// Gives up a host: what claims it next has it now.
    pub fn remove(&mut self, pattern: &HostPattern, rank: &T::Rank) {
        let (hosts, host) = self.part(pattern);
        if hosts.get_mut(host).is_some_and(|claims| !claims.remove(rank)) {
            hosts.remove(host);
        }
    }

    fn part<'p>(&mut self, pattern: &'p HostPattern) -> (&mut Shards<Claims<T>>, &'p str) {
        match pattern {
            HostPattern::Exact(host) => (&mut self.exact, host),
            HostPattern::Below(name) => (&mut self.below, name),
        }
    }
}

impl<T: Claimant> Claims<T> {
    fn put(&mut self, mut value: T) {
        if value.rank() == self.first.rank() {
            self.first = value;
            return;
        }
        if value.rank() < self.first.rank() {
            std::mem::swap(&mut self.first, &mut value);
        }
        match self.others.binary_search_by(|other| other.rank().cmp(value.rank())) {
            Ok(same) => {
                if let Some(other) = self.others.get_mut(same) {
                    *other = value;
                }
            }
            Err(place) => self.others.insert(place, value),
        }
    }

    /// False where nothing claims the host any more.
    fn remove(&mut self, rank: &T::Rank) -> bool {
        if self.first.rank() != rank {
            self.others.retain(|other| other.rank() != rank);
        } else if self.others.is_empty() {
            return false;
        } else {
            self.first = self.others.remove(0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Claimant for &'static str {
        type Rank = str;

        fn rank(&self) -> &str {
            self
        }
    }

    /// A rank, and which of its values this is.
    #[derive(Debug, Clone, PartialEq)]
    struct Value(u8, usize);

    impl Claimant for Value {
        type Rank = u8;

        fn rank(&self) -> &u8 {
            &self.0
        }
    }

    #[test]
    fn the_best_match_wins() {
        let mut table = Table::default();
        for host in ["a.example.com", "*.example.com", "*.b.example.com", "127.0.0.1", "*.com"] {
            table.put(&HostPattern::parse(host).unwrap(), host);
        }
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(table.find(name).copied(), expected, "{name}");
        };
        check("a.example.com", Some("a.example.com"));
        check("x.example.com", Some("*.example.com"));
        check("x.b.example.com", Some("*.b.example.com"));
        check("b.example.com", Some("*.example.com"));
        check("x.y.example.com", Some("*.example.com"));
        check("example.com", Some("*.com"));
        check("com", None);
        check("127.0.0.1", Some("127.0.0.1"));
        check("example.org", None);
    }

    #[test]
    fn who_gives_a_host_up_leaves_it_to_the_next() {
        let host = HostPattern::parse("a.example").unwrap();
        let mut table = Table::default();
        let found = |table: &Table<Value>| table.find("a.example").map(|value| value.0);
        table.put(&host, Value(5, 0));
        table.put(&host, Value(3, 0));
        table.put(&host, Value(7, 0));
        assert_eq!(found(&table), Some(3));
        table.remove(&host, &3);
        assert_eq!(found(&table), Some(5));
        table.remove(&host, &7);
        table.remove(&host, &5);
        assert_eq!((found(&table), table.len()), (None, 0));
    }

    proptest! {
        #[test]
        fn the_lowest_rank_that_claims_a_host_has_it(
            changes in prop::collection::vec((0..6_u8, any::<bool>()), 0..60),
        ) {
            let host = HostPattern::parse("*.example").unwrap();
            let (mut table, mut claims) = (Table::default(), BTreeMap::new());
            for (number, (rank, puts)) in changes.into_iter().enumerate() {
                if puts {
                    table.put(&host, Value(rank, number));
                    claims.insert(rank, Value(rank, number));
                } else {
                    table.remove(&host, &rank);
                    claims.remove(&rank);
                }
                prop_assert_eq!(table.find("a.example"), claims.values().next());
            }
        }
    }
}
