//! Kills an edge again and again, and damages what it stores: `faults [CYCLES [SEED [FAULT…]]]`.
//!
//! Exit code 0 when no byte was wrong, nothing served that should not be any more, and no request and no start failed,
//! else 1.

use anyhow::{Context, Result, bail};
use conformance::faults::{Fault, NotPermitted, Tally, run, table};
use std::process::ExitCode;
use std::str::FromStr;
use tokio::signal::unix::{SignalKind, signal};

const CYCLES: u64 = 200;
/// Other faults than the plain one have a part of its cycles.
const OTHERS_SHARE: u64 = 5;

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
    let cycles = number(arguments.next(), CYCLES)?;
    let seed = number(arguments.next(), u64::from(std::process::id()))?;
    let named: Vec<Fault> = arguments.map(|word| word.parse()).collect::<Result<_, _>>()?;
    let faults = if named.is_empty() { Fault::ALL.to_vec() } else { named };
    println!("seed {seed}");
    let mut rows = Vec::new();
    for fault in faults {
        let cycles = if fault == Fault::Kill { cycles } else { cycles.div_ceil(OTHERS_SHARE) };
        println!("{fault}: {cycles} cycles");
        match run(fault, cycles, seed).await {
            Ok(tally) => {
                tally.problems().iter().for_each(|problem| println!("{fault}: {problem}"));
                rows.push((fault.to_string(), tally));
            }
            Err(error) if error.is::<NotPermitted>() => println!("{fault}: skipped: {error:#}"),
            Err(error) => return Err(error.context(format!("fault {fault}"))),
        }
    }
    println!("\n{}", table(&rows));
    let is_clean = rows.iter().all(|(_, tally): &(String, Tally)| tally.is_clean());
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn number<T: FromStr>(argument: Option<String>, default: T) -> Result<T> {
    let Some(text) = argument else { return Ok(default) };
    text.parse().ok().with_context(|| format!("no number: {text}"))
}
