//! Tells the service manager how this process is doing (`sd_notify(3)`), where there is one that wants to know.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends lines of `NAME=value`. A manager that can't be told is not this process's trouble.
pub(super) fn tell(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let told = address.and_then(|address| {
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager can't be told");
    }
}

/// Says that this process serves, and that it is the one to be watched.
pub(super) fn ready() {
    tell(&format!("MAINPID={}\nREADY=1\nSTATUS=serving", std::process::id()));
}

/// Says that this process begins to read its configuration again.
pub(super) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}
