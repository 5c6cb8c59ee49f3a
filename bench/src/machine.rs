//! What a run was asked for and what it ran on.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The number in an environment variable.
pub(crate) fn number<T: std::str::FromStr>(variable: &str, default: T) -> Result<T> {
    let Ok(text) = std::env::var(variable) else { return Ok(default) };
    text.parse().ok().with_context(|| format!("{variable} is no number: {text}"))
}

/// What the numbers belong to: processor, kernel, and what the script says of commit and versions.
pub(crate) fn machine() -> Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = read("/proc/cpuinfo");
    let model = processors.lines().find(|line| line.starts_with("model name"));
    json!({
        "processor": model.and_then(|line| line.split_once(": ")).map(|(_, model)| model),
        "processors": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").trim(),
        "commit": std::env::var("BENCH_COMMIT").ok(),
        "versions": std::env::var("BENCH_VERSIONS").ok(),
    })
}
