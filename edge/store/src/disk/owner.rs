//! The thread that a directory belongs to: all that is written there, it writes.

use crate::complete::Complete;
use crate::disk::directory::{Directory, End};
use crate::disk::index::Short;
use crate::disk::log::{Appended, Draft, Landing, Log};
use crate::disk::queue::{Operation, Pending, Queue};
use crate::disk::read::{Front, Mode};
use crate::disk::reclaim::Reclaim;
use crate::disk::record::{Header, Kind, is_intact};
use crate::disk::recover::Recovery;
use crate::disk::run::{self, Mark};
use crate::disk::{Renewed, segment, shortage};
use crate::{Head, Key};
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

/// Bodies up to this are written again with a new head.
const SMALL_BODY_BYTES: u64 = 4 << 10;

/// Whether a response is wanted, as far as others know.
pub(super) type IsHot = Arc<dyn Fn(&Key) -> bool + Send + Sync>;

/// How a directory's thread and those of the others agree on whose marks count.
pub(super) struct Start {
    pub(super) position: usize,
    /// Takes the mark that was found.
    pub(super) found: Sender<(usize, Option<Mark>)>,
    /// Says whether what is there is kept.
    pub(super) keeps: Receiver<bool>,
}

/// Takes a directory out whose thread is no more.
struct FailsOnPanic(Arc<Directory>);

impl Drop for FailsOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail("its thread has panicked".to_owned());
        }
    }
}

pub(super) struct Owner<H: Head> {
    pub(super) directory: Arc<Directory>,
    pub(super) queue: Arc<Queue<H>>,
    pub(super) is_hot: IsHot,
    pub(super) log: Log<H>,
    pub(super) recovery: Option<Recovery>,
    pub(super) reclaim: Option<Reclaim>,
    /// Locked as long as it is held.
    lock: Option<File>,
    marked: Option<Mark>,
}

impl<H: Head> Owner<H> {
    pub(super) fn new(directory: Arc<Directory>, queue: Arc<Queue<H>>, is_hot: IsHot) -> Self {
        let log = Log::new(Arc::clone(&directory), Arc::clone(&queue));
        let (recovery, reclaim, lock, marked) = (None, None, None, None);
        Self { directory, queue, is_hot, log, recovery, reclaim, lock, marked }
    }

    /// Works until it is told to end.
    pub(super) fn run(mut self, start: &Start) {
        let _fails = FailsOnPanic(Arc::clone(&self.directory));
        if let Err(error) = self.begin(start) {
            self.directory.fail(error.to_string());
        }
        loop {
            let end = self.directory.end();
            if end == End::Abrupt {
                return;
            }
            if !self.directory.is_in() {
                match end {
                    End::Clean => return,
                    End::Paused => self.pause(),
                    _ => self.stay_out(),
                }
                continue;
            }
            match self.step() {
                Err(error) => {
                    self.directory.counters.write_errors.add(1);
                    self.directory.fail(error.to_string());
                }
                Ok(true) => {}
                Ok(false) if end == End::Clean => return self.finish(),
                Ok(false) if end == End::Paused => self.finish(),
                Ok(false) => self.directory.rest((!self.is_marked()).then_some(shortage::RETRY)),
            }
        }
    }

    fn begin(&mut self, start: &Start) -> io::Result<()> {
        let path = &self.directory.options.path;
        let found = self.directory.patiently(|| run::lock(path)).and_then(|lock| {
            self.lock = Some(lock);
            run::read(path)
        });
        let mark = found.as_ref().ok().copied().flatten();
        // nobody waits any more for a directory that answers late
        start.found.send((start.position, mark)).ok();
        let keeps = start.keeps.recv().unwrap_or_default();
        found?;
        if !keeps {
            segment::unlink_all(path)?;
        }
        self.mark_at_start()?;
        self.begin_recovery()
    }

