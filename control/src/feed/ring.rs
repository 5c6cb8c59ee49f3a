//! The newest part of the log in memory, for the followers that have everything before it.

use super::chunk::Chunk;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Bytes that its chunks take at most, except the newest.
const MAX_BYTES: usize = 16 << 20;
/// Chunks at most.
const MAX_CHUNKS: usize = 4_096;

/// Chunks that follow each other, up to the tip of the log.
pub(crate) struct Ring {
    held: Mutex<Held>,
    /// The number up to which it goes.
    /// Invariant: it never decreases. [`Ring::push`] is its only writer.
    tip: watch::Sender<u64>,
}

struct Held {
    /// Invariant: each begins where the one before ends, and the last ends at the tip.
    chunks: VecDeque<Arc<Chunk>>,
    bytes: usize,
    /// What a follower at the tip is sent from time to time.
    idle: Arc<Chunk>,
}

/// What there is for a follower.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The next entries.
    Chunk(Arc<Chunk>),
    /// Nothing new. Where the follower is at the tip, what it is told then.
    Tip(Option<Arc<Chunk>>),
    /// It is too far behind: the log itself has the next entries.
    Behind,
}

impl Ring {
    /// An empty one, from `tip` on.
    pub(crate) fn new(tip: u64) -> Self {
        let held = Held { chunks: VecDeque::new(), bytes: 0, idle: Arc::new(Chunk::idle(tip)) };
        Self { held: Mutex::new(held), tip: watch::Sender::new(tip) }
    }

    /// The number up to which it goes.
    pub(crate) fn tip(&self) -> watch::Receiver<u64> {
        self.tip.subscribe()
    }

    /// Adds what follows the tip, and has the oldest make room.
    pub(crate) fn push(&self, chunk: Chunk) {
        let until = chunk.until;
        let mut held = self.lock();
        held.bytes += chunk.bytes();
        held.idle = Arc::new(Chunk::idle(until));
        held.chunks.push_back(Arc::new(chunk));
        while held.chunks.len() > MAX_CHUNKS || held.chunks.len() > 1 && held.bytes > MAX_BYTES {
            held.bytes -= held.chunks.pop_front().map_or(0, |oldest| oldest.bytes());
        }
        drop(held);
        self.tip.send_replace(until);
    }

    /// What follows `after`.
    pub(crate) fn take(&self, after: u64) -> Taken {
        let held = self.lock();
        let tip = *self.tip.borrow();
        if after >= tip {
            return Taken::Tip((after == held.idle.until).then(|| Arc::clone(&held.idle)));
        }
        let next = held.chunks.partition_point(|chunk| chunk.until <= after);
        match held.chunks.get(next).filter(|chunk| chunk.after <= after) {
            Some(chunk) => Taken::Chunk(Arc::clone(chunk)),
            None => Taken::Behind,
        }
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes as u64
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::feed::Page;

    fn chunk(after: u64, until: u64, entry_bytes: usize) -> Chunk {
        let entries = vec![(until, "x".repeat(entry_bytes))];
        Chunk::new(after, &Page { entries, until, newest: until, forgotten: 0 })
    }

    fn check(ring: &Ring, after: u64, expected: Option<(u64, u64)>) {
        let taken = match ring.take(after) {
            Taken::Chunk(chunk) => Some((chunk.after, chunk.until)),
            Taken::Tip(_) => None,
            Taken::Behind => Some((0, 0)),
        };
        assert_eq!(taken, expected, "after {after}");
    }

    #[test]
    fn a_follower_takes_the_chunk_its_place_is_in() {
        let ring = Ring::new(10);
        check(&ring, 9, Some((0, 0)));
        check(&ring, 10, None);
        ring.push(chunk(10, 12, 1));
        ring.push(chunk(12, 20, 1));
        for (after, expected) in [
            (9, Some((0, 0))),
            (10, Some((10, 12))),
            (11, Some((10, 12))),
            (12, Some((12, 20))),
            (19, Some((12, 20))),
            (20, None),
            (21, None),
        ] {
            check(&ring, after, expected);
        }
        assert!(matches!(ring.take(20), Taken::Tip(Some(idle)) if idle.until == 20));
        assert!(matches!(ring.take(21), Taken::Tip(None)));
    }

    #[test]
    fn what_it_holds_is_bounded() {
        let ring = Ring::new(0);
        for number in 0..100 {
            ring.push(chunk(number, number + 1, MAX_BYTES / 40));
            assert!(ring.bytes() <= MAX_BYTES as u64);
        }
        check(&ring, 0, Some((0, 0)));
        check(&ring, 99, Some((99, 100)));
        ring.push(chunk(100, 101, 2 * MAX_BYTES));
        check(&ring, 100, Some((100, 101)));
        check(&ring, 99, Some((0, 0)));
        let ring = Ring::new(0);
        for number in 0..=MAX_CHUNKS as u64 {
            ring.push(chunk(number, number + 1, 1));
        }
        check(&ring, 0, Some((0, 0)));
        check(&ring, 1, Some((1, 2)));
    }
}
