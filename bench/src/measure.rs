//! Rounds of measurements, and what is left of them.

use crate::case::{Case, chosen};
use crate::client;
use crate::cpu::CpuTime;
use crate::servers::Server;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) seconds: u64,
    pub(crate) rounds: usize,
}

/// One run of wrk.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) case: &'static str,
    pub(crate) server: &'static str,
    pub(crate) user_us: f64,
    pub(crate) system_us: f64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Run {
    pub(crate) fn cpu_us(&self) -> f64 {
        self.user_us + self.system_us
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "case": self.case, "server": self.server,
            "user_us": self.user_us, "system_us": self.system_us,
            "requests_per_second": self.requests_per_second,
            "p50_ms": self.p50_ms, "p99_ms": self.p99_ms,
        })
    }
}

/// Every case on every server, the servers taking turns so that a slow moment of the machine meets all of them.
pub(crate) async fn rounds(
    servers: &[Server],
    bodies: &HashMap<usize, Vec<u8>>,
    script: &Path,
    effort: Effort,
) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for case in chosen() {
        for round in 0..=effort.rounds {
            for server in servers.iter().filter(|server| case.is_for(server)) {
                let body = bodies.get(&case.length()).map(Vec::as_slice).unwrap_or_default();
                case.verify(server, body, round).await?;
                // the first round warms up
                let seconds = if round == 0 { 1 } else { effort.seconds };
                let run = one(case, server, script, seconds).await?;
                if round > 0 {
                    runs.push(run);
                }
            }
        }
    }
    Ok(runs)
}

async fn one(case: &Case, server: &Server, script: &Path, seconds: u64) -> Result<Run> {
    let ids = server.ids();
    let before = CpuTime::of(&ids)?;
    let counts = client::run(case, server, script, seconds).await?;
    let spent = CpuTime::of(&ids)?.since(before);
    Ok(Run {
        case: case.name,
        server: server.name,
        user_us: spent.user * 1e6 / counts.requests,
        system_us: spent.system * 1e6 / counts.requests,
        requests_per_second: counts.requests / counts.seconds,
        p50_ms: counts.p50_ms,
        p99_ms: counts.p99_ms,
    })
}

/// The medians of the runs of one case on one server; each number on its own.
pub(crate) fn median(runs: &[Run], case: &'static str, server: &'static str) -> Option<Run> {
    let own: Vec<&Run> =
        runs.iter().filter(|run| run.case == case && run.server == server).collect();
    let middle = |number: fn(&Run) -> f64| {
        let mut numbers: Vec<f64> = own.iter().map(|run| number(run)).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.get(numbers.len() / 2).copied()
    };
    let user_us = middle(|run| run.user_us)?;
    Some(Run {
        case,
        server,
        user_us,
        system_us: middle(Run::cpu_us)? - user_us,
        requests_per_second: middle(|run| run.requests_per_second)?,
        p50_ms: middle(|run| run.p50_ms)?,
        p99_ms: middle(|run| run.p99_ms)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_one_case_and_server() {
        let run = |server, user_us| Run {
            case: "c",
            server,
            user_us,
            system_us: 1.0,
            requests_per_second: 1.0,
            p50_ms: 1.0,
            p99_ms: 1.0,
        };
        let runs = [run("a", 3.0), run("a", 1.0), run("b", 9.0), run("a", 2.0)];
        let median_a = median(&runs, "c", "a").unwrap();
        assert_eq!((median_a.user_us, median_a.cpu_us()), (2.0, 3.0));
        assert!(median(&runs, "c", "d").is_none());
    }
}
