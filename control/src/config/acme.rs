//! How certificates are got from an ACME authority.

use crate::acme::dns::EdgeName;
use api::domains::ChallengeMethod;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use url::Url;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const CLOUDFLARE: &str = "https://api.cloudflare.com/client/v4";
const DNS_SECONDS: u64 = 120;
const RETRY_SECONDS: u64 = 120;
const ORDERS_MAX: usize = 4;
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// How certificates are got from an ACME authority.
#[derive(Debug, Clone, Args)]
pub struct Acme {
    /// Get certificates from this authority: the URL of its directory, `letsencrypt` or `letsencrypt-staging`. Whoever
    /// names one agrees to its terms of service
    #[arg(
        long = "acme-directory",
        env = "LONGSHORE_ACME_DIRECTORY",
        value_name = "URL",
        value_parser = directory
    )]
    pub directory: Option<Url>,
    /// Where the authority may write to; may be repeated
    #[arg(
        long = "acme-contact",
        env = "LONGSHORE_ACME_CONTACT",
        value_name = "EMAIL",
        value_delimiter = ',',
        value_parser = email
    )]
    pub contact: Vec<String>,
    /// The id of the key that binds the account to one that the authority has (external account binding)
    #[arg(long = "acme-eab-kid", value_name = "ID", requires = "eab_key_file")]
    pub eab_kid: Option<String>,
    /// A file with that key, in base64url
    #[arg(long = "acme-eab-key-file", value_name = "FILE", requires = "eab_kid")]
    pub eab_key_file: Option<PathBuf>,
    /// A file with the roots in PEM that the authority's own HTTPS is trusted by, instead of the machine's
    #[arg(long = "acme-ca-file", env = "LONGSHORE_ACME_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How the authority is shown who has a host, the next one after each failure; wildcards are always by dns-01
    #[arg(
        long = "acme-challenges",
        value_name = "METHOD",
        value_delimiter = ',',
        default_value = "http-01,tls-alpn-01"
    )]
    pub challenges: Vec<ChallengeMethod>,
    /// For dns-01, a program that sets TXT records: run with `present` or `cleanup`, the host, the record's name and its
    /// value
    #[arg(long = "acme-dns-hook", env = "LONGSHORE_ACME_DNS_HOOK", value_name = "PROGRAM")]
    pub dns_hook: Option<PathBuf>,
    /// For dns-01, a file with a token for Cloudflare's API that may edit DNS
    #[arg(
        long = "acme-dns-cloudflare-token-file",
        env = "LONGSHORE_ACME_DNS_CLOUDFLARE_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "dns_hook"
    )]
    pub cloudflare_token_file: Option<PathBuf>,
    /// Where that API is
    #[arg(
        long = "acme-dns-cloudflare-url",
        value_name = "URL",
        default_value = CLOUDFLARE
    )]
    pub cloudflare_url: Url,
    /// Seconds that a TXT record may take to be set, and then to be seen in DNS
    #[arg(
        long = "acme-dns-seconds",
        default_value_t = DNS_SECONDS,
        value_name = "SECONDS",
        value_parser = super::seconds
    )]
    pub dns_seconds: u64,
    /// Seconds after a failure until the next attempt; doubled with each, up to 6 hours
    #[arg(
        long = "acme-retry-seconds",
        default_value_t = RETRY_SECONDS,
        value_name = "SECONDS",
        value_parser = super::seconds
    )]
    pub retry_seconds: u64,
    /// Orders that may be under way at one time
    #[arg(
        long = "acme-orders-max",
        default_value_t = ORDERS_MAX,
        value_name = "COUNT",
        value_parser = super::count
    )]
    pub orders_max: usize,
    /// Names and addresses of the edges that hosts may point to, so that they need no TXT record; with commas between
    #[arg(
        long = "edge-names",
        env = "LONGSHORE_EDGE_NAMES",
        value_name = "NAME|ADDRESS",
        value_delimiter = ','
    )]
    pub edge_names: Vec<EdgeName>,
    /// DNS servers that are asked, instead of the machine's; with commas between
    #[arg(
        long = "dns-server",
        env = "LONGSHORE_DNS_SERVER",
        value_name = "ADDRESS:PORT",
        value_delimiter = ','
    )]
    pub dns_servers: Vec<SocketAddr>,
}

impl Default for Acme {
    /// What holds where nothing is said.
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a test reads it")]
        let cloudflare_url = CLOUDFLARE.parse().expect("a URL");
        Self {
            directory: None,
            contact: Vec::new(),
            eab_kid: None,
            eab_key_file: None,
            ca_file: None,
            challenges: vec![ChallengeMethod::Http01, ChallengeMethod::TlsAlpn01],
            dns_hook: None,
            cloudflare_token_file: None,
            cloudflare_url,
            dns_seconds: DNS_SECONDS,
            retry_seconds: RETRY_SECONDS,
            orders_max: ORDERS_MAX,
            edge_names: Vec::new(),
            dns_servers: Vec::new(),
        }
    }
}

/// RFC 8555 §6.1: HTTPS. What doesn't leave this machine may do without.
fn directory(text: &str) -> Result<Url, String> {
    let text = match text {
        "letsencrypt" => LETS_ENCRYPT,
        "letsencrypt-staging" => LETS_ENCRYPT_STAGING,
        url => url,
    };
    let wrong = || {
        "must be `letsencrypt`, `letsencrypt-staging` or an https URL (http on loopback)".to_owned()
    };
    let url: Url = text.parse().map_err(|_| wrong())?;
    let is_local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err(wrong()),
    }
}

fn email(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("mailto:").unwrap_or(text);
    let is_right = text
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.len() <= 254;
    if is_right { Ok(text.to_owned()) } else { Err("must be an email address".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_spoken_to_in_tls() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(directory(text).ok().as_ref().map(Url::as_str), expected, "{text}");
        };
        check("letsencrypt", Some(LETS_ENCRYPT));
        check("letsencrypt-staging", Some(LETS_ENCRYPT_STAGING));
        check("https://ca.example.com/dir", Some("https://ca.example.com/dir"));
        check("http://127.0.0.1:1/dir", Some("http://127.0.0.1:1/dir"));
        check("http://ca.example.com/dir", None);
        check("ftp://localhost", None);
        check("dir", None);
    }

    #[test]
    fn the_defaults_are_said_once() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            acme: Acme,
        }
        use clap::Parser as _;
        let given = Line::parse_from(["control"]).acme;
        assert_eq!(format!("{given:?}"), format!("{:?}", Acme::default()));
    }

    #[test]
    fn contacts_are_email_addresses() {
        for (text, expected) in [
            ("a@example.com", true),
            ("mailto:a@example.com", true),
            ("a", false),
            ("a@", false),
            ("a@b@c", false),
            ("a b@c", false),
        ] {
            assert_eq!(email(text).is_ok(), expected, "{text}");
        }
    }
}
