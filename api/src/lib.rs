//! What programs of an installation say to each other, and what people write to control.
//!
//! Two kinds of types live here. What people write ([`site::Site`]) refuses unknown fields and reports every
//! problem at once, each with its field ([`check`], [`problem`]). What machines send ([`feed`], [`edge`], [`purge`])
//! carries a version number and ignores fields it does not know. Nothing here does I/O.

pub mod cache;
pub mod certificate;
pub mod check;
pub mod edge;
pub mod explain;
pub mod feed;
pub mod id;
pub mod json;
pub mod pem;
pub mod problem;
pub mod purge;
pub mod site;
pub mod sites;
pub mod token;
