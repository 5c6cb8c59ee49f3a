//! Where directories of the store are: on the disk at hand, or on a small file system of their own.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SMALL_BYTES: u64 = 24 << 20;
const BALLAST: &str = "ballast";

/// The fault run may not make a file system of its own.
#[derive(Debug, thiserror::Error)]
#[error("mounting a small file system needs root: {0}")]
pub struct NotPermitted(String);

/// A file system in memory, too small for what is to be stored in it. Unmounted when dropped.
pub(crate) struct Small {
    path: PathBuf,
}

impl Small {
    /// Mounts one at `path`.
    ///
    /// # Errors
    /// [`NotPermitted`], without root.
    pub(crate) fn mount(path: &Path) -> Result<Self> {
        fs::create_dir(path)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SMALL_BYTES}"), "none"]).arg(path);
        let output = mount.output().context("there is no mount")?;
        if output.status.success() {
            return Ok(Self { path: path.to_owned() });
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(NotPermitted(said.trim().to_owned()).into())
    }

    /// Takes up all the room there is, or gives it back.
    pub(crate) fn change(&self) -> Result<()> {
        let ballast = self.path.join(BALLAST);
        if ballast.exists() {
            return Ok(fs::remove_file(ballast)?);
        }
        // it ends where there is no more room
        let written = fs::write(&ballast, vec![0; usize::try_from(SMALL_BYTES)?]);
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
            written => Ok(written?),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // lazily: the edge may be about to end. Nothing can be done about one that stays
        let _ended = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