    /// Marks the directory. Where the device is full, its oldest segments make room.
    fn mark_at_start(&mut self) -> io::Result<()> {
        while let Err(error) = self.mark() {
            if shortage::is_shortage(&error) {
                // soon, then
                return Ok(());
            }
            if !shortage::is_full(&error) || !segment::unlink_oldest(&self.directory.options.path)?
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Does some of what there is to do. False where there is nothing.
    fn step(&mut self) -> io::Result<bool> {
        self.directory.files.watch.work();
        self.directory.files.close_unused();
        match self.mark() {
            Err(error) if shortage::is_shortage(&error) => {}
            result => result?,
        }
        let wrote = self.write()?;
        let recovered = self.recover()?;
        let reclaims = self.begin_reclaim()?;
        let works = self.reclaim()? || reclaims || recovered || wrote;
        // only where nothing waits for it
        Ok(works || self.log.sync_removals()?)
    }

    fn is_marked(&self) -> bool {
        self.directory.shared.run.get().is_none_or(|run| self.marked == Some(run.mark()))
    }

    /// Writes the mark of the present into the directory, where it isn't there.
    fn mark(&mut self) -> io::Result<()> {
        let mark = self.directory.shared.run.get().map(run::Run::mark);
        if let Some(mark) = mark.filter(|mark| self.marked != Some(*mark)) {
            run::write(&self.directory.options.path, mark)?;
            self.marked = Some(mark);
            self.directory.shared.run.get().inspect(|run| run.note(mark));
        }
        Ok(())
    }

    /// Ends as one does who will go on.
    fn finish(&mut self) {
        match self.log.seal() {
            Ok(()) => self.directory.close(),
            Err(error) => self.directory.fail(error.to_string()),
        }
    }

    /// Leaves the directory to another process, until the pause ends. It comes back empty then: what was stored or removed
    /// meanwhile isn't in it.
    fn pause(&mut self) {
        self.queue.clear();
        self.lock = None;
        self.directory.note_left(true);
        while self.directory.end() == End::Paused {
            self.directory.rest(None);
        }
        self.directory.note_left(false);
    }

    /// Waits for a while, then tries to take the directory in again.
    fn stay_out(&mut self) {
        self.queue.clear();
        self.log.reset();
        (self.recovery, self.reclaim) = (None, None);
        if self.marked.take().is_some() {
            // one that can't be written keeps a mark that isn't the newest any more, which empties it as well
            run::erase(&self.directory.options.path).ok();
        }
        let until = Instant::now() + self.directory.shared.retry;
        while let Some(left) = until.checked_duration_since(Instant::now())
            && self.directory.end() == End::No
        {
            self.directory.rest(Some(left));
            self.directory.files.close_unused();
        }
        if self.directory.end() != End::No {
            return;
        }
        self.queue.clear();
        match self.come_back() {
            Ok(()) => self.directory.come_back(),
            Err(error) => self.directory.stay_out(error.to_string()),
        }
    }

    fn come_back(&mut self) -> io::Result<()> {
        let path = &self.directory.options.path;
        // what was locked may not be what is there now
        self.lock = None;
        self.lock = Some(run::lock(path)?);
        run::read(path)?;
        segment::unlink_all(path)?;
        self.log.next = 1;
        self.mark()
    }

    /// Writes what waits, as much as makes a good piece.
    fn write(&mut self) -> io::Result<bool> {
        let mut wrote = false;
        // where the index is nearly full, one at a time: room is made in between
        while !(self.log.is_gathered() || wrote && self.directory.lacks_index_room())
            && let Some(operation) = self.queue.next()
        {
            wrote = true;
            self.directory.files.watch.work();
            let done = match &operation {
                Operation::Put(response) => self.put(response),
                Operation::Renew(renewed) => self.renew(renewed),
                Operation::Remove(key) => {
                    // not left to who asked for it: what is found is written again where room is made, and behind
                    // this it would outlast it
                    self.directory.remove(Short::of(key));
                    self.log_removal(Kind::Removal, *key)
                }
                Operation::RemoveName(name) => {
                    let key = Key { name: *name, variant: [0; 16] };
                    self.directory.remove_name(Short::of(&key).name);
                    self.log_removal(Kind::NameRemoval, key)
                }
                Operation::Sync(done) => {
                    let synced = self.log.sync();
                    // nobody may wait for it any more
                    synced.inspect(|()| done.try_send(()).unwrap_or_default())
                }
            };
            // only now: some of it may have been written on the way
            self.log.count(operation.bytes());
            done?;
        }
        if wrote {
            self.log.flush()?;
        }
        Ok(wrote)
    }

    fn put(&mut self, response: &Arc<Complete<H>>) -> io::Result<()> {
        let pending = Pending::Whole(Arc::clone(response));
        if self.queue.is_pending(&response.key, &pending) {
            let encode_head = |out: &mut Vec<u8>| response.head.encode(out);
            let draft = Draft::whole(response, &encode_head);
            self.store(&draft, response.key, pending)?;
        }
        Ok(())
    }

    /// Appends what is stored under `key` from now on.
    fn store(&mut self, draft: &Draft<'_>, key: Key, pending: Pending<H>) -> io::Result<()> {
        // before it is in the log: what isn't in the index is neither found nor removed before a restart finds it
        let Some(room) = self.directory.keep_index_room() else {
            return self.give_up(key, &pending);
        };
        match self.append(draft)? {
            Appended::At(entry) => {
                self.directory.counters.put_bytes.add(entry.bytes());
                self.log.land(Landing::Stored { entry, key, pending, room });
                Ok(())
            }
            Appended::TooLarge | Appended::NoRoom => self.give_up(key, &pending),
        }
    }

    /// Drops what can't be stored, and what it would have replaced.
    fn give_up(&mut self, key: Key, pending: &Pending<H>) -> io::Result<()> {
        self.directory.counters.dropped.add(1);
        let short = Short::of(&key);
        self.log.flush()?;
        let was_there = self.directory.index.find(short).is_some()
            || self.directory.is_recovering()
            || self.log.has_overtaken(short);
        if was_there {
            self.directory.remove(short);
            self.log_removal(Kind::Removal, key)?;
        }
        self.queue.settle(&key, pending, || {});
        Ok(())
    }

    fn log_removal(&mut self, kind: Kind, key: Key) -> io::Result<()> {
        loop {
            match self.append(&Draft::removal(kind, key))? {
                Appended::At(_) => return Ok(()),
                Appended::NoRoom if self.log.exceed()? => {}
                Appended::NoRoom if self.log.may_get_room() && self.wait_for_room()? => {}
                // what isn't written down would be found after a restart
                Appended::TooLarge | Appended::NoRoom => {
                    let reason = "there is no room to note that a response was removed";
                    return Err(io::Error::other(reason));
                }
            }
        }
    }

    /// Waits for what others give back. False where there is no time for that.
    fn wait_for_room(&mut self) -> io::Result<bool> {
        self.log.flush()?;
        self.directory.rest(Some(shortage::RETRY));
        self.directory.files.close_unused();
        Ok(self.directory.end() == End::No && self.directory.is_in())
    }

    fn append(&mut self, draft: &Draft<'_>) -> io::Result<Appended> {
        loop {
            let appended = self.log.append(draft)?;
            if !matches!(appended, Appended::NoRoom) || self.reclaim_at_once()? {
                if matches!(appended, Appended::NoRoom) {
                    continue;
                }
                return Ok(appended);
            }
            if self.log.is_device_full() && self.directory.segment_count() < 2 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            return Ok(appended);
        }
    }

    fn renew(&mut self, renewed: &Arc<Renewed<H>>) -> io::Result<()> {
        // the body may be in what is gathered
        self.log.flush()?;
        let pending = Pending::Renewed(Arc::clone(renewed));
        if self.queue.is_pending(&renewed.key, &pending) {
            match self.body_of(renewed) {
                Some(front) if front.header.number == renewed.was => {
                    self.store_renewed(renewed, &front, pending)?;
                }
                // something newer has taken its place, and keeps it
                Some(front) if front.header.number > renewed.was && renewed.from == renewed.key => {
                    self.queue.settle(&renewed.key, &pending, || {});
                }
                _ => self.give_up(renewed.key, &pending)?,
            }
        }
        if renewed.from != renewed.key {
            self.log_removal(Kind::Removal, renewed.from)?;
            let pending = Pending::Moving(Arc::clone(renewed));
            self.log.land(Landing::Left { key: renewed.from, pending });
        }
        Ok(())
    }

    /// The record of what a new head is for, or of what has taken its place.
    fn body_of(&self, renewed: &Renewed<H>) -> Option<Front> {
        let entry = self.directory.index.find(Short::of(&renewed.from))?;
        let front = self.directory.front(&entry, entry.bytes().min(SMALL_BODY_BYTES), Mode::Wait);
        front.ok().filter(|front| {
            front.header.key == renewed.from && front.bytes[front.name.clone()] == *renewed.name
        })
    }

    fn store_renewed(
        &mut self,
        renewed: &Arc<Renewed<H>>,
        front: &Front,
        pending: Pending<H>,
    ) -> io::Result<()> {
        let is_small = front.header.body_bytes <= SMALL_BODY_BYTES;
        let kind = if is_small { Kind::Whole } else { Kind::Head };
        let mut header = Header::new(kind, renewed.number, renewed.key, 0);
        let encode_head = |out: &mut Vec<u8>| renewed.head.encode(out);
        let (mut body, mut checksums) = (Bytes::new(), front.checksums.as_slice());
        if is_small {
            match self.directory.body_part(front, 0, front.header.body_bytes) {
                Ok(bytes) if is_intact(&bytes, checksums) => body = bytes.into(),
                _ => return self.give_up(renewed.key, &pending),
            }
            checksums = &[];
        } else {
            header.body_bytes = front.header.body_bytes;
            (header.body_segment, header.body_offset) = (front.body_segment, front.body_offset);
        }
        let draft =
            Draft { header, name: &renewed.name, encode_head: &encode_head, checksums, body };
        self.store(&draft, renewed.key, pending)
    }
}
