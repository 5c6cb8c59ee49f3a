//! Sites, and which host is whose.

use super::feed::Subject;
use super::{Change, Db, number, stored};
use crate::clock::Moment;
use api::feed;
use api::id::SiteId;
use api::site::Site;
use api::site::host::HostPattern;
use api::site::tls::CertificateSource;
use api::sites::SiteRecord;
use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row as _};
use std::collections::BTreeMap;

const COLUMNS: &str = "id, revision, seq, created_at, updated_at, document";
/// Bytes of a page's documents after which no further site is added.
const PAGE_BYTES: i64 = 4_194_304;

/// How a request names a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SiteRef {
    /// By its id.
    Id(SiteId),
    /// By its name.
    Name(String),
}

/// What of a site is another site's already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The name.
    Name,
    /// The host at `index`, which `site` has.
    Host { index: usize, site: String },
}

/// Sites in the order of their ids.
pub(crate) struct SitesPage {
    /// The sites.
    pub(crate) sites: Vec<SiteRecord>,
    /// Whether there are further ones.
    pub(crate) more: bool,
}

impl Db {
    /// The site that `site` names.
    pub(crate) async fn site(&self, site: &SiteRef) -> sqlx::Result<Option<SiteRecord>> {
        find(&self.pool, site).await
    }

    /// At most `limit` sites after `after`; those of that name, if a name is given.
    pub(crate) async fn sites(
        &self,
        after: Option<&SiteId>,
        name: Option<&str>,
        limit: u32,
    ) -> sqlx::Result<SitesPage> {
        let page = "SELECT id, revision, seq, created_at, updated_at, document, waiting FROM ( \
                SELECT next.*, octet_length(document) AS bytes, COUNT(*) OVER () AS waiting, \
                    CAST(SUM(octet_length(document)) OVER (ORDER BY id) AS BIGINT) AS total \
                FROM (SELECT * FROM sites WHERE id > $1 AND ($2 = '' OR name = $2) \
                    ORDER BY id LIMIT $3) AS next \
            ) AS page WHERE total - bytes < $4 ORDER BY id";
        let rows = sqlx::query(page)
            .bind(after.map_or("", SiteId::as_str).to_owned())
            .bind(name.unwrap_or_default().to_owned())
            .bind(i64::from(limit) + 1)
            .bind(PAGE_BYTES)
            .fetch_all(&self.pool)
            .await?;
        let waiting = rows.first().map_or(Ok(0), |row| number(row, 6))?;
        let sites: Vec<SiteRecord> =
            rows.iter().take(limit as usize).map(record).collect::<sqlx::Result<_>>()?;
        let more = waiting > sites.len() as u64;
        Ok(SitesPage { sites, more })
    }
}

