//! Random heads through longshore-edge, Apache Traffic Server and Varnish: where do they differ, and who is right?
//!
//! A [`Case`] is a set of [`Feature`]s: what a response says, what two requests for it say, and what happens between
//! them. It goes through each cache, and the origin's log tells from outside what became of the second request
//! ([`Outcome`]). A difference is made smaller as long as it stays the same one ([`shrink()`]); what is left is its
//! signature, for which a person gives a verdict ([`Triage`]).

mod case;
mod exchange;
mod feature;
mod grammar;
mod origin;
mod random;
mod servers;
mod shrink;
mod triage;

pub use case::Case;
pub use exchange::{Caches, Outcome};
pub use feature::{Feature, Place};
pub use grammar::random_case;
pub(crate) use origin::now;
pub use random::Random;
pub use servers::{Cache, Missing, Servers};
pub use shrink::{Found, Signature, shrink};
pub use triage::{Counted, Triage, Verdict};
