//! A purge is a comparison, not a search.
//!
//! Every change an edge applies has a sequence number. A stored response remembers the number its edge had applied
//! when its fetch began; a purge is a change with a number of its own. A response is purged if a purge that selects it
//! has the higher number. So a purge costs the same whatever it selects, is in force at once for responses stored
//! before it and for those being fetched, and can't be lost between two steps.
//!
//! [`Purges`] holds the purges of one site. A selector is held as a hash of 64 bits and the newest number it was purged
//! with: two selectors with one hash purge too much, never too little. What must make room is coarsened: the oldest
//! purges become one of everything up to the newest of them.

mod side;
mod tags;
mod target;

use api::purge::{Mode, Purge, Selector, Selectors};
use side::{Part, Side};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
pub use tags::{Tags, tag_hash, tags_in};
pub use target::{Target, TargetError, canonical};

/// The purges of one site. They only ever reach further, so everyone who serves the site shares one.
#[derive(Debug, Default)]
pub struct Purges {
    /// Invariant: at most the number of a purge that both sides hold; it only rises. [`Purges::apply`] is its writer.
    newest: AtomicU64,
    sides: RwLock<Sides>,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Sides {
    hard: Side,
    soft: Side,
}

/// The newest number that a stored response was found [`Verdict::Current`] with: it is as good as one whose fetch began
/// with that number applied. Only a number, so no order with other memory is needed.
#[derive(Debug, Default)]
pub struct Compared(AtomicU64);

impl Compared {
    /// Found current by nothing yet but the number that its edge had applied when its fetch began.
    #[must_use]
    pub const fn with(applied: u64) -> Self {
        Self(AtomicU64::new(applied))
    }

    /// The number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl PartialEq for Compared {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for Compared {}

/// What a stored response may be selected by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// The host it was asked for, and its port unless it is the scheme's; lower case.
    pub authority: &'f str,
    /// The path it was asked for.
    pub path: &'f str,
    /// The part of the query that counts in its name.
    pub query: Option<&'f str>,
    /// Its tags.
    pub tags: &'f Tags,
}

/// What purges say of a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Current,
    /// It is stale, by the purge with this number.
    Stale(u64),
    /// It is gone, by the purge with this number.
    Gone(u64),
}

impl Purges {
    /// The number of the newest purge of the site; 0 for none. What began to be fetched with this number applied, or was
    /// [`Verdict::Current`] when this was the newest, is not purged.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// What is said of a response whose fetch began when `applied` was the newest number its edge had applied.
    #[must_use]
    pub fn verdict(&self, applied: u64, facts: &Facts<'_>) -> Verdict {
        if applied >= self.newest() {
            return Verdict::Current;
        }
        let sides = self.sides.read().unwrap_or_else(PoisonError::into_inner);
        let hashes = side::Hashes::of(facts);
        if let Some(seq) = sides.hard.newest_match(applied, facts, &hashes) {
            return Verdict::Gone(seq);
        }
        sides.soft.newest_match(applied, facts, &hashes).map_or(Verdict::Current, Verdict::Stale)
    }

