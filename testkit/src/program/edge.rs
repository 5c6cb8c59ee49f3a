//! `longshore-edge`, with a state directory of its own.

use super::metrics::Metrics;
use super::process::{Failed, Program, address, command};
use crate::client::{Call, Client, Response};
use crate::tls::Tls;
use crate::wait::eventually;
use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// How an edge is started.
#[derive(Debug, Clone)]
pub struct EdgeOptions {
    control: Option<(String, String)>,
    config: String,
    http_listen: String,
    https_listen: Option<String>,
    access_log: bool,
    certificates: Option<PathBuf>,
    environment: Vec<(String, PathBuf)>,
    directory: Arc<TempDir>,
}

impl EdgeOptions {
    /// The defaults, without a control service, in a new directory.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        Self {
            control: None,
            config: String::new(),
            http_listen: "127.0.0.1:0".to_owned(),
            https_listen: None,
            access_log: true,
            certificates: None,
            environment: Vec::new(),
            directory: Arc::new(directory),
        }
    }

    /// Follows the control service at `url` with a token of scope `edge`.
    #[must_use]
    pub fn control(self, url: &str, token: &str) -> Self {
        Self { control: Some((url.to_owned(), token.to_owned())), ..self }
    }

    /// Lines for `edge.toml`.
    #[must_use]
    pub fn config(self, toml: &str) -> Self {
        Self { config: toml.to_owned(), ..self }
    }

    /// Listens at a given address.
    #[must_use]
    pub fn http_listen(self, address: &str) -> Self {
        Self { http_listen: address.to_owned(), ..self }
    }

    /// Listens for TLS too, at a port the kernel chooses.
    #[must_use]
    pub fn https(self) -> Self {
        Self { https_listen: Some("127.0.0.1:0".to_owned()), ..self }
    }

    /// Trusts the certificate authorities in a file, and no others.
    #[must_use]
    pub fn trusting(self, certificates: &Path) -> Self {
        Self { certificates: Some(certificates.to_owned()), ..self }
    }

    /// A variable of its environment, that names a file or a directory.
    #[must_use]
    pub fn environment(mut self, name: &str, path: &Path) -> Self {
        self.environment.push((name.to_owned(), path.to_owned()));
        self
    }

    /// Writes no access log.
    #[must_use]
    pub fn without_access_log(self) -> Self {
        Self { access_log: false, ..self }
    }

    async fn launch(&self) -> Result<Program, Box<Failed>> {
        let directory = self.directory.path();
        let config = directory.join("edge.toml");
        std::fs::write(&config, &self.config).expect("the directory can be written");
        let mut command = command("longshore-edge");
        command.arg("--config").arg(config).arg("--state-dir").arg(directory.join("state"));
        command.args(["--http-listen", &self.http_listen, "--admin-listen", "127.0.0.1:0"]);
        if let Some(address) = &self.https_listen {
            command.args(["--https-listen", address]);
        }
        command.arg("--json");
        if self.access_log {
            command.arg("--access-log").arg(directory.join("access.log"));
        }
        if let Some(certificates) = &self.certificates {
            command.env("SSL_CERT_FILE", certificates);
        }
        command.envs(self.environment.iter().map(|(name, path)| (name, path)));
        if let Some((url, token)) = &self.control {
            command.args(["--control-url", url]).env("LONGSHORE_TOKEN", token);
        }
        Program::start("longshore-edge", command, directory).await
    }
}

/// A running edge.
#[derive(Debug)]
pub struct Edge {
    /// The process; stop or kill it through this.
    pub program: Program,
    options: EdgeOptions,
    http: SocketAddr,
    https: Option<SocketAddr>,
    admin: SocketAddr,
}

impl Edge {
    /// Starts an edge.
    pub async fn start(options: EdgeOptions) -> Self {
        Self::try_start(options).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts an edge that may not start.
    ///
    /// # Errors
    /// When it ends before it listens.
    pub async fn try_start(options: EdgeOptions) -> Result<Self, Box<Failed>> {
        let program = options.launch().await?;
        let (http, admin) = (address(&program.ready, "http"), address(&program.ready, "admin"));
        let https = program.ready["https"].as_str().map(|text| text.parse());
        let https = https.transpose().expect("an address");
        Ok(Self { program, options, http, https, admin })
    }

    /// Starts again after [`Program::stop`] or [`Program::kill`]: same directory, ports the kernel chooses.
    pub async fn start_again(&mut self) {
        *self = Self::start(self.options.clone()).await;
    }

    /// Where it serves HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it serves HTTPS.
    ///
    /// # Panics
    /// When it was started without [`EdgeOptions::https`].
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        self.https.expect("the edge listens for TLS")
    }

    /// Where its metrics and health are.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The file it reads its configuration from.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.options.directory.path().join("edge.toml")
    }

    /// A connection to it.
    pub async fn connect(&self) -> Client {
        Client::connect(self.http).await
    }

    /// A connection to it over TLS, for the name `host`.
    ///
    /// # Panics
    /// When the handshake fails.
    pub async fn connect_secure(&self, host: &str, tls: &Tls) -> Client {
        let connected = self.try_connect_secure(host, tls).await;
        connected.unwrap_or_else(|error| panic!("a handshake for {host}: {error}"))
    }

    /// A connection to it over TLS, for the name `host`.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn try_connect_secure(&self, host: &str, tls: &Tls) -> io::Result<Client> {
        Client::connect_secure(self.https(), host, tls).await
    }

    /// A request to it.
    #[must_use]
    pub fn call(&self, method: &str, host: &str, target: &str) -> Call {
        Call::new(self.http, method, host, target)
    }

    /// The answer to a GET on a connection of its own.
    pub async fn get(&self, host: &str, path: &str) -> Response {
        self.call("GET", host, path).send().await
    }

    /// Waits until it has adopted a configuration.
    pub async fn wait_ready(&self) {
        eventually("the edge to be ready", || async {
            let answer = Call::new(self.admin, "GET", "admin", "/readyz").send().await;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// What its metrics page says now.
    pub async fn metrics(&self) -> Metrics {
        let answer = Call::new(self.admin, "GET", "admin", "/metrics").send().await;
        Metrics::parse(answer.text())
    }

    /// Where it keeps what it has adopted.
    #[must_use]
    pub fn state_directory(&self) -> PathBuf {
        self.options.directory.path().join("state")
    }

    /// The lines of its access log that were written so far.
    #[must_use]
    pub fn access_log(&self) -> Vec<Value> {
        let path = self.options.directory.path().join("access.log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // the last line may be half written
        let whole = text.rsplit_once('\n').map(|(whole, _)| whole).unwrap_or_default();
        let parse = |line| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("log line `{line}`: {error}"))
        };
        whole.lines().map(parse).collect()
    }

    /// Waits until the access log has `count` lines.
    pub async fn access_log_lines(&self, count: usize) -> Vec<Value> {
        eventually(&format!("{count} lines in the access log"), || async {
            Some(self.access_log()).filter(|lines| lines.len() >= count)
        })
        .await
    }
}
