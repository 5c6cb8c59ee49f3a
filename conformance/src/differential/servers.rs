//! The three caches, each in a directory of its own, in front of one origin.

use super::case::HOST;
use anyhow::{Context, Result};
use serde_json::json;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use tempfile::TempDir;
use testkit::{Control, Edge, Program, eventually};
use tokio::net::TcpStream;
use tokio::process::Command;

const TRAFFIC_SERVER: &str = "/usr/bin/traffic_server";
const VARNISHD: &str = "/usr/sbin/varnishd";

/// A cache under comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cache {
    /// longshore-edge.
    Ours,
    /// Apache Traffic Server.
    Ats,
    /// Varnish.
    Varnish,
}

impl Cache {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Ats, Self::Varnish];
    /// Those ours is compared with.
    pub const PEERS: [Self; 2] = [Self::Ats, Self::Varnish];
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Ats => "ats",
            Self::Varnish => "varnish",
        })
    }
}

/// A program that isn't installed.
#[derive(Debug, thiserror::Error)]
#[error("{program} is missing: apt-get install {package}")]
pub struct Missing {
    program: &'static str,
    package: &'static str,
}

/// The running caches. They end when this is dropped.
pub struct Servers {
    ours: (Control, Edge),
    peers: [(Program, SocketAddr); 2],
    // after the programs that use it
    _directory: TempDir,
}

impl Servers {
    /// Whether the peers are installed.
    ///
    /// # Errors
    /// [`Missing`] names the first that isn't.
    pub fn installed() -> Result<(), Missing> {
        for (program, package) in [(TRAFFIC_SERVER, "trafficserver"), (VARNISHD, "varnish")] {
            if !Path::new(program).is_file() {
                return Err(Missing { program, package });
            }
        }
        Ok(())
    }

    pub(crate) async fn start(origin: SocketAddr) -> Result<Self> {
        let directory = TempDir::new()?;
        let ours = longshore(origin).await;
        let ats = traffic_server(&directory.path().join("ats"), origin).await?;
        let varnish = varnish(&directory.path().join("varnish"), origin).await?;
        Ok(Self { ours, peers: [ats, varnish], _directory: directory })
    }

    pub(crate) fn address(&self, cache: Cache) -> SocketAddr {
        match cache {
            Cache::Ours => self.ours.1.http(),
            Cache::Ats => self.peers[0].1,
            Cache::Varnish => self.peers[1].1,
        }
    }

    pub(crate) async fn stop(mut self) {
        for (program, _) in &mut self.peers {
            program.stop().await;
        }
        self.ours.1.program.stop().await;
        self.ours.0.program.stop().await;
    }
}

/// The defaults: a site with nothing but a name, a host and an origin.
async fn longshore(origin: SocketAddr) -> (Control, Edge) {
    let control = Control::start().await;
    let edge = control.edge().await;
    let site = json!({
        "name": "differential",
        "hosts": [HOST],
        "origins": [{ "name": "cases", "url": format!("http://{origin}") }],
    });
    let record = control.put_site(&site).await;
    control.wait_adopted(&edge, record.seq).await;
    (control, edge)
}

/// By the standard: heuristics only from Last-Modified and without a floor, requests' directives followed, errors not
/// stored without a lifetime, a failed origin asked again.
const RECORDS: &str = "\
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.cache.ram_cache.size INT 16777216
CONFIG proxy.config.http.insert_response_via_str INT 0
CONFIG proxy.config.http.negative_caching_enabled INT 0
CONFIG proxy.config.http.connect_attempts_max_retries INT 0
CONFIG proxy.config.http.down_server.cache_time INT 0
CONFIG proxy.config.http.cache.required_headers INT 0
CONFIG proxy.config.http.cache.heuristic_min_lifetime INT 0
CONFIG proxy.config.http.cache.heuristic_max_lifetime INT 86400
CONFIG proxy.config.http.cache.ignore_client_no_cache INT 0
CONFIG proxy.config.http.cache.ignore_client_cc_max_age INT 0
CONFIG proxy.config.http.cache.when_to_revalidate INT 0
";

async fn traffic_server(directory: &Path, origin: SocketAddr) -> Result<(Program, SocketAddr)> {
    for part in ["etc", "cache", "run"] {
        std::fs::create_dir_all(directory.join(part))?;
    }
    let address = free_address()?;
    let own = directory.display();
    let port = address.port();
    let ports = format!("CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1\n");
    let etc = |name: &str, text: &str| std::fs::write(directory.join("etc").join(name), text);
    etc("records.config", &format!("{RECORDS}{ports}"))?;
    etc("remap.config", &format!("map / http://{origin}/\n"))?;
    etc("storage.config", &format!("{own}/cache 256M\n"))?;
    etc("ip_allow.yaml", "ip_allow: [{apply: in, ip_addrs: 127.0.0.1, action: allow}]\n")?;
    etc("plugin.config", "")?;
    let root = directory.join("runroot.yaml");
    std::fs::write(
        &root,
        format!(
            "prefix: {own}\nbindir: /usr/bin\nsbindir: /usr/bin\nsysconfdir: {own}/etc\n\
             datadir: {own}/cache\nlibdir: /usr/lib/trafficserver\n\
             libexecdir: /usr/lib/trafficserver/modules\nlocalstatedir: {own}/run\n\
             runtimedir: {own}/run\nlogdir: {own}/run\ncachedir: {own}/cache\n"
        ),
    )?;
    let mut command = Command::new(TRAFFIC_SERVER);
    command.arg(format!("--run-root={}", root.display())).kill_on_drop(true);
    let program = Program::spawn("traffic_server", command, directory);
    listens(address).await;
    Ok((program, address))
}

/// The built-in rules, without lifetimes or grace of its own; validators are kept for an hour.
async fn varnish(directory: &Path, origin: SocketAddr) -> Result<(Program, SocketAddr)> {
    std::fs::create_dir_all(directory)?;
    let address = free_address()?;
    let mut command = Command::new(VARNISHD);
    command.arg("-F").arg("-n").arg(directory.join("work")).arg("-a").arg(address.to_string());
    command.arg("-b").arg(origin.to_string()).args(["-s", "malloc,256m", "-T", "none"]);
    command.args(["-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600"]);
    command.args(["-p", "thread_pools=1"]).kill_on_drop(true);
    let program = Program::spawn("varnishd", command, directory);
    listens(address).await;
    Ok((program, address))
}

/// A port that was free just now, for programs that can't tell which one the kernel chose.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}

async fn listens(address: SocketAddr) {
    eventually(&format!("a server at {address}"), || async {
        TcpStream::connect(address).await.ok().map(drop)
    })
    .await;
}
