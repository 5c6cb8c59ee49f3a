//! Takes an address, or says which key names one that can't be had.

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};

const BACKLOG: i32 = 65_535;

/// Listens at the first address of `host:port` that can be had, at once: a taken one is known before anything runs.
pub(super) fn listen(key: &str, host_and_port: &str) -> anyhow::Result<TcpListener> {
    let context = || format!("{key}: can't listen on {host_and_port}");
    let mut failed = None;
    for address in host_and_port.to_socket_addrs().with_context(context)? {
        match bind(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into())).with_context(context)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
