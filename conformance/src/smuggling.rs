//! Do an edge and the origins behind it agree on where each request begins and ends?
//!
//! Hostile bytes go through a real edge to real origins, each with a parser of its own, which tell what they take for
//! requests.
//!
//! The edge marks each request that it sends on with `Via`. So a request that an origin sees without that mark was made of
//! bytes that the edge took for something else; one that the edge had an answer to and the origin never saw is two that
//! were taken for one.

mod cases;
mod generate;
mod origins;
mod run;

pub use cases::{Case, corpus, own};
pub use generate::generate;
pub use origins::Kind;
pub use run::{Run, Tally, run};