impl Change<'_> {
    /// The site that `site` names, as it stands in this change.
    pub(crate) async fn site(&mut self, site: &SiteRef) -> sqlx::Result<Option<SiteRecord>> {
        find(&mut *self.transaction, site).await
    }

    /// Whether a site is there.
    pub(crate) async fn has_site(&mut self, id: &SiteId) -> sqlx::Result<bool> {
        let query = sqlx::query("SELECT id FROM sites WHERE id = $1").bind(id.to_string());
        Ok(query.fetch_optional(&mut *self.transaction).await?.is_some())
    }

    /// Makes or replaces a site and tells the edges. `earlier` is what it replaces.
    pub(crate) async fn put_site(
        &mut self,
        id: SiteId,
        site: Site,
        earlier: Option<&SiteRecord>,
        now: Moment,
    ) -> sqlx::Result<SiteRecord> {
        let record = SiteRecord {
            revision: earlier.map_or(0, |earlier| earlier.revision) + 1,
            seq: self.seq(),
            created_at: earlier.map_or_else(|| now.rfc3339(), |earlier| earlier.created_at.clone()),
            updated_at: now.rfc3339(),
            id,
            site,
        };
        let document = serde_json::to_value(&record.site)
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        self.put_row(&record, &document, now).await?;
        self.put_hosts(&record).await?;
        self.put_domains(&record.id, &acme_hosts(&record.site), now).await?;
        let put = feed::Change::SitePut { site_id: record.id.clone(), site: document };
        self.tell(Subject::Site(&record.id), put).await?;
        Ok(record)
    }

    async fn put_row(
        &mut self,
        record: &SiteRecord,
        document: &serde_json::Value,
        now: Moment,
    ) -> sqlx::Result<()> {
        let upsert = "INSERT INTO sites (id, name, revision, seq, document, created_at, updated_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
            revision = excluded.revision, seq = excluded.seq, document = excluded.document, \
            updated_at = excluded.updated_at";
        sqlx::query(upsert)
            .bind(record.id.to_string())
            .bind(record.site.name.clone())
            .bind(stored(record.revision))
            .bind(stored(record.seq))
            .bind(document.to_string())
            .bind(now.0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn put_hosts(&mut self, record: &SiteRecord) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM site_hosts WHERE site_id = $1")
            .bind(record.id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        for host in hosts(&record.site).into_keys() {
            sqlx::query("INSERT INTO site_hosts (host, site_id) VALUES ($1, $2)")
                .bind(host)
                .bind(record.id.to_string())
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// Everything of `site` that a site other than `own` has already.
    pub(crate) async fn taken(
        &mut self,
        site: &Site,
        own: Option<&SiteId>,
    ) -> sqlx::Result<Vec<Taken>> {
        let own = own.map_or("", SiteId::as_str).to_owned();
        let mut taken = Vec::new();
        let name = sqlx::query("SELECT id FROM sites WHERE name = $1 AND id <> $2")
            .bind(site.name.clone())
            .bind(own.clone())
            .fetch_optional(&mut *self.transaction)
            .await?;
        taken.extend(name.map(|_| Taken::Name));
        for (host, index) in hosts(site) {
            let owner = "SELECT name FROM site_hosts JOIN sites ON sites.id = site_id \
                WHERE host = $1 AND site_id <> $2";
            let owner = sqlx::query(owner)
                .bind(host)
                .bind(own.clone())
                .fetch_optional(&mut *self.transaction)
                .await?;
            if let Some(row) = owner {
                taken.push(Taken::Host { index, site: row.try_get(0)? });
            }
        }
        taken.sort_by_key(|taken| match taken {
            Taken::Name => 0,
            Taken::Host { index, .. } => index + 1,
        });
        Ok(taken)
    }

    /// Removes a site with all that is kept of it and tells the edges.
    pub(crate) async fn remove_site(&mut self, id: &SiteId) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM sites WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        self.forget(id).await?;
        self.put_domains(id, &[], crate::clock::now()).await?;
        let removed = feed::Change::SiteRemoved { site_id: id.clone() };
        self.tell(Subject::Site(id), removed).await
    }
}

async fn find<'e>(
    executor: impl Executor<'e, Database = Any>,
    site: &SiteRef,
) -> sqlx::Result<Option<SiteRecord>> {
    let (column, value) = match site {
        SiteRef::Id(id) => ("id", id.as_str()),
        SiteRef::Name(name) => ("name", name.as_str()),
    };
    let query = format!("SELECT {COLUMNS} FROM sites WHERE {column} = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(value.to_owned())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(record).transpose()
}

/// A row of [`COLUMNS`].
fn record(row: &AnyRow) -> sqlx::Result<SiteRecord> {
    let document: &str = row.try_get(5)?;
    Ok(SiteRecord {
        id: super::parsed(row.try_get(0)?)?,
        revision: number(row, 1)?,
        seq: number(row, 2)?,
        created_at: Moment(row.try_get(3)?).rfc3339(),
        updated_at: Moment(row.try_get(4)?).rfc3339(),
        site: serde_json::from_str(document).map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}

/// The hosts of a site whose certificates an ACME authority issues.
fn acme_hosts(site: &Site) -> Vec<String> {
    match site.tls.certificate {
        CertificateSource::Acme => hosts(site).into_keys().collect(),
        CertificateSource::Uploaded | CertificateSource::Local => Vec::new(),
    }
}

/// The hosts of a checked site in their one spelling, each with its place in the document.
fn hosts(site: &Site) -> BTreeMap<String, usize> {
    let parsed = site.hosts.iter().enumerate();
    parsed
        .filter_map(|(index, host)| Some((HostPattern::parse(host).ok()?.to_string(), index)))
        .collect()
}
