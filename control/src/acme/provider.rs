//! Who sets the TXT records that dns-01 needs (RFC 8555 §8.4)? A program, or an API.

mod cloudflare;
mod hook;

use super::domain::Trouble;
use crate::config::Acme;
use api::domains::DomainErrorKind;
pub(crate) use cloudflare::Cloudflare;
pub(crate) use hook::Hook;
use std::time::Duration;

/// A TXT record that shows an authority who has a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The host that is shown; without the `*.` of a wildcard.
    pub(crate) host: String,
    /// Its name: `_acme-challenge.` and the host.
    pub(crate) name: String,
    /// Its text.
    pub(crate) value: String,
}

impl Record {
    /// The record for a host, wildcard or not.
    pub(crate) fn new(host: &str, value: String) -> Self {
        let host = host.strip_prefix("*.").unwrap_or(host).to_owned();
        Self { name: format!("_acme-challenge.{host}"), host, value }
    }
}

/// Who sets records.
pub(crate) enum Provider {
    /// Nobody.
    None,
    /// A program.
    Hook(Hook),
    /// Cloudflare.
    Cloudflare(Box<Cloudflare>),
}

impl Provider {
    /// The one that control is set up with.
    pub(crate) fn new(config: &Acme) -> reqwest::Result<Self> {
        let limit = Duration::from_secs(config.dns_seconds);
        if let Some(program) = &config.dns_hook {
            return Ok(Self::Hook(Hook { program: program.clone(), limit }));
        }
        let Some(token_file) = &config.cloudflare_token_file else { return Ok(Self::None) };
        let cloudflare = Cloudflare::new(&config.cloudflare_url, token_file.clone())?;
        Ok(Self::Cloudflare(Box::new(cloudflare)))
    }

    /// Whether there is one.
    pub(crate) const fn is_there(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Sets a record. Setting it again does no harm.
    pub(crate) async fn present(&self, record: &Record) -> Result<(), Trouble> {
        match self {
            Self::None => Err(none(record)),
            Self::Hook(hook) => hook.run("present", record).await,
            Self::Cloudflare(cloudflare) => cloudflare.present(record).await,
        }
    }

    /// Takes a record away. One that isn't there is none to take.
    pub(crate) async fn cleanup(&self, record: &Record) -> Result<(), Trouble> {
        match self {
            Self::None => Ok(()),
            Self::Hook(hook) => hook.run("cleanup", record).await,
            Self::Cloudflare(cloudflare) => cloudflare.cleanup(record).await,
        }
    }
}

/// A trouble with whoever sets records.
fn trouble(detail: impl Into<String>) -> Trouble {
    Trouble::new(DomainErrorKind::DnsProvider, detail).passing()
}

fn none(record: &Record) -> Trouble {
    trouble(format!(
        "{} has to be shown by a TXT record, and control has nobody to set it: \
         --acme-dns-hook or --acme-dns-cloudflare-token-file",
        record.host
    ))
}
