//! Thinning out the log: what is dropped, what is put in its place, each in a short transaction.

use super::{number, stored, word, written};
use crate::clock::Moment;
use crate::db::Db;
use crate::feed::retention::Weighed;
use api::feed;
use api::id::SiteId;
use api::purge::{Mode, Purge, Selector};
use sqlx::{Any, Row as _, Transaction};
use tokio::sync::MutexGuard;

/// Rows that one transaction removes at most.
const BATCH: i64 = 1_000;
/// Purges of a site that are looked at in one go.
const LOOK: i64 = 10_000;

/// The purges of one mode of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) site_id: SiteId,
    pub(crate) mode: Mode,
}

/// A short transaction, alone among those that write to the log.
struct Turn<'d> {
    transaction: Transaction<'static, Any>,
    _writing: MutexGuard<'d, ()>,
}

impl Db {
    async fn turn(&self) -> sqlx::Result<Turn<'_>> {
        let writing = self.writer.lock().await;
        let mut transaction = self.pool.begin().await?;
        // as changes do, so that rows are locked in one order
        sqlx::query("UPDATE log SET newest = newest").execute(&mut *transaction).await?;
        Ok(Turn { transaction, _writing: writing })
    }

    /// A group with purges made before `then` of which less can be kept.
    pub(crate) async fn old_purges(&self, then: Moment) -> sqlx::Result<Option<Group>> {
        let query = "SELECT site_id, mode FROM feed WHERE kind = 'purge' AND created_at < $1 \
            GROUP BY site_id, mode HAVING COUNT(*) > 1 OR MAX(selectors) > 0 LIMIT 1";
        let row = sqlx::query(query).bind(then.0).fetch_optional(&self.pool).await?;
        row.as_ref().map(group).transpose()
    }

    /// What all purges weigh: each one, and each of its selectors.
    pub(crate) async fn purges_weight(&self) -> sqlx::Result<u64> {
        let query = "SELECT CAST(COALESCE(SUM(selectors + 1), 0) AS BIGINT) FROM feed \
            WHERE mode <> ''";
        number(&sqlx::query(query).fetch_one(&self.pool).await?, 0)
    }

    /// The group that weighs most.
    pub(crate) async fn heaviest_purges(&self) -> sqlx::Result<Option<Group>> {
        let query = "SELECT site_id, mode FROM feed WHERE mode <> '' GROUP BY site_id, mode \
            ORDER BY SUM(selectors + 1) DESC LIMIT 1";
        let row = sqlx::query(query).fetch_optional(&self.pool).await?;
        row.as_ref().map(group).transpose()
    }

    /// The oldest purges of a group, in order.
    pub(crate) async fn oldest_purges(&self, group: &Group) -> sqlx::Result<Vec<Weighed>> {
        let query = "SELECT seq, selectors, created_at FROM feed \
            WHERE site_id = $1 AND mode = $2 ORDER BY seq LIMIT $3";
        let rows = sqlx::query(query)
            .bind(group.site_id.to_string())
            .bind(word(group.mode))
            .bind(LOOK)
            .fetch_all(&self.pool)
            .await?;
        let weighed = rows.iter().map(|row| {
            Ok(Weighed {
                seq: number(row, 0)?,
                selectors: number(row, 1)?,
                created_at: Moment(row.try_get(2)?),
            })
        });
        weighed.collect()
    }

    /// Makes the purges of a group up to `seq`, which is one of them, a purge of everything with that number.
    ///
    /// The one is written before the others go: whoever reads in between is told more than is needed, never less.
    pub(crate) async fn coarsen(&self, group: &Group, seq: u64) -> sqlx::Result<()> {
        self.widen(group, seq).await?;
        let older = "DELETE FROM feed WHERE seq IN (SELECT seq FROM feed \
            WHERE site_id = $1 AND mode = $2 AND seq < $3 ORDER BY seq LIMIT $4)";
        loop {
            let mut turn = self.turn().await?;
            let removed = sqlx::query(older)
                .bind(group.site_id.to_string())
                .bind(word(group.mode))
                .bind(stored(seq))
                .bind(BATCH)
                .execute(&mut *turn.transaction)
                .await?;
            turn.transaction.commit().await?;
            if removed.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    /// Makes the purge `seq` of a group one of everything, by whose adoption those before it are in force.
    async fn widen(&self, group: &Group, seq: u64) -> sqlx::Result<()> {
        let purge = Purge {
            site_id: group.site_id.clone(),
            selector: Selector::Everything,
            mode: group.mode,
            regions: Vec::new(),
            refetch: 0,
        };
        let entry = written(seq, feed::Change::Purge(purge))?;
        let everything = "UPDATE feed SET entry = $1, bytes = $2, selectors = 0 \
            WHERE seq = $3 AND site_id = $4 AND mode = $5";
        let mut turn = self.turn().await?;
        sqlx::query(everything)
            .bind(entry.clone())
            .bind(stored(entry.len() as u64))
            .bind(stored(seq))
            .bind(group.site_id.to_string())
            .bind(word(group.mode))
            .execute(&mut *turn.transaction)
            .await?;
        // an edge that reads on from now on may be told of them by this number alone
        let effective = "UPDATE purges SET effective_seq = $1 \
            WHERE site_id = $2 AND seq < $1 AND effective_seq IN \
                (SELECT seq FROM feed WHERE site_id = $2 AND mode = $3 AND seq < $1)";
        sqlx::query(effective)
            .bind(stored(seq))
            .bind(group.site_id.to_string())
            .bind(word(group.mode))
            .execute(&mut *turn.transaction)
            .await?;
        turn.transaction.commit().await
    }

    /// Drops counts and warmings that were asked for before `then`.
    pub(crate) async fn drop_work(&self, then: Moment) -> sqlx::Result<()> {
        let query = "DELETE FROM feed WHERE seq IN (SELECT seq FROM feed \
            WHERE kind IN ('count', 'warm') AND created_at < $1 LIMIT $2)";
        self.drop_before(query, then).await
    }

    /// Drops challenges that were told before `then`; edges have forgotten them.
    pub(crate) async fn drop_challenges(&self, then: Moment) -> sqlx::Result<()> {
        let query = "DELETE FROM feed WHERE seq IN (SELECT seq FROM feed \
            WHERE kind = 'challenge_put' AND created_at < $1 LIMIT $2)";
        self.drop_before(query, then).await
    }

    async fn drop_before(&self, query: &'static str, then: Moment) -> sqlx::Result<()> {
        loop {
            let mut turn = self.turn().await?;
            let removed =
                sqlx::query(query).bind(then.0).bind(BATCH).execute(&mut *turn.transaction).await?;
            turn.transaction.commit().await?;
            if removed.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    /// Drops the removals of sites and certificates that were made before `then`, and remembers the newest number among them.
    pub(crate) async fn drop_removals(&self, then: Moment) -> sqlx::Result<()> {
        let newest = "UPDATE log SET forgotten = $1 WHERE forgotten < $1";
        let oldest = "SELECT CAST(COALESCE(MAX(seq), 0) AS BIGINT) FROM (SELECT seq FROM feed \
            WHERE kind IN ('site_removed', 'certificate_removed') AND created_at < $1 \
            ORDER BY seq LIMIT $2) AS oldest";
        let removals = "DELETE FROM feed \
            WHERE kind IN ('site_removed', 'certificate_removed') AND seq <= $1";
        loop {
            let row = sqlx::query(oldest).bind(then.0).bind(BATCH).fetch_one(&self.pool).await?;
            let seq = number(&row, 0)?;
            if seq == 0 {
                return Ok(());
            }
            let mut turn = self.turn().await?;
            sqlx::query(newest).bind(stored(seq)).execute(&mut *turn.transaction).await?;
            sqlx::query(removals).bind(stored(seq)).execute(&mut *turn.transaction).await?;
            turn.transaction.commit().await?;
        }
    }
}

fn group(row: &sqlx::any::AnyRow) -> sqlx::Result<Group> {
    let mode = match row.try_get::<&str, _>(1)? {
        "soft" => Mode::Soft,
        _ => Mode::Hard,
    };
    Ok(Group { site_id: crate::db::parsed(row.try_get(0)?)?, mode })
}
