//! A wall clock that jumps: a library, loaded into an edge before its C library.

use crate::differential::Random;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use testkit::EdgeOptions;
use tokio::process::Command;

const SOURCE: &str = include_str!("../../purges/clock.c");
/// Seconds that it is set on or back, at most.
const JUMP_MAX: usize = 400 * 86_400;

/// The clock of the edges that run above it.
pub(crate) struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Compiles it into `directory`.
    pub(crate) async fn build(directory: &Path) -> Result<Self> {
        let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
        std::fs::write(&source, SOURCE)?;
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let output = compile.output().await.context("there is no C compiler")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let clock = Self { library, file: directory.join("clock") };
        clock.set(0)?;
        Ok(clock)
    }

    pub(crate) fn below(&self, options: EdgeOptions) -> EdgeOptions {
        options
            .environment("LD_PRELOAD", &self.library)
            .environment("LONGSHORE_TEST_CLOCK", &self.file)
    }

    /// Sets it to any time.
    pub(crate) fn jump(&self, random: &mut Random) -> Result<()> {
        let seconds = i64::try_from(random.below(2 * JUMP_MAX))? - i64::try_from(JUMP_MAX)?;
        self.set(seconds)
    }

    /// Sets it as many seconds on.
    pub(crate) fn set(&self, seconds: i64) -> Result<()> {
        use std::os::unix::fs::FileExt as _;
        let options =
            std::fs::File::options().create(true).truncate(false).write(true).open(&self.file);
        Ok(options?.write_all_at(&seconds.to_le_bytes(), 0)?)
    }
}
