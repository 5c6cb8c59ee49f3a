//! Control's log, as it is compacted and coarsened; and what really was asked of it.

use super::Random;
use super::edge::Edge;
use api::feed::{Change, Entry, VERSION};
use api::id::{LogId, SiteId};
use api::purge::{Mode, Purge, Selector, Selectors};
use serde_json::json;
use std::collections::BTreeMap;

const SITES: usize = 3;
pub(super) const HOSTS: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];
pub(super) const PATHS: [&str; 3] = ["/a", "/a/b", "/c"];
pub(super) const TAGS: [&str; 2] = ["t1", "t2"];
pub(super) const REGION: &str = "here";

/// What a stored response is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct What {
    pub(super) site: SiteId,
    pub(super) host: &'static str,
    pub(super) path: &'static str,
    pub(super) tags: Vec<&'static str>,
}

/// A purge that was accepted.
pub(super) struct Accepted {
    pub(super) log: LogId,
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) matches: Box<dyn Fn(&What) -> bool>,
    pub(super) mode: Mode,
    pub(super) region: Option<&'static str>,
}

struct Row {
    seq: u64,
    site: SiteId,
    change: Change,
}

pub(super) struct Control {
    pub(super) log: LogId,
    logs: usize,
    next: u64,
    rows: Vec<Row>,
    pub(super) accepted: Vec<Accepted>,
}

fn ulid(number: usize) -> String {
    format!("01J9Z3K8Q4W5E6R7T8Y9V0B1{number:02}")
}

fn site(number: usize) -> SiteId {
    SiteId::from_ulid(&ulid(number)).unwrap()
}

impl Control {
    pub(super) fn new() -> Self {
        let log = LogId::from_ulid(&ulid(0)).unwrap();
        Self { log, logs: 1, next: 1, rows: Vec::new(), accepted: Vec::new() }
    }

    pub(super) fn newest(&self) -> u64 {
        self.next - 1
    }

    /// Entries after a number, as they are sent.
    pub(super) fn after(&self, seq: u64) -> impl Iterator<Item = (u64, String)> {
        let rows = self.rows.iter().filter(move |row| row.seq > seq);
        rows.map(|row| (row.seq, text(row.seq, &row.change)))
    }

    /// The document of each site.
    pub(super) fn sites(&self) -> BTreeMap<String, String> {
        let documents = self.rows.iter().filter_map(|row| match &row.change {
            Change::SitePut { site_id, site } => Some((site_id.to_string(), site.to_string())),
            _ => None,
        });
        documents.collect()
    }

    pub(super) fn put(&mut self, random: &mut Random, edges: &mut [Edge]) {
        let site_id = site(random.below(SITES));
        let (first, second) = (*random.of(&HOSTS), *random.of(&HOSTS));
        let hosts = if first == second { vec![first] } else { vec![first, second] };
        let document = json!({
            "name": format!("n{}", self.next), "hosts": hosts,
            "origins": [{"name": "main", "url": "http://127.0.0.1:9"}],
        });
        self.replace(&site_id);
        let change = Change::SitePut { site_id: site_id.clone(), site: document };
        self.push(site_id, change, random, edges);
    }

    pub(super) fn remove(&mut self, random: &mut Random, edges: &mut [Edge]) {
        let site_id = site(random.below(SITES));
        self.replace(&site_id);
        let change = Change::SiteRemoved { site_id: site_id.clone() };
        self.push(site_id, change, random, edges);
    }

    /// A document makes room for a later one about its site.
    fn replace(&mut self, site_id: &SiteId) {
        self.rows.retain(|row| row.site != *site_id || matches!(row.change, Change::Purge(_)));
    }

    pub(super) fn purge(&mut self, at: u64, random: &mut Random, edges: &mut [Edge]) {
        let site_id = site(random.below(SITES));
        let (path, tag, host) = (*random.of(&PATHS), *random.of(&TAGS), *random.of(&HOSTS));
        let kind = random.below(6);
        let one = |text: &str| vec![text.to_owned()];
        let selector = Selector::Any(match kind {
            0 => Selectors { tags: one(tag), ..Selectors::default() },
            1 => Selectors { urls: one(path), ..Selectors::default() },
            2 => Selectors { prefixes: one(path), ..Selectors::default() },
            3 => Selectors { hosts: one(host), ..Selectors::default() },
            4 => Selectors { urls: one(&format!("https://{host}{path}")), ..Selectors::default() },
            _ => Selectors::default(),
        });
        let selector = if kind == 5 { Selector::Everything } else { selector };
        let mode = if random.one_in(3) { Mode::Soft } else { Mode::Hard };
        let region = random.one_in(4).then_some(REGION);
        let regions = region.iter().map(|region| (*region).to_owned()).collect();
        let of = site_id.clone();
        let matches = move |what: &What| {
            what.site == of
                && match kind {
                    0 => what.tags.contains(&tag),
                    1 => what.path == path,
                    2 => what.path.starts_with(path),
                    3 => what.host == host,
                    4 => what.host == host && what.path == path,
                    _ => true,
                }
        };
        let (log, seq, matches) = (self.log.clone(), self.next, Box::new(matches));
        self.accepted.push(Accepted { log, seq, at, matches, mode, region });
        let purge = Purge { site_id: site_id.clone(), selector, mode, regions, refetch: 0 };
        self.push(site_id, Change::Purge(purge), random, edges);
    }

    fn push(&mut self, site: SiteId, change: Change, random: &mut Random, edges: &mut [Edge]) {
        let seq = self.next;
        self.next += 1;
        let text = text(seq, &change);
        edges.iter_mut().for_each(|edge| edge.send(seq, &text, random));
        self.rows.push(Row { seq, site, change });
    }

    /// Drops the oldest purges of a site; what they purged is purged by one of everything.
    pub(super) fn retain(&mut self, random: &mut Random) {
        let (site_id, keep) = (site(random.below(SITES)), random.below(3));
        for mode in [Mode::Hard, Mode::Soft] {
            let of = |row: &Row| {
                row.site == site_id && matches!(&row.change, Change::Purge(it) if it.mode == mode)
            };
            let count = self.rows.iter().filter(|row| of(row)).count();
            let dropped = count.saturating_sub(keep);
            let Some(newest) = self.rows.iter().filter(|row| of(row)).take(dropped).last() else {
                continue;
            };
            let (seq, site_id) = (newest.seq, site_id.clone());
            let selector = Selector::Everything;
            let purge = Purge { site_id, selector, mode, regions: Vec::new(), refetch: 0 };
            self.rows.retain(|row| !of(row) || row.seq >= seq);
            let row = self.rows.iter_mut().find(|row| row.seq == seq).unwrap();
            row.change = Change::Purge(purge);
        }
    }

    /// Control has a new, empty database: another log, with the same sites made again.
    pub(super) fn begin_anew(&mut self, random: &mut Random, edges: &mut [Edge]) {
        self.log = LogId::from_ulid(&ulid(self.logs)).unwrap();
        self.logs += 1;
        (self.next, self.rows) = (1, Vec::new());
        edges.iter_mut().for_each(Edge::cut);
        self.put(random, edges);
    }
}

fn text(seq: u64, change: &Change) -> String {
    serde_json::to_string(&Entry { version: VERSION, seq, change: change.clone() }).unwrap()
}
