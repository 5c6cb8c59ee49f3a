//! Runs scripted clients and origins against the built edge: `vtc DIRECTORY [CASE…]`, where DIRECTORY holds `cases/*.vtc`, in
//! varnishtest's language, and `expected.toml`. Each case has a host and an origin's address of its own.
//!
//! Exit code 0 when everything is as `expected.toml` says, else 1.

use anyhow::{Context, Result, bail};
use conformance::{Expected, Kind, Outcome};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use testkit::{Edge, EdgeOptions, Feed};
use tokio::process::Command;
use tokio::task::JoinSet;

/// Cases at a time: as many as a scripted feed has sites.
const AT_A_TIME: usize = 9;
/// Short, so that a case that waits for a limit doesn't wait for long.
const CONFIG: &str = "[http]\nhead_timeout_seconds = 1\nidle_timeout_seconds = 2\n";
/// Lines shown of a case that fails.
const SHOWN: usize = 60;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the report of a command")]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().context("usage: vtc DIRECTORY [CASE…]")?);
    let named: Vec<String> = arguments.collect();
    let expected = std::fs::read_to_string(directory.join("expected.toml"))?;
    let expected: Expected = toml::from_str(&expected).context("can't read expected.toml")?;
    let cases = cases(&directory.join("cases"), &named)?;
    let outcomes = run(&cases).await?;
    let passed = outcomes.iter().filter(|outcome| outcome.failure.is_none()).count();
    println!("{passed} of {} cases pass", outcomes.len());
    let mut differences = expected.differences(&outcomes);
    if !named.is_empty() {
        let is_named = |text: &str| named.iter().any(|name| text.contains(name.as_str()));
        differences.retain(|difference| is_named(&difference.to_string()));
    }
    for difference in &differences {
        println!("{difference}");
    }
    println!("{} differences from expected.toml", differences.len());
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The cases in a directory, by name; those that are named, if any are.
fn cases(directory: &Path, named: &[String]) -> Result<Vec<PathBuf>> {
    let files = std::fs::read_dir(directory)?.map(|file| Ok(file?.path()));
    let mut cases: Vec<PathBuf> = files.collect::<Result<_>>()?;
    cases.retain(|path| {
        let is_case = path.extension().is_some_and(|extension| extension == "vtc");
        is_case && (named.is_empty() || named.contains(&name(path)))
    });
    cases.sort();
    Ok(cases)
}

fn name(case: &Path) -> String {
    case.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

async fn run(cases: &[PathBuf]) -> Result<Vec<Outcome>> {
    let feed = Feed::start().await;
    let options = EdgeOptions::new().control(&feed.url(), "ls_test").config(CONFIG);
    let edge = Edge::start(options).await;
    let mut outcomes = Vec::new();
    for together in cases.chunks(AT_A_TIME) {
        let mut running = JoinSet::new();
        let mut newest = 0;
        let mut ready = Vec::new();
        for (number, case) in (1..).zip(together) {
            // varnishtest can't say which port the kernel chose, so the kernel is asked before
            let origin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
            newest = feed.put_site(number, site(&name(case), origin));
            ready.push((case.clone(), origin));
        }
        feed.adopted(newest).await;
        for (case, origin) in ready {
            running.spawn(ask(case, edge.http(), origin));
        }
        while let Some(outcome) = running.join_next().await {
            outcomes.push(outcome??);
        }
    }
    Ok(outcomes)
}

fn host(name: &str) -> String {
    format!("{name}.test")
}

fn site(name: &str, origin: SocketAddr) -> Value {
    json!({
        "name": name,
        "hosts": [host(name)],
        "origins": [{
            "name": "s1",
            "url": format!("http://{origin}"),
            "connect_timeout_seconds": 1,
            "read_timeout_seconds": 1,
        }],
    })
}

/// Runs one case.
async fn ask(case: PathBuf, edge: SocketAddr, origin: SocketAddr) -> Result<Outcome> {
    let id = name(&case);
    let directory = tempfile::tempdir()?;
    let address = |address: SocketAddr| format!("{} {}", address.ip(), address.port());
    let mut command = Command::new("varnishtest");
    command.arg(format!("-Dedge={}", address(edge)));
    command.arg(format!("-Dorigin={}", address(origin)));
    command.arg(format!("-Dhost={}", host(&id)));
    command.args(["-t", "30"]).arg(&case);
    command.env("TMPDIR", directory.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("can't run varnishtest: install varnish")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failure = match output.status.code() {
        Some(0) => None,
        Some(77) => bail!("{id}: varnishtest skips it"),
        _ => Some(vec!["varnishtest".to_owned(), told(&text)]),
    };
    Ok(Outcome { id, kind: Kind::Required, failure, ..Outcome::default() })
}

/// The end of what varnishtest says.
fn told(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default();
    format!("\n    {}", last.join("\n    "))
}
