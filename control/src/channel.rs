//! How do edges and people reach control? Over TLS, or from this machine; over plain HTTP from elsewhere only behind
//! something that terminates TLS. Tokens and the key that edges share travel here.
//!
//! Whom a client speaks to is shown by the certificate, and who it is by its token: see ADR 0020.

use crate::authority::{Authority, AuthorityError, is_due};
use crate::certificate::Checked;
use crate::clock::now;
use crate::config::Channel;
use crate::db::Db;
use crate::stall::Stall;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, pki_types};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether files have changed, or a certificate of the local authority ends.
const LOOK: Duration = Duration::from_secs(5);
const FILE_MAX_BYTES: u64 = 262_144;

/// Why control serves no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// It would be reached in the clear from elsewhere.
    #[error(
        "`{0}` is not of this machine alone, and tokens would pass in the clear: give --tls-certificate and --tls-key, \
         or --tls-local; where a proxy in front of control terminates TLS, say --behind-tls"
    )]
    Plain(SocketAddr),
    /// A file can't be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate and the key can't be used.
    #[error("the certificate `{}` and its key cannot be used: {reason}", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The local authority issues nothing.
    #[error("the local authority issues no certificate: {0}")]
    Local(String),
}

impl From<AuthorityError> for ChannelError {
    fn from(error: AuthorityError) -> Self {
        Self::Local(error.to_string())
    }
}

/// What terminates TLS.
pub(crate) struct Secure {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    source: Source,
}

/// The certificate that clients are shown.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Where it comes from.
enum Source {
    Files { certificate: PathBuf, key: PathBuf },
    Local { names: Vec<String> },
}

/// What was read, to see whether it is another.
#[derive(PartialEq, Eq)]
enum Seen {
    /// A hash of both files.
    Files(blake3::Hash),
    /// `notBefore` and `notAfter`.
    Local(i64, i64),
}

/// What serves on `address`, or why nothing may.
pub(crate) async fn secure(
    config: &Channel,
    listen: &str,
    address: SocketAddr,
    db: &Db,
) -> Result<Option<(Secure, Watch)>, ChannelError> {
    let source = match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => {
            Source::Files { certificate: certificate.clone(), key: key.clone() }
        }
        _ if config.tls_local => Source::Local { names: names(config, listen, address.ip()) },
        _ if address.ip().is_loopback() || config.behind_tls => return Ok(None),
        _ => return Err(ChannelError::Plain(address)),
    };
    let (certified, seen) = source.read(db).await?;
    let shown = Arc::new(Shown(RwLock::new(Arc::new(certified))));
    let resolver: Arc<dyn ResolvesServerCert> = Arc::<Shown>::clone(&shown);
    let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ChannelError::Local(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    Ok(Some((Secure { acceptor, shown, source }, Watch(seen))))
}

/// What [`Secure::keep`] begins with.
pub(crate) struct Watch(Seen);

impl Secure {
    /// What a connection carries, once client and server have agreed.
    pub(crate) fn accept(
        &self,
        stream: Stall,
    ) -> impl Future<Output = io::Result<TlsStream<Stall>>> + Send + use<> {
        let accepting = self.acceptor.accept(stream);
        async {
            let accepted = timeout(HANDSHAKE_TIMEOUT, accepting).await;
            accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
    }

    /// Shows another certificate when the files have changed, or the one of the local authority ends; for ever. One that
    /// can't be used is said once, and the one that is shown stays.
    pub(crate) async fn keep(&self, db: &Db, watch: Watch) {
        let (Watch(mut seen), mut well) = (watch, true);
        loop {
            sleep(LOOK).await;
            match self.source.look(db, &seen).await {
                Ok(None) => well = true,
                Ok(Some((certified, now_seen))) => {
                    *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(certified);
                    (seen, well) = (now_seen, true);
                    tracing::info!("clients are shown a new certificate");
                }
                Err(error) if well => {
                    well = false;
                    tracing::warn!("clients are shown the certificate there was: {error}");
                }
                Err(_) => {}
            }
        }
    }
}

impl Source {
    /// The certificate, where it is another than the one that was seen.
    async fn look(
        &self,
        db: &Db,
        seen: &Seen,
    ) -> Result<Option<(CertifiedKey, Seen)>, ChannelError> {
        match (self, seen) {
            (Self::Local { .. }, Seen::Local(not_before, not_after))
                if !is_due(*not_before, *not_after, now()) =>
            {
                return Ok(None);
            }
            (Self::Files { certificate, key }, Seen::Files(hash)) => {
                let (certificate, key) = (read(certificate)?, read(key)?);
                if hash_of(&certificate, &key) == *hash {
                    return Ok(None);
                }
            }
            _ => {}
        }
        self.read(db).await.map(Some)
    }

