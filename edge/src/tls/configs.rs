//! By which rules does a handshake go? One `ServerConfig` of rustls for each set of rules, not for each handshake.

use super::resolver::{Fixed, Resolver};
use super::secret::Secret;
use super::tickets::Tickets;
use super::{ACME_PROTOCOL, seconds};
use crate::clock;
use crate::snapshot::Current;
use api::site::tls::{ClientAuth, TlsVersion};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Sets of rules for hosts that ask clients for certificates, of those that are kept.
const CLIENT_AUTHS_MAX: usize = 1_024;
/// What is spoken over TLS, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The rules of all handshakes of an edge.
pub(crate) struct Configs {
    current: Current,
    resolver: Arc<Resolver>,
    /// For tickets, for as long as there is no log.
    own: Arc<Secret>,
    any_version: Arc<ServerConfig>,
    newest_version: Arc<ServerConfig>,
    /// By where the rule is in memory, which it is kept with, so that no other can be there.
    with_client_auth: Mutex<HashMap<(usize, bool), Kept>>,
}

type Kept = (Arc<ClientAuth>, Arc<ServerConfig>);

/// How a handshake is to go on.
pub(crate) enum Chosen {
    /// By these rules, for requests.
    Requests { config: Arc<ServerConfig>, client_auth: Option<Arc<ClientAuth>> },
    /// To answer an authority's challenge, and nothing else.
    Challenge(Arc<ServerConfig>),
}

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("must be certificates of authorities in PEM")]
    Authorities,
    #[error("the system gives no random numbers")]
    Random,
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

impl Configs {
    /// `otherwise` names the certificate for clients that ask for none, or one that isn't there.
    pub(crate) fn new(current: &Current, otherwise: Option<&str>) -> Result<Self, RuleError> {
        let own = Arc::new(Tickets::new_secret().ok_or(RuleError::Random)?);
        let otherwise = otherwise.map(|name| name.to_ascii_lowercase().into());
        let resolver =
            Arc::new(Resolver { current: Arc::clone(current), otherwise, for_quic: false });
        let make = |version| {
            let tickets = tickets(current, &own, None);
            make(version, Arc::new(NoClientAuth), &resolver, tickets).map(Arc::new)
        };
        Ok(Self {
            any_version: make(TlsVersion::V1_2)?,
            newest_version: make(TlsVersion::V1_3)?,
            current: Arc::clone(current),
            own: Arc::clone(&own),
            resolver: Arc::clone(&resolver),
            with_client_auth: Mutex::default(),
        })
    }

    /// Decides how a handshake goes on; none where it is refused: nothing is served under that name. `name` is the one that
    /// the client asks for, in lower case, and `local` where it came to.
    pub(crate) fn choose(
        &self,
        hello: &ClientHello<'_>,
        name: Option<&str>,
        local: IpAddr,
    ) -> Option<Chosen> {
        let snapshot = self.current.load();
        if hello.alpn().is_some_and(|mut offered| offered.any(|one| one == ACME_PROTOCOL)) {
            let key = snapshot.challenges.handshake(name?, seconds(clock::wall()))?;
            let mut config = (*self.any_version).clone();
            config.cert_resolver = Arc::new(Fixed(Arc::clone(key)));
            config.alpn_protocols = vec![ACME_PROTOCOL.to_vec()];
            return Some(Chosen::Challenge(Arc::new(config)));
        }
        let schemes = hello.signature_schemes();
        let found = self.resolver.find(&snapshot, name, Some(local), schemes)?;
        let site = name.and_then(|name| snapshot.site(name));
        let rules = site.map(|served| &served.site.tls);
        let version = rules.map(|tls| tls.minimum_version).unwrap_or_default();
        let client_auth = rules.and_then(|tls| tls.client_auth.clone());
        let mut config = self.of(version, client_auth.as_ref())?;
        if name.is_none() {
            // an address is no part of what rustls tells who chooses a certificate
            let mut own = (*config).clone();
            own.cert_resolver = Arc::new(Fixed(found));
            config = Arc::new(own);
        }
        Some(Chosen::Requests { config, client_auth })
    }

    /// The rules of QUIC's handshakes, with the same certificates and tickets. Hosts that ask clients for certificates are
    /// not served there, and have their handshakes refused.
    #[expect(dead_code, reason = "the listener for HTTP/3 comes next")]
    pub(crate) fn quic(&self) -> Result<ServerConfig, RuleError> {
        let resolver = Arc::new(Resolver {
            current: Arc::clone(&self.current),
            otherwise: self.resolver.otherwise.clone(),
            for_quic: true,
        });
        let tickets = tickets(&self.current, &self.own, None);
        let mut config = make(TlsVersion::V1_3, Arc::new(NoClientAuth), &resolver, tickets)?;
        config.alpn_protocols = vec![b"h3".to_vec()];
        Ok(config)
    }

    fn of(
        &self,
        version: TlsVersion,
        client_auth: Option<&Arc<ClientAuth>>,
    ) -> Option<Arc<ServerConfig>> {
        let Some(client_auth) = client_auth else {
            let config = match version {
                TlsVersion::V1_2 => &self.any_version,
                TlsVersion::V1_3 => &self.newest_version,
            };
            return Some(Arc::clone(config));
        };
        let key = (Arc::as_ptr(client_auth).addr(), version == TlsVersion::V1_3);
        let mut kept = self.with_client_auth.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = kept.get(&key) {
            return Some(Arc::clone(config));
        }
        let tickets = tickets(&self.current, &self.own, Some(client_auth));
        // it could be made when the site was adopted
        let config = make(version, verifier(client_auth).ok()?, &self.resolver, tickets).ok()?;
        let config = Arc::new(config);
        if kept.len() >= CLIENT_AUTHS_MAX {
            kept.clear();
        }
        kept.insert(key, (Arc::clone(client_auth), Arc::clone(&config)));
        Some(config)
    }
}

/// Whether clients' certificates can be verified by a rule.
pub(crate) fn check_client_auth(client_auth: &ClientAuth) -> Result<(), RuleError> {
    verifier(client_auth).map(|_| ())
}

fn verifier(client_auth: &ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, RuleError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(client_auth.ca.as_bytes()) {
        let certificate = certificate.map_err(|_| RuleError::Authorities)?;
        roots.add(certificate).map_err(|_| RuleError::Authorities)?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if client_auth.optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map_err(|_| RuleError::Authorities)
}

/// Sessions are gone on with by the rule that they began with: what was asked for then is what is asked for now.
fn tickets(current: &Current, own: &Arc<Secret>, rule: Option<&Arc<ClientAuth>>) -> Tickets {
    let context = rule.map_or([0; 32], |rule| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[1, rule.optional.into()]).update(rule.ca.as_bytes());
        *hasher.finalize().as_bytes()
    });
    Tickets::new(Arc::clone(current), Arc::clone(own), context)
}

/// TLS 1.2 and 1.3 with what rustls has on by default: key exchanges that keep sessions secret from who gets the key later,
/// the hybrid of ML-KEM first, and authenticated encryption alone.
fn make(
    minimum: TlsVersion,
    verifier: Arc<dyn ClientCertVerifier>,
    resolver: &Arc<Resolver>,
    tickets: Tickets,
) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&rustls::SupportedProtocolVersion] = match minimum {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let resolver: Arc<Resolver> = Arc::clone(resolver);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(resolver);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    config.ticketer = Arc::new(tickets);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
