//! What nobody else on this machine gets of this process: its memory holds private keys.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, getuid, set_dumpable_behavior, setrlimit,
};

/// Set where a crash is to leave a core dump all the same.
const VARIABLE: &str = "LONGSHORE_CORE_DUMPS";

/// Says where this process has more rights than it needs.
pub(super) fn warn_of_rights() {
    if getuid().is_root() {
        tracing::warn!(
            "runs as root: CAP_NET_BIND_SERVICE is all it needs, and that for ports below 1024 only"
        );
    }
}

/// Has a crash leave no core dump, and no other process read this one's memory.
pub(super) fn harden() {
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    let limited = setrlimit(Resource::Core, none);
    // a program that core dumps are piped to doesn't look at the limit
    if let Err(error) = limited.and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
    {
        tracing::warn!(%error, "core dumps can't be turned off");
    }
}
