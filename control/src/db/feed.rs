//! The log of changes: entries by number, at most one for each subject.

pub(crate) mod retention;

use super::{Change, Db, number, stored};
use api::feed::{self, Entry};
use api::id::{CertificateId, ChallengeId, LogId, SiteId};
use api::purge::{Mode, Selector};
use sqlx::{AnyPool, Row as _};
use ulid::Ulid;

/// Entries of one page.
const PAGE_ENTRIES: i64 = 1_024;
/// Bytes of a page's entries after which no further one is added.
const PAGE_BYTES: i64 = 262_144;
/// One statement reads entries and newest number, so that both are of one moment: an entry that a later one replaced
/// in between is then seen in its new place, never in none. `next` is the numbers and sizes that it may read.
const PAGE: &str = "SELECT log.newest, log.forgotten, feed.seq, feed.entry, page.waiting FROM log \
    LEFT JOIN ( \
        SELECT seq, bytes, CAST(SUM(bytes) OVER (ORDER BY seq) AS BIGINT) AS total, \
            COUNT(*) OVER () AS waiting \
        FROM (:next) AS next \
    ) AS page ON page.total - page.bytes < $3 \
    LEFT JOIN feed ON feed.seq = page.seq ORDER BY feed.seq";
const NEXT: &str = "SELECT seq, bytes FROM feed WHERE seq > $1 ORDER BY seq LIMIT $2";
/// Of each kind its next ones, so that no page looks at more than it may have.
const NEXT_STATE: &str = "SELECT seq, bytes FROM ( \
        SELECT * FROM (SELECT seq, bytes FROM feed \
            WHERE kind = 'site_put' AND seq > $1 AND seq <= $4 ORDER BY seq LIMIT $2) AS sites \
        UNION ALL SELECT * FROM (SELECT seq, bytes FROM feed \
            WHERE kind = 'certificate_put' AND seq > $1 AND seq <= $4 ORDER BY seq LIMIT $2) AS certificates \
        UNION ALL SELECT * FROM (SELECT seq, bytes FROM feed \
            WHERE kind = 'challenge_put' AND seq > $1 AND seq <= $4 ORDER BY seq LIMIT $2) AS challenges \
    ) AS state ORDER BY seq LIMIT $2";

/// What an entry is about. A newer entry about the same subject takes the place of the older.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'i> {
    /// What a site is.
    Site(&'i SiteId),
    /// A purge of something of a site, with the number it has.
    Purge(&'i SiteId, u64),
    /// What a certificate is.
    Certificate(&'i CertificateId),
    /// A challenge of a certificate authority.
    Challenge(&'i ChallengeId),
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Site(id) => write!(f, "site/{id}"),
            Self::Purge(id, seq) => write!(f, "purge/{id}/{seq}"),
            Self::Certificate(id) => write!(f, "certificate/{id}"),
            Self::Challenge(id) => write!(f, "challenge/{id}"),
        }
    }
}

/// Entries in the order of their numbers, and where the log was when they were read.
#[derive(Debug)]
pub(crate) struct Page {
    /// Number and JSON of each entry.
    pub(crate) entries: Vec<(u64, String)>,
    /// Every entry that was asked for and has a number up to this one is in the page, or in one before.
    pub(crate) until: u64,
    /// The newest number at that moment.
    pub(crate) newest: u64,
    /// The number of the newest removal of a site or a certificate that was dropped from the log.
    pub(crate) forgotten: u64,
}

/// How far the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The newest number.
    pub(crate) newest: u64,
    /// The number of the newest removal of a site or a certificate that was dropped: who has read less far doesn't know what is gone.
    pub(crate) forgotten: u64,
}

/// Gives a new database its log.
pub(super) async fn begin(pool: &AnyPool) -> sqlx::Result<(LogId, u64)> {
    let id = format!("{}{}", LogId::PREFIX, Ulid::new());
    let begin = "INSERT INTO log (one, id, newest) VALUES (1, $1, 0) ON CONFLICT (one) DO NOTHING";
    sqlx::query(begin).bind(id).execute(pool).await?;
    sqlx::query("UPDATE feed SET created_at = $1 WHERE kind <> 'site_put' AND created_at = 0")
        .bind(crate::clock::now().0)
        .execute(pool)
        .await?;
    let row = sqlx::query("SELECT id, newest FROM log").fetch_one(pool).await?;
    Ok((super::parsed(row.try_get(0)?)?, number(&row, 1)?))
}

impl Db {
    /// The number of the newest entry, as the database has it now.
    pub(crate) async fn read_newest(&self) -> sqlx::Result<u64> {
        Ok(self.extent().await?.newest)
    }

    /// How far the log goes, as the database has it now.
    pub(crate) async fn extent(&self) -> sqlx::Result<Extent> {
        let row = sqlx::query("SELECT newest, forgotten FROM log").fetch_one(&self.pool).await?;
        let (newest, forgotten) = (number(&row, 0)?, number(&row, 1)?);
        self.observe(newest);
        Ok(Extent { newest, forgotten })
    }

    /// The entries after `after`, as many as fit a page.
    pub(crate) async fn feed_page(&self, after: u64) -> sqlx::Result<Page> {
        self.page(NEXT, after, None).await
    }

