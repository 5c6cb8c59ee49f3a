//! The programs that `longshore up` starts: found, watched, stopped in order.

use super::{addresses, files::Layout, tail, under_way};
use crate::args::Child as ChildArgs;
use crate::failure::Failure;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::ffi::OsString;
use std::future::Future;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

const EDGE: &str = "longshore-edge";
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(15);
const READY_LINE_MAX_BYTES: u64 = 4_096;
/// Settings of the person's own commands, which the programs would take for theirs.
const NOT_THEIRS: [&str; 3] = ["LONGSHORE_TOKEN", "LONGSHORE_TOKEN_FILE", "LONGSHORE_CA_FILE"];

/// A program of ours that is installed.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    /// What its log is called.
    part: &'static str,
    path: PathBuf,
}

impl Program {
    /// Control and the edge.
    pub(super) fn find_all() -> Result<[Self; 2], Failure> {
        let control = Self::find("longshore-control", "control")?;
        Ok([control, Self::find(EDGE, "edge")?])
    }

    /// Beside this program, else on PATH.
    fn find(name: &'static str, part: &'static str) -> Result<Self, Failure> {
        let here = std::env::current_exe().unwrap_or_default();
        let beside = here.with_file_name(name);
        let found = Some(beside).filter(|path| path.is_file()).or_else(|| on_path(name));
        let missing = || {
            let directory = here.parent().unwrap_or_else(|| Path::new(".")).display();
            let what =
                format!("{name} is neither in {directory} nor on PATH; `make build` builds it");
            Failure::Failed { what, source: None }
        };
        Ok(Self { name, part, path: found.ok_or_else(missing)? })
    }

    /// Runs to the end, and answers what the program printed.
    pub(super) async fn output(&self, words: &[OsString]) -> Result<String, Failure> {
        let failed = |cause: String| Failure::failed(format!("{} failed", self.name), cause);
        let mut command = Command::new(&self.path);
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        for variable in NOT_THEIRS {
            command.env_remove(variable);
        }
        let output = tokio::time::timeout(START_LIMIT, command.output());
        let output = output.await.map_err(|late| failed(late.to_string()))?;
        let output = output.map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The first executable of that name on PATH.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// What runs, in the order of starting.
#[derive(Debug, Default)]
pub(super) struct Children(Vec<Running>);

#[derive(Debug)]
struct Running {
    name: &'static str,
    process: Child,
    log: PathBuf,
    log_start: u64,
    /// What it said when it was ready.
    ready: Option<Value>,
}

impl Children {
    /// Starts a program and waits for its line on standard output that says where it listens.
    pub(super) async fn start(
        &mut self,
        program: &Program,
        words: &[OsString],
        layout: &Layout,
    ) -> Result<Value, Failure> {
        let (log, log_start) = layout.open_log(program.part)?;
        let mut process = command(program, words, log)
            .spawn()
            .map_err(|error| Failure::failed(format!("can't start {}", program.name), error))?;
        let stdout = process.stdout.take();
        let log = layout.log(program.part);
        let mut running = Running { name: program.name, process, log, log_start, ready: None };
        let line = tokio::time::timeout(START_LIMIT, ready_line(stdout)).await;
        let line = match line {
            Ok(Some(line)) => {
                running.ready = Some(line.clone());
                Ok(line)
            }
            Ok(None) => {
                let status = tokio::time::timeout(STOP_LIMIT, running.process.wait()).await;
                Err(running.died(status.ok().and_then(Result::ok)))
            }
            Err(_) => {
                let seconds = START_LIMIT.as_secs();
                let tail = tail::of(&running.log, log_start);
                let what = format!("{} is not ready after {seconds} s:\n{tail}", program.name);
                Err(Failure::Failed { what, source: None })
            }
        };
        self.0.push(running);
        line
    }

    /// The outcome of `work`, unless a program dies before.
    pub(super) async fn unless_one_dies<T>(
        &mut self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            failure = self.one_dies() => Err(failure),
            outcome = work => outcome,
        }
    }

    async fn one_dies(&mut self) -> Failure {
        std::future::poll_fn(|context| {
            for running in &mut self.0 {
                let ended = std::pin::pin!(running.process.wait()).poll(context);
                if let std::task::Poll::Ready(status) = ended {
                    return std::task::Poll::Ready(running.died(status.ok()));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// How many requests the edge is answering, if any.
    pub(super) async fn requests_under_way(&self) -> Option<u64> {
        let edge = self.0.iter().find(|running| running.name == EDGE)?;
        under_way::requests(edge.ready.as_ref()?).await.filter(|requests| *requests > 0)
    }

    /// Asks each to stop, the last started first, and waits for each.
    pub(super) async fn stop(&mut self) {
        for running in self.0.iter_mut().rev() {
            let pid = running.process.id().and_then(|id| i32::try_from(id).ok());
            if let Some(pid) = pid.and_then(Pid::from_raw) {
                _ = rustix::process::kill_process(pid, Signal::TERM);
            }
            if tokio::time::timeout(STOP_LIMIT, running.process.wait()).await.is_err() {
                _ = running.process.kill().await;
            }
        }
    }

    /// Ends what has not ended.
    pub(super) async fn kill(&mut self) {
        for running in &mut self.0 {
            _ = running.process.kill().await;
        }
    }
}

impl Running {
    fn died(&self, status: Option<ExitStatus>) -> Failure {
        let status =
            status.map_or_else(|| "unknown status".to_owned(), |status| status.to_string());
        let mut tail = tail::of(&self.log, self.log_start);
        if tail.to_lowercase().contains("address already in use") {
            let variables = addresses::VARIABLES.join(", ");
            tail.push_str(&format!("\nAn address is taken; these set others: {variables}"));
        }
        let log = self.log.display().to_string();
        Failure::Died { program: self.name, status, log, tail }
    }
}

/// The program, by way of this one: see [`become_program`].
fn command(program: &Program, words: &[OsString], log: std::fs::File) -> Command {
    let this = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("longshore"));
    let mut command = Command::new(this);
    command
        .arg("child")
        .arg("--parent")
        .arg(std::process::id().to_string())
        .arg("--")
        .arg(&program.path)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C goes to `longshore up` alone, which stops the programs in order.
        .process_group(0)
        .kill_on_drop(true);
    for variable in NOT_THEIRS {
        command.env_remove(variable);
    }
    command
}

/// The first line, as JSON. What follows is read and thrown away, so that the program can't block on it.
async fn ready_line(stdout: Option<ChildStdout>) -> Option<Value> {
    let mut stdout = BufReader::new(stdout?);
    let mut line = Vec::new();
    (&mut stdout).take(READY_LINE_MAX_BYTES).read_until(b'\n', &mut line).await.ok()?;
    let value = serde_json::from_slice(&line).ok()?;
    tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
    Some(value)
}

/// Becomes the program, killed by the kernel when the parent dies, even by `kill -9`. What we start survives that: it
/// keeps its state on disk. Between `fork` and `exec` only unsafe code could ask the kernel, so this process does.
pub(crate) fn become_program(child: &ChildArgs) -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Failure::failed("the kernel refuses to watch the parent", error))?;
    // The parent may be gone already, which the kernel then does not tell.
    if std::os::unix::process::parent_id() != child.parent {
        return Err(Failure::usage("the parent is gone"));
    }
    let Some((program, words)) = child.command.split_first() else {
        return Err(Failure::usage("no program is named"));
    };
    let error = std::process::Command::new(program).args(words).exec();
    Err(Failure::failed(format!("can't become {}", Path::new(program).display()), error))
}
