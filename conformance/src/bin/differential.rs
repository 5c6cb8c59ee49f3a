//! Random cases through longshore-edge, Apache Traffic Server and Varnish: `differential TRIAGE.toml [CASES [SEED]]`.
//!
//! Exit code 0 when every difference has a verdict and none of them is `theirs-right`, else 1; 2 when a peer is
//! missing.

use anyhow::{Context, Result, bail};
use conformance::differential::{
    Cache, Caches, Counted, Found, Random, Servers, Triage, Verdict, random_case, shrink,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use tokio::signal::unix::{SignalKind, signal};

const CASES: usize = 2_000;
/// Signatures shown of those a rule decides; all of them are in the file.
const SHOWN: usize = 3;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stderr, reason = "what a command needs")]
async fn main() -> Result<ExitCode> {
    if let Err(missing) = Servers::installed() {
        eprintln!("differential: {missing}");
        return Ok(ExitCode::from(2));
    }
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        finished = compare() => finished,
        // dropping `compare` ends every process it started
        _interrupted = tokio::signal::ctrl_c() => bail!("interrupted"),
        _terminated = terminated.recv() => bail!("terminated"),
    }
}

#[expect(clippy::print_stdout, reason = "the report of a command")]
async fn compare() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let triage = arguments.next().context("usage: differential TRIAGE.toml [CASES [SEED]]")?;
    let triage: Triage = toml::from_str(&std::fs::read_to_string(&triage)?)
        .with_context(|| format!("can't read {triage}"))?;
    let count = number(arguments.next(), CASES)?;
    let seed = number(arguments.next(), u64::from(std::process::id()))?;
    println!("{count} cases, seed {seed}");
    let mut random = Random::new(seed);
    let cases: Vec<_> = (0..count).map(|_| random_case(&mut random)).collect();
    let mut caches = Caches::start().await?;
    let mut differences = Vec::new();
    for peer in Cache::PEERS {
        let Found { signatures, fleeting } = shrink(&mut caches, peer, &cases).await;
        let (differs, agrees) = (signatures.len(), count - signatures.len() - fleeting);
        println!(
            "{peer:<8} agrees in {agrees} cases, differs in {differs}, once only in {fleeting}"
        );
        differences.extend(signatures);
    }
    caches.stop().await;
    let groups = triage.count(differences);
    println!("\n{}", table(&groups));
    let kept = keep(&groups)?;
    println!("every signature: {}", kept.display());
    let good =
        |group: &Counted| matches!(group.verdict, Some(Verdict::OursRight | Verdict::Allowed));
    Ok(if groups.iter().all(good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn number<T: FromStr>(argument: Option<String>, default: T) -> Result<T> {
    let Some(text) = argument else { return Ok(default) };
    text.parse().ok().with_context(|| format!("no number: {text}"))
}

fn table(groups: &[Counted]) -> String {
    let mut table = String::new();
    for group in groups {
        let Counted { verdict, section, reason, cases, signatures } = group;
        let verdict =
            verdict.map_or_else(|| "NO VERDICT".to_owned(), |verdict| verdict.to_string());
        table += &format!("{cases:>6} {verdict:<12} {section}: {reason}\n");
        let decided = matches!(group.verdict, Some(Verdict::OursRight | Verdict::Allowed));
        let shown = if decided { SHOWN } else { signatures.len() };
        for (count, one) in signatures.iter().take(shown) {
            let (peer, ours, theirs) = (&one.peer, &one.ours, &one.theirs);
            let features = one.features.join(" | ");
            table += &format!("{count:>12} ours {ours}, {peer} {theirs} <- {features}\n");
        }
        if signatures.len() > shown {
            table += &format!("{:>12} more signatures\n", signatures.len() - shown);
        }
    }
    table
}

/// Writes the signatures beside the program, and says where.
fn keep(groups: &[Counted]) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.parent().context("a program stands in a directory")?.join("differential.json");
    std::fs::write(&path, serde_json::to_string_pretty(groups)?)?;
    Ok(path)
}
