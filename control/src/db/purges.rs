//! What edges were asked to do, and what became of it.

use super::edges::{COLUMNS, Edge};
use super::{Change, Db, number, stored};
use crate::clock::Moment;
use api::id::{SiteId, TokenId};
use api::purge::{Kind, Mode, Progress, SelectorCounts};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// What is kept of what edges were asked and said, at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// What is older goes.
    pub(crate) since: Moment,
    /// Purges.
    pub(crate) purges_max: u32,
    /// Acknowledgements.
    pub(crate) acks_max: u32,
    /// Pairs of a purge and an edge that did something for it.
    pub(crate) progress_max: u32,
    /// Rows that are removed at one time.
    pub(crate) batch: u32,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// What of edges.
    pub(crate) kind: Kind,
    /// What becomes of the responses that are selected.
    pub(crate) mode: Mode,
    /// How they are selected.
    pub(crate) selectors: SelectorCounts,
    /// The regions it concerns; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) regions: Vec<String>,
    /// Whether edges have something to do once they have adopted it.
    pub(crate) has_work: bool,
}

/// A numbered entry that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Work {
    /// Its number.
    pub(crate) seq: u64,
    /// The number whose adoption puts it in force: a later one where another entry took its place in the log.
    pub(crate) effective_seq: u64,
    /// Whose stored responses it concerns.
    pub(crate) site_id: SiteId,
    /// When it was accepted.
    pub(crate) created_at: Moment,
    /// What was asked.
    pub(crate) asked: Asked,
}

/// What an edge made of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// The edge.
    pub(crate) edge: Edge,
    /// When it first said that it had adopted the entry, where that is known.
    pub(crate) acked_at: Option<Moment>,
    /// What it did.
    pub(crate) progress: Option<Progress>,
}

