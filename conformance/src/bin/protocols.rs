//! Has an edge asked the same by HTTP/1.1, HTTP/2 and HTTP/3: `protocols DIRECTORY PYTHON`, where DIRECTORY is
//! `conformance/protocols` and PYTHON has what `requirements.txt` of `conformance/h3` names. Exit code 0 when all is right.

use anyhow::{Context, Result};
use serde_json::json;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use testkit::{Authority, Edge, EdgeOptions, Feed};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const HOST: &str = "matrix.example";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let usage = "usage: protocols DIRECTORY PYTHON";
    let directory = PathBuf::from(arguments.next().context(usage)?);
    let python = arguments.next().context(usage)?;
    let run = |script: &str| {
        let mut command = Command::new(&python);
        command.arg("-B").arg(script).current_dir(&directory).kill_on_drop(true);
        command
    };
    let mut origin = run("origin.py").stdout(Stdio::piped()).spawn()?;
    let printed = origin.stdout.take().context("the origin prints its port")?;
    let port = BufReader::new(printed).lines().next_line().await?.context("no port")?;

    let (authority, feed) = (Authority::new(), Feed::start().await);
    let edge = Edge::start(EdgeOptions::new().control(&feed.url(), "ls_test").https()).await;
    feed.put_certificate(1, &authority.issue(&[HOST]));
    let origins = [json!({ "name": "main", "url": format!("http://127.0.0.1:{port}") })];
    let seq = feed.put_site(1, json!({ "name": "matrix", "hosts": [HOST], "origins": origins }));
    feed.adopted(seq).await;

    let port = edge.https().port().to_string();
    let mut matrix = run("matrix.py");
    matrix.args([&port, &port]).arg(authority.root_file());
    let done = matrix.status().await.context("can't run python")?;
    Ok(if done.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
