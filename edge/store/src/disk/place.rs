//! One directory with what waits to be written to it: where a response is found, put and removed.

use crate::complete::Complete;
use crate::disk::body::StoredBody;
use crate::disk::directory::Directory;
use crate::disk::index::{Entry, Short};
use crate::disk::queue::{Operation, Pending, Queue};
use crate::disk::read::{Failure, Loaded, Mode};
use crate::disk::{Now, Renewed, Stored};
use crate::{Head, Key};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How often a lookup follows a record that moves while it is looked for.
const MOVES_MAX: usize = 4;

pub(super) struct Place<H: Head> {
    pub(super) directory: Arc<Directory>,
    pub(super) queue: Arc<Queue<H>>,
}

/// Where a lookup has to look on.
enum Sought<H> {
    Absent,
    Queued(Arc<Complete<H>>),
    At(At<H>),
}

/// A record, and the head that goes with it where that waits to be written.
struct At<H> {
    entry: Entry,
    key: Key,
    renewed: Option<Arc<Renewed<H>>>,
}

/// What came of reading a record.
enum Outcome<H> {
    Found(Stored<H>),
    Absent,
    Blocks,
    /// It was elsewhere by then.
    Moved,
}

impl<H: Head> Place<H> {
    /// Finds without waiting for the device.
    pub(super) fn find_now(&self, key: &Key, name: &[u8]) -> Now<H> {
        for _ in 0..MOVES_MAX {
            let at = match self.seek(key, name) {
                Sought::Absent => return Now::Absent,
                Sought::Queued(response) => return Now::Found(Stored::Queued(response)),
                Sought::At(at) => at,
            };
            let loaded = self.directory.load(&at.entry, &at.key, name, Mode::Now);
            match self.outcome(&at, loaded) {
                Outcome::Found(stored) => return Now::Found(stored),
                Outcome::Absent => return Now::Absent,
                Outcome::Blocks => return Now::Blocks,
                Outcome::Moved => {}
            }
        }
        Now::Absent
    }

    pub(super) async fn find(&self, key: &Key, name: &[u8]) -> Option<Stored<H>> {
        for _ in 0..MOVES_MAX {
            let at = match self.seek(key, name) {
                Sought::Absent => return None,
                Sought::Queued(response) => return Some(Stored::Queued(response)),
                Sought::At(at) => at,
            };
            let (entry, key, name) = (at.entry, at.key, Box::<[u8]>::from(name));
            let load =
                move |directory: &Arc<Directory>| directory.load(&entry, &key, &name, Mode::Wait);
            let loaded = self.directory.wait_for(load).await?;
            match self.outcome(&at, loaded) {
                Outcome::Found(stored) => return self.verified(stored, &entry).await,
                Outcome::Absent | Outcome::Blocks => return None,
                Outcome::Moved => {}
            }
        }
        None
    }

    /// A body that is streamed is read once before, so that a damaged one isn't begun with.
    async fn verified(&self, stored: Stored<H>, entry: &Entry) -> Option<Stored<H>> {
        if let Stored::Read { body: StoredBody::Streamed(body), .. } = &stored
            && !body.verify().await
        {
            self.directory.forget(entry);
            return None;
        }
        Some(stored)
    }

    fn seek(&self, key: &Key, name: &[u8]) -> Sought<H> {
        let (from, renewed) = match self.queue.find(key) {
            Some(Pending::Whole(response)) if *response.name == *name => {
                return Sought::Queued(response);
            }
            Some(Pending::Whole(_) | Pending::Moving(_)) => return Sought::Absent,
            Some(Pending::Renewed(renewed)) => (renewed.from, Some(renewed)),
            None => (*key, None),
        };
        match self.directory.index.hit(Short::of(&from)) {
            Some(entry) => Sought::At(At { entry, key: from, renewed }),
            None => Sought::Absent,
        }
    }

    fn outcome(&self, at: &At<H>, loaded: Result<Loaded, Failure>) -> Outcome<H> {
        let directory = &self.directory;
        if !matches!(loaded, Err(Failure::Blocks)) {
            directory.counters.reads.add(1);
        }
        match loaded {
            Ok(loaded) => {
                directory.read_succeeded();
                self.found(at, loaded)
            }
            Err(Failure::Blocks) => Outcome::Blocks,
            Err(Failure::Other) => Outcome::Absent,
            Err(Failure::Gone) => {
                directory.forget(&at.entry);
                Outcome::Moved
            }
            Err(Failure::Damaged) => {
                directory.counters.checksum_failures.add(1);
                directory.forget(&at.entry);
                Outcome::Absent
            }
            Err(Failure::Failed(error)) => {
                directory.read_failed(&error);
                Outcome::Absent
            }
        }
    }

