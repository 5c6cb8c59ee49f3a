//! What a suite found, beside what was expected of it.
//!
//! Every expected failure stands in a file with its reason. A test that fails and is not in the file fails the run;
//! so does one that is in the file and passes, for then the file is wrong. Beside the suites there is a
//! [`differential`] test, with a verdict on each difference in its file, a run with [`faults`], one of [`purges`], and one of
//! [`smuggling`].

mod cache_tests;
pub mod differential;
mod expected;
pub mod faults;
pub mod purges;
pub mod smuggling;

pub use cache_tests::{Kind, Outcome, Score, score_table};
pub use expected::{Difference, Expected};
