//! The file of expected failures: a table for each kind of test, `"test-id" = "reason"`.

use crate::{Kind, Outcome};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// Expected failures, with the reason for each.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// Failures of what a cache must do.
    pub required: BTreeMap<String, String>,
    /// Failures of what a good cache does.
    pub optimal: BTreeMap<String, String>,
    /// Questions answered with no. Neither answer is wrong; a changed one is worth a look.
    pub check: BTreeMap<String, String>,
}

/// A result that the file does not say.
#[derive(Debug, PartialEq, Eq)]
pub enum Difference {
    /// It failed and is not in the file.
    NewFailure {
        /// The test.
        id: String,
        /// What it said.
        failure: String,
    },
    /// It is in the file and passed.
    NewPass {
        /// The test.
        id: String,
    },
    /// It is in the file and the suite has no such test of that kind.
    Unknown {
        /// The test.
        id: String,
    },
    /// It is in the file without a reason.
    NoReason {
        /// The test.
        id: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewFailure { id, failure } => write!(f, "new failure  {id}: {failure}"),
            Self::NewPass { id } => write!(f, "new pass     {id}: take it out of the file"),
            Self::Unknown { id } => {
                write!(f, "unknown      {id}: no test of this kind has this id")
            }
            Self::NoReason { id } => write!(f, "no reason    {id}"),
        }
    }
}

impl Expected {
    /// Everything in which `outcomes` are not as the file says.
    #[must_use]
    pub fn differences(&self, outcomes: &[Outcome]) -> Vec<Difference> {
        let mut differences = Vec::new();
        for outcome in outcomes {
            let id = outcome.id.clone();
            match (&outcome.failure, self.of(outcome.kind).contains_key(&id)) {
                (Some(failure), false) => {
                    differences.push(Difference::NewFailure { id, failure: failure.join(": ") });
                }
                (None, true) => differences.push(Difference::NewPass { id }),
                (Some(_), true) | (None, false) => {}
            }
        }
        for kind in Kind::ALL {
            for (id, reason) in self.of(kind) {
                let known = |outcome: &Outcome| outcome.kind == kind && outcome.id == *id;
                if !outcomes.iter().any(known) {
                    differences.push(Difference::Unknown { id: id.clone() });
                } else if reason.trim().is_empty() {
                    differences.push(Difference::NoReason { id: id.clone() });
                }
            }
        }
        differences
    }

    fn of(&self, kind: Kind) -> &BTreeMap<String, String> {
        match kind {
            Kind::Required => &self.required,
            Kind::Optimal => &self.optimal,
            Kind::Check => &self.check,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(id: &str, passed: bool) -> Outcome {
        let failure = (!passed).then(|| vec!["Assertion".to_owned(), "no".to_owned()]);
        Outcome { id: id.to_owned(), failure, ..Outcome::default() }
    }

    #[test]
    fn a_new_failure_and_a_new_pass_are_both_differences() {
        let expected: Expected =
            toml::from_str("[required]\na = 'why'\nb = 'why'\nc = ''\nd = 'gone'").unwrap();
        let outcomes =
            [outcome("a", false), outcome("b", true), outcome("c", false), outcome("e", false)];
        let id = |id: &str| id.to_owned();
        assert_eq!(
            expected.differences(&outcomes),
            [
                Difference::NewPass { id: id("b") },
                Difference::NewFailure { id: id("e"), failure: id("Assertion: no") },
                Difference::NoReason { id: id("c") },
                Difference::Unknown { id: id("d") },
            ]
        );
        assert_eq!(Expected::default().differences(&[outcome("a", true)]), []);
    }
}