    fn found(&self, at: &At<H>, loaded: Loaded) -> Outcome<H> {
        let body = loaded.body;
        if let Some(renewed) = &at.renewed {
            if loaded.number != renewed.was {
                // it was written meanwhile, and is found without this, or there is nothing it belongs to
                return Outcome::Moved;
            }
            let (number, head) = (renewed.number, Arc::clone(&renewed.head));
            return Outcome::Found(Stored::Read { number, head, body });
        }
        let Some(head) = H::decode(&loaded.head) else {
            // another version wrote it
            self.directory.forget(&at.entry);
            return Outcome::Absent;
        };
        Outcome::Found(Stored::Read { number: loaded.number, head: Arc::new(head), body })
    }

    /// Whether something may be stored under `key`: in the index, in the queue, or yet to be recovered.
    pub(super) fn may_have(&self, key: &Key) -> bool {
        // in the order that a record takes: what leaves one while it is asked is in the next
        self.directory.is_recovering()
            || self.queue.find(key).is_some()
            || self.directory.index.find(Short::of(key)).is_some()
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        match self.queue.find(key) {
            Some(Pending::Moving(_)) => false,
            Some(_) => true,
            None => self.directory.index.find(Short::of(key)).is_some(),
        }
    }

    pub(super) fn put(&self, response: Arc<Complete<H>>) {
        let (key, operation) = (response.key, Operation::Put(Arc::clone(&response)));
        self.write(operation, [(key, Pending::Whole(response))]);
    }

    pub(super) fn renew(&self, renewed: Renewed<H>) {
        let renewed = Arc::new(renewed);
        let operation = Operation::Renew(Arc::clone(&renewed));
        let shown = (renewed.key, Pending::Renewed(Arc::clone(&renewed)));
        let left = (renewed.from, Pending::Moving(Arc::clone(&renewed)));
        if renewed.from == renewed.key {
            self.write(operation, [shown]);
        } else {
            self.write(operation, [left, shown]);
        }
    }

    /// Has a write done, and `shown` found until it is; where there is no room for it, what was under these keys goes all
    /// the same.
    fn write<const N: usize>(&self, operation: Operation<H>, shown: [(Key, Pending<H>); N]) {
        let keys = shown.each_ref().map(|(key, _)| *key);
        if self.queue.push(operation, shown) {
            return self.directory.signal.raise();
        }
        self.directory.counters.dropped.add(1);
        keys.iter().filter(|key| self.may_have(key)).for_each(|key| self.remove(key));
    }

    pub(super) fn remove(&self, key: &Key) {
        let short = Short::of(key);
        // before the removal is in the log, so that nothing is written again behind it
        self.directory.remove(short);
        // what was just being written may have come into the index since; what comes later is to stay
        self.push_removal(Operation::Remove(*key), || {
            self.directory.index.remove(short);
        });
    }

    /// Removes all variants of a name.
    pub(super) fn remove_name(&self, name: [u8; 16]) {
        let short = Short::of(&Key { name, variant: [0; 16] });
        // in the order that a record takes, as above
        let may_have = self.directory.is_recovering()
            || self.queue.has_name(name)
            || !self.directory.index.of_name(short.name).is_empty();
        if may_have {
            self.directory.remove_name(short.name);
            self.push_removal(Operation::RemoveName(name), || {
                self.directory.index.remove_name(short.name);
            });
        }
    }

    /// Has all that was asked for so far reach the device. Closed when it did, or the directory is out.
    pub(super) fn sync(&self) -> mpsc::Receiver<()> {
        let (done, synced) = mpsc::channel(1);
        self.push_removal(Operation::Sync(done), || {});
        synced
    }

    fn push_removal(&self, removal: Operation<H>, act: impl FnOnce()) {
        if !self.queue.push_removal(removal, act) {
            self.directory
                .fail("more removals wait to be written than there is room for".to_owned());
        }
        self.directory.signal.raise();
    }
}