impl Change<'_> {
    /// Keeps what is asked with the number of this change.
    pub(crate) async fn ask(
        &mut self,
        site: &SiteId,
        token: &TokenId,
        asked: &Asked,
        now: Moment,
    ) -> sqlx::Result<()> {
        let asked =
            serde_json::to_string(asked).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let insert = "INSERT INTO purges \
            (seq, site_id, token_id, created_at, asked, effective_seq) \
            VALUES ($1, $2, $3, $4, $5, $1)";
        sqlx::query(insert)
            .bind(stored(self.seq))
            .bind(site.to_string())
            .bind(token.to_string())
            .bind(now.0)
            .bind(asked)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

impl Db {
    /// What was asked with a number.
    pub(crate) async fn work(&self, seq: u64) -> sqlx::Result<Option<Work>> {
        let query =
            "SELECT seq, site_id, created_at, asked, effective_seq FROM purges WHERE seq = $1";
        let row = sqlx::query(query).bind(stored(seq)).fetch_optional(&self.pool).await?;
        row.as_ref().map(work).transpose()
    }

    /// At most `limit` of what was asked with a number below `before`, of all sites or of one, the newest first.
    pub(crate) async fn works(
        &self,
        site: Option<&SiteId>,
        before: u64,
        limit: u32,
    ) -> sqlx::Result<Vec<Work>> {
        let query = match site {
            Some(_) => {
                "SELECT seq, site_id, created_at, asked, effective_seq FROM purges \
                WHERE seq < $1 AND site_id = $3 ORDER BY seq DESC LIMIT $2"
            }
            None => {
                "SELECT seq, site_id, created_at, asked, effective_seq FROM purges \
                WHERE seq < $1 ORDER BY seq DESC LIMIT $2"
            }
        };
        let mut query = sqlx::query(query).bind(stored(before)).bind(i64::from(limit));
        if let Some(site) = site {
            query = query.bind(site.to_string());
        }
        query.fetch_all(&self.pool).await?.iter().map(work).collect()
    }

    /// What each edge made of an entry, by id.
    pub(crate) async fn done(&self, work: &Work) -> sqlx::Result<Vec<Done>> {
        let query = format!(
            "SELECT {COLUMNS}, progress.matched, progress.to_fetch, progress.fetched, \
                progress.failed, progress.bytes, progress.finished, \
                (SELECT acks.at FROM acks WHERE acks.edge_id = edges.id AND acks.log = $1 \
                    AND acks.adopted >= $3 ORDER BY acks.adopted LIMIT 1) AS acked_at, \
                (SELECT at FROM acks_removed) AS removed_at \
            FROM edges LEFT JOIN progress ON progress.edge_id = edges.id AND progress.seq = $2 \
            ORDER BY edges.id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(self.log().to_string())
            .bind(stored(work.seq))
            .bind(stored(work.effective_seq))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| self.done_by(row, work)).collect()
    }

    fn done_by(&self, row: &AnyRow, work: &Work) -> sqlx::Result<Done> {
        let edge = self.edge(row)?;
        let acked_at = row.try_get::<Option<i64>, _>(14)?.map(Moment);
        let removed_at = Moment(row.try_get(15)?);
        // of an edge that was not there at the time, and of acks that may have been removed, it isn't known
        let is_known = edge.first_seen <= work.created_at && removed_at < work.created_at;
        let progress = super::reports::progress(row, 8)?;
        Ok(Done { acked_at: acked_at.filter(|_| is_known), progress, edge })
    }

    /// Removes what is not to be kept, a batch at a time: others write in between.
    pub(crate) async fn forget_purges(&self, keep: &Keep) -> sqlx::Result<()> {
        while self.forget_acks(keep).await? {}
        while self.forget_works(keep).await? {}
        while self.forget_progress(keep).await? {}
        Ok(())
    }

    /// Removes a batch of acknowledgements. False where nothing is left to remove.
    async fn forget_acks(&self, keep: &Keep) -> sqlx::Result<bool> {
        let oldest = "SELECT at FROM acks ORDER BY at LIMIT 1 OFFSET $1";
        let beyond = "SELECT at FROM acks ORDER BY at DESC LIMIT 1 OFFSET $1";
        let since = keep.since.0;
        let beyond = self.cut(beyond, keep.acks_max).await?;
        let Some(until) = self.until(oldest, keep.batch, since, beyond).await? else {
            return Ok(false);
        };
        let _writing = self.writer.lock().await;
        let mut transaction = self.pool.begin().await?;
        let delete = sqlx::query("DELETE FROM acks WHERE at <= $1").bind(until);
        let removed = delete.execute(&mut *transaction).await?.rows_affected();
        if until >= since {
            let note = sqlx::query("UPDATE acks_removed SET at = $1 WHERE at < $1").bind(until);
            note.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(removed > 0)
    }

    /// Removes a batch of what was asked.
    async fn forget_works(&self, keep: &Keep) -> sqlx::Result<bool> {
        let oldest = "SELECT created_at FROM purges ORDER BY created_at LIMIT 1 OFFSET $1";
        let beyond = "SELECT created_at FROM purges ORDER BY created_at DESC LIMIT 1 OFFSET $1";
        let beyond = self.cut(beyond, keep.purges_max).await?;
        let Some(until) = self.until(oldest, keep.batch, keep.since.0, beyond).await? else {
            return Ok(false);
        };
        self.delete("DELETE FROM purges WHERE created_at <= $1", until).await
    }

    /// Removes a batch of what edges did for what is not kept any more.
    async fn forget_progress(&self, keep: &Keep) -> sqlx::Result<bool> {
        let oldest = "SELECT seq FROM progress ORDER BY seq LIMIT 1 OFFSET $1";
        let beyond = "SELECT seq FROM progress ORDER BY seq DESC LIMIT 1 OFFSET $1";
        let kept = "SELECT COALESCE(MIN(seq), 9223372036854775807) FROM purges WHERE seq > $1";
        let kept = self.cut(kept, 0).await?.unwrap_or_default();
        let beyond = self.cut(beyond, keep.progress_max).await?;
        let Some(until) = self.until(oldest, keep.batch, kept, beyond).await? else {
            return Ok(false);
        };
        self.delete("DELETE FROM progress WHERE seq <= $1", until).await
    }

    /// Up to where a batch goes: what is less than `since`, or not more than `beyond`, and of that the first rows.
    async fn until(
        &self,
        oldest: &'static str,
        batch: u32,
        since: i64,
        beyond: Option<i64>,
    ) -> sqlx::Result<Option<i64>> {
        let Some(first) = self.cut(oldest, 0).await? else { return Ok(None) };
        let limit = beyond.unwrap_or(i64::MIN).max(since.saturating_sub(1));
        let end = self.cut(oldest, batch.saturating_sub(1)).await?.unwrap_or(i64::MAX);
        Ok((first <= limit).then_some(limit.min(end)))
    }

    async fn cut(&self, query: &'static str, number: u32) -> sqlx::Result<Option<i64>> {
        let query = sqlx::query(query).bind(i64::from(number));
        query.fetch_optional(&self.pool).await?.map(|row| row.try_get(0)).transpose()
    }

    async fn delete(&self, delete: &'static str, until: i64) -> sqlx::Result<bool> {
        let _writing = self.writer.lock().await;
        let done = sqlx::query(delete).bind(until).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn work(row: &AnyRow) -> sqlx::Result<Work> {
    let asked = serde_json::from_str(row.try_get(3)?);
    Ok(Work {
        seq: number(row, 0)?,
        effective_seq: number(row, 4)?,
        site_id: super::parsed(row.try_get(1)?)?,
        created_at: Moment(row.try_get(2)?),
        asked: asked.map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}

#[cfg(test)]
mod tests;
