//! `longshore-control`, with a database of its own.

use super::edge::{Edge, EdgeOptions};
use super::process::{Failed, Program, address, command, run};
use crate::client::{Call, Response};
use crate::wait::eventually;
use api::edge::{EdgeList, EdgeStatus};
use api::purge::PurgeAccepted;
use api::sites::SiteRecord;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use tempfile::TempDir;

/// A running control service and an admin token for it.
#[derive(Debug)]
pub struct Control {
    /// The process; stop or kill it through this.
    pub program: Program,
    directory: TempDir,
    address: SocketAddr,
    admin_token: String,
    arguments: Vec<String>,
}

impl Control {
    /// Starts on a port the kernel chooses, with an empty database.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts with further arguments of `serve`, which it keeps when it is started again.
    pub async fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let directory = TempDir::new().expect("a temporary directory can be made");
        let started = launch(&directory, "127.0.0.1:0", &arguments).await;
        let program = started.unwrap_or_else(|error| panic!("{error}"));
        let address = address(&program.ready, "control");
        let admin_token = new_token(&directory, "testkit", &["admin"]).await;
        Self { program, directory, address, admin_token, arguments }
    }

    /// Has it started with another value of an argument from the next start on.
    ///
    /// # Panics
    /// When it has no such argument.
    pub fn set_argument(&mut self, name: &str, value: &str) {
        let at = self.arguments.iter().position(|argument| argument == name);
        let at = at.expect("an argument that was given");
        value.clone_into(&mut self.arguments[at + 1]);
    }

    /// Has it started without an argument, and its value, from the next start on. The value.
    ///
    /// # Panics
    /// When it has no such argument.
    pub fn take_argument(&mut self, name: &str) -> String {
        let at = self.arguments.iter().position(|argument| argument == name);
        let at = at.expect("an argument that was given");
        self.arguments.drain(at..at + 2).nth(1).expect("it has a value")
    }

    /// Has it started with further arguments from the next start on.
    pub fn add_arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&word| word.to_owned()));
    }

    /// Starts again after [`Program::stop`] or [`Program::kill`]: same database, same port.
    pub async fn start_again(&mut self) {
        let started = launch(&self.directory, &self.address.to_string(), &self.arguments).await;
        self.program = started.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts again with other arguments than before, which it keeps.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub async fn try_start_again(&mut self, arguments: &[&str]) -> Result<(), Box<Failed>> {
        self.arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        let listen = self.address.to_string();
        self.program = launch(&self.directory, &listen, &self.arguments).await?;
        Ok(())
    }

    /// Runs `longshore-control` on its directory, to the end.
    pub async fn run(&self, words: &[&str]) -> Output {
        let mut command = command("longshore-control");
        command.args(words).arg("--data-dir").arg(self.directory.path());
        run("longshore-control", command).await
    }

    /// Where its database, its keys and its log are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts a second one, in a directory of its own, at `listen`.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub async fn try_at(listen: SocketAddr) -> Result<Program, Box<Failed>> {
        let directory = TempDir::new().expect("a temporary directory can be made");
        launch(&directory, &listen.to_string(), &[]).await
    }

    /// Where the API is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`, or `https`
    #[must_use]
    pub fn url(&self) -> String {
        let url = self.program.ready.get("control").and_then(Value::as_str);
        url.unwrap_or_default().to_owned()
    }

    /// A token of scope `admin`.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Makes a token with `longshore-control token create`.
    pub async fn token(&self, scopes: &[&str]) -> String {
        new_token(&self.directory, "test", scopes).await
    }

    /// Starts an edge that follows this control service, and waits until it is ready.
    pub async fn edge(&self) -> Edge {
        self.edge_with("").await
    }

    /// Starts an edge with a configuration of its own, and waits until it follows.
    pub async fn edge_with(&self, config: &str) -> Edge {
        let token = self.token(&["edge"]).await;
        let edge =
            Edge::start(EdgeOptions::new().config(config).control(&self.url(), &token)).await;
        edge.wait_ready().await;
        edge
    }

    /// A request to the API with the admin token.
    #[must_use]
    pub fn call(&self, method: &str, target: &str) -> Call {
        Call::new(self.address, method, &self.address.to_string(), target)
            .header("Authorization", &format!("Bearer {}", self.admin_token))
    }

    /// Makes or replaces a site.
    pub async fn put_site(&self, site: &Value) -> SiteRecord {
        let name = site.get("name").and_then(Value::as_str).unwrap_or_default();
        let path = format!("/v1/sites/{name}");
        let known = self.call("GET", &path).send().await.status == 200;
        let call = match known {
            true => self.call("PUT", &path).header("If-Match", "*"),
            false => self.call("POST", "/v1/sites"),
        };
        read(&with_json(call, site).send().await, &[200, 201])
    }

    /// Removes a site by its name.
    pub async fn delete_site(&self, name: &str) {
        let answer = self.call("DELETE", &format!("/v1/sites/{name}")).send().await;
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Purges everything of a site. Returns the purge's sequence number.
    pub async fn purge(&self, name: &str) -> u64 {
        let call = self.call("POST", &format!("/v1/sites/{name}/purge"));
        let answer = with_json(call, &json!({ "everything": true })).send().await;
        read::<PurgeAccepted>(&answer, &[202]).seq
    }

    /// Edges as control knows them.
    pub async fn edges(&self) -> Vec<EdgeStatus> {
        read::<EdgeList>(&self.call("GET", "/v1/edges").send().await, &[200]).edges
    }

    /// Waits until control knows that `edge` has adopted the feed up to `seq`.
    pub async fn wait_adopted(&self, edge: &Edge, seq: u64) -> EdgeStatus {
        let address = edge.http().to_string();
        let what = format!("the edge at {address} to report that it adopted {seq}");
        eventually(&what, || async {
            let mut edges = self.edges().await.into_iter();
            edges.find(|status| {
                status.report.http_address == address && status.report.adopted >= seq
            })
        })
        .await
    }
}

fn with_json(call: Call, body: &Value) -> Call {
    call.header("Content-Type", "application/json").body(body.to_string())
}

fn read<T: DeserializeOwned>(answer: &Response, expected: &[u16]) -> T {
    assert!(expected.contains(&answer.status), "{}{}", answer.head, answer.text());
    serde_json::from_slice(&answer.body)
        .unwrap_or_else(|error| panic!("{error} in {}", answer.text()))
}

async fn launch(
    directory: &TempDir,
    listen: &str,
    arguments: &[String],
) -> Result<Program, Box<Failed>> {
    let mut command = command("longshore-control");
    command.arg("serve").arg("--data-dir").arg(directory.path());
    command.args(["--listen", listen, "--json"]).args(arguments);
    Program::start("longshore-control", command, directory.path()).await
}

async fn new_token(directory: &TempDir, name: &str, scopes: &[&str]) -> String {
    let mut command = command("longshore-control");
    command.args(["token", "create", "--name", name, "--data-dir"]).arg(directory.path());
    for scope in scopes {
        command.args(["--scope", scope]);
    }
    let output = run("longshore-control token create", command).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = printed.split(|character: char| !character.is_ascii_graphic());
    let secret = words
        .map(|word| word.trim_matches(['"', ',']))
        .find(|word| word.starts_with(api::token::PREFIX));
    secret.map(str::to_owned).unwrap_or_else(|| {
        panic!("no token in `{printed}`: {}", String::from_utf8_lossy(&output.stderr))
    })
}
