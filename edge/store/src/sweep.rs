//! Passes over all that is stored: who looks at each response says what goes.
//!
//! A response that is stored from before a pass to its end, and moves between the tiers meanwhile, is met by one that
//! looks at the directories first and at memory then: responses come from disk into memory, and never the other way.

use crate::complete::Complete;
use crate::disk::{OnDisk, Walk};
use crate::tiers::Inner;
use crate::under_way::UnderWay;
use crate::{Head, Key, Store, Tier, Was};
use std::sync::MutexGuard;
use std::time::Duration;

/// How long directories may take to have what was removed reach their devices.
const SYNC_TIMEOUT: Duration = Duration::from_secs(60);
/// Between looks at whether directories have come along.
const BEHIND_PAUSE: Duration = Duration::from_millis(5);
/// How long a pass waits for them before it removes what it has met.
const BEHIND_MAX: Duration = Duration::from_secs(5);

/// A stored response, as a pass meets it.
pub struct Met<'m, H> {
    /// Where it was met.
    pub tier: Tier,
    /// Its whole name.
    pub name: &'m [u8],
    /// Its head.
    pub head: &'m H,
    /// Whether it was met on disk, and is in memory too.
    pub is_in_memory_too: bool,
}

/// Who looks at all that is stored.
pub trait Visitor<H> {
    /// Whether a response is to be removed.
    fn removes(&mut self, met: &Met<'_, H>) -> bool;

    /// It was, from all tiers; where something newer had taken its place, this isn't told.
    fn removed(&mut self, met: &Met<'_, H>);
}

impl<H: Head> Store<H> {
    /// Has a visitor meet all that is in memory. Passes over all of it, so call it where that may take a while.
    pub fn sweep_memory(&self, visitor: &mut impl Visitor<H>) {
        // what is just being taken in from disk was found there before
        drop(self.inner.under_way());
        for stored in self.inner.memory.all() {
            let (name, head) = (&*stored.name, &*stored.head);
            let met = Met { tier: Tier::Memory, name, head, is_in_memory_too: false };
            if visitor.removes(&met) && self.remove_in_memory(&stored) {
                visitor.removed(&met);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "whoever calls this has time to wait")]
    fn remove_in_memory(&self, stored: &Complete<H>) -> bool {
        // removals can't be dropped: what is too many of them takes a directory out
        while self.is_behind() {
            std::thread::sleep(BEHIND_PAUSE);
        }
        self.inner.remove_in_memory(stored)
    }

    /// How many directories the disk tier has.
    #[must_use]
    pub fn directories(&self) -> usize {
        self.inner.disk.as_ref().map_or(0, |disk| disk.directories())
    }

    /// Has a visitor meet all that is in a directory, or waits to be written there, as fast as
    /// [`crate::DiskOptions::sweep_records_per_second`] says. What can't be read there is removed. Of the room of what is
    /// removed, the oldest is given back soon.
    ///
    /// False where something may have been passed over: the directory is still finding what an earlier run left, doesn't
    /// answer, or is damaged. One that is out has nothing, and comes back empty.
    pub async fn sweep_directory(&self, directory: usize, visitor: &mut impl Visitor<H>) -> bool {
        let Some(disk) = &self.inner.disk else { return true };
        let mut walk = Walk::new(directory);
        while let Some(some) = disk.walk_on(&mut walk).await {
            disk.room(BEHIND_MAX).await;
            for found in &some {
                if self.visit(directory, found, visitor) {
                    walk.uncount(&found.spot);
                }
            }
        }
        disk.give_back(&walk);
        walk.is_whole()
    }

    /// Whether what was met is no more.
    fn visit(&self, directory: usize, found: &OnDisk<H>, visitor: &mut impl Visitor<H>) -> bool {
        let Some(head) = found.head.as_deref() else {
            return self.inner.remove_on_disk(directory, found);
        };
        let is_in_memory_too = self.inner.memory.contains(&found.key);
        let met = Met { tier: Tier::Disk, name: &found.name, head, is_in_memory_too };
        let goes = visitor.removes(&met) && self.inner.remove_on_disk(directory, found);
        if goes {
            visitor.removed(&met);
        }
        goes
    }

    /// Has all that was stored and removed so far reach the devices: no end of this process, and no loss of power, brings
    /// back what is not found now. False where that isn't known.
    pub async fn sync(&self) -> bool {
        match &self.inner.disk {
            Some(disk) => disk.sync(SYNC_TIMEOUT).await,
            None => true,
        }
    }

    /// Removes the response `was`, and nothing else of its name. False when it is not stored any more.
    pub fn remove_found(&self, was: &Was<H>) -> bool {
        let under_way = self.inner.under_way();
        let is_there = match self.inner.memory.get(&was.key) {
            Some(stored) => was.is(&stored),
            // nothing that was stored since is taken for it
            None => {
                was.number > 0
                    && self.inner.disk.as_ref().is_some_and(|disk| disk.contains(&was.key))
                    && !under_way.is_stored(&was.key.name, was.since)
            }
        };
        self.inner.remove_where(is_there, &was.key, under_way)
    }
}

impl<H: Head> Inner<H> {
    fn remove_in_memory(&self, stored: &Complete<H>) -> bool {
        let under_way = self.under_way();
        // what has taken its place is newer
        let is_there = self.memory.holds(&stored.key, stored.number);
        self.remove_where(is_there, &stored.key, under_way)
    }

    fn remove_on_disk(&self, directory: usize, found: &OnDisk<H>) -> bool {
        let under_way = self.under_way();
        let is_there = self.disk.as_ref().is_some_and(|disk| disk.is_there(directory, found));
        self.remove_where(is_there, &found.key, under_way)
    }

    /// Removes what is under `key`, and nothing else of its name, where `is_there`, which was found with the lock held.
    fn remove_where(
        &self,
        is_there: bool,
        key: &Key,
        mut under_way: MutexGuard<'_, UnderWay<H>>,
    ) -> bool {
        if is_there {
            self.memory.forget(key);
            self.disk.as_ref().inspect(|disk| disk.remove_one(key));
            // what was read from disk before isn't taken into memory after
            under_way.store(key.name);
        }
        self.changed(under_way);
        is_there
    }
}

#[cfg(test)]
mod tests;
