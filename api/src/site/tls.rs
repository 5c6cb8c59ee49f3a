//! How clients reach a site: certificates, versions of TLS, and whether HTTP without TLS is served.

use crate::check::{Check, Problems};
use crate::pem;
use serde::{Deserialize, Serialize};

/// Bytes of certificates in PEM that a document may hold in one place.
pub const PEM_MAX_BYTES: usize = 65_536;
const HSTS_MAX_SECONDS: u64 = 63_072_000;

/// TLS of a site's hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tls {
    /// Where the certificates of the hosts come from.
    pub certificate: CertificateSource,
    /// The oldest version of TLS that clients may use.
    pub minimum_version: TlsVersion,
    /// Whether requests over plain HTTP are answered with a redirect (308) to `https`.
    pub redirect_http: bool,
    /// Has browsers use `https` alone (RFC 6797). Without, nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hsts: Option<Hsts>,
    /// Asks clients for certificates. Without, nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuth>,
}

/// Where a site's certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CertificateSource {
    /// Those that were uploaded and are for the hosts' names; none is made.
    #[default]
    Uploaded,
    /// Issued and renewed by the ACME authority that control is set up with.
    Acme,
    /// Made by control's own authority, for development: only who trusts its root trusts them.
    Local,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246)
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446)
    #[serde(rename = "1.3")]
    V1_3,
}

/// `Strict-Transport-Security` (RFC 6797 §6.1) on every response over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Hsts {
    /// Seconds that browsers remember it, 0 to 63,072,000 (two years). 0 has them forget it.
    pub max_age_seconds: u64,
    /// Whether it holds for all names below the host.
    pub include_subdomains: bool,
    /// Whether browsers' makers may ship it. Needs `include_subdomains` and a year at least.
    pub preload: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self { max_age_seconds: 31_536_000, include_subdomains: false, preload: false }
    }
}

/// Certificates of clients (mutual TLS).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClientAuth {
    /// Certificates in PEM of the authorities that clients' certificates must be from, at most 65,536 bytes. Required.
    pub ca: String,
    /// Whether a client without a certificate is served.
    pub optional: bool,
}

impl Check for Tls {
    fn check(&self, problems: &mut Problems) {
        if let Some(hsts) = &self.hsts {
            problems.at("hsts", |problems| hsts.check(problems));
        }
        if let Some(client_auth) = &self.client_auth {
            problems.at("client_auth", |problems| {
                problems.at("ca", |problems| check_pem(&client_auth.ca, problems));
            });
        }
    }
}

impl Check for Hsts {
    fn check(&self, problems: &mut Problems) {
        problems.at("max_age_seconds", |problems| {
            problems.within(self.max_age_seconds, 0..=HSTS_MAX_SECONDS, "seconds");
        });
        let is_fit = self.include_subdomains && self.max_age_seconds >= 31_536_000;
        if self.preload && !is_fit {
            let detail = "needs include_subdomains and a max_age_seconds of at least 31536000";
            problems.at("preload", |problems| problems.add(detail, Some(&true)));
        }
    }
}

/// Checks the certificates of authorities in PEM.
pub(crate) fn check_pem(text: &str, problems: &mut Problems) {
    if text.len() > PEM_MAX_BYTES {
        problems.add(format!("must be at most {PEM_MAX_BYTES} bytes"), Some(&text.len()));
    } else if let Err(error) = pem::authorities(text) {
        problems.add(error.to_string(), Some(&text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::parse;

    #[test]
    fn problems_are_named_with_their_place() {
        let check = |toml: &str, expected: &[&str]| {
            let found = parse::<Tls>(toml::from_str(toml).unwrap()).err().unwrap_or_default();
            let fields: Vec<&str> = found.iter().map(|problem| problem.field.as_str()).collect();
            assert_eq!(fields, expected, "{toml}");
        };
        check("", &[]);
        check("certificate = 'acme'\nminimum_version = '1.3'\nredirect_http = true", &[]);
        check("minimum_version = '1.1'", &["minimum_version"]);
        check("certificate = 'magic'", &["certificate"]);
        check("hsts = { preload = true }", &["hsts.preload"]);
        check("hsts = { preload = true, include_subdomains = true }", &[]);
        check("hsts = { max_age_seconds = 63072001 }", &["hsts.max_age_seconds"]);
        check("client_auth = {}", &["client_auth.ca"]);
        check("client_auth = { ca = '-----BEGIN CERTIFICATE-----' }", &["client_auth.ca"]);
    }
}
