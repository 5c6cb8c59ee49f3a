//! From a request's host and path to what is done with it.
//!
//! [`Site::resolve`] turns what an operator wrote into a form that can't be wrong; [`Table`] finds the site of a
//! host; [`Site::rule`] finds the rule of a path; [`Caching`] says what its operator changes of caching. Everything here is a pure function.

mod caching;
mod host;
mod shards;
mod site;
mod table;
mod trust;

pub use caching::{Bypass, COUNTRY, Caching, DEVICE, Device, Key};
pub use host::{Host, HostError};
pub use shards::Shards;
pub use site::{Capture, Changes, Origin, Redirect, Rule, RuleMatch, Site, Template, Tls};
pub use table::{Claimant, Table};
pub use trust::Trust;
