//! Who comes in? Finds out whom a connection is of, and whether that address may have another.

use super::addresses::{Addresses, Counted, Limits};
use super::pace::Rate;
use super::{Front, Refusal, proxy_protocol};
use crate::config;
use crate::telemetry::Telemetry;
use ipnet::IpNet;
use proxy_protocol::Said;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// What clients may do, whatever they speak.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Who speaks the PROXY protocol.
    proxies: Vec<IpNet>,
    /// Whose connections, handshakes and requests aren't limited.
    unlimited: Vec<IpNet>,
    addresses: Arc<Addresses>,
    /// How slow they may be.
    pub(crate) rate: Arc<Rate>,
    /// Requests on one connection.
    pub(crate) requests_max: u64,
}

impl Clients {
    /// `connections_max` is how many are open at a time, so that each may be of another address.
    pub(crate) fn new(
        config: &config::Clients,
        connections_max: usize,
        telemetry: &Telemetry,
    ) -> Self {
        let limits = Limits {
            connections: config.connections_per_address_max,
            handshakes_per_second: config.handshakes_per_second_max,
            requests_per_second: config.requests_per_second_max,
            addresses: config.addresses_max.max(connections_max * 2),
        };
        let rate = Rate {
            min_bytes_per_second: config.rate_min_bytes_per_second,
            grace: Duration::from_secs(config.rate_grace_seconds),
            too_slow: telemetry.metrics.clients_too_slow(),
        };
        Self {
            proxies: config.proxy_protocol_from.clone(),
            unlimited: config.unlimited.clone(),
            addresses: Arc::new(Addresses::new(limits, Instant::now())),
            rate: Arc::new(rate),
            requests_max: config.requests_per_connection_max,
        }
    }

    /// Counts a connection while what this gives is held.
    ///
    /// # Errors
    /// When the address has as many as it may.
    pub(crate) fn connect(&self, client: IpAddr) -> Result<Option<Counted>, Refusal> {
        if self.is_unlimited(client) {
            return Ok(None);
        }
        self.addresses.connect(client, Instant::now()).map_err(|_| Refusal::Connections)
    }

    /// Whether a TLS handshake may begin.
    ///
    /// # Errors
    /// When the address has begun too many. It is told nothing; the connection is closed.
    pub(crate) fn handshake(&self, client: IpAddr) -> Result<(), Refusal> {
        if self.is_unlimited(client) {
            return Ok(());
        }
        self.addresses.handshake(client, Instant::now()).map_err(|_| Refusal::Handshakes)
    }

    /// Whether a request may be processed.
    ///
    /// # Errors
    /// With the whole seconds after which the client may ask again, for `Retry-After`.
    pub(crate) fn request(&self, client: IpAddr) -> Result<(), u64> {
        if self.addresses.paces_requests() && !self.is_unlimited(client) {
            let after = self.addresses.request(client, Instant::now());
            return after.map_err(|after| after.as_secs() + 1);
        }
        Ok(())
    }

    /// Proxies that say whom they speak for are many clients, and what they say of themselves is their health checks.
    fn is_unlimited(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.unlimited.iter().chain(&self.proxies).any(|network| network.contains(&client))
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        !self.proxies.is_empty() && {
            let peer = peer.to_canonical();
            self.proxies.iter().any(|network| network.contains(&peer))
        }
    }

    /// Whom a connection is of. Reads what a proxy says first, and nothing else.
    async fn client(&self, tcp: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
        if !self.is_proxy(peer.ip()) {
            return Ok(peer);
        }
        Ok(match proxy_protocol::read(tcp).await? {
            Said::For(client) => client,
            Said::Itself => peer,
        })
    }
}

impl<A> Front<A> {
    /// Lets a connection in: whom it is of, and what counts it while it is held. None when it is to be closed.
    pub(super) async fn admit(
        &self,
        tcp: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<(SocketAddr, Option<Counted>)> {
        let saying = self.clients.client(tcp, peer);
        let Ok(Ok(client)) = timeout(self.limits.head_timeout, saying).await else {
            self.turn_away(peer, Refusal::ProxyProtocol);
            return None;
        };
        match self.clients.connect(client.ip()) {
            Ok(counted) => Some((client, counted)),
            Err(refusal) => {
                self.turn_away(client, refusal);
                None
            }
        }
    }

    /// Counts and logs a client that is told nothing.
    pub(crate) fn turn_away(&self, client: SocketAddr, refusal: Refusal) {
        self.telemetry.refused(client, refusal.reply().0, refusal.reply().1);
    }
}
