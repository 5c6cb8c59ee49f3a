//! The built programs, each in a directory of its own, on ports the kernel chose.

pub(crate) mod control;
pub(crate) mod edge;
pub(crate) mod metrics;
pub(crate) mod pebble;
pub(crate) mod process;
pub(crate) mod up;
