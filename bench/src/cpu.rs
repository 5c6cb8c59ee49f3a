//! Processor time of processes and their children, from `/proc`.

use anyhow::{Context, Result};
use std::collections::HashMap;

/// Clock ticks a second in `/proc/*/stat`: `USER_HZ`, which is 100 on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time since the processes began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CpuTime {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl CpuTime {
    /// The time of `roots` and everything they started that still runs.
    pub(crate) fn of(roots: &[u32]) -> Result<Self> {
        let mut total = Self::default();
        for id in family(roots)? {
            let process = process(id).with_context(|| format!("process {id} ended"))?;
            total.user += process.time.user;
            total.system += process.time.system;
        }
        Ok(total)
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }
}

/// `roots` and everything they started that still runs.
pub(crate) fn family(roots: &[u32]) -> Result<Vec<u32>> {
    let processes = processes()?;
    let mut family = roots.to_vec();
    let mut looked_at = 0;
    while let Some(&id) = family.get(looked_at) {
        looked_at += 1;
        family.extend(processes.iter().filter(|(_, child)| child.parent == id).map(|(id, _)| id));
    }
    Ok(family)
}

struct Process {
    parent: u32,
    time: CpuTime,
}

fn processes() -> Result<HashMap<u32, Process>> {
    let mut processes = HashMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // a process may end between the listing and the reading
        processes.extend(process(id).map(|process| (id, process)));
    }
    Ok(processes)
}

fn process(id: u32) -> Option<Process> {
    parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// proc(5): the second field is a name in parentheses that may contain anything; parent is the 4th, times 14th and 15th.
fn parse(stat: &str) -> Option<Process> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |index: usize| -> Option<f64> { fields.get(index)?.parse().ok() };
    let time =
        CpuTime { user: ticks(11)? / TICKS_PER_SECOND, system: ticks(12)? / TICKS_PER_SECOND };
    Some(Process { parent: fields.get(1)?.parse().ok()?, time })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name() {
        let stat = "12 (a ) b) S 7 1 1 0 -1 4 1 2 3 4 150 250 0 0 20 0 1 0 9";
        let process = parse(stat).unwrap();
        assert_eq!((process.parent, process.time.user, process.time.system), (7, 1.5, 2.5));
        assert!(CpuTime::of(&[std::process::id()]).is_ok());
    }
}
