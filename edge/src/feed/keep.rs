//! The state directory: which edge this is, and what it has adopted.
//!
//! A file is replaced as a whole: written beside, flushed to disk, renamed, and the directory flushed. What sites set
//! in requests to origins may be secret, so nobody but the edge's user reads any of it.

use super::adopted::{Adopted, Written};
use api::id::EdgeId;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ADOPTED: &str = "adopted.json";
const ID: &str = "id";
const LOCK: &str = "lock";
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

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

/// A directory that this process alone uses.
pub(crate) struct StateDirectory {
    path: PathBuf,
    edge_id: EdgeId,
    /// Held for as long as this process lives.
    _lock: File,
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
        let id_path = path.join(ID);
        let edge_id = match fs::read_to_string(&id_path) {
            Ok(text) => text.trim().parse().map_err(|_| StateError::Id { path: id_path })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let edge_id = new_id();
                replace(path, ID, edge_id.as_str().as_bytes()).map_err(wrap)?;
                edge_id
            }
            Err(error) => return Err(wrap(error)),
        };
        Ok(Self { path: path.into(), edge_id, _lock: lock })
    }

    /// Which edge this is.
    pub(crate) fn edge_id(&self) -> &EdgeId {
        &self.edge_id
    }

    /// What was adopted before. A file that can't be understood is set aside: the edge starts without, and is given
    /// everything again by control.
    pub(super) fn load(&self) -> Result<Adopted, StateError> {
        let path = self.path.join(ADOPTED);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Adopted::default()),
            Err(source) => return Err(StateError::Directory { path, source }),
        };
        let read = serde_json::from_slice::<Written>(&bytes).ok().and_then(Adopted::read);
        Ok(read.unwrap_or_else(|| {
            let aside = path.with_extension("damaged");
            let moved = fs::rename(&path, &aside).is_ok();
            tracing::error!(moved, "`{}` can't be understood and is set aside", path.display());
            Adopted::default()
        }))
    }

    /// Replaces what is on disk.
    pub(super) async fn save(&self, adopted: Arc<Adopted>) -> io::Result<()> {
        let path = self.path.clone();
        let saving = tokio::task::spawn_blocking(move || {
            let bytes = serde_json::to_vec(&adopted.written())?;
            replace(&path, ADOPTED, &bytes)
        });
        saving.await.map_err(io::Error::other)?
    }
}

fn replace(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let beside = directory.join(format!("{name}.new"));
    // one left behind may be of another mode
    fs::remove_file(&beside).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(FILE_MODE).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, directory.join(name))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::feed::Hello;
    use api::id::LogId;

    const ULID: &str = "01J9Z3K8Q4W5E6R7T8Y9V0B1N2";

    fn open(path: &Path) -> Result<StateDirectory, StateError> {
        StateDirectory::open(path, || EdgeId::from_ulid(ULID).unwrap())
    }

    #[tokio::test]
    async fn what_was_saved_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let state = open(directory.path()).unwrap();
        let mut adopted = Adopted::default();
        let log = LogId::from_ulid(ULID).unwrap();
        adopted.greet(&Hello { version: 1, log, newest: 9, reset: false }, 1);
        adopted.catch_up(9);
        state.save(Arc::new(adopted)).await.unwrap();
        drop(state);
        let state =
            StateDirectory::open(directory.path(), || unreachable!("the id is there")).unwrap();
        let adopted = state.load().unwrap();
        assert_eq!((adopted.applied, adopted.is_from_control()), (9, true));
    }

    #[tokio::test]
    async fn nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let state = open(&path).unwrap();
        fs::write(path.join("adopted.json.new"), "left behind").unwrap();
        state.save(Arc::new(Adopted::default())).await.unwrap();
        assert_eq!(mode(&path), 0o700);
        for name in [ADOPTED, ID, LOCK] {
            assert_eq!(mode(&path.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn a_directory_serves_one_edge() {
        let directory = tempfile::tempdir().unwrap();
        let _first = open(directory.path()).unwrap();
        assert!(matches!(open(directory.path()), Err(StateError::Taken(_))));
    }

    #[test]
    fn damaged_state_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let state = open(directory.path()).unwrap();
        for damage in [
            "",
            "{",
            "[]",
            "{\"version\":99,\"epoch\":0,\"log\":null,\"applied\":0,\"sites\":[],\"rejected\":[]}",
        ] {
            fs::write(directory.path().join(ADOPTED), damage).unwrap();
            assert!(!state.load().unwrap().is_from_control(), "{damage}");
            assert!(!directory.path().join(ADOPTED).exists());
        }
    }
}
