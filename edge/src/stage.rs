//! The stages of a request, in order. Each decides without I/O; the hooks in `proxy.rs` act.

pub(crate) mod deliver;
pub(crate) mod entrance;
pub(crate) mod fail;
pub(crate) mod forward;
pub(crate) mod identify;
pub(crate) mod keep;
pub(crate) mod lookup;
pub(crate) mod range;
pub(crate) mod record;
pub(crate) mod reuse;
pub(crate) mod route;
pub(crate) mod shield;
pub(crate) mod slice;
#[cfg(test)]
pub(crate) mod testing;
