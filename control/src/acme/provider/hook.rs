//! A program that sets TXT records: `PROGRAM present|cleanup HOST NAME VALUE`, with the same in its environment.

use super::{Record, trouble};
use crate::acme::domain::Trouble;
use crate::acme::words::shown;
use rustix::process::{Pid, Signal, kill_process_group};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Bytes of what the program writes that are kept, of each stream.
const OUTPUT_MAX_BYTES: usize = 8_192;

/// A program.
pub(crate) struct Hook {
    pub(crate) program: PathBuf,
    /// How long it may run.
    pub(crate) limit: Duration,
}

impl Hook {
    /// Runs it.
    ///
    /// # Errors
    /// What it wrote last, where it fails or takes too long.
    pub(crate) async fn run(&self, action: &str, record: &Record) -> Result<(), Trouble> {
        let program = self.program.display();
        let child = self.command(action, record).spawn();
        let mut child = child
            .map_err(|error| trouble(format!("the hook `{program}` can't be run: {error}")))?;
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            let (status, out, err) =
                tokio::join!(child.wait(), tail(stdout.as_mut()), tail(stderr.as_mut()));
            (status, if err.trim().is_empty() { out } else { err })
        };
        let Ok((status, output)) = timeout(self.limit, ended).await else {
            end(&mut child).await;
            let seconds = self.limit.as_secs();
            return Err(trouble(format!(
                "the hook `{program} {action}` took longer than {seconds} s"
            )));
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let output = shown(&output);
                let output = if output.is_empty() { "nothing" } else { &output };
                Err(trouble(format!(
                    "the hook `{program} {action}` failed with {status} and said: {output}"
                )))
            }
            Err(error) => Err(trouble(format!("the hook `{program} {action}` is lost: {error}"))),
        }
    }

    fn command(&self, action: &str, record: &Record) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([action, &record.host, &record.name, &record.value])
            .env("LONGSHORE_ACME_ACTION", action)
            .env("LONGSHORE_ACME_HOST", &record.host)
            .env("LONGSHORE_ACME_RECORD", &record.name)
            .env("LONGSHORE_ACME_VALUE", &record.value)
            // secrets of control are none of a hook's
            .env_remove("LONGSHORE_SECRETS_KEY")
            .env_remove("DATABASE_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// Ends a program that takes too long, with those that it started.
async fn end(child: &mut Child) {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(group) = group {
        // a group that is gone needs no end
        let _ = kill_process_group(group, Signal::KILL);
    }
    if let Err(error) = child.kill().await {
        tracing::warn!("a hook could not be ended: {error}");
    }
}

/// The last of what a program writes.
async fn tail(stream: Option<&mut (impl AsyncRead + Unpin)>) -> String {
    let Some(stream) = stream else { return String::new() };
    let (mut kept, mut part) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        kept.extend_from_slice(part.get(..read).unwrap_or_default());
        let excess = kept.len().saturating_sub(OUTPUT_MAX_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn hook(script: &str, limit: Duration) -> (tempfile::TempDir, Hook) {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("hook");
        std::fs::write(&program, format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{script}\n"))
            .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        (directory, Hook { program, limit })
    }

    fn record() -> Record {
        Record::new("*.example.com", "v".to_owned())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_hook_is_told_what_to_do_twice_over() {
        let script = "echo \"$1 $2 $3 $4 $LONGSHORE_ACME_RECORD $LONGSHORE_ACME_VALUE\" >said";
        let (directory, hook) = hook(script, LONG);
        hook.run("present", &record()).await.unwrap();
        let said = std::fs::read_to_string(directory.path().join("said")).unwrap();
        let name = "_acme-challenge.example.com";
        assert_eq!(said, format!("present example.com {name} v {name} v\n"));
    }

    #[tokio::test]
    async fn a_hook_that_fails_says_why() {
        let check = async |script: &str, limit: Duration, expected: &str| {
            let (_directory, hook) = hook(script, limit);
            let found = hook.run("cleanup", &record()).await.unwrap_err();
            assert!(found.detail.contains(expected) && found.order_lives, "{}", found.detail);
        };
        check("echo no zone >&2; exit 3", LONG, "status: 3 and said: no zone").await;
        check("exit 1", LONG, "said: nothing").await;
        check("sleep 60; exit 0", Duration::from_millis(200), "took longer than").await;
        let endless = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
        check(endless, Duration::from_millis(300), "took longer than").await;
        let nowhere = Hook { program: "/nowhere/hook".into(), limit: LONG };
        let found = nowhere.run("present", &record()).await.unwrap_err();
        assert!(found.detail.contains("can't be run"), "{}", found.detail);
    }
}
