//! For which hosts is a certificate the only one? And how many end soon?

use super::super::{Change, Db, parsed};
use super::wildcard;
use crate::clock::Moment;
use api::certificates::{CertificateRecord, EXPIRY_WARNING_SECONDS};
use api::site::Site;
use api::site::tls::CertificateSource;
use sqlx::Row as _;
use std::collections::BTreeSet;

/// Needs that are told at most.
const NEEDS_MAX: usize = 10;

/// A host that needs a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// The name of the certificate that is for it.
    pub(crate) name: String,
    /// The host, as its site has it.
    pub(crate) host: String,
    /// The site's name.
    pub(crate) site: String,
}

/// When certificates of one source end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Where they come from.
    pub(crate) source: CertificateSource,
    /// How many there are.
    pub(crate) count: i64,
    /// Seconds since 1970 at which the first of them ends; of those only whose names no later one is for.
    pub(crate) first: Option<i64>,
    /// How many end within [`EXPIRY_WARNING_SECONDS`] or have ended, with a name that no other certificate is for then.
    pub(crate) soon: i64,
}

impl Change<'_> {
    /// Hosts of sites for which `record` alone is valid at `now`, some of them where they are many.
    pub(crate) async fn needs(
        &mut self,
        record: &CertificateRecord,
        now: Moment,
    ) -> sqlx::Result<Vec<Need>> {
        let (mut needs, now_text) = (Vec::new(), now.rfc3339());
        if record.not_after < now_text || record.not_before > now_text {
            return Ok(needs);
        }
        for name in &record.names {
            for (host, site) in self.hosts_served(name).await? {
                // a wildcard of a site is served by this certificate for its own name
                let served = if host.starts_with("*.") { name } else { &host };
                if needs.len() >= NEEDS_MAX || self.has_other(record, served, now).await? {
                    continue;
                }
                needs.push(Need { name: name.clone(), host, site });
            }
        }
        Ok(needs)
    }

    /// The hosts of sites that a certificate's name is for, each with its site's name.
    async fn hosts_served(&mut self, name: &str) -> sqlx::Result<Vec<(String, String)>> {
        let bracketed = format!("[{name}]");
        let suffix = name.strip_prefix("*.");
        // `_` may be in a host: what is too much goes below
        let below = suffix.map(|suffix| format!("%.{suffix}")).unwrap_or_default();
        let patterns: BTreeSet<String> = name
            .char_indices()
            .filter(|(_, character)| *character == '.')
            .filter_map(|(at, _)| name.get(at..).map(|rest| format!("*{rest}")))
            .collect();
        let query = "SELECT host, document FROM site_hosts JOIN sites ON sites.id = site_id \
            WHERE host = $1 OR host = $2 OR host LIKE $3";
        let pattern_query = "SELECT host, document FROM site_hosts JOIN sites ON sites.id = site_id \
            WHERE host = $1";
        let mut rows = sqlx::query(query)
            .bind(name.to_owned())
            .bind(bracketed)
            .bind(below)
            .fetch_all(&mut *self.transaction)
            .await?;
        for pattern in patterns.iter().filter(|pattern| *pattern != name) {
            let row = sqlx::query(pattern_query)
                .bind(pattern.clone())
                .fetch_optional(&mut *self.transaction)
                .await?;
            rows.extend(row);
        }
        let mut served = Vec::new();
        for row in rows {
            let (host, document): (String, &str) = (row.try_get(0)?, row.try_get(1)?);
            let is_for = name == host || wildcard(&host) == name;
            // a wildcard of a site is for names of any depth
            let is_below = patterns.contains(&host);
            let is_bracketed = host.trim_matches(['[', ']']) == name;
            let site: Site = serde_json::from_str(document)
                .map_err(|error| sqlx::Error::Decode(error.into()))?;
            if is_for || is_below || is_bracketed {
                served.push((host, site.name));
            }
        }
        Ok(served)
    }

    /// Whether another certificate is valid for a host.
    async fn has_other(
        &mut self,
        record: &CertificateRecord,
        host: &str,
        now: Moment,
    ) -> sqlx::Result<bool> {
        let host = host.trim_matches(['[', ']']);
        let query = "SELECT 1 FROM certificate_names JOIN certificates ON id = certificate_id \
            WHERE name IN ($1, $2) AND id <> $3 AND not_before <= $4 AND not_after >= $4 LIMIT 1";
        let row = sqlx::query(query)
            .bind(host.to_owned())
            .bind(wildcard(host))
            .bind(record.id.to_string())
            .bind(now.0 / 1_000)
            .fetch_optional(&mut *self.transaction)
            .await?;
        Ok(row.is_some())
    }
}

impl Db {
    /// When the certificates end, by source; each source is there.
    pub(crate) async fn certificates_end(&self, now: Moment) -> sqlx::Result<Vec<Ends>> {
        let counts = "SELECT source, COUNT(*) FROM certificates GROUP BY source";
        let soon = "SELECT source, MIN(not_after), COUNT(*) FROM certificates AS own \
            WHERE not_after < $1 AND EXISTS (SELECT 1 FROM certificate_names AS named \
                WHERE named.certificate_id = own.id AND NOT EXISTS (SELECT 1 \
                    FROM certificate_names AS other JOIN certificates ON id = other.certificate_id \
                    WHERE other.name = named.name AND certificates.not_after > own.not_after)) \
            GROUP BY source";
        let mut ends: Vec<Ends> = CertificateSource::ALL
            .into_iter()
            .map(|source| Ends { source, count: 0, first: None, soon: 0 })
            .collect();
        for row in sqlx::query(counts).fetch_all(&self.pool).await? {
            let source = parsed(row.try_get(0)?)?;
            for end in ends.iter_mut().filter(|end| end.source == source) {
                end.count = row.try_get(1)?;
            }
        }
        let limit = now.0 / 1_000 + EXPIRY_WARNING_SECONDS;
        for (until, is_soon) in [(limit, true), (i64::MAX, false)] {
            for row in sqlx::query(soon).bind(until).fetch_all(&self.pool).await? {
                let source = parsed(row.try_get(0)?)?;
                for end in ends.iter_mut().filter(|end| end.source == source) {
                    match is_soon {
                        true => end.soon = row.try_get(2)?,
                        false => end.first = Some(row.try_get(1)?),
                    }
                }
            }
        }
        Ok(ends)
    }
}
