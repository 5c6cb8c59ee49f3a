//! Has the edge that runs here be upgraded, and waits for what becomes of it.

use super::upgrade::{PREPARE_TIMEOUT, SERVE_TIMEOUT};
use crate::feed::{Owner, StateDirectory};
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "this is a command, without a runtime")]
fn wait() {
    std::thread::sleep(STEP);
}

/// Has the edge that has a state directory start its program anew, and waits until that serves. Returns its process.
///
/// # Errors
/// When none runs there, or it goes on itself.
pub(crate) fn upgrade(directory: &Path) -> anyhow::Result<u32> {
    let running = || StateDirectory::owner(directory);
    let before = running().filter(|_| !StateDirectory::is_free(directory));
    let before = before.with_context(|| {
        format!("no edge runs with the state directory `{}`", directory.display())
    })?;
    let process = i32::try_from(before.process).ok().and_then(Pid::from_raw);
    let process = process.context("its process is not known")?;
    kill_process(process, Signal::USR2).context("its process can't be told")?;
    let until = Instant::now() + PREPARE_TIMEOUT + SERVE_TIMEOUT;
    while Instant::now() < until {
        wait();
        match running() {
            Some(Owner { process, serves: true, .. }) if process != before.process => {
                return Ok(process);
            }
            Some(Owner { process, upgrades, failure: Some(failure), .. })
                if process == before.process && upgrades != before.upgrades =>
            {
                bail!("it goes on itself: {failure}");
            }
            _ => {}
        }
    }
    bail!("it says nothing; its log may tell")
}
