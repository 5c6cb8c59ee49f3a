//! Hostile requests through the built edge to nginx, Node and Python: `smuggling SCRIPTS [CASES [SEED]]`. The variable
//! `HOSTILE_REQUESTS` names a file of further cases.
//!
//! Exit code 0 when every origin saw the requests that the edge sent on, and no others, else 1.

use anyhow::{Context, Result, bail};
use conformance::differential::Random;
use conformance::smuggling::{Case, Kind, Run, corpus, generate, own, run};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const CASES: usize = 1_500;
/// Cases shown of those that a group lets through.
const SHOWN: usize = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        finished = all() => finished,
        // dropping `all` ends every process it started
        _interrupted = tokio::signal::ctrl_c() => bail!("interrupted"),
        _terminated = terminated.recv() => bail!("terminated"),
    }
}

#[expect(clippy::print_stdout, reason = "the report of a command")]
async fn all() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let scripts = arguments.next().context("usage: smuggling SCRIPTS [CASES [SEED]]")?;
    let mut number = |default| match arguments.next() {
        Some(text) => text.parse().with_context(|| format!("no number: {text}")),
        None => Ok(default),
    };
    let (count, seed) = (number(CASES as u64)?, number(u64::from(std::process::id()))?);
    println!("{count} generated cases for each origin, seed {seed}");
    let mut random = Random::new(seed);
    let others = std::env::var_os("HOSTILE_REQUESTS").map(PathBuf::from);
    let others = others.as_deref().map(corpus).transpose()?.unwrap_or_default();
    let mut is_clean = true;
    for kind in Kind::ALL {
        let generated = generate(&mut random, usize::try_from(count)?);
        let cases: Vec<Case> = own().into_iter().chain(generated).chain(others.clone()).collect();
        let run = run(kind, Path::new(&scripts), &cases).await?;
        print(&run);
        is_clean &= run.wrong.is_empty();
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the report of a command")]
fn print(run: &Run) {
    let (connections, requests) = run.counts;
    println!("\n{:?}: {connections} connections, {requests} requests seen", run.kind);
    for (group, tally) in &run.refused {
        println!("  refused {tally}  {group}");
    }
    let told = ["Severe", "error", "Compliant", "ok", "right"];
    if run.kind == Kind::Nginx {
        let is_told = |group: &str| told.iter().any(|end| group.ends_with(end));
        for (group, odd) in run.odd.iter().filter(|(group, _)| is_told(group)) {
            println!("  other than expected, of {group}:");
            odd.iter().take(SHOWN).for_each(|case| println!("    {case}"));
        }
    }
    println!("  wrong: {}", run.wrong.len());
    run.wrong.iter().take(SHOWN).for_each(|wrong| println!("    {wrong}"));
}
