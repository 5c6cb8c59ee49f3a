//! The state directory: which edge this is, and the journal of what it has adopted.
//!
//! The journal is appended to. A new one, with the state as it is, is written beside it when it has grown, flushed and
//! renamed. What sites set in requests to origins may be secret, so nobody but the edge's user reads any of it.

use super::adopted::Adopted;
use super::journal::{self, Found, HEADER_BYTES};
use api::id::EdgeId;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, ErrorKind, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const JOURNAL: &str = "journal";
const BESIDE: &str = "journal.new";
const ASIDE: &str = "journal.damaged";
const ID: &str = "id";
const LOCK: &str = "lock";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// What is appended to a journal before it is written anew, where the state is small.
const APPENDED_MIN_BYTES: u64 = 16 << 20;
const BUFFER_BYTES: usize = 1 << 18;

/// Why a state directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("the state directory `{path}` can't be used")]
    Directory { path: PathBuf, source: io::Error },
    #[error("another edge uses the state directory `{0}`")]
    Taken(PathBuf),
    #[error("`{path}` holds no edge id; restore or remove it")]
    Id { path: PathBuf },
}

/// The process that has a state directory, for who looks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) process: u32,
    pub(crate) serves: bool,
    /// Upgrades that were tried.
    pub(crate) upgrades: u32,
    /// Why the last of them failed.
    pub(crate) failure: Option<String>,
}

impl Owner {
    /// This process, before it serves.
    pub(crate) fn this() -> Self {
        Self { process: std::process::id(), serves: false, upgrades: 0, failure: None }
    }

    /// One line, and another one where an upgrade has failed.
    fn text(&self) -> String {
        let Self { process, serves, upgrades, failure } = self;
        let state = if *serves { "serving" } else { "starting" };
        let failure = failure.as_deref().unwrap_or_default().replace('\n', " ");
        format!("{process} {state} {upgrades}\n{failure}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, failure) = text.split_once('\n')?;
        let mut words = first.split(' ');
        let process = words.next()?.parse().ok()?;
        let serves = words.next()? == "serving";
        let upgrades = words.next()?.parse().ok()?;
        let failure = Some(failure.trim_end().to_owned()).filter(|failure| !failure.is_empty());
        Some(Self { process, serves, upgrades, failure })
    }
}

/// A directory that this process alone uses.
pub(crate) struct StateDirectory {
    path: PathBuf,
    edge_id: EdgeId,
    /// Held for as long as anything here may be written.
    lock: Arc<File>,
}

/// A journal that is appended to.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Invariant: everything up to here is flushed, and sound.
    end: u64,
    /// Where it is to be written anew.
    full_at: u64,
}

impl StateDirectory {
    /// Opens a directory, and makes it, and an id for this edge, the first time.
    pub(crate) fn open(path: &Path, new_id: impl FnOnce() -> EdgeId) -> Result<Self, StateError> {
        let wrap = |source| StateError::Directory { path: path.into(), source };
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(wrap)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(path.join(LOCK))
            .map_err(wrap)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Taken(path.into())),
            Err(TryLockError::Error(source)) => return Err(wrap(source)),
        }
        Self::say(path, &Owner::this());
        let id_path = path.join(ID);
        let edge_id = match fs::read_to_string(&id_path) {
            Ok(text) => text.trim().parse().map_err(|_| StateError::Id { path: id_path })?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let edge_id = new_id();
                write_id(path, &edge_id).map_err(wrap)?;
                edge_id
            }
            Err(error) => return Err(wrap(error)),
        };
        Ok(Self { path: path.into(), edge_id, lock: Arc::new(lock) })
    }

    /// Which edge this is.
    pub(crate) fn edge_id(&self) -> &EdgeId {
        &self.edge_id
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    /// Whether a directory is nobody's.
    pub(crate) fn is_free(path: &Path) -> bool {
        let lock = OpenOptions::new().write(true).open(path.join(LOCK));
        lock.is_ok_and(|lock| lock.try_lock().is_ok())
    }

    /// The process that has a directory, as it says itself.
    pub(crate) fn owner(path: &Path) -> Option<Owner> {
        Owner::parse(&fs::read_to_string(path.join(LOCK)).ok()?)
    }

    /// Has others know of the process that has it.
    pub(crate) fn say(path: &Path, owner: &Owner) {
        if let Err(error) = fs::write(path.join(LOCK), owner.text()) {
            tracing::warn!(%error, "the state directory doesn't tell of this process");
        }
    }

    /// What was adopted before, and the journal that says so. One that is damaged is set aside: the edge starts without,
    /// and is given everything again by control.
    pub(super) fn load(&self) -> Result<(Adopted, Option<Journal>), StateError> {
        let path = self.path.join(JOURNAL);
        let wrap = |source| StateError::Directory { path: path.clone(), source };
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
            Err(source) => return Err(wrap(source)),
        };
        let length = file.metadata().map_err(wrap)?.len();
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, &file);
        match journal::read(&mut reader, length).map_err(wrap)? {
            Found::State { adopted, begun, end } => {
                let mut journal = Journal { file, end, full_at: full_at(begun) };
                if length > end {
                    tracing::warn!(bytes = length - end, "an append that was cut short is cut off");
                    journal.cut_off().map_err(wrap)?;
                }
                Ok((*adopted, Some(journal)))
            }
            Found::Damage => {
                let moved = fs::rename(&path, self.path.join(ASIDE)).is_ok();
                tracing::error!(moved, "`{}` is damaged and is set aside", path.display());
                Ok(Default::default())
            }
        }
    }
}

