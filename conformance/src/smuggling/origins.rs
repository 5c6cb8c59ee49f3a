//! Real origins with parsers of their own, which tell what they take for requests.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use testkit::{Program, eventually};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Whose parser it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx.
    Nginx,
    /// The `node:http` module.
    Node,
    /// The `http.server` module.
    Python,
}

/// A running origin.
pub(super) struct Origin {
    _program: Program,
    pub(super) address: SocketAddr,
    log: PathBuf,
}

/// What an origin took for a request.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) via: String,
    /// Of nginx, which reads it and doesn't tell, none.
    pub(super) body: Option<String>,
    /// It ended before its body did.
    pub(super) aborted: bool,
    /// What it refused to read as one, from its first byte.
    pub(super) wrong: Option<String>,
    /// Of nginx, the first line.
    line: Option<String>,
}

impl Seen {
    /// The method and the target: of what was refused, as far as they are there.
    pub(super) fn request(&self) -> (String, String) {
        let Some(wrong) = &self.wrong else { return (self.method.clone(), self.target.clone()) };
        let mut words = wrong.split([' ', '\r']).map(str::to_owned);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    /// Whether the edge has marked it. Of what it refuses, nginx tells the first line alone.
    pub(super) fn is_marked(&self) -> bool {
        self.via.contains("longshore") || self.wrong.is_some()
    }
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Node, Self::Python];

    /// Starts it, with its files in `directory`. The programs that it runs are in `scripts`.
    pub(super) async fn start(self, scripts: &Path, directory: &Path) -> Result<Origin> {
        let log = directory.join(format!("{self:?}.log"));
        std::fs::write(&log, "")?;
        match self {
            Self::Nginx => nginx(directory, log).await,
            Self::Node => script("node", &scripts.join("origin.mjs"), directory, log).await,
            Self::Python => script("python3", &scripts.join("origin.py"), directory, log).await,
        }
    }
}

async fn script(program: &str, script: &Path, directory: &Path, log: PathBuf) -> Result<Origin> {
    let mut command = Command::new(program);
    command.arg(script).arg(&log).stdin(Stdio::null()).kill_on_drop(true);
    let program = Program::start(program, command, directory).await?;
    let address = program.ready.get("origin").and_then(|address| address.as_str());
    let address = address.context("the origin names no address")?.parse()?;
    Ok(Origin { _program: program, address, log })
}

async fn nginx(directory: &Path, log: PathBuf) -> Result<Origin> {
    let Some(path) =
        ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists())
    else {
        bail!("nginx is not there: install the package nginx");
    };
    // nginx can't say which port the kernel chose, so the kernel is asked before
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = directory.join("nginx.conf");
    std::fs::write(&config, configuration(address, &log))?;
    let mut command = Command::new(path);
    command.arg("-p").arg(directory).arg("-c").arg(config).args(["-e", "stderr"]);
    command.kill_on_drop(true);
    let program = Program::spawn("nginx", command, directory);
    eventually("nginx to listen", || async { TcpStream::connect(address).await.ok() }).await;
    Ok(Origin { _program: program, address, log })
}

fn configuration(address: SocketAddr, log: &Path) -> String {
    let log = log.display();
    format!(
        "daemon off; worker_processes 1; pid nginx.pid; error_log /dev/null;
         events {{ worker_connections 1024; }}
         http {{
            log_format seen escape=json '{{\"method\":\"$request_method\",\"target\":\"$request_uri\",'
                '\"via\":\"$http_via\",\"status\":\"$status\",\"line\":\"$request\"}}';
            access_log {log} seen;
            client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi; scgi_temp_path scgi;
            keepalive_requests 1000000; large_client_header_buffers 8 64k; ignore_invalid_headers off;
            underscores_in_headers on;
            server {{ listen {address}; location / {{
                default_type text/plain; add_header Cache-Control no-store always;
                return 200 \"$request_method $request_uri\"; }} }}
         }}\n"
    )
}

impl Origin {
    /// Everything that it has told.
    pub(super) fn seen(&self) -> Result<Vec<Seen>> {
        let text = std::fs::read_to_string(&self.log)?;
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }

    /// How often it has seen each method and target.
    pub(super) fn counts(seen: &[Seen]) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for seen in seen {
            *counts.entry(seen.request()).or_default() += 1;
        }
        counts
    }
}
