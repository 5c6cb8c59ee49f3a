//! What a run counts, and its table.

use super::ask::Outcome;
use std::ops::AddAssign;

/// Problems that are told in full.
const TOLD: usize = 20;

/// Numbers of one kind of fault.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub(crate) cycles: u64,
    pub(crate) requests: u64,
    pub(crate) hits: u64,
    pub(crate) wrong: u64,
    pub(crate) old: u64,
    pub(crate) failed: u64,
    pub(crate) changed: u64,
    pub(crate) failed_starts: u64,
    /// Responses known to be stored that were asked for after a restart, and those of them that were hits.
    pub(crate) known: u64,
    pub(crate) known_hits: u64,
    /// Faults that were injected.
    pub(crate) injected: u64,
    /// Records that the edge found damaged.
    pub(crate) checksum_failures: u64,
    /// Times that a directory was seen out of use.
    pub(crate) out: u64,
    panics: u64,
    problems: Vec<String>,
}

impl Tally {
    /// Counts what came of a request.
    pub(crate) fn count(&mut self, outcome: Outcome) {
        self.requests += 1;
        match outcome {
            Outcome::Right { is_hit } => self.hits += u64::from(is_hit),
            Outcome::Changed => self.changed += 1,
            Outcome::Wrong(what) => {
                self.wrong += 1;
                self.tell(format!("wrong: {what}"));
            }
            Outcome::Old(what) => {
                self.old += 1;
                self.tell(format!("old: {what}"));
            }
            Outcome::Failed(what) => {
                self.failed += 1;
                self.tell(format!("failed: {what}"));
            }
        }
    }

    pub(crate) fn failed_start(&mut self, why: &str) {
        self.failed_starts += 1;
        self.tell(format!("start: {why}"));
    }

    pub(crate) fn panicked(&mut self, line: &str) {
        self.panics += 1;
        self.tell(format!("panic: {line}"));
    }

    /// Whether nothing was wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.wrong + self.old + self.failed + self.failed_starts + self.panics == 0
    }

    /// What was wrong, in words; not all of it where it was much.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn tell(&mut self, problem: String) {
        if self.problems.len() < TOLD {
            self.problems.push(problem);
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.cycles += other.cycles;
        self.requests += other.requests;
        self.hits += other.hits;
        self.wrong += other.wrong;
        self.old += other.old;
        self.failed += other.failed;
        self.changed += other.changed;
        self.failed_starts += other.failed_starts;
        self.known += other.known;
        self.known_hits += other.known_hits;
        self.injected += other.injected;
        self.checksum_failures += other.checksum_failures;
        self.out += other.out;
        self.panics += other.panics;
        other.problems.into_iter().for_each(|problem| self.tell(problem));
    }
}

/// A row for each kind of fault, under a heading.
#[must_use]
pub fn table(rows: &[(String, Tally)]) -> String {
    let heading = [
        ["fault", "cycles", "requests", "hits", "wrong", "old", "failed", "failed", "cut by"],
        ["", "", "", "", "bytes", "", "requests", "starts", "change"],
    ];
    let further = [
        ["hits after", "faults", "checksum", "times"],
        ["a restart", "injected", "failures", "out"],
    ];
    let mut table = String::new();
    for (own, further) in heading.iter().zip(further) {
        table += &line(own.iter().chain(&further).copied());
    }
    for (name, own) in rows {
        let numbers = [
            own.cycles,
            own.requests,
            own.hits,
            own.wrong,
            own.old,
            own.failed,
            own.failed_starts,
            own.changed,
        ];
        let further = [own.injected, own.checksum_failures, own.out];
        let words = [name.clone()].into_iter().chain(numbers.map(|number| number.to_string()));
        let words = words.chain([share(own.known_hits, own.known)]);
        let words: Vec<_> = words.chain(further.map(|number| number.to_string())).collect();
        table += &line(words.iter().map(String::as_str));
    }
    table
}

fn line<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let columns: Vec<_> = words.map(|word| format!("{word:>10}")).collect();
    columns.join(" ") + "\n"
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let thousandths = part * 1_000 / whole;
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}
