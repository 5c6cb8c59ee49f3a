//! What edges last said of themselves.

use super::Db;
use crate::clock::Moment;
use api::edge::EdgeReport;
use api::id::EdgeId;
use sqlx::Row as _;

/// Edges that are kept at most.
pub(crate) const EDGES_MAX: i64 = 10_000;

/// An edge's last report, and when it came.
pub(crate) struct Reported {
    /// Which edge.
    pub(crate) id: EdgeId,
    /// What it said.
    pub(crate) report: EdgeReport,
    /// When.
    pub(crate) last_seen: Moment,
}

impl Db {
    /// Keeps an edge's report in place of its last. False when it is a new edge and there are [`EDGES_MAX`].
    pub(crate) async fn report_edge(
        &self,
        id: &EdgeId,
        report: &EdgeReport,
        now: Moment,
    ) -> sqlx::Result<bool> {
        let report =
            serde_json::to_string(report).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let _writing = self.writer.lock().await;
        let upsert = "INSERT INTO edges (id, report, last_seen) SELECT $1, $2, $3 \
            WHERE (SELECT COUNT(*) FROM edges WHERE id <> $1) < $4 \
            ON CONFLICT (id) DO UPDATE SET report = excluded.report, last_seen = excluded.last_seen";
        let done = sqlx::query(upsert)
            .bind(id.to_string())
            .bind(report)
            .bind(now.0)
            .bind(EDGES_MAX)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Every edge, by id.
    pub(crate) async fn edges(&self) -> sqlx::Result<Vec<Reported>> {
        let query = "SELECT id, report, last_seen FROM edges ORDER BY id";
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        let reported = rows.iter().map(|row| {
            let report: &str = row.try_get(1)?;
            Ok(Reported {
                id: super::parsed(row.try_get(0)?)?,
                report: serde_json::from_str(report)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                last_seen: Moment(row.try_get(2)?),
            })
        });
        reported.collect()
    }

    /// How many edges reported after `since`.
    pub(crate) async fn edges_since(&self, since: Moment) -> sqlx::Result<i64> {
        let query = "SELECT COUNT(*) FROM edges WHERE last_seen > $1";
        sqlx::query(query).bind(since.0).fetch_one(&self.pool).await?.try_get(0)
    }

    /// Forgets an edge. False when there is none.
    pub(crate) async fn remove_edge(&self, id: &EdgeId) -> sqlx::Result<bool> {
        let _writing = self.writer.lock().await;
        let delete = sqlx::query("DELETE FROM edges WHERE id = $1").bind(id.to_string());
        Ok(delete.execute(&self.pool).await?.rows_affected() > 0)
    }

    /// Forgets the edges that have not reported since `since`.
    pub(crate) async fn remove_edges_before(&self, since: Moment) -> sqlx::Result<u64> {
        let _writing = self.writer.lock().await;
        let delete = sqlx::query("DELETE FROM edges WHERE last_seen < $1").bind(since.0);
        Ok(delete.execute(&self.pool).await?.rows_affected())
    }
}