    /// What there is, sites, certificates and challenges, with a number after `after` and up to `until`, as much as fits a
    /// page.
    pub(crate) async fn state_page(&self, after: u64, until: u64) -> sqlx::Result<Page> {
        self.page(NEXT_STATE, after, Some(until)).await
    }

    async fn page(&self, next: &str, after: u64, limit: Option<u64>) -> sqlx::Result<Page> {
        let statement = sqlx::AssertSqlSafe(PAGE.replace(":next", next));
        let mut query =
            sqlx::query(statement).bind(stored(after)).bind(PAGE_ENTRIES).bind(PAGE_BYTES);
        if let Some(limit) = limit {
            query = query.bind(stored(limit));
        }
        let rows = query.fetch_all(&self.pool).await?;
        let mut page = Page { entries: Vec::new(), until: after, newest: 0, forgotten: 0 };
        let mut waiting = 0;
        for row in rows {
            (page.newest, page.forgotten) = (number(&row, 0)?, number(&row, 1)?);
            if row.try_get::<Option<i64>, _>(2)?.is_some() {
                page.entries.push((number(&row, 2)?, row.try_get(3)?));
                waiting = row.try_get(4)?;
            }
        }
        self.observe(page.newest);
        let all = waiting < PAGE_ENTRIES
            && page.entries.len() as u64 >= u64::try_from(waiting).unwrap_or(0);
        let end = limit.unwrap_or(page.newest);
        let newest_given = page.entries.last().map_or(after, |(seq, _)| *seq);
        page.until = if all { end.max(after) } else { newest_given };
        Ok(page)
    }
}

impl Change<'_> {
    /// Writes the entry of this change and takes out the one it replaces.
    pub(crate) async fn tell(
        &mut self,
        subject: Subject<'_>,
        change: feed::Change,
    ) -> sqlx::Result<()> {
        let label = Label::of(&change);
        let entry = written(self.seq, change)?;
        let subject = subject.to_string();
        sqlx::query("DELETE FROM feed WHERE subject = $1")
            .bind(subject.clone())
            .execute(&mut *self.transaction)
            .await?;
        let insert = "INSERT INTO feed \
            (seq, subject, entry, kind, site_id, mode, selectors, bytes, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        sqlx::query(insert)
            .bind(stored(self.seq))
            .bind(subject)
            .bind(entry.clone())
            .bind(label.kind)
            .bind(label.site_id)
            .bind(label.mode)
            .bind(stored(label.selectors))
            .bind(stored(entry.len() as u64))
            .bind(crate::clock::now().0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Takes out every entry that concerns a site: nobody needs them any more.
    pub(crate) async fn forget(&mut self, site: &SiteId) -> sqlx::Result<()> {
        sqlx::query("DELETE FROM feed WHERE site_id = $1")
            .bind(site.to_string())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

/// The JSON of an entry.
fn written(seq: u64, change: feed::Change) -> sqlx::Result<String> {
    let entry = Entry { version: feed::VERSION, seq, change };
    let text = serde_json::to_string(&entry).map_err(|error| sqlx::Error::Encode(error.into()))?;
    if text.len() > feed::ENTRY_MAX_BYTES {
        let problem =
            format!("an entry of {} bytes, and edges take {}", text.len(), feed::ENTRY_MAX_BYTES);
        return Err(sqlx::Error::Encode(problem.into()));
    }
    Ok(text)
}

/// What is kept beside an entry, to find it by.
struct Label {
    kind: &'static str,
    site_id: String,
    mode: &'static str,
    selectors: u64,
}

impl Label {
    fn of(change: &feed::Change) -> Self {
        let (kind, site_id, mode, selectors) = match change {
            feed::Change::SitePut { site_id, .. } => ("site_put", Some(site_id), "", 0),
            feed::Change::SiteRemoved { site_id } => ("site_removed", Some(site_id), "", 0),
            feed::Change::Purge(purge) => {
                ("purge", Some(&purge.site_id), word(purge.mode), selectors(&purge.selector))
            }
            feed::Change::Count(count) => ("count", Some(&count.site_id), "", 0),
            feed::Change::Warm(warm) => ("warm", Some(&warm.site_id), "", 0),
            feed::Change::CertificatePut(_) => ("certificate_put", None, "", 0),
            feed::Change::CertificateRemoved { .. } => ("certificate_removed", None, "", 0),
            feed::Change::ChallengePut(_) => ("challenge_put", None, "", 0),
            feed::Change::Unknown => ("unknown", None, "", 0),
        };
        let site_id = site_id.map(ToString::to_string).unwrap_or_default();
        Self { kind, site_id, mode, selectors }
    }
}

/// A mode as the database holds it.
const fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Hard => "hard",
        Mode::Soft => "soft",
    }
}

/// How many selectors there are; none where everything is selected.
fn selectors(selector: &Selector) -> u64 {
    match selector {
        Selector::Everything => 0,
        Selector::Any(any) => {
            (any.tags.len() + any.urls.len() + any.prefixes.len() + any.hosts.len()) as u64
        }
    }
}
