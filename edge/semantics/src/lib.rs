//! What may a shared HTTP cache do with this message? Pure functions: heads, policy and times in, a
//! decision out. No clock, no I/O, no Pingora; the edge acts on the answers and writes the heads.
//!
//! | question | module | standard |
//! |---|---|---|
//! | what a site changes of all this | [`policy`] | |
//! | what the directives say | [`directives`] | RFC 9111 §5.2, RFC 9213, RFC 5861 |
//! | may it be stored, and without which fields | [`storing`] | RFC 9111 §3, §3.1, §3.5 |
//! | how long is it fresh, how old is it | [`freshness`] | RFC 9111 §4.2, RFC 5861 |
//! | may it be used for this request, now | [`reuse`] | RFC 9111 §4, §4.2.4, §5.2.1, RFC 5861, RFC 8246 |
//! | which stored variant answers | [`vary`] | RFC 9111 §4.1 |
//! | does the client hold it already | [`preconditions`] | RFC 9110 §13, RFC 9111 §4.3.2 |
//! | which part of it is wanted | [`range`] | RFC 9110 §14 |
//! | which part does a 206 hold, and may parts be combined | [`partial`] | RFC 9110 §14.4, §15.3.7, RFC 9111 §3.3, §3.4 |
//! | what a 304, or the answer to a HEAD, changes | [`update`] | RFC 9111 §3.2, §4.3.4, §4.3.5 |
//! | what an unsafe method makes stale | [`invalidation`] | RFC 9111 §4.4 |
//! | which fields end at a hop or at us | [`fields`] | RFC 9110 §7.6 |
//! | how the outcome is told | [`cache_status`] | RFC 9211 |
//!
//! Interim responses (RFC 8297) carry nothing to decide: they are passed on, and [`storing`] refuses
//! them.

pub mod cache_status;
pub mod directives;
pub mod fields;
pub mod freshness;
pub mod invalidation;
pub mod partial;
pub mod policy;
pub mod preconditions;
pub mod range;
pub mod reuse;
pub mod storing;
pub mod update;
pub mod vary;

mod date;
mod entity_tag;
mod list;
mod reference;
mod structured;
#[cfg(test)]
mod testing;
