//! The local authority's root, and the sites and certificates it has to do with.

use super::{Change, Db, number, parsed, stored};
use crate::clock::Moment;
use api::id::{CertificateId, SiteId};
use api::site::Site;
use sqlx::Row as _;

/// Sites that are read in one go.
const SITES: i64 = 200;

impl Db {
    /// The root of the local authority in PEM, if there is one.
    pub(crate) async fn authority(&self) -> sqlx::Result<Option<String>> {
        let row = sqlx::query("SELECT certificate FROM authority").fetch_optional(&self.pool);
        row.await?.map(|row| row.try_get(0)).transpose()
    }

    /// The next sites whose documents have a number after `after`, in that order.
    pub(crate) async fn sites_after(&self, after: u64) -> sqlx::Result<Vec<(u64, SiteId, Site)>> {
        let query = "SELECT seq, id, document FROM sites WHERE seq > $1 ORDER BY seq LIMIT $2";
        let rows = sqlx::query(query).bind(stored(after)).bind(SITES).fetch_all(&self.pool).await?;
        let sites = rows.iter().map(|row| {
            let document: &str = row.try_get(2)?;
            let site = serde_json::from_str(document)
                .map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok((number(row, 0)?, parsed(row.try_get(1)?)?, site))
        });
        sites.collect()
    }

    /// Certificates that were made for sites which are gone.
    pub(crate) async fn local_certificates_without_site(&self) -> sqlx::Result<Vec<CertificateId>> {
        let query = "SELECT id FROM certificates WHERE source = 'local' AND NOT EXISTS \
            (SELECT 1 FROM sites WHERE sites.id = 'site_' || substr(certificates.id, 5))";
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        rows.iter().map(|row| parsed(row.try_get(0)?)).collect()
    }

    /// Certificates of the local authority that have less than a third of their life left.
    pub(crate) async fn local_certificates_due(
        &self,
        now: Moment,
    ) -> sqlx::Result<Vec<CertificateId>> {
        let query = "SELECT id FROM certificates WHERE source = 'local' \
            AND not_after - (not_after - not_before) / 3 <= $1";
        let rows = sqlx::query(query).bind(now.0 / 1_000).fetch_all(&self.pool).await?;
        rows.iter().map(|row| parsed(row.try_get(0)?)).collect()
    }
}

impl Change<'_> {
    /// The root of the local authority in PEM, as it stands in this change.
    pub(crate) async fn authority(&mut self) -> sqlx::Result<Option<String>> {
        let query = sqlx::query("SELECT certificate FROM authority");
        let row = query.fetch_optional(&mut *self.transaction).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    /// Keeps the root of the local authority.
    pub(crate) async fn put_authority(&mut self, root: &str, now: Moment) -> sqlx::Result<()> {
        sqlx::query("INSERT INTO authority (one, certificate, created_at) VALUES (1, $1, $2)")
            .bind(root.to_owned())
            .bind(now.0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}
