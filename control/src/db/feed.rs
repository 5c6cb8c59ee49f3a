//! The log of changes: entries by number, at most one for each subject.

use super::{Change, Db, number, stored};
use api::feed::{self, Entry};
use api::id::{LogId, SiteId};
use sqlx::{AnyPool, Row as _};
use ulid::Ulid;

/// Entries of one page.
const PAGE_ENTRIES: i64 = 128;
/// Bytes of a page's entries after which no further one is added.
const PAGE_BYTES: i64 = 262_144;

/// What an entry is about. A newer entry about the same subject takes the place of the older.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'i> {
    /// What a site is.
    Site(&'i SiteId),
    /// A purge of something of a site, with the number it has.
    Purge(&'i SiteId, u64),
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Site(id) => write!(f, "site/{id}"),
            Self::Purge(id, seq) => write!(f, "purge/{id}/{seq}"),
        }
    }
}

/// Entries in the order of their numbers, and where the log was when they were read.
pub(crate) struct Page {
    /// Number and JSON of each entry.
    pub(crate) entries: Vec<(u64, String)>,
    /// The newest number at that moment.
    pub(crate) newest: u64,
    /// Whether there were no further entries at that moment.
    pub(crate) last: bool,
}

/// Gives a new database its log.
pub(super) async fn begin(pool: &AnyPool) -> sqlx::Result<(LogId, u64)> {
    let id = format!("{}{}", LogId::PREFIX, Ulid::new());
    let begin = "INSERT INTO log (one, id, newest) VALUES (1, $1, 0) ON CONFLICT (one) DO NOTHING";
    sqlx::query(begin).bind(id).execute(pool).await?;
    let row = sqlx::query("SELECT id, newest FROM log").fetch_one(pool).await?;
    Ok((super::parsed(row.try_get(0)?)?, number(&row, 1)?))
}

impl Db {
    /// The number of the newest entry, as the database has it now.
    pub(crate) async fn read_newest(&self) -> sqlx::Result<u64> {
        let row = sqlx::query("SELECT newest FROM log").fetch_one(&self.pool).await?;
        let newest = number(&row, 0)?;
        self.observe(newest);
        Ok(newest)
    }

    /// The entries after `after`, as many as fit a page.
    ///
    /// One statement reads entries and newest number, so that both are of one moment: an entry that a later one
    /// replaced in between is then seen in its new place, never in none.
    pub(crate) async fn feed_page(&self, after: u64) -> sqlx::Result<Page> {
        let page = "SELECT log.newest, page.seq, page.entry, page.waiting FROM log LEFT JOIN ( \
                SELECT seq, entry, octet_length(entry) AS bytes, \
                    CAST(SUM(octet_length(entry)) OVER (ORDER BY seq) AS BIGINT) AS total, \
                    COUNT(*) OVER () AS waiting \
                FROM (SELECT seq, entry FROM feed WHERE seq > $1 ORDER BY seq LIMIT $2) AS next \
            ) AS page ON page.total - page.bytes < $3 ORDER BY page.seq";
        let _turn = self.feed_readers.acquire().await;
        let rows = sqlx::query(page)
            .bind(stored(after))
            .bind(PAGE_ENTRIES)
            .bind(PAGE_BYTES)
            .fetch_all(&self.pool)
            .await?;
        let (mut entries, mut newest, mut waiting) = (Vec::with_capacity(rows.len()), 0, 0);
        for row in rows {
            newest = number(&row, 0)?;
            if row.try_get::<Option<i64>, _>(1)?.is_some() {
                entries.push((number(&row, 1)?, row.try_get(2)?));
                waiting = row.try_get(3)?;
            }
        }
        self.observe(newest);
        let last =
            waiting < PAGE_ENTRIES && entries.len() as u64 >= u64::try_from(waiting).unwrap_or(0);
        Ok(Page { entries, newest, last })
    }
}

impl Change<'_> {
    /// Writes the entry of this change and takes out the one it replaces.
    pub(crate) async fn tell(
        &mut self,
        subject: Subject<'_>,
        change: feed::Change,
    ) -> sqlx::Result<()> {
        let entry = Entry { version: feed::VERSION, seq: self.seq, change };
        let entry =
            serde_json::to_string(&entry).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let subject = subject.to_string();
        sqlx::query("DELETE FROM feed WHERE subject = $1")
            .bind(subject.clone())
            .execute(&mut *self.transaction)
            .await?;
        sqlx::query("INSERT INTO feed (seq, subject, entry) VALUES ($1, $2, $3)")
            .bind(stored(self.seq))
            .bind(subject)
            .bind(entry)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Takes out every purge of a site: nobody needs them any more.
    pub(crate) async fn forget(&mut self, site: &SiteId) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM feed WHERE subject LIKE $1")
            .bind(format!("purge/{site}%"))
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}
