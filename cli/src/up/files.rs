//! The data directory of `longshore up`, and files written whole or not at all.

use crate::failure::Failure;
use crate::settings::TOKEN_FILE;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A log that is longer at a start is put aside, in the place of the one put aside before.
const LOG_MAX_BYTES: u64 = 16 * 1_024 * 1_024;

/// Bytes of responses that the edge keeps on disk.
const CACHE_BYTES: u64 = 1 << 30;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    /// The data directory, absolute.
    pub(super) data: PathBuf,
}

impl Layout {
    /// Makes what directories are missing. Sites can hold secrets, such as a field set for an origin, and logs those in
    /// URLs: what control and the edge write is for this user only.
    pub(super) fn make(data: &Path) -> Result<Self, Failure> {
        let layout = Self { data: directory(data, 0o777)? };
        for inner in [layout.control(), layout.edge(), layout.data.join("logs")] {
            directory(&inner, 0o700)?;
        }
        Ok(layout)
    }

    /// The admin token.
    pub(super) fn token(&self) -> PathBuf {
        self.data.join(TOKEN_FILE)
    }

    /// The root of control's local authority.
    pub(super) fn root(&self) -> PathBuf {
        self.data.join("root.pem")
    }

    /// The token the edge follows the feed with.
    pub(super) fn edge_token(&self) -> PathBuf {
        self.edge().join("token")
    }

    /// The data directory of control.
    pub(super) fn control(&self) -> PathBuf {
        self.data.join("control")
    }

    /// The state directory of the edge.
    pub(super) fn edge(&self) -> PathBuf {
        self.data.join("edge")
    }

    /// The configuration of the edge: the user's own, once it is there.
    pub(super) fn edge_config(&self) -> PathBuf {
        self.data.join("edge.toml")
    }

    /// Writes a configuration of the edge that keeps responses on disk, if there is none.
    pub(super) fn ensure_edge_config(&self) -> Result<(), Failure> {
        let path = self.edge_config();
        if read(&path)?.is_some() {
            return Ok(());
        }
        let cache = toml::Value::from(self.data.join("cache").display().to_string());
        let text = format!(
            "# What the edge of `longshore up` is configured by, beside its addresses: yours to change.\n\n\
             [[disk.directories]]\npath = {cache}\ncapacity_bytes = {CACHE_BYTES}\n"
        );
        write(&path, text.as_bytes(), 0o644)
    }

    /// The files of the demo site.
    pub(super) fn demo(&self) -> PathBuf {
        self.data.join("demo")
    }

    /// A log.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.data.join("logs").join(format!("{name}.log"))
    }

    /// Opens a log to add to it. Also says how long it is.
    pub(super) fn open_log(&self, name: &str) -> Result<(fs::File, u64), Failure> {
        let path = self.log(name);
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_MAX_BYTES) {
            fs::rename(&path, path.with_extension("log.old")).map_err(named(&path))?;
        }
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(&path);
        let file = file.map_err(named(&path))?;
        let bytes = file.metadata().map_err(named(&path))?.len();
        Ok((file, bytes))
    }

    /// How `longshore` is called so that it works from any directory.
    pub(super) fn command(&self) -> String {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("longshore"));
        let bare =
            super::children::on_path("longshore").is_some_and(|found| same(&found, &program));
        let program = if bare { "longshore".to_owned() } else { quote(&program) };
        format!("LONGSHORE_DATA={} {program}", quote(&self.data))
    }
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A path as a shell takes it.
pub(super) fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Makes a directory with `mode`, less the umask, if it is not there.
fn directory(path: &Path, mode: u32) -> Result<PathBuf, Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
    made.and_then(|()| path.canonicalize()).map_err(named(path))
}

/// Reads a file; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(path, error)),
    }
}

/// Puts a file in its place with `mode`: all of it, or what was there before. Nobody else may write beside it, which
/// the lock sees to.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let half = path.with_extension("half");
    let written = || {
        match fs::remove_file(&half) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        fs::File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    written().map_err(named(path))
}

fn named(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::file(path, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_never_readable_by_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(path.with_extension("half"), "left by a crash").unwrap();
        for text in ["ls_a", "ls_b"] {
            write(&path, text.as_bytes(), 0o600).unwrap();
            assert_eq!(read(&path).unwrap().unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(read(&directory.path().join("none")).unwrap(), None);
    }

    #[test]
    fn directories_that_can_hold_secrets_are_for_one_user() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::make(&directory.path().join("data")).unwrap();
        for inner in [layout.control(), layout.edge(), layout.data.join("logs")] {
            let mode = fs::metadata(&inner).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", inner.display());
        }
    }

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(quote(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quote(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