    async fn read(&self, db: &Db) -> Result<(CertifiedKey, Seen), ChannelError> {
        match self {
            Self::Files { certificate: path, key } => {
                let (certificate, key) = (read(path)?, read(key)?);
                let seen = Seen::Files(hash_of(&certificate, &key));
                let failed = |reason| ChannelError::Certificate { path: path.clone(), reason };
                Ok((certified(&certificate, &key).map_err(failed)?, seen))
            }
            Self::Local { names } => {
                let issued = issue(db, names).await?;
                let seen = Seen::Local(issued.not_before, issued.not_after);
                let (chain, key) = (issued.chain.as_bytes(), issued.key.reveal().as_bytes());
                Ok((certified(chain, key).map_err(ChannelError::Local)?, seen))
            }
        }
    }
}

/// A certificate of the local authority, which is kept nowhere: a start makes another.
async fn issue(db: &Db, names: &[String]) -> Result<Checked, AuthorityError> {
    let now = now();
    let mut change = db.change().await?;
    let is_new = change.authority().await?.is_none();
    let authority = Authority::obtain(&mut change, now).await?;
    let issued = authority.issue(names, now)?;
    if is_new {
        change.commit().await?;
    }
    Ok(issued)
}

fn certified(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error: pki_types::pem::Error| error.to_string())?;
    if chain.is_empty() {
        return Err("there is no certificate in PEM".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "there is no private key in PEM")?;
    CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| error.to_string())
}

fn hash_of(certificate: &[u8], key: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(certificate).as_bytes()).update(blake3::hash(key).as_bytes());
    hasher.finalize()
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
    use std::io::Read as _;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes));
    read.map_err(|source| ChannelError::File { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// The names by which control is reached here, and those that were given.
fn names(config: &Channel, listen: &str, address: IpAddr) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host).trim_matches(['[', ']']);
    if !host.is_empty() && host.parse::<IpAddr>().is_err() {
        names.push(host.to_ascii_lowercase());
    }
    if !address.is_unspecified() {
        names.push(address.to_string());
    }
    names.extend(config.tls_names.iter().map(|name| name.to_ascii_lowercase()));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_is_known_by_the_names_it_is_reached_by() {
        let check = |listen: &str, address: &str, given: &[&str], expected: &[&str]| {
            let tls_names = given.iter().map(ToString::to_string).collect();
            let config = Channel { tls_names, ..Channel::default() };
            let mut expected = [expected, &["127.0.0.1", "::1", "localhost"]].concat();
            expected.sort_unstable();
            assert_eq!(names(&config, listen, address.parse().unwrap()), expected, "{listen}");
        };
        check("127.0.0.1:7070", "127.0.0.1", &[], &[]);
        check("0.0.0.0:7070", "0.0.0.0", &["Control.example"], &["control.example"]);
        check("[::]:7070", "::", &[], &[]);
        check("10.0.0.1:7070", "10.0.0.1", &[], &["10.0.0.1"]);
        check("control:7070", "10.0.0.1", &[], &["10.0.0.1", "control"]);
    }
}
