//! An address that refuses connections for as long as the test needs it to.

use std::net::SocketAddr;
use tokio::net::TcpSocket;

/// A port that is taken, so that nothing else can listen on it, and on which nothing listens.
#[derive(Debug)]
pub struct Unreachable {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Unreachable {
    /// Takes a port of 127.0.0.1.
    #[must_use]
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("the kernel has a port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { address, _socket: socket }
    }

    /// Where connections are refused.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`, as a site names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