    /// The same of a response that remembers what it was `compared` with, and remembers this: the next time costs one
    /// comparison. Its `facts` are asked for where that isn't enough; a response without any can't be selected.
    pub fn compare<'f>(
        &self,
        compared: &Compared,
        facts: impl FnOnce() -> Option<Facts<'f>>,
    ) -> Verdict {
        // in this order: what is remembered was looked for in tables that held it
        let newest = self.newest();
        let number = compared.number();
        if number >= newest {
            return Verdict::Current;
        }
        let Some(facts) = facts() else { return Verdict::Current };
        let verdict = self.verdict(number, &facts);
        if verdict == Verdict::Current {
            compared.0.fetch_max(newest, Ordering::Relaxed);
        }
        verdict
    }

    /// The number of the newest hard purge that selects whatever has this name, whatever its tags; 0 for none.
    #[must_use]
    pub fn newest_of_name(&self, authority: &str, path: &str, query: Option<&str>) -> u64 {
        let facts = Facts { authority, path, query, tags: &Tags::default() };
        match self.verdict(0, &facts) {
            Verdict::Gone(seq) => seq,
            Verdict::Current | Verdict::Stale(_) => 0,
        }
    }

    /// Applies the purge with number `seq`, whatever its regions. Late and repeated purges change nothing. `keyed` tells
    /// which part of the query of a path counts, where that is another than the whole.
    pub fn apply(
        &self,
        purge: &Purge,
        seq: u64,
        keyed: impl Fn(&str, &str) -> Option<Cow<'static, str>>,
    ) {
        match &purge.selector {
            Selector::Everything => self.change(|sides| {
                sides.of(purge.mode).raise_everything(seq);
            }),
            // who looks meanwhile waits for a part, not for all
            Selector::Any(selectors) => parts(selectors).for_each(|part| {
                self.change(|sides| sides.of(purge.mode).add(part, seq, &keyed));
            }),
        }
        // behind the entries: who reads this number finds them
        self.newest.fetch_max(seq, Ordering::Release);
    }

    /// How many selectors are held. Each takes about 36 bytes at most, and 27 of many.
    #[must_use]
    pub fn len(&self) -> usize {
        let sides = self.sides.read().unwrap_or_else(PoisonError::into_inner);
        sides.hard.len() + sides.soft.len()
    }

    /// Whether no selector is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the selectors of hard purges with numbers up to `hard`, and of soft ones with numbers up to `soft`: no
    /// response is stored any more, nor being fetched, that is older and that one of them selects.
    pub fn retire(&self, hard: u64, soft: u64) {
        self.forget(hard, soft);
    }

    /// Makes room: the older half of the selectors becomes one purge of everything up to the newest of them. Responses
    /// that were found to be [`Verdict::Current`] since stay so, where that was noted.
    pub fn coarsen(&self) {
        let mut numbers: Vec<u64> = {
            let sides = self.sides.read().unwrap_or_else(PoisonError::into_inner);
            sides.hard.numbers().chain(sides.soft.numbers()).collect()
        };
        if numbers.is_empty() {
            return;
        }
        let middle = numbers.len() / 2;
        let (_, &mut cut, _) = numbers.select_nth_unstable(middle);
        let (hard, soft) =
            self.change(|Sides { hard, soft }| (hard.coarsen(cut), soft.coarsen(cut)));
        self.forget(hard, soft);
    }

    /// Forgets hard and soft purges up to these numbers; part by part, so that nobody who looks waits for long.
    fn forget(&self, hard_seq: u64, soft_seq: u64) {
        let mut index = 0;
        while self.change(|Sides { hard, soft }| {
            hard.retire(index, hard_seq) | soft.retire(index, soft_seq)
        }) {
            index += 1;
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Sides) -> T) -> T {
        change(&mut self.sides.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends all that is held, in a form of its own version.
    pub fn write(&self, out: &mut Vec<u8>) {
        let sides = self.sides.read().unwrap_or_else(PoisonError::into_inner);
        out.push(VERSION);
        out.extend_from_slice(&self.newest().to_le_bytes());
        sides.hard.write(out);
        sides.soft.write(out);
    }

    /// Reads what was written. None for bytes that are not that, and for another version.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let [version] = side::take(from)?;
        let newest = u64::from_le_bytes(side::take(from)?);
        let sides = (version == VERSION)
            .then(|| Some(Sides { hard: Side::read(from)?, soft: Side::read(from)? }))??;
        from.is_empty().then(|| Self { newest: newest.into(), sides: RwLock::new(sides) })
    }
}

impl Sides {
    const fn of(&mut self, mode: Mode) -> &mut Side {
        match mode {
            Mode::Hard => &mut self.hard,
            Mode::Soft => &mut self.soft,
        }
    }
}

/// Selectors in parts of [`PART_MAX`] at most.
fn parts(selectors: &Selectors) -> impl Iterator<Item = Part<'_>> {
    let Selectors { tags, urls, prefixes, hosts } = selectors;
    (tags.chunks(PART_MAX).map(Part::Tags))
        .chain(urls.chunks(PART_MAX).map(Part::Urls))
        .chain(prefixes.chunks(PART_MAX).map(Part::Prefixes))
        .chain(hosts.chunks(PART_MAX).map(Part::Hosts))
}

/// Selectors that are applied while others wait.
const PART_MAX: usize = 64;

/// Of the form that [`Purges::write`] writes, and of how selectors are hashed.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests;
