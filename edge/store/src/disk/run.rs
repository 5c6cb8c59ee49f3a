//! Has a directory seen all that was removed? Each run of the store writes its mark into every directory that is in.
//!
//! A directory whose mark is not the newest was out, or not there, in a later run, or in a later part of one: what it
//! holds may have been removed or replaced meanwhile, so it is emptied.

use crate::disk::signal::Signal;
use crate::disk::{NUMBER_BITS, locked, shortage};
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tracing::warn;

/// The highest number of a run: what it counts has the other bits.
const NUMBER_MAX: u64 = u64::MAX >> NUMBER_BITS;
/// The format of a directory, beside that of its segments.
const VERSION: u32 = 1;
const FILE: &str = "run";
const NEW_FILE: &str = "run.new";
const LOCK_FILE: &str = "lock";
const LABEL: &str = "longshore-store";

/// A mark. Two with the same number, of stores that ran with other directories, are told apart by their `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) number: u64,
    id: u64,
}

impl Mark {
    fn anew(number: u64) -> Self {
        Self { number, id: RandomState::new().build_hasher().finish() }
    }

    fn line(self) -> String {
        format!("{LABEL} {VERSION} {} {:016x}\n", self.number, self.id)
    }

    /// The version and the mark of a file; no mark where it isn't one that this version knows.
    fn parse(text: &str) -> Option<(u32, Option<Self>)> {
        let mut words = text.split_ascii_whitespace();
        let version = words.next().filter(|label| *label == LABEL).and_then(|_| words.next())?;
        let version = version.parse().ok()?;
        let number = words.next().and_then(|word| word.parse().ok());
        let number = number.filter(|number| *number <= NUMBER_MAX);
        let id = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
        let mark = number.zip(id).map(|(number, id)| Self { number, id });
        Some((version, mark.filter(|_| version == VERSION)))
    }
}

/// The mark of the present, and whom to tell when it changes.
pub(super) struct Run {
    mark: Mutex<Mark>,
    signals: Vec<Arc<Signal>>,
    witness: Option<Witness>,
}

/// A directory that holds nothing but a mark: it knows of what went on while no other could be written.
pub(super) struct Witness {
    path: PathBuf,
    noted: Mutex<Option<Mark>>,
}

impl Witness {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, noted: Mutex::default() }
    }

    /// The mark it has, if any.
    pub(super) fn mark(&self) -> Option<Mark> {
        read(&self.path).ok().flatten()
    }

    fn note(&self, mark: Mark) {
        let mut noted = locked(&self.noted);
        if *noted == Some(mark) {
            return;
        }
        let written = create(&self.path).and_then(|()| write(&self.path, mark));
        match written {
            Ok(()) => *noted = Some(mark),
            Err(error) => warn!(%error, path = %self.path.display(), "a mark can't be written"),
        }
    }
}

/// Has directories that are there later begin empty: responses are kept without them from now on.
pub(crate) fn leave(witness: &Path) {
    let witness = Witness::new(witness.to_owned());
    if let Some(mark) = witness.mark() {
        witness.note(Mark::anew(mark.number.saturating_add(1).min(NUMBER_MAX)));
    }
}

impl Run {
    /// Follows on the marks that were found; after the last begins with the first, as nothing is kept then.
    pub(super) fn after(
        found: &[Option<Mark>],
        signals: Vec<Arc<Signal>>,
        witness: Option<Witness>,
    ) -> Self {
        let newest = found.iter().flatten().map(|mark| mark.number).max().unwrap_or_default();
        let number = newest % NUMBER_MAX + 1;
        Self { mark: Mutex::new(Mark::anew(number)), signals, witness }
    }

    pub(super) fn mark(&self) -> Mark {
        *locked(&self.mark)
    }

    /// Has the witness know a mark that a directory has now.
    pub(super) fn note(&self, mark: Mark) {
        self.witness.as_ref().inspect(|witness| witness.note(mark));
    }

    /// Begins a new part of this run: a directory went out.
    pub(super) fn advance(&self) {
        let mut mark = locked(&self.mark);
        // several of the last are told apart by their ids
        *mark = Mark::anew((mark.number + 1).min(NUMBER_MAX));
        let present = *mark;
        drop(mark);
        // there may be no directory left that can be written
        self.note(present);
        self.signals.iter().for_each(|signal| signal.raise());
    }
}