impl Journal {
    /// A journal that holds a state and nothing else, beside the one in use. It isn't in use before it is
    /// [put in place](Self::put_in_place).
    pub(super) fn write_beside(directory: &Path, adopted: &Adopted) -> io::Result<Self> {
        let written = create(directory, BESIDE).and_then(|file| {
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
            let end = journal::write(adopted, &mut out)?;
            Ok(Self { file: out.into_inner()?, end, full_at: full_at(end) })
        });
        if written.is_err() {
            // what is half written takes room that may be short
            fs::remove_file(directory.join(BESIDE)).ok();
        }
        written
    }

    /// Puts a journal that was written beside in use.
    pub(super) fn put_in_place(&self, directory: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(directory.join(BESIDE), directory.join(JOURNAL))?;
        File::open(directory)?.sync_all()
    }

    /// Appends one payload, and flushes it.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        self.write(payload)?;
        self.file.sync_data()?;
        self.end += (HEADER_BYTES + payload.len()) as u64;
        Ok(())
    }

    /// Takes up what `other` has from `offset` on.
    pub(super) fn append_from(&mut self, other: &Self, offset: u64) -> io::Result<()> {
        let mut from = &other.file;
        from.seek(SeekFrom::Start(offset))?;
        let (mut at, mut payload) = (offset, Vec::new());
        while at < other.end {
            if !journal::read_frame(&mut from, at, other.end, &mut payload)? {
                return Err(io::Error::other("what was written just now reads differently"));
            }
            at += (HEADER_BYTES + payload.len()) as u64;
            self.write(&payload)?;
            self.end += (HEADER_BYTES + payload.len()) as u64;
        }
        Ok(())
    }

    /// Where the next payload is appended.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether it has grown so much that it is to be written anew.
    pub(super) fn is_full(&self) -> bool {
        self.end > self.full_at
    }

    /// Has it grow on: it could not be written anew.
    pub(super) fn put_off(&mut self) {
        self.full_at = self.end + APPENDED_MIN_BYTES;
    }

    /// Cuts off what an append that failed may have left. An error says that nothing is known of the file any more.
    pub(super) fn cut_off(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }

    /// One that can't be written to: for want of room, or for another reason.
    #[cfg(test)]
    pub(super) fn broken(mut self, is_full: bool) -> Self {
        let path = if is_full { "/dev/full" } else { "/dev/null" };
        self.file = OpenOptions::new().read(true).write(is_full).open(path).unwrap();
        self
    }

    fn write(&mut self, payload: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&journal::header(payload, self.end))?;
        self.file.write_all(payload)
    }
}

/// Where a journal is to be written anew that was begun with a state of so many bytes.
fn full_at(state_bytes: u64) -> u64 {
    state_bytes + APPENDED_MIN_BYTES.max(2 * state_bytes)
}

fn create(directory: &Path, name: &str) -> io::Result<File> {
    let path = directory.join(name);
    // one left behind may be of another mode
    fs::remove_file(&path).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    OpenOptions::new().create_new(true).read(true).write(true).mode(FILE_MODE).open(path)
}

fn write_id(directory: &Path, edge_id: &EdgeId) -> io::Result<()> {
    let beside = format!("{ID}.new");
    let mut file = create(directory, &beside)?;
    file.write_all(edge_id.as_str().as_bytes())?;
    file.sync_all()?;
    fs::rename(directory.join(beside), directory.join(ID))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests;
