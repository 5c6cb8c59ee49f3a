//! The purges of one mode: which selector was purged last with which number?

mod numbers;

use crate::Facts;
use crate::tags::tag_hash;
use crate::target::{Target, canonical, host_name};
use numbers::{Held, Numbers};
use std::borrow::Cow;
use std::collections::BTreeSet;
use twox_hash::XxHash3_64;

/// Lengths of prefixes that are told apart. A prefix of a further length counts as the next shorter one of these.
const PREFIX_LENGTHS_MAX: usize = 64;

/// Of selectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tag,
    Host,
    /// A path with any query.
    Path,
    /// A path with one query.
    Url,
    Prefix,
}

const KINDS: usize = 5;

/// Some of the selectors of one purge.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'s> {
    Tags(&'s [String]),
    Urls(&'s [String]),
    Prefixes(&'s [String]),
    Hosts(&'s [String]),
}

/// The purges of one mode.
#[derive(Debug, Default, Clone)]
pub(crate) struct Side {
    everything: u64,
    /// By the hashes of selectors.
    held: Numbers,
    /// The newest number of each kind of selector.
    newest: [u64; KINDS],
    /// Invariant: 0 is in it where anything is, and so is the length of each prefix that is held.
    prefix_lengths: BTreeSet<u32>,
}

impl PartialEq for Side {
    fn eq(&self, other: &Self) -> bool {
        let is_held = |held: &Held| other.seq(held.hash) == Some(held.seq);
        self.everything == other.everything
            && self.newest == other.newest
            && self.prefix_lengths == other.prefix_lengths
            && self.held.len() == other.held.len()
            && self.held.iter().all(is_held)
    }
}

impl Eq for Side {}

/// The hosts by which a response may be selected, and its path and query as selectors are compared with them.
pub(crate) struct Hashes<'f> {
    /// Any host; its name; its name and port where they differ.
    hosts: [Option<u64>; 3],
    path: Cow<'f, str>,
    query: Option<Cow<'f, str>>,
}

impl<'f> Hashes<'f> {
    pub(crate) fn of(facts: &Facts<'f>) -> Self {
        let name = host_name(facts.authority);
        let authority = (name != facts.authority).then(|| host_hash(Some(facts.authority)));
        Self {
            hosts: [Some(host_hash(None)), Some(host_hash(Some(name))), authority],
            path: canonical(facts.path),
            query: facts.query.map(|query| canonical_query(query)),
        }
    }

    fn hosts(&self) -> impl Iterator<Item = u64> {
        self.hosts.iter().flatten().copied()
    }
}

impl Side {
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.held.iter().map(|held| held.seq)
    }

    pub(crate) fn raise_everything(&mut self, seq: u64) {
        self.everything = self.everything.max(seq);
    }

    /// The newest of the numbers above `applied` with which a response was purged.
    pub(crate) fn newest_match(
        &self,
        applied: u64,
        facts: &Facts<'_>,
        hashes: &Hashes<'_>,
    ) -> Option<u64> {
        let of_kind = |kind: Kind| self.newest[kind as usize] > applied;
        let mut newest = self.everything;
        let mut meet = |seq: Option<u64>| newest = newest.max(seq.unwrap_or_default());
        if of_kind(Kind::Tag) {
            if facts.tags.are_cut() {
                meet(Some(self.newest[Kind::Tag as usize]));
            }
            facts.tags.hashes().iter().for_each(|&tag| meet(self.seq(keyed(Kind::Tag, tag, b""))));
        }
        for host in hashes.hosts() {
            if of_kind(Kind::Host) {
                meet(self.seq(keyed(Kind::Host, host, b"")));
            }
            if of_kind(Kind::Path) {
                meet(self.seq(keyed(Kind::Path, host, hashes.path.as_bytes())));
            }
            if of_kind(Kind::Url)
                && let Some(query) = &hashes.query
            {
                meet(self.seq(url_hash(host, &hashes.path, query)));
            }
            if of_kind(Kind::Prefix) {
                self.prefixes_of(&hashes.path)
                    .for_each(|prefix| meet(self.seq(keyed(Kind::Prefix, host, prefix))));
            }
        }
        (newest > applied).then_some(newest)
    }

    fn prefixes_of<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p [u8]> {
        let lengths = self.prefix_lengths.iter();
        lengths.map_while(|&length| path.as_bytes().get(..usize::try_from(length).ok()?))
    }

    /// Notes that selectors were purged with the number `seq`. What can't be read purges everything: too much is better
    /// than too little.
    pub(crate) fn add(
        &mut self,
        part: Part<'_>,
        seq: u64,
        keyed: impl Fn(&str, &str) -> Option<Cow<'static, str>>,
    ) {
        match part {
            Part::Tags(tags) => tags.iter().for_each(|tag| self.add_tag(tag, seq)),
            Part::Urls(urls) => {
                for url in urls {
                    match Target::parse(url) {
                        Ok(target) => self.add_url(&target, seq, &keyed),
                        Err(_) => self.raise_everything(seq),
                    }
                }
            }
            Part::Prefixes(prefixes) => {
                for prefix in prefixes {
                    match Target::parse(prefix) {
                        Ok(target) => self.add_prefix(&target, seq),
                        Err(_) => self.raise_everything(seq),
                    }
                }
            }
            Part::Hosts(hosts) => hosts.iter().for_each(|host| self.add_host(host, seq)),
        }
    }

    fn add_tag(&mut self, tag: &str, seq: u64) {
        self.raise(Kind::Tag, keyed(Kind::Tag, tag_hash(tag), b""), seq);
    }

    fn add_host(&mut self, host: &str, seq: u64) {
        match Target::parse_host(host) {
            Ok(host) => {
                self.raise(Kind::Host, keyed(Kind::Host, host_hash(Some(&host)), b""), seq);
            }
            Err(_) => self.raise_everything(seq),
        }
    }

    fn add_url(
        &mut self,
        target: &Target,
        seq: u64,
        part: impl Fn(&str, &str) -> Option<Cow<'static, str>>,
    ) {
        let host = host_hash(target.host.as_deref());
        let path = canonical(&target.path);
        let Some(query) = &target.query else {
            self.raise(Kind::Path, keyed(Kind::Path, host, path.as_bytes()), seq);
            return;
        };
        self.raise(Kind::Url, url_hash(host, &path, &canonical_query(query)), seq);
        match part(&target.path, query) {
            Some(counts) if *counts != **query => {
                self.raise(Kind::Url, url_hash(host, &path, &canonical_query(&counts)), seq);
            }
            Some(_) => {}
            // it is stored under the path alone
            None => self.raise(Kind::Path, keyed(Kind::Path, host, path.as_bytes()), seq),
        }
    }

    fn add_prefix(&mut self, target: &Target, seq: u64) {
        let path = canonical(&target.path);
        let length = u32::try_from(path.len()).unwrap_or(u32::MAX);
        self.prefix_lengths.insert(0);
        if self.prefix_lengths.len() < PREFIX_LENGTHS_MAX {
            self.prefix_lengths.insert(length);
        }
        let length = self.prefix_lengths.range(..=length).next_back().copied().unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let prefix = path.as_bytes().get(..length).unwrap_or_default();
        let host = host_hash(target.host.as_deref());
        self.raise(Kind::Prefix, keyed(Kind::Prefix, host, prefix), seq);
    }

    fn seq(&self, hash: u64) -> Option<u64> {
        self.held.get(hash)
    }

    fn raise(&mut self, kind: Kind, hash: u64, seq: u64) {
        let newest = &mut self.newest[kind as usize];
        *newest = seq.max(*newest);
        self.held.raise(Held { hash, seq });
    }

    /// Forgets some of what was purged with numbers up to `seq`: the part with this index. False where that was all.
    pub(crate) fn retire(&mut self, index: usize, seq: u64) -> bool {
        let is_part = self.held.retire(index, seq);
        if self.held.len() == 0 {
            self.prefix_lengths.clear();
        }
        is_part
    }

    /// Makes one purge of everything of what was purged with numbers up to `cut`. Returns the newest of them, up to which
    /// they are to be retired.
    pub(crate) fn coarsen(&mut self, cut: u64) -> u64 {
        let newest = self.numbers().filter(|&seq| seq <= cut).max().unwrap_or_default();
        self.raise_everything(newest);
        newest
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut number = |number: u64| out.extend_from_slice(&number.to_le_bytes());
        number(self.everything);
        self.newest.iter().for_each(|&newest| number(newest));
        number(self.prefix_lengths.len() as u64);
        self.prefix_lengths.iter().for_each(|&length| number(length.into()));
        number(self.held.len() as u64);
        for held in self.held.iter() {
            number(held.hash);
            number(held.seq);
        }
    }

    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut side = Self { everything: number(bytes)?, ..Self::default() };
        for newest in &mut side.newest {
            *newest = number(bytes)?;
        }
        for _ in 0..number(bytes)? {
            side.prefix_lengths.insert(u32::try_from(number(bytes)?).ok()?);
        }
        for _ in 0..number(bytes)? {
            side.held.raise(Held { hash: number(bytes)?, seq: number(bytes)? });
        }
        Some(side)
    }
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(bytes)?))
}

pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// Stands for any host where there is none.
fn host_hash(host: Option<&str>) -> u64 {
    host.map_or(0, |host| XxHash3_64::oneshot(host.as_bytes()))
}

fn keyed(kind: Kind, of: u64, rest: &[u8]) -> u64 {
    let seed = (kind as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ of;
    XxHash3_64::oneshot_with_seed(seed, rest)
}

fn url_hash(host: u64, path: &str, query: &str) -> u64 {
    keyed(Kind::Url, keyed(Kind::Url, host, path.as_bytes()), query.as_bytes())
}

/// Its percent-encoding is made one of several that mean the same.
fn canonical_query(query: &str) -> Cow<'_, str> {
    crate::target::canonical_text(query)
}
