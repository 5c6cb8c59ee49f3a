//! Results of http-cache-tests, counted as its own site counts them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a test is about. The suite marks `optimal` and `check`; what it leaves unmarked is required.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A cache that fails breaks the standard.
    #[default]
    Required,
    /// A cache that fails asks its origin more than it has to.
    Optimal,
    /// A question about behaviour; neither answer is wrong.
    Check,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Required, Self::Optimal, Self::Check];
}

/// What one test found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// The test.
    pub id: String,
    /// The suite it belongs to.
    pub suite: String,
    /// What it is about.
    pub kind: Kind,
    /// Tests without which this one says nothing.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Absent when it passed; else the kind of failure (`Assertion`, `Setup`, an error's name) and what it said.
    pub failure: Option<Vec<String>>,
}

/// Tests passed, of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// Passed, with everything they depend on.
    pub passed: usize,
    /// All of the kind.
    pub total: usize,
}

/// Whether a test passed, and every test it depends on.
fn counts(outcome: &Outcome, outcomes: &[Outcome]) -> bool {
    let dependency = |id: &String| outcomes.iter().find(|other| other.id == *id);
    outcome.failure.is_none()
        && outcome.depends_on.iter().filter_map(dependency).all(|other| counts(other, outcomes))
}

impl Score {
    /// The score in one kind.
    #[must_use]
    pub fn of(kind: Kind, outcomes: &[Outcome]) -> Self {
        let mut score = Self::default();
        for outcome in outcomes.iter().filter(|outcome| outcome.kind == kind) {
            score.total += 1;
            score.passed += usize::from(counts(outcome, outcomes));
        }
        score
    }
}

/// The scores of each suite and of all together.
#[must_use]
pub fn score_table(outcomes: &[Outcome]) -> String {
    let mut suites: BTreeMap<&str, Vec<Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        let mut alone = outcome.clone();
        if !counts(outcome, outcomes) {
            alone.failure.get_or_insert_default();
        }
        // counted here, so that the other suites are not needed
        alone.depends_on.clear();
        suites.entry(&outcome.suite).or_default().push(alone);
    }
    let mut table = row("suite", ["required", "optimal", "check"].map(str::to_owned));
    for (suite, outcomes) in &suites {
        table += &scores_row(suite, outcomes);
    }
    table + &scores_row("all", outcomes)
}

fn scores_row(suite: &str, outcomes: &[Outcome]) -> String {
    let cells = Kind::ALL.map(|kind| {
        let Score { passed, total } = Score::of(kind, outcomes);
        if total == 0 { String::new() } else { format!("{passed}/{total}") }
    });
    row(suite, cells)
}

fn row(name: &str, [required, optimal, check]: [String; 3]) -> String {
    let mut row = String::new();
    // writing to a string can't fail
    let _written = writeln!(row, "{name:<66} {required:>9} {optimal:>9} {check:>9}");
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: &str, kind: Kind, depends_on: &[&str], passed: bool) -> Outcome {
        let depends_on = depends_on.iter().map(|&id| id.to_owned()).collect();
        let failure = (!passed).then(Vec::new);
        Outcome { id: id.to_owned(), suite: "s".to_owned(), kind, depends_on, failure }
    }

    #[test]
    fn a_test_counts_with_what_it_depends_on() {
        let outcomes = [
            outcome("a", Kind::Required, &[], false),
            outcome("b", Kind::Required, &["a"], true),
            outcome("c", Kind::Required, &["b"], true),
            outcome("d", Kind::Required, &[], true),
            outcome("e", Kind::Optimal, &["d"], true),
        ];
        assert_eq!(Score::of(Kind::Required, &outcomes), Score { passed: 1, total: 4 });
        assert_eq!(Score::of(Kind::Optimal, &outcomes), Score { passed: 1, total: 1 });
        assert!(score_table(&outcomes).contains("1/4"));
    }
}
