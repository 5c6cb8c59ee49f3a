//! The servers that are compared: how each is started, from the configurations in `peers/`.

use crate::template::fill;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use testkit::{Client, Control, Edge, EdgeOptions, Program, eventually, program_path};
use tokio::net::TcpStream;
use tokio::process::Command;

/// The host of the one site that every server has.
pub(crate) const HOST: &str = "bench.example";

/// A server under measurement.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    /// Where it serves over TLS.
    pub(crate) secure: Option<SocketAddr>,
    /// The processes whose time counts, with their children.
    pub(crate) processes: Vec<Program>,
    pub(crate) edge: Option<(Control, Edge)>,
}

/// What every server is started with.
pub(crate) struct Setting {
    pub(crate) peers: PathBuf,
    /// Where the servers keep what they write.
    pub(crate) directory: PathBuf,
    pub(crate) origin: SocketAddr,
    pub(crate) access_log: bool,
    /// What the configurations have beside addresses and directories.
    pub(crate) values: Vec<(&'static str, String)>,
    /// `-s` of Varnish.
    pub(crate) varnish_storage: String,
}

impl Setting {
    /// Writes a configuration with everything filled in.
    fn configuration(&self, name: &str, own: &[(&'static str, String)]) -> Result<PathBuf> {
        let values = [own, &self.values].concat();
        fill(&self.peers.join(name), &self.directory, &values)
    }
}

impl Setting {
    /// What is in the file that is named by a value.
    fn file(&self, name: &str) -> Option<Result<String>> {
        let (_, path) = self.values.iter().find(|(known, _)| *known == name)?;
        Some(std::fs::read_to_string(path).context("a file of a value"))
    }
}

impl Server {
    pub(crate) async fn start(name: &str, setting: &Setting) -> Result<Self> {
        match name {
            "floor" => floor(setting).await,
            "nginx" => nginx(setting).await,
            "varnish" => varnish(setting).await,
            "longshore" => longshore(setting).await,
            _ => bail!("`{name}` is no server: floor, longshore, nginx, varnish"),
        }
    }

    /// Ids of its processes, without their children.
    pub(crate) fn ids(&self) -> Vec<u32> {
        let edge = self.edge.iter().filter_map(|(_, edge)| edge.program.id());
        self.processes.iter().filter_map(Program::id).chain(edge).collect()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    pub(crate) async fn stop(mut self) {
        for process in &mut self.processes {
            process.stop().await;
        }
        if let Some((control, edge)) = &mut self.edge {
            edge.program.stop().await;
            control.program.stop().await;
        }
    }
}

/// The origin: nginx with the files.
pub(crate) async fn origin(
    peers: &Path,
    directory: &Path,
    files: &Path,
) -> Result<(Program, SocketAddr)> {
    let address = free_address()?;
    let values = [("listen", address.to_string()), ("files", files.display().to_string())];
    let config = fill(&peers.join("origin.conf"), directory, &values)?;
    let program = Program::spawn("origin", nginx_command(&config, directory), directory);
    listens(address).await;
    Ok((program, address))
}

async fn floor(setting: &Setting) -> Result<Server> {
    let command = Command::new(program_path("floor"));
    let program = Program::start("floor", command, &setting.directory).await?;
    let address = program.ready.get("http").and_then(Value::as_str).unwrap_or_default().parse()?;
    Ok(Server { name: "floor", address, secure: None, processes: vec![program], edge: None })
}

async fn nginx(setting: &Setting) -> Result<Server> {
    let (address, secure) = (free_address()?, free_address()?);
    let log = setting.directory.join("nginx.access.log");
    let log = match setting.access_log {
        true => format!("{} line buffer=64k flush=1s", log.display()),
        false => "off".to_owned(),
    };
    let values = [
        ("listen", address.to_string()),
        ("listen_tls", secure.to_string()),
        ("origin", setting.origin.to_string()),
        ("access_log", log),
    ];
    let config = setting.configuration("nginx.conf", &values)?;
    let command = nginx_command(&config, &setting.directory);
    let program = Program::spawn("nginx", command, &setting.directory);
    listens(address).await;
    Ok(Server {
        name: "nginx",
        address,
        secure: Some(secure),
        processes: vec![program],
        edge: None,
    })
}

fn nginx_command(config: &Path, directory: &Path) -> Command {
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(directory).arg("-e").arg("stderr").arg("-c").arg(config);
    command
}

async fn varnish(setting: &Setting) -> Result<Server> {
    let address = free_address()?;
    let values = [
        ("origin_host", setting.origin.ip().to_string()),
        ("origin_port", setting.origin.port().to_string()),
    ];
    let config = setting.configuration("varnish.vcl", &values)?;
    let name = setting.directory.join("varnish");
    let mut command = Command::new("/usr/sbin/varnishd");
    command.arg("-F").arg("-n").arg(&name).arg("-a").arg(address.to_string());
    command.arg("-f").arg(config).args(["-s", &setting.varnish_storage, "-T", "none"]);
    command.args(["-p", "thread_pools=1", "-p", "thread_pool_min=50", "-p", "thread_pool_max=200"]);
    let mut processes = vec![Program::spawn("varnishd", command, &setting.directory)];
    listens(address).await;
    if setting.access_log {
        let mut command = Command::new("/usr/bin/varnishncsa");
        command.arg("-n").arg(&name).arg("-j").arg("-w");
        command.arg(setting.directory.join("varnish.access.log"));
        command.args(["-F", VARNISH_LINE]);
        processes.push(Program::spawn("varnishncsa", command, &setting.directory));
    }
    Ok(Server { name: "varnish", address, secure: None, processes, edge: None })
}

const VARNISH_LINE: &str = "{\"time\":\"%{%FT%T%z}t\",\"method\":\"%m\",\"host\":\"%{Host}i\",\"path\":\"%U%q\",\"status\":%s,\"bytes\":%b,\"seconds\":%{Varnish:time_firstbyte}x,\"cache\":\"%{Varnish:handling}x\",\"client\":\"%h\",\"request_id\":\"%{Varnish:vxid}x\"}";

async fn longshore(setting: &Setting) -> Result<Server> {
    let values = [("origin", setting.origin.to_string())];
    let site = setting.configuration("longshore.toml", &values)?;
    let site: Value = toml::from_str(&std::fs::read_to_string(site)?)?;
    let config = std::fs::read_to_string(setting.configuration("longshore-edge.toml", &[])?)?;
    let control = Control::start().await;
    let token = control.token(&["edge"]).await;
    let options = EdgeOptions::new().control(&control.url(), &token).config(&config);
    let options = if setting.access_log { options } else { options.without_access_log() };
    let edge = Edge::start(options.https()).await;
    let mut seq = control.put_site(&site).await.seq;
    let [chain, key] = ["certificate", "key"].map(|name| setting.file(name));
    if let (Some(chain), Some(key)) = (chain, key) {
        seq = control.upload_certificate(&chain?, &key?).await.seq;
    }
    control.wait_adopted(&edge, seq).await;
    let address = edge.http();
    let secure = Some(edge.https());
    Ok(Server {
        name: "longshore",
        address,
        secure,
        processes: Vec::new(),
        edge: Some((control, edge)),
    })
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
