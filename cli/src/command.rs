//! The commands that speak to control or to an edge, a file each.

pub(crate) mod cache;
pub(crate) mod certificate;
pub(crate) mod document;
pub(crate) mod domains;
pub(crate) mod edge;
pub(crate) mod explain;
pub(crate) mod progress;
pub(crate) mod purge;
pub(crate) mod purges;
pub(crate) mod site;
pub(crate) mod status;
pub(crate) mod wait;
