//! `longshore up`: control and an edge on this machine.

use super::process::{Program, address, command};
use crate::client::{Call, Response};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;

/// A running `longshore up` with `$LONGSHORE_DATA` in a directory of its own.
#[derive(Debug)]
pub struct Up {
    /// The process; stop or kill it through this.
    pub program: Program,
    data: TempDir,
}

impl Up {
    /// Starts everything on ports the kernel chooses.
    pub async fn start() -> Self {
        let data = TempDir::new().expect("a temporary directory can be made");
        let program = launch(data.path()).await;
        Self { program, data }
    }

    /// Starts again after [`Program::stop`]: same directory, ports the kernel chooses.
    pub async fn start_again(&mut self) {
        self.program = launch(self.data.path()).await;
    }

    /// `$LONGSHORE_DATA`
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// Where the edge serves HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        address(&self.program.ready, "edge")
    }

    /// Where the edge serves HTTPS.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        address(&self.program.ready, "edge_https")
    }

    /// Where the API of control is.
    #[must_use]
    pub fn control(&self) -> SocketAddr {
        address(&self.program.ready, "control")
    }

    /// The edge's answer to a GET.
    pub async fn get(&self, host: &str, path: &str) -> Response {
        Call::new(self.http(), "GET", host, path).send().await
    }

    /// Runs `longshore` with the given arguments on the same data.
    pub async fn longshore(&self, arguments: &[&str]) -> Output {
        let mut command = longshore(self.data.path());
        command.args(arguments);
        super::process::run("longshore", command).await
    }
}

fn longshore(data: &Path) -> Command {
    let mut command = command("longshore");
    command.env("LONGSHORE_DATA", data);
    command
}

async fn launch(data: &Path) -> Program {
    let mut command = longshore(data);
    command.args(["up", "--json"]);
    for variable in [
        "LONGSHORE_CONTROL_ADDR",
        "LONGSHORE_EDGE_HTTP_ADDR",
        "LONGSHORE_EDGE_HTTPS_ADDR",
        "LONGSHORE_EDGE_ADMIN_ADDR",
    ] {
        command.env(variable, "127.0.0.1:0");
    }
    let started = Program::start("longshore", command, data).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}
