//! Runs http-cache-tests against the built edge: `cache-tests DIRECTORY`, where DIRECTORY is `conformance/cache-tests`
//! with its npm packages installed. Exit code 0 when everything is as `expected.toml` says, else 1.

use anyhow::{Context, Result, bail};
use conformance::{Expected, Kind, Outcome, Score, score_table};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use testkit::{Control, Edge, Program};
use tokio::process::Command;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the report of a command")]
async fn main() -> Result<ExitCode> {
    let directory = std::env::args_os().nth(1).context("usage: cache-tests DIRECTORY")?;
    let directory = PathBuf::from(directory);
    let expected = std::fs::read_to_string(directory.join("expected.toml"))?;
    let expected: Expected = toml::from_str(&expected).context("can't read expected.toml")?;
    let outcomes = run(&directory).await?;
    let kept = keep(&outcomes)?;
    println!("{}", score_table(&outcomes));
    for (kind, name) in [(Kind::Required, "required"), (Kind::Optimal, "optimal")] {
        let Score { passed, total } = Score::of(kind, &outcomes);
        println!("{name}: {passed} of {total}");
    }
    println!("results: {}", kept.display());
    let differences = expected.differences(&outcomes);
    for difference in &differences {
        println!("{difference}");
    }
    println!("{} differences from expected.toml", differences.len());
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the suite's origin, control and an edge, and lets the suite's client ask the edge.
async fn run(directory: &Path) -> Result<Vec<Outcome>> {
    let logs = target_directory()?;
    let origin = Program::start("cache-tests-origin", node(directory, "origin.mjs"), &logs).await?;
    let url = origin.ready.get("origin").and_then(Value::as_str).unwrap_or_default();
    let control = Control::start().await;
    let edge = control.edge().await;
    adopt_site(&control, &edge, site(directory, url)?).await;
    let mut client = node(directory, "client.mjs");
    client.arg(format!("http://{}", edge.http())).stderr(Stdio::inherit());
    let output = client.output().await.context("can't run node")?;
    std::fs::write(logs.join("cache-tests-edge.log"), edge.program.log())?;
    if !output.status.success() {
        bail!("the suite's client ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("the suite's client printed no results")
}

/// A site with the defaults, and what `site.json` says beside, where there is one.
fn site(directory: &Path, origin: &str) -> Result<Value> {
    let mut site = json!({
        "name": "cache-tests",
        "hosts": ["127.0.0.1"],
        "origins": [{ "name": "suite", "url": origin }],
    });
    let path = directory.join("site.json");
    if path.exists() {
        let members = serde_json::from_slice(&std::fs::read(path)?).context("site.json")?;
        if let (Value::Object(site), Value::Object(members)) = (&mut site, members) {
            site.extend(members);
        }
    }
    Ok(site)
}

async fn adopt_site(control: &Control, edge: &Edge, site: Value) {
    let record = control.put_site(&site).await;
    control.wait_adopted(edge, record.seq).await;
}

fn node(directory: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg("--no-warnings").arg(script).current_dir(directory);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Writes the results beside the program, and says where.
fn keep(outcomes: &[Outcome]) -> Result<PathBuf> {
    let path = target_directory()?.join("cache-tests.json");
    std::fs::write(&path, serde_json::to_string_pretty(outcomes)?)?;
    Ok(path)
}

fn target_directory() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().context("a program stands in a directory")?.to_owned())
}
