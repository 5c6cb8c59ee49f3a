//! Is something being filled under a name? Answered without a lock for nearly all that aren't.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// A power of two.
const PLACES: usize = 4_096;

/// Counts fills by a part of their name's hash.
pub(crate) struct Filled {
    places: Box<[AtomicU32]>,
    all: AtomicUsize,
}

impl Default for Filled {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| AtomicU32::new(0)).collect();
        Self { places, all: AtomicUsize::new(0) }
    }
}

impl Filled {
    fn place(&self, name: &[u8; 16]) -> &AtomicU32 {
        let [first, second, ..] = *name;
        &self.places[usize::from(u16::from_le_bytes([first, second])) % PLACES]
    }

    pub(crate) fn add(&self, name: &[u8; 16]) {
        self.place(name).fetch_add(1, Ordering::Release);
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, name: &[u8; 16]) {
        self.place(name).fetch_sub(1, Ordering::Release);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether something may be.
    pub(crate) fn may_have(&self, name: &[u8; 16]) -> bool {
        self.place(name).load(Ordering::Acquire) > 0
    }

    /// How many fills there are.
    pub(crate) fn count(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }
}
