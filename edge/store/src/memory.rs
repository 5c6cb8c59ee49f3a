//! The memory tier: complete responses, the most used of them, within one number of bytes.

use crate::complete::Complete;
use crate::variants::Variants;
use crate::{Head, Key, locked};
use moka::notification::RemovalCause;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Complete responses in memory. What is asked for rarely makes room for what is asked for often, and doesn't displace
/// it.
pub(crate) struct Memory<H: Head> {
    responses: moka::sync::Cache<Key, Arc<Complete<H>>>,
    /// Bytes taken in since room was last made for what is taken in, and how many may be.
    taken_in_bytes: AtomicU64,
    taken_in_max_bytes: u64,
    /// Never locked while `responses` is asked for anything: its listener locks it.
    variants: Arc<Mutex<Variants>>,
    removed: Arc<Removed>,
}

/// The part of the capacity by which it may be exceeded, because moka makes room in batches.
const EXCESS_SHARE: u64 = 64;

/// How many responses were removed, by why.
#[derive(Default)]
pub(crate) struct Removed {
    pub(crate) for_room: AtomicU64,
    pub(crate) replaced: AtomicU64,
    pub(crate) on_command: AtomicU64,
    pub(crate) for_variants: AtomicU64,
}

impl<H: Head> Memory<H> {
    /// Room for `capacity_bytes`, metadata included, and of each name at most `variants_max` responses.
    pub(crate) fn new(capacity_bytes: u64, variants_max: usize) -> Self {
        let removed = Arc::new(Removed::default());
        let variants = Arc::new(Mutex::new(Variants::new(variants_max)));
        let (counted, known) = (Arc::clone(&removed), Arc::clone(&variants));
        let responses = moka::sync::Cache::builder()
            .max_capacity(capacity_bytes)
            .weigher(|_: &Key, response: &Arc<Complete<H>>| response.weight())
            .eviction_listener(move |key: Arc<Key>, response: Arc<Complete<H>>, cause| {
                let known = key.is_first() || locked(&known).remove(&key, response.number);
                counted.count(cause, known);
            })
            .build();
        let taken_in_max_bytes = capacity_bytes / EXCESS_SHARE;
        let taken_in_bytes = AtomicU64::new(0);
        Self { responses, taken_in_bytes, taken_in_max_bytes, variants, removed }
    }

    /// The response stored under `key`, whatever its name.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Complete<H>>> {
        self.responses.get(key)
    }

    /// Whether there is one, without counting as a use.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.responses.contains_key(key)
    }

    /// Whether the response with this number is still the one under `key`.
    pub(crate) fn holds(&self, key: &Key, number: u64) -> bool {
        self.responses.get(key).is_some_and(|stored| stored.number == number)
    }

    /// Takes a response in, one at a time. Where its name has too many variants, another one goes.
    pub(crate) fn insert(&self, response: Arc<Complete<H>>) {
        let (key, weight) = (response.key, u64::from(response.weight()));
        let surplus = if key.is_first() {
            None
        } else {
            let replaced = self.responses.get(&key).map(|replaced| replaced.number);
            locked(&self.variants).add(&key, response.number, replaced)
        };
        self.responses.insert(key, response);
        if let Some(surplus) = surplus {
            self.responses.invalidate(&surplus);
        }
        self.taken_in_bytes.fetch_add(weight, Ordering::Relaxed);
    }

    /// Makes room for what was taken in, if that is much by now.
    pub(crate) fn make_room(&self) {
        if self.taken_in_bytes.load(Ordering::Relaxed) > self.taken_in_max_bytes {
            self.taken_in_bytes.store(0, Ordering::Relaxed);
            self.responses.run_pending_tasks();
        }
    }

    /// Removes a response without telling the variants of its name that it was removed on command.
    pub(crate) fn forget(&self, key: &Key) {
        if let Some(response) = self.responses.get(key) {
            locked(&self.variants).remove(key, response.number);
            self.responses.invalidate(key);
        }
    }

    /// Removes a response, and with the first variant of a name all others. False when nothing was there.
    pub(crate) fn remove(&self, key: &Key) -> bool {
        if key.is_first() {
            let others = locked(&self.variants).of(key.name);
            others.iter().for_each(|other| self.responses.invalidate(other));
        }
        self.responses.remove(key).is_some()
    }

    /// Responses, and the bytes they weigh. Catches up on work put off.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.responses.run_pending_tasks();
        (self.responses.entry_count(), self.responses.weighted_size())
    }

    /// All responses, without counting as a use.
    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Complete<H>>> {
        self.responses.iter().map(|(_, response)| response)
    }

    /// The variants of a name beside its first that are here.
    pub(crate) fn variants_of(&self, name: [u8; 16]) -> Vec<Key> {
        locked(&self.variants).of(name)
    }

    pub(crate) fn removed(&self) -> &Removed {
        &self.removed
    }
}

impl Removed {
    /// `known`: it wasn't taken out of the variants of its name before.
    fn count(&self, cause: RemovalCause, known: bool) {
        let counter = match cause {
            RemovalCause::Size | RemovalCause::Expired => &self.for_room,
            RemovalCause::Replaced => &self.replaced,
            RemovalCause::Explicit if known => &self.on_command,
            RemovalCause::Explicit => &self.for_variants,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