/// The one mark that directories must have to be kept, of those found. None where two stores went on from the same one,
/// or there can be none after it.
pub(super) fn newest(found: &[Option<Mark>]) -> Option<Mark> {
    let newest = found.iter().flatten().max_by_key(|mark| mark.number)?;
    let same = found.iter().flatten().filter(|mark| mark.number == newest.number);
    let is_kept = same.into_iter().all(|mark| mark == newest) && newest.number < NUMBER_MAX;
    is_kept.then_some(*newest)
}

/// Makes the directory this process's own, while the file is open.
pub(super) fn lock(directory: &Path) -> io::Result<File> {
    create(directory)?;
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another process uses it")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn create(directory: &Path) -> io::Result<()> {
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The mark of a directory. An error where a later version made it.
pub(super) fn read(directory: &Path) -> io::Result<Option<Mark>> {
    let text = match std::fs::read(directory.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match Mark::parse(&String::from_utf8_lossy(&text)) {
        Some((version, _)) if version > VERSION => {
            Err(io::Error::other(format!("its format {version} is of a later version")))
        }
        parsed => Ok(parsed.and_then(|(_, mark)| mark)),
    }
}

/// Marks a directory, so that it lasts.
pub(super) fn write(directory: &Path, mark: Mark) -> io::Result<()> {
    match replace(directory, mark) {
        Err(error) if shortage::is_full(&error) => overwrite(directory, mark),
        result => result,
    }
}

fn replace(directory: &Path, mark: Mark) -> io::Result<()> {
    let mut file = File::create(directory.join(NEW_FILE))?;
    file.write_all(mark.line().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(directory.join(NEW_FILE), directory.join(FILE))?;
    sync(directory)
}

/// Takes no room on the device. A crash may leave what is no mark, and then the directory is emptied.
fn overwrite(directory: &Path, mark: Mark) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(directory.join(FILE))?;
    let line = mark.line();
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(line.len() as u64)?;
    file.sync_all()
}

/// Takes a directory's mark away, so that a later run empties it.
pub(super) fn erase(directory: &Path) -> io::Result<()> {
    std::fs::remove_file(directory.join(FILE))?;
    sync(directory)
}

/// Has the names of a directory's files last.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_nothing_else_is_one() {
        let mark = Mark::anew(17);
        assert_eq!(Mark::parse(&mark.line()), Some((VERSION, Some(mark))));
        assert_eq!(Mark::parse("longshore-store 1 17"), Some((VERSION, None)));
        assert_eq!(Mark::parse("longshore-store 0 17 1"), Some((0, None)));
        assert_eq!(Mark::parse("something else"), None);
        for number in [NUMBER_MAX + 1, u64::MAX] {
            let mark = Mark { number, ..mark };
            assert_eq!(Mark::parse(&mark.line()), Some((VERSION, None)), "{number}");
        }
    }

    #[test]
    fn numbers_of_runs_end_where_those_of_responses_would_wrap_and_begin_again_with_nothing() {
        let (last, before) = (Mark::anew(NUMBER_MAX), Mark::anew(NUMBER_MAX - 1));
        let after = |mark| Run::after(&[None, Some(mark)], Vec::new(), None);
        assert_eq!(after(before).mark().number, NUMBER_MAX);
        assert_eq!((newest(&[Some(last), Some(before)]), after(last).mark().number), (None, 1));
        let run = after(before);
        run.advance();
        assert_eq!(run.mark().number, NUMBER_MAX);
        assert_eq!(NUMBER_MAX << NUMBER_BITS >> NUMBER_BITS, NUMBER_MAX);
    }

    #[test]
    fn only_directories_of_one_newest_mark_are_kept() {
        let (old, new, other) = (Mark::anew(1), Mark::anew(2), Mark::anew(2));
        assert_eq!(newest(&[Some(old), None, Some(new)]), Some(new));
        assert_eq!(newest(&[Some(new), Some(new)]), Some(new));
        assert_eq!(newest(&[Some(new), Some(other)]), None);
        assert_eq!(newest(&[None]), None);
    }
}
