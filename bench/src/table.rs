//! The table on stdout.

use crate::case::chosen;
use crate::measure::{Run, median};
use std::fmt::Write;

/// Medians of every case and server. The last column is longshore's processor time over the server's.
pub(crate) fn table(runs: &[Run]) -> String {
    let mut table = format!(
        "{:<12} {:<10} {:>9} {:>8} {:>8} {:>10} {:>8} {:>8} {:>16}\n",
        "case",
        "server",
        "CPU µs",
        "user",
        "system",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "longshore/server"
    );
    for case in chosen() {
        let ours = median(runs, case.name, "longshore");
        for server in ["floor", "longshore", "nginx", "varnish"] {
            if let Some(run) = median(runs, case.name, server) {
                let ratio = ours.as_ref().map(|ours| ours.cpu_us() / run.cpu_us());
                row(&mut table, &run, ratio);
            }
        }
    }
    table
}

fn row(table: &mut String, run: &Run, ratio: Option<f64>) {
    let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    // writing to a string can't fail
    let _written = writeln!(
        table,
        "{:<12} {:<10} {:>9.1} {:>8.1} {:>8.1} {:>10.0} {:>8.2} {:>8.2} {:>16}",
        run.case,
        run.server,
        run.cpu_us(),
        run.user_us,
        run.system_us,
        run.requests_per_second,
        run.p50_ms,
        run.p99_ms,
        ratio
    );
}
