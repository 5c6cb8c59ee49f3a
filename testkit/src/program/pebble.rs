//! `pebble`, the ACME authority that is made for tests.

use super::process::Program;
use crate::tls::{Authority, Tls};
use crate::wait::eventually;
use serde_json::json;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

/// Where an authority looks for answers, and whom it asks where a host is.
#[derive(Debug, Clone, Copy)]
pub struct PebbleOptions {
    /// The port of HTTP-01.
    pub http: u16,
    /// The port of TLS-ALPN-01.
    pub tls: u16,
    /// The DNS server.
    pub dns: SocketAddr,
}

/// An authority, which may run or not: its address and its own HTTPS are known before.
#[derive(Debug)]
pub struct Pebble {
    program: Option<Program>,
    authority: Authority,
    directory: TempDir,
    address: SocketAddr,
    management: SocketAddr,
}

impl Pebble {
    /// One that does not run yet.
    ///
    /// # Panics
    /// When there are no ports.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it takes ports")]
    pub fn new() -> Self {
        let authority = Authority::new();
        let directory = TempDir::new().expect("a temporary directory can be made");
        let issued = authority.issue(&["127.0.0.1"]);
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("it can be written");
        };
        write("certificate.pem", &issued.chain);
        write("key.pem", &issued.key);
        // it can't say which ports the kernel chose, so the kernel is asked before
        let (address, management) = (port(), port());
        Self { program: None, authority, directory, address, management }
    }

    /// The URL of its directory.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/dir", self.address)
    }

    /// The root that its own HTTPS is trusted by.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        self.authority.root_file()
    }

    /// Starts it, with nothing that it knew before. `environment` is further variables.
    ///
    /// # Panics
    /// When it is not installed.
    pub async fn start(&mut self, options: PebbleOptions, environment: &[(&str, &str)]) {
        let at = |name: &str| self.directory.path().join(name);
        let config = json!({ "pebble": {
            "listenAddress": self.address.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": at("certificate.pem"),
            "privateKey": at("key.pem"),
            "httpPort": options.http,
            "tlsPort": options.tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        }});
        std::fs::write(at("pebble.json"), config.to_string()).expect("it can be written");
        let mut command = Command::new("pebble");
        command.arg("-config").arg(at("pebble.json"));
        command.args(["-dnsserver", &options.dns.to_string()]);
        command.env("PEBBLE_VA_NOSLEEP", "1").envs(environment.iter().copied());
        command.kill_on_drop(true);
        let program = Program::spawn("pebble", command, self.directory.path());
        let address = self.address;
        eventually("pebble to listen", || async { TcpStream::connect(address).await.ok() }).await;
        self.program = Some(program);
    }

    /// Ends it.
    pub async fn stop(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill().await;
        }
    }

    /// What it logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.as_ref().map(Program::log).unwrap_or_default()
    }

    /// How a client trusts what it issues.
    ///
    /// # Panics
    /// When it doesn't tell its root.
    pub async fn tls(&self) -> Tls {
        let own = Tls::trusting(&self.authority);
        let mut client =
            crate::Client::connect_secure(self.management, "127.0.0.1", &own).await.expect("TLS");
        let answer = client.get(&self.management.to_string(), "/roots/0").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Tls::trusting_root(answer.text()).forgetful()
    }
}

fn port() -> SocketAddr {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.expect("the kernel has a port")
}
