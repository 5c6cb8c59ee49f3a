//! The addresses of origins, looked up off the request's way where they are known.

mod agreed;
mod authorities;

pub(crate) use agreed::{Agreement, Connector};
pub(crate) use authorities::Authorities;

use moka::sync::Cache;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// Names remembered.
const NAMES_MAX: u64 = 100_000;
/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 16;
/// How long a lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an origin has no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("looking up `{0}` took longer than 5 s")]
    Timeout(String),
    #[error("`{name}` could not be looked up")]
    Lookup { name: String, source: std::io::Error },
    #[error("`{0}` has no address")]
    None(String),
}

type Name = (Box<str>, u16);

/// What is known of origins' names.
pub(crate) struct Addresses {
    /// Forgets when an address is due to be looked up again.
    current: Cache<Name, Arc<[SocketAddr]>>,
    /// Used where a lookup fails: an origin's last known addresses are better than none.
    last: Cache<Name, Arc<[SocketAddr]>>,
}

impl Addresses {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            current: Cache::builder().max_capacity(NAMES_MAX).time_to_live(lifetime).build(),
            last: Cache::new(NAMES_MAX),
        }
    }

    /// The addresses of `host`, a name or an address.
    pub(crate) async fn of(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Arc<[SocketAddr]>, AddressError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Arc::new([SocketAddr::new(address, port)]));
        }
        let name: Name = (host.into(), port);
        if let Some(known) = self.current.get(&name) {
            return Ok(known);
        }
        match look_up(host, port).await {
            Ok(found) => {
                self.current.insert(name.clone(), Arc::clone(&found));
                self.last.insert(name, Arc::clone(&found));
                Ok(found)
            }
            Err(error) => {
                let known = self.last.get(&name).ok_or(error)?;
                tracing::warn!(
                    origin.host = host,
                    "could not be looked up again, its last addresses are used"
                );
                self.current.insert(name, Arc::clone(&known));
                Ok(known)
            }
        }
    }
}

async fn look_up(host: &str, port: u16) -> Result<Arc<[SocketAddr]>, AddressError> {
    let found = timeout(LOOKUP_TIMEOUT, lookup_host((host, port))).await;
    let found = found.map_err(|_| AddressError::Timeout(host.to_owned()))?;
    let found = found.map_err(|source| AddressError::Lookup { name: host.to_owned(), source })?;
    let found: Arc<[SocketAddr]> = found.take(ADDRESSES_MAX).collect();
    if found.is_empty() { Err(AddressError::None(host.to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_found_and_remembered() {
        let addresses = Addresses::new(Duration::from_secs(60));
        let literal = addresses.of("::1", 80).await.unwrap();
        assert_eq!(*literal, ["[::1]:80".parse().unwrap()]);
        let local = addresses.of("localhost", 81).await.unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 81));
        assert!(Arc::ptr_eq(&local, &addresses.of("localhost", 81).await.unwrap()));
        assert!(addresses.of("no-such-name.invalid", 80).await.is_err());
    }
}
