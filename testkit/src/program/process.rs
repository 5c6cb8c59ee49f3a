//! A program that was started, and how it ended.

use crate::wait::within;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

/// The built program `name`: in the directory the running test was built into, or one above.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn program_path(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let candidates = own.ancestors().skip(1).map(|directory| directory.join(name));
    let found = candidates.take(3).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("`{name}` is not built beside {}: run `cargo build --workspace`", own.display())
    })
}

/// A command for a built program, with nothing of the test's environment but `PATH`.
pub(crate) fn command(name: &str) -> Command {
    let mut command = Command::new(program_path(name));
    command.env_clear().env("RUST_BACKTRACE", "1").stdin(Stdio::null()).kill_on_drop(true);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// A running program. Ended when dropped; what it logged is then printed if the test failed.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    /// The line of JSON it printed when it was ready.
    pub ready: Value,
    log: PathBuf,
}

/// A program that ended before it was ready.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` ended with code {code:?} before it was ready:\n{log}")]
pub struct Failed {
    /// Which program.
    pub name: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stderr.
    pub log: String,
}

impl Program {
    /// Starts `command` and waits for its line of JSON. Its stderr goes to `name.log` in `directory`.
    ///
    /// # Errors
    /// When it ends before.
    ///
    /// # Panics
    /// When the line is not JSON, or does not come.
    pub async fn start(
        name: &str,
        mut command: Command,
        directory: &Path,
    ) -> Result<Self, Box<Failed>> {
        let log = directory.join(format!("{name}.log"));
        let stderr = File::options().create(true).append(true).open(&log);
        let stderr = stderr.expect("the directory can be written");
        let child = command.stdout(Stdio::piped()).stderr(stderr).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("can't start `{name}`: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut program = Self { name: name.to_owned(), child, ready: Value::Null, log };
        let Some(line) = first_line(name, stdout).await else {
            let code = program.exit_code().await;
            let (name, log) = (name.to_owned(), program.log());
            return Err(Box::new(Failed { name, code, log }));
        };
        program.ready = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("`{name}` printed `{line}`: {error}"));
        Ok(program)
    }

    /// Starts `command` without waiting for anything. What it prints goes to `name.log` in `directory`.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log);
        let output = output.expect("the directory can be written");
        let errors = output.try_clone().expect("a file has a second handle");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("can't start `{name}`: {error}"));
        Self { name: name.to_owned(), child, ready: Value::Null, log }
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id, as long as it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let id = self.running().unwrap_or_else(|| panic!("`{}` ended by itself", self.name));
        kill_process(id, Signal::TERM).expect("a child that was not awaited can be signalled");
    }

    fn running(&self) -> Option<Pid> {
        self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }

    /// Sends SIGTERM and waits for the end. Returns the exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.terminate();
        self.exit_code().await
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// Waits for the end. Returns the exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = within(&format!("`{}` to end", self.name), self.child.wait()).await;
        status.expect("a child can be awaited").code()
    }
}

impl Drop for Program {
    #[expect(clippy::print_stderr, reason = "the output of a failed test")]
    fn drop(&mut self) {
        if let Some(id) = self.running() {
            // a program with children of its own ends them on SIGTERM only; one that is gone needs no signal
            let _gone = kill_process(id, Signal::TERM);
        }
        if std::thread::panicking() {
            eprintln!("---- stderr of `{}` ----\n{}", self.name, self.log());
        }
    }
}

/// Runs a program that ends by itself.
pub(crate) async fn run(name: &str, mut command: Command) -> Output {
    let output = within(&format!("`{name}` to end"), command.output()).await;
    output.unwrap_or_else(|error| panic!("can't run `{name}`: {error}"))
}

/// The first line; what follows is read and thrown away, so that the program is never held up by it.
async fn first_line(name: &str, stdout: impl AsyncRead + Unpin + Send + 'static) -> Option<String> {
    let mut lines = BufReader::new(stdout).lines();
    let line = within(&format!("`{name}` to be ready"), lines.next_line()).await;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    line.ok().flatten()
}

/// The `host:port` under `key` of a line of JSON, with or without a scheme before it.
pub(crate) fn address(ready: &Value, key: &str) -> std::net::SocketAddr {
    let text = ready.get(key).and_then(Value::as_str).unwrap_or_default();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    text.parse().unwrap_or_else(|_| panic!("no address under `{key}` in {ready}"))
}
