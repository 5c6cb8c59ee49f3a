//! Finds what serves a host.

use api::site::host::HostPattern;
use std::collections::HashMap;

/// Hosts, exact and wildcard, to `T`. An exact host goes before a wildcard, a longer wildcard before a shorter one.
#[derive(Debug, Clone)]
pub struct Table<T> {
    exact: HashMap<Box<str>, T>,
    below: HashMap<Box<str>, T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new() }
    }
}

impl<T> Table<T> {
    /// Adds a host. The first to claim a host keeps it.
    pub fn add(&mut self, pattern: HostPattern, value: T) {
        match pattern {
            HostPattern::Exact(host) => self.exact.entry(host.into()).or_insert(value),
            HostPattern::Below(name) => self.below.entry(name.into()).or_insert(value),
        };
    }

    /// What serves the host `name`, normalised and without a port.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&T> {
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        if self.below.is_empty() {
            return None;
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = self.below.get(parent) {
                return Some(found);
            }
            rest = parent;
        }
        None
    }

    /// What serves any host, for each of its hosts, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.below.values())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_match_wins() {
        let mut table = Table::default();
        for host in ["a.example.com", "*.example.com", "*.b.example.com", "127.0.0.1", "*.com"] {
            table.add(HostPattern::parse(host).unwrap(), host);
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
}
