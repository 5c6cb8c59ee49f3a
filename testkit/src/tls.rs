//! Certificates for tests, from authorities of their own, and how a client goes into a handshake.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long a certificate is valid, before and after now, unless a test says otherwise.
const VALID_SECONDS: i64 = 86_400;

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "certificates are valid by the machine's clock")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.ok().and_then(|since| i64::try_from(since.as_secs()).ok()).expect("it is after 1970")
}

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: String,
    directory: TempDir,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The names it is for.
    pub names: Vec<String>,
    /// The certificate in PEM.
    pub chain: String,
    /// Its private key: PKCS #8 in PEM.
    pub key: String,
    /// What is stapled: a DER `OCSPResponse` in base64.
    pub ocsp: Option<String>,
    /// In seconds since 1970.
    pub not_before: i64,
    /// In seconds since 1970.
    pub not_after: i64,
}

impl Authority {
    /// A new one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes a key and a directory")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "an authority of a test");
        let key = KeyPair::generate().expect("a key can be made");
        let root = params.self_signed(&key).expect("a root can be made").pem();
        let directory = TempDir::new().expect("a temporary directory can be made");
        std::fs::write(directory.path().join("root.pem"), &root).expect("it can be written");
        Self { issuer: Issuer::new(params, key), root, directory }
    }

    /// Its own certificate in PEM.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// A file with its own certificate, for programs that are told whom to trust.
    #[must_use]
    pub fn root_file(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// A certificate for these names (wildcards and IP addresses too), valid now.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for(names, -VALID_SECONDS, VALID_SECONDS)
    }

    /// A certificate that is valid from so many seconds after now until so many after now.
    ///
    /// # Panics
    /// For names that can't be in a certificate.
    #[must_use]
    pub fn issue_for(&self, names: &[&str], from_seconds: i64, to_seconds: i64) -> Issued {
        let mut params =
            CertificateParams::new(owned(names)).expect("names as certificates have them");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.finish(params, names, from_seconds, to_seconds)
    }

    /// A certificate of a client with this name.
    #[must_use]
    pub fn issue_to_client(&self, name: &str) -> Issued {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.finish(params, &[name], -VALID_SECONDS, VALID_SECONDS)
    }

    /// A certificate that answers a challenge for `host` (RFC 8737 §3). `digest` is the key authorization's.
    ///
    /// # Panics
    /// For a host that can't be in a certificate.
    #[must_use]
    pub fn issue_for_challenge(&self, host: &str, digest: &[u8; 32]) -> Issued {
        let mut params = CertificateParams::new(owned(&[host])).expect("a host");
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        self.finish(params, &[host], -VALID_SECONDS, VALID_SECONDS)
    }

    fn finish(&self, mut params: CertificateParams, names: &[&str], from: i64, to: i64) -> Issued {
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let (not_before, not_after) = (now() + from, now() + to);
        let at = |seconds: i64| {
            let since = Duration::from_secs(seconds.try_into().expect("after 1970"));
            rcgen::date_time_ymd(1970, 1, 1) + since
        };
        (params.not_before, params.not_after) = (at(not_before), at(not_after));
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let (chain, key, names) = (certificate.pem(), key.serialize_pem(), owned(names));
        Issued { names, chain, key, ocsp: None, not_before, not_after }
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// How a client goes into handshakes. Clones remember sessions together.
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

impl Tls {
    /// Trusts an authority, and speaks HTTP/1.1 with whatever version of TLS.
    #[must_use]
    pub fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.root.as_bytes()).expect("it is PEM");
        roots.add(root).expect("it is a root");
        Self::new(Arc::new(roots), rustls::ALL_VERSIONS, None)
    }

    /// With this certificate for those who ask for one. What was remembered of sessions is not.
    #[must_use]
    pub fn presenting(&self, issued: &Issued) -> Self {
        Self::new(Arc::clone(&self.roots), rustls::ALL_VERSIONS, Some(issued))
    }

    /// With these versions of TLS only. What was remembered of sessions is not, and no certificate is presented.
    #[must_use]
    pub fn speaking(&self, versions: &[&'static SupportedProtocolVersion]) -> Self {
        Self::new(Arc::clone(&self.roots), versions, None)
    }

    /// With these protocols instead of `http/1.1` (RFC 7301).
    #[must_use]
    pub fn offering(&self, protocols: &[&str]) -> Self {
        let mut config = (*self.config).clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config), roots: Arc::clone(&self.roots) }
    }

    /// That asks for no name.
    #[must_use]
    pub fn without_server_name(&self) -> Self {
        let mut config = (*self.config).clone();
        config.enable_sni = false;
        Self { config: Arc::new(config), roots: Arc::clone(&self.roots) }
    }

    /// That remembers no session.
    #[must_use]
    pub fn forgetful(&self) -> Self {
        let mut config = (*self.config).clone();
        config.resumption = Resumption::disabled();
        Self { config: Arc::new(config), roots: Arc::clone(&self.roots) }
    }

    /// The configuration, for clients of another kind.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    fn new(
        roots: Arc<RootCertStore>,
        versions: &[&'static SupportedProtocolVersion],
        issued: Option<&Issued>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions that the provider has")
            .with_root_certificates(Arc::clone(&roots));
        let mut config = match issued {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes());
                let chain = chain.collect::<Result<_, _>>().expect("it is PEM");
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("it is PEM");
                builder.with_client_auth_cert(chain, key).expect("a certificate and its key")
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { config: Arc::new(config), roots }
    }

    /// A handshake for the name `host`.
    ///
    /// # Errors
    /// When it fails.
    ///
    /// # Panics
    /// For a host that is no name and no address.
    pub(crate) async fn connect(
        &self,
        tcp: TcpStream,
        host: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).expect("a host");
        TlsConnector::from(Arc::clone(&self.config)).connect(name, tcp).await
    }
}
