//! Bodies of `/v1/domains`: the hosts whose certificates an ACME authority issues (RFC 8555), and how far each is.

use crate::id::{CertificateId, SiteId};
use serde::{Deserialize, Serialize};

/// Domains on a page where the request names no `limit`.
pub const PAGE_DEFAULT: u32 = 50;
/// The largest `limit`.
pub const PAGE_MAX: u32 = 200;
/// The label before a host under which a TXT record says whose it is.
pub const OWNERSHIP_LABEL: &str = "_longshore-challenge";
/// What that record's text begins with; the token of the host follows.
pub const OWNERSHIP_PREFIX: &str = "longshore-verify=";

/// How far a domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DomainState {
    /// Nothing in DNS says yet that the host is to be served here.
    PendingVerification,
    /// DNS says so. A certificate will be ordered.
    Verified,
    /// The first certificate is being ordered.
    Issuing,
    /// Edges have a certificate.
    Issued,
    /// Edges have a certificate, and the one that follows it is being ordered.
    Renewing,
    /// There is no certificate that is valid, and ordering one failed.
    Failed,
}

/// A state that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is no state of a domain: pending_verification, verified, issuing, issued, renewing, failed"
)]
pub struct StateError(String);

impl DomainState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::PendingVerification,
        Self::Verified,
        Self::Issuing,
        Self::Issued,
        Self::Renewing,
        Self::Failed,
    ];

    /// The state as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingVerification => "pending_verification",
            Self::Verified => "verified",
            Self::Issuing => "issuing",
            Self::Issued => "issued",
            Self::Renewing => "renewing",
            Self::Failed => "failed",
        }
    }
}

impl std::str::FromStr for DomainState {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| StateError(text.chars().take(40).collect()))
    }
}

/// How an authority is shown who has a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ChallengeMethod {
    /// Edges answer a request over plain HTTP (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// Edges answer a handshake (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A TXT record (RFC 8555 §8.4).
    #[serde(rename = "dns-01")]
    Dns01,
}

/// A method that does not exist.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no challenge: http-01, tls-alpn-01, dns-01")]
pub struct MethodError(String);

impl ChallengeMethod {
    /// Every method.
    pub const ALL: [Self; 3] = [Self::Http01, Self::TlsAlpn01, Self::Dns01];

    /// The method as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl std::str::FromStr for ChallengeMethod {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, MethodError> {
        let found = Self::ALL.into_iter().find(|method| method.as_str() == text);
        found.ok_or_else(|| MethodError(text.chars().take(40).collect()))
    }
}

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DomainErrorKind {
    /// DNS does not say that the host is to be served here.
    Ownership,
    /// DNS does not answer, or not what it must.
    Dns,
    /// A CAA record does not let the authority issue.
    Caa,
    /// The authority wants to be asked later.
    RateLimited,
    /// The authority could not connect to the host.
    Connection,
    /// The authority did not get the answer that control gave the edges.
    Challenge,
    /// The authority does not issue for the host.
    Rejected,
    /// The authority cannot be reached, or fails.
    Authority,
    /// The authority does not take the account.
    Account,
    /// The hook or the API that sets TXT records failed, or there is none.
    DnsProvider,
    /// No edge could be told of the challenge.
    Edges,
    /// Control is set up with no authority.
    Off,
    /// Control failed.
    Internal,
}

/// Why a domain is not further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DomainError {
    /// The kind.
    pub kind: DomainErrorKind,
    /// What happened, and what can be done.
    pub detail: String,
    /// When: RFC 3339, UTC.
    pub at: String,
}

/// A record in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DnsRecord {
    /// Its name, without a dot at the end.
    pub name: String,
    /// Its type: `TXT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value, without quotes.
    pub value: String,
}

/// A domain as control holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DomainRecord {
    /// The host as its site names it: a DNS name in lower case, with `*.` before that of a wildcard.
    pub host: String,
    /// Whose it is.
    pub site_id: SiteId,
    /// How far it is.
    pub state: DomainState,
    /// The record that shows whose the host is, where it doesn't point to the edges.
    pub ownership: DnsRecord,
    /// The names and addresses of the edges that the host may point to instead; empty where control knows none.
    pub points_to: Vec<String>,
    /// When it was last seen in DNS that the host is to be served here: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// How the authority was shown last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<ChallengeMethod>,
    /// The certificate that edges have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_id: Option<CertificateId>,
    /// Until when it is valid: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// When the one that follows it will be ordered: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<String>,
    /// Why it is not further. A domain that is `issued` and has one failed to be renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<DomainError>,
    /// How often in a row what had to be done failed.
    pub attempts: u32,
    /// When it is tried again, or looked at: RFC 3339, UTC. Absent while something is being done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// When it was made known: RFC 3339, UTC.
    pub created_at: String,
    /// When it last changed: RFC 3339, UTC.
    pub updated_at: String,
}

/// Answer of `GET /v1/domains?limit=&after=&state=&site=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DomainPage {
    /// Domains in the order of their hosts.
    pub domains: Vec<DomainRecord>,
    /// What to pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The name under which a TXT record shows whose `host` is: that of a wildcard is under the name it stands before.
#[must_use]
pub fn ownership_name(host: &str) -> String {
    format!("{OWNERSHIP_LABEL}.{}", host.strip_prefix("*.").unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_methods_are_read_as_they_are_written() {
        for state in DomainState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for method in ChallengeMethod::ALL {
            assert_eq!(method.as_str().parse(), Ok(method));
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
        }
    }

    #[test]
    fn a_wildcard_is_shown_under_the_name_it_stands_before() {
        assert_eq!(ownership_name("a.example.com"), "_longshore-challenge.a.example.com");
        assert_eq!(ownership_name("*.example.com"), "_longshore-challenge.example.com");
    }
}
