//! How many stored responses would a purge match? Looks at all of them, for several questions at once.
//!
//! Each stored response counts, variants and slices each for themselves; one in two tiers counts once. What has been
//! purged already doesn't, and neither does what is being filled.

use super::Work;
use crate::cache::{Cache, Head};
use crate::listing;
use crate::snapshot::{Current, Served, Snapshot};
use crate::stage::lookup::Named;
use api::purge::{Count, Mode, Purge};
use futures_util::future::join_all;
use purge::Verdict;
use std::sync::Arc;
use store::{Met, Tier, Visitor};
use tokio::sync::mpsc;

/// Questions that are answered together.
const AT_ONCE: usize = 8;
/// Matches that are noted together.
const NOTED_AT_ONCE: u64 = 256;

/// Answers questions for as long as there are any, one pass after the other.
pub(super) async fn run(
    mut questions: mpsc::Receiver<(u64, Count)>,
    work: Arc<Work>,
    current: Current,
    cache: &'static Cache,
) {
    let mut some = Vec::new();
    while questions.recv_many(&mut some, AT_ONCE).await > 0 {
        let seqs: Vec<_> = some.iter().map(|(seq, _)| *seq).collect();
        let snapshot = current.load_full();
        let asked = some.drain(..).filter_map(|(seq, count)| asked(seq, count, &snapshot));
        let counter = Counter::new(asked.collect(), &current, &work);
        drop(snapshot);
        if !counter.asked.is_empty() {
            pass(counter, cache).await;
        }
        seqs.iter().for_each(|seq| work.ledger.note(*seq, |progress| progress.finished = true));
    }
}

/// A question, and what it selects. None where its site isn't served.
fn asked(seq: u64, count: Count, snapshot: &Snapshot) -> Option<Asked> {
    let Count { site_id, selector, .. } = count;
    let site = Arc::clone(&snapshot.served().find(|served| served.site.id == site_id)?.site);
    let selected = Served { site, purges: Arc::default() };
    let (mode, regions, refetch) = (Mode::Hard, Vec::new(), 0);
    selected.purge(&Purge { site_id, selector, mode, regions, refetch }, 1);
    Some(Asked { seq, selected })
}

async fn pass(counter: Counter, cache: &'static Cache) {
    let in_memory = counter.clone();
    let pass = move || {
        let mut counter = in_memory;
        cache.store.sweep_memory(&mut counter);
        counter.note();
    };
    if let Err(error) = tokio::task::spawn_blocking(pass).await {
        tracing::error!(%error, "what is in memory could not be counted");
    }
    join_all((0..cache.store.directories()).map(|directory| {
        let mut counter = counter.clone();
        async move {
            cache.store.sweep_directory(directory, &mut counter).await;
            counter.note();
        }
    }))
    .await;
}

struct Asked {
    seq: u64,
    /// The site, with a purge that selects what is asked for.
    selected: Served,
}

/// One who counts, and removes nothing.
#[derive(Clone)]
struct Counter {
    asked: Arc<[Asked]>,
    current: Current,
    work: Arc<Work>,
    /// Of each question, what isn't noted yet.
    matched: Vec<u64>,
    unnoted: u64,
}

impl Counter {
    fn new(asked: Arc<[Asked]>, current: &Current, work: &Arc<Work>) -> Self {
        let matched = vec![0; asked.len()];
        Self { asked, current: Arc::clone(current), work: Arc::clone(work), matched, unnoted: 0 }
    }

    fn meet(&mut self, named: &Named<'_>, head: &Head, name: &[u8]) {
        let snapshot = self.current.load();
        let Some(served) = listing::served(named, &snapshot) else { return };
        let mut is_purged = None;
        for (asked, matched) in self.asked.iter().zip(&mut self.matched) {
            if asked.selected.site.id != served.site.id {
                continue;
            }
            let facts = named.facts(head.tags());
            if asked.selected.purges.verdict(0, &facts) == Verdict::Current {
                continue;
            }
            let verdict = || matches!(served.verdict(name, head), Verdict::Gone(_));
            if !*is_purged.get_or_insert_with(verdict) {
                *matched += 1;
                self.unnoted += 1;
            }
        }
        if self.unnoted >= NOTED_AT_ONCE {
            self.note();
        }
    }

    fn note(&mut self) {
        self.unnoted = 0;
        for (asked, matched) in self.asked.iter().zip(&mut self.matched) {
            let matched = std::mem::take(matched);
            if matched > 0 {
                self.work.ledger.note(asked.seq, |progress| progress.matched += matched);
            }
        }
    }
}

impl Visitor<Head> for Counter {
    fn removes(&mut self, met: &Met<'_, Head>) -> bool {
        let is_counted = met.tier == Tier::Disk && met.is_in_memory_too;
        if let Some(named) = Named::read(met.name).filter(|_| !is_counted) {
            self.meet(&named, met.head, met.name);
        }
        false
    }

    fn removed(&mut self, _: &Met<'_, Head>) {}
}
