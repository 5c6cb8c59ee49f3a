//! Has an edge asked by HTTP/3: `h3 DIRECTORY PYTHON [CASE]…`, where DIRECTORY is `conformance/h3` and PYTHON has what its
//! `requirements.txt` names. Exit code 0 when everything is as `expected.toml` says, else 1.

use anyhow::{Context, Result, bail};
use conformance::{Expected, Kind, Outcome, Score};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use testkit::{Authority, Edge, EdgeOptions, Feed, Origin};
use tokio::process::Command;

const HOST: &str = "h3.example";
/// Bytes of a body that takes more than one packet, more than one window, and one slice.
const LARGE: usize = 1_500_000;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the report of a command")]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: h3 DIRECTORY PYTHON [CASE]...";
    let directory = PathBuf::from(arguments.next().context(usage)?);
    let mut client = Command::new(arguments.next().context(usage)?);
    let expected = std::fs::read_to_string(directory.join("expected.toml"))?;
    let expected: Expected = toml::from_str(&expected).context("can't read expected.toml")?;

    let (authority, origin) = (Authority::new(), origin().await);
    let feed = Feed::start().await;
    let options = || EdgeOptions::new().control(&feed.url(), "ls_test").https();
    let edge = Edge::start(options()).await;
    let early = Edge::start(options().config("[http3]\nearly_data = true\n")).await;
    feed.put_certificate(1, &authority.issue(&[HOST]));
    let site = site(&origin);
    let seq = feed.put_site(1, site);
    feed.adopted(seq).await;
    adopted(&early, &authority).await;

    let scene = json!({
        "host": HOST,
        "port": edge.https().port(),
        "early_port": early.https().port(),
        "root": authority.root_file(),
        "large": LARGE,
    });
    let only: Vec<_> = arguments.collect();
    client.arg("-B").arg("client.py").arg(scene.to_string()).args(&only).current_dir(&directory);
    let client = client.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let output = client.spawn().context("can't run python")?.wait_with_output().await?;
    if !output.status.success() {
        bail!("the client ended with {}", output.status);
    }
    let outcomes: Vec<Outcome> =
        serde_json::from_slice(&output.stdout).context("the client printed no results")?;
    for suite in ["musts", "matrix"] {
        let of = outcomes.iter().filter(|outcome| outcome.suite == suite).cloned();
        let Score { passed, total } = Score::of(Kind::Required, &of.collect::<Vec<_>>());
        println!("{suite}: {passed} of {total}");
    }
    let log = edge.program.log();
    let panicked = log.lines().find(|line| line.contains("panicked"));
    if let Some(line) = panicked {
        bail!("the edge said: {line}");
    }
    let asked = origin.requests().into_iter().filter(|request| request.target == "/early");
    let told = asked.map(|request| request.field("early-data") == Some("1"));
    if only.is_empty() && !told.clone().any(|told| told) {
        bail!("the origin was not told of early data");
    }
    let differences = if only.is_empty() { expected.differences(&outcomes) } else { Vec::new() };
    for difference in &differences {
        println!("{difference}");
    }
    println!("{} differences from expected.toml", differences.len());
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until the second edge has what the first has.
async fn adopted(edge: &Edge, authority: &Authority) {
    let tls = testkit::Tls::trusting(authority);
    testkit::eventually("the second edge to serve", || async {
        let mut client = edge.try_connect_secure(HOST, &tls).await.ok()?;
        let response = client.get(HOST, "/hit").await;
        (response.status == 200).then_some(())
    })
    .await;
}

fn site(origin: &Origin) -> Value {
    json!({
        "name": "h3",
        "hosts": [HOST],
        "origins": [{ "name": "main", "url": origin.url() }],
    })
}

async fn origin() -> Origin {
    let origin = Origin::start().await;
    let fresh = "max-age=3600";
    let ok = |path: &str, body: &'static str| {
        origin.on(path).respond(200).header("Cache-Control", fresh).body(body);
    };
    ok("/hit", "hit");
    origin
        .on("/cached/*")
        .respond(200)
        .header("Cache-Control", fresh)
        .header("ETag", "\"v1\"")
        .body("cached");
    origin
        .on("/large")
        .respond(200)
        .header("Cache-Control", fresh)
        .header("ETag", "\"large\"")
        .body(vec![b'l'; LARGE])
        .ranged();
    origin.on("/echo").respond(200).header("Cache-Control", "no-store").body("abc");
    origin.on("/upload").respond(200).header("Cache-Control", "no-store").body("received");
    origin.on("/empty").respond(204).header("Cache-Control", fresh);
    origin
        .on("/chunked")
        .respond(200)
        .header("Cache-Control", fresh)
        .body("first second")
        .chunked();
    origin
        .on("/stale")
        .respond(200)
        .header("Cache-Control", "max-age=1, stale-while-revalidate=3600")
        .header("Age", "10")
        .body("stale");
    origin
        .on("/hints")
        .interim(103, "Link", "</style.css>; rel=preload")
        .respond(200)
        .header("Cache-Control", "no-store")
        .body("final");
    origin
        .on("/truncated")
        .respond(200)
        .header("Cache-Control", fresh)
        .length(100_000)
        .body(vec![b't'; 50_000])
        .close();
    origin
        .on("/truncated-chunked")
        .raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n")
        .close();
    origin.on("/trailers").raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/grpc\r\n\
         Trailer: grpc-status\r\n\r\n4\r\ndata\r\n0\r\ngrpc-status: 0\r\n\r\n",
    );
    origin.on("/early").respond(200).header("Cache-Control", "no-store").body("early");
    origin
}
