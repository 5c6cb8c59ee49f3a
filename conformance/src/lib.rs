//! What a suite found, beside what was expected of it.
//!
//! Every expected failure stands in a file with its reason. A test that fails and is not in the file fails the run;
//! so does one that is in the file and passes, for then the file is wrong.

mod cache_tests;
mod expected;

pub use cache_tests::{Kind, Outcome, Score, score_table};
pub use expected::{Difference, Expected};
