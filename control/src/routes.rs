//! The operations, a file for each kind of thing. What each answers stands in `openapi.json`.

pub(crate) mod authority;
pub(crate) mod certificates;
pub(crate) mod domains;
pub(crate) mod edges;
pub(crate) mod feed;
pub(crate) mod health;
pub(crate) mod openapi;
pub(crate) mod purge;
pub(crate) mod purges;
pub(crate) mod sites;
