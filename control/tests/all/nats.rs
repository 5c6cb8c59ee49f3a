//! The feed on NATS: each entry once and in order, whatever is killed meanwhile.

use crate::on_both_databases;
use crate::service::{Database, Service, site};
use api::feed::{Current, Entry};
use async_nats::jetstream::{self, stream::Stream};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

on_both_databases!(two_replicas_publish_each_entry_once);

const PATIENCE: Duration = Duration::from_secs(60);

/// A server of NATS with a directory of its own.
struct Nats {
    directory: TempDir,
    port: u16,
    process: Child,
}

impl Nats {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let process = launch(directory.path(), -1);
        let port = port(directory.path()).await;
        Self { directory, port, process }
    }

    async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    fn start_again(&mut self) {
        self.process = launch(self.directory.path(), i32::from(self.port));
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.unwrap()
    }

    /// A control service that publishes here, and has begun to.
    async fn publisher(&self, database: &Database) -> Service {
        let client = self.client().await;
        let mut heartbeats = client.subscribe("longshore.current.*").await.unwrap();
        client.flush().await.unwrap();
        let server = self.url().parse().unwrap();
        let service = database.start_with(|config| config.nats.servers = vec![server]).await;
        tokio::time::timeout(PATIENCE, heartbeats.next()).await.expect("a heartbeat in time");
        service
    }
}

fn launch(directory: &Path, port: i32) -> Child {
    let server = ["nats-server", "/usr/sbin/nats-server"];
    let program = server.iter().find(|path| Path::new(path).exists()).unwrap_or(&server[0]);
    let mut command = Command::new(program);
    command.args(["-js", "-a", "127.0.0.1", "-p", &port.to_string()]);
    command.arg("-sd").arg(directory).arg("--ports_file_dir").arg(directory);
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("nats-server is there: install the package nats-server")
}

/// Where it listens, which it writes into a file.
async fn port(directory: &Path) -> u16 {
    let find = async {
        loop {
            for file in std::fs::read_dir(directory).unwrap().flatten() {
                if file.path().extension().is_none_or(|extension| extension != "ports") {
                    continue;
                }
                let text = std::fs::read_to_string(file.path()).unwrap();
                let Ok(ports) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
                let url = ports["nats"][0].as_str().unwrap();
                return url.rsplit_once(':').unwrap().1.parse().unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, find).await.expect("the server starts")
}

/// Waits until the entry `newest` is in the stream.
async fn stream_with(nats: &Nats, newest: u64) -> Stream {
    let wait = async {
        loop {
            let Ok(client) = async_nats::connect(nats.url()).await else { continue };
            let context = jetstream::new(client);
            let Ok(mut stream) = context.get_stream("LONGSHORE").await else { continue };
            let Ok(info) = stream.info().await else { continue };
            let last = info.state.last_sequence;
            if let Ok(message) = stream.get_raw_message(last).await
                && message.headers.get("Longshore-Seq").unwrap().as_str() == newest.to_string()
            {
                return stream;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it is published in time")
}

/// The numbers of all messages. Each has the number of the one before, and the entry it says.
async fn numbers(stream: &mut Stream) -> Vec<u64> {
    let last = stream.info().await.unwrap().state.last_sequence;
    let mut numbers = Vec::new();
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.unwrap();
        assert!(message.subject.starts_with("longshore.feed.log_"));
        let header = |name| message.headers.get(name).map(|value| value.as_str().to_owned());
        let payload = match header("Content-Encoding").as_deref() {
            Some("zstd") => zstd::stream::decode_all(&message.payload[..]).unwrap(),
            other => {
                assert_eq!((other, message.payload.len() <= 512), (None, true));
                message.payload.to_vec()
            }
        };
        let entry: Entry = serde_json::from_slice(&payload).unwrap();
        assert_eq!(header("Longshore-Seq").unwrap(), entry.seq.to_string());
        if let Some(before) = numbers.last() {
            assert_eq!(header("Longshore-Prev").unwrap(), format!("{before}"));
        }
        numbers.push(entry.seq);
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_and_heartbeats_are_published() {
    let nats = Nats::start().await;
    let client = nats.client().await;
    let mut heartbeats = client.subscribe("longshore.current.*").await.unwrap();
    client.flush().await.unwrap();
    let service = nats.publisher(&Database::sqlite()).await;
    let first = heartbeats.next().await.unwrap();
    let current: Current = serde_json::from_slice(&first.payload).unwrap();
    assert_eq!(current.newest, 0);
    service.admin.post("/v1/sites", &site("small")).await.expect(201);
    let mut large = site("large");
    let rule = json!({ "paths": ["/a"], "redirect": { "to": format!("/{}", "x".repeat(1_000)) } });
    large["rules"] = json!([rule]);
    service.admin.post("/v1/sites", &large).await.expect(201);
    let mut stream = stream_with(&nats, 2).await;
    assert_eq!(numbers(&mut stream).await, [1, 2]);
    let config = &stream.cached_info().config;
    assert_eq!((config.max_age.as_secs(), config.max_bytes), (86_400, 1 << 30));
    let beat = async {
        while let Some(message) = heartbeats.next().await {
            let current: Current = serde_json::from_slice(&message.payload).unwrap();
            if current.newest == 2 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, beat).await.unwrap();
    let metrics = service.admin.get("/metrics").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("longshore_control_nats_published_seq 2"), "{metrics}");
}

async fn two_replicas_publish_each_entry_once(database: Database) {
    let nats = Nats::start().await;
    let services = [nats.publisher(&database).await, nats.publisher(&database).await];
    let first = services[0].admin.post("/v1/sites", &site("first")).await.expect(201);
    assert_eq!(first.json()["seq"], 1);
    join_all((0..120).map(|number| {
        let control = &services[number % 2].admin;
        async move {
            control.post("/v1/sites", &site(&format!("s{number}"))).await.expect(201);
        }
    }))
    .await;
    let mut stream = stream_with(&nats, 121).await;
    assert_eq!(numbers(&mut stream).await, (1..=121).collect::<Vec<u64>>());
}

/// Control goes on while NATS is away, and what came meanwhile follows, without what was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_caught_up_with() {
    let mut nats = Nats::start().await;
    let database = Database::sqlite();
    let services = [nats.publisher(&database).await, nats.publisher(&database).await];
    let make = async |from: usize, to: usize| {
        for number in from..to {
            let control = &services[number % 2].admin;
            control.post("/v1/sites", &site(&format!("s{number}"))).await.expect(201);
        }
    };
    make(0, 20).await;
    nats.kill().await;
    make(20, 40).await;
    // entry 25 is replaced before it could be published
    let path = "/v1/sites/s24";
    services[0]
        .admin
        .put(path, "*", &crate::service::changed("s24", "x.example"))
        .await
        .expect(200);
    nats.start_again();
    let mut stream = stream_with(&nats, 41).await;
    let heard = numbers(&mut stream).await;
    assert_eq!(heard, (1..=41).filter(|seq| *seq != 25).collect::<Vec<u64>>());
    make(41, 50).await;
    let mut stream = stream_with(&nats, 50).await;
    assert_eq!(numbers(&mut stream).await.last(), Some(&50));
}
