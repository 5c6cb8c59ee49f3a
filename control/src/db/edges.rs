//! The edges, by what they last said of themselves.

use super::{Db, number};
use crate::clock::Moment;
use api::edge::EdgeReport;
use api::id::EdgeId;
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// Edges that are kept at most.
pub(crate) const EDGES_MAX: u64 = 10_000;
/// What [`Db::edge`] reads.
pub(super) const COLUMNS: &str = "edges.id, edges.region, edges.log, edges.adopted, edges.acked, \
    edges.behind_since, edges.first_seen, edges.last_seen";

/// An edge, as its last report left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Which edge.
    pub(crate) id: EdgeId,
    /// The region it is in, if it is in one.
    pub(crate) region: Option<String>,
    /// The number it adopted of this log; 0 where it follows another.
    pub(crate) adopted: u64,
    /// The highest number it ever adopted of this log.
    pub(crate) acked: u64,
    /// Since when it reports that there is something it has not adopted, and adopts nothing.
    pub(crate) behind_since: Option<Moment>,
    /// When it first reported.
    pub(crate) first_seen: Moment,
    /// When it last reported.
    pub(crate) last_seen: Moment,
}

/// An edge and its last report.
pub(crate) struct Reported {
    /// The edge.
    pub(crate) edge: Edge,
    /// What it said.
    pub(crate) report: EdgeReport,
}

impl Db {
    /// Every edge with its last report, by id.
    pub(crate) async fn reported(&self) -> sqlx::Result<Vec<Reported>> {
        let query = format!("SELECT {COLUMNS}, report FROM edges ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_all(&self.pool).await?;
        let reported = rows.iter().map(|row| {
            let report = serde_json::from_str(row.try_get(8)?);
            let report = report.map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok(Reported { edge: self.edge(row)?, report })
        });
        reported.collect()
    }

    /// The edges that reported after `since`, by id.
    pub(crate) async fn edges_since(&self, since: Moment) -> sqlx::Result<Vec<Edge>> {
        let query = format!("SELECT {COLUMNS} FROM edges WHERE last_seen > $1 ORDER BY id");
        let query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(since.0);
        query.fetch_all(&self.pool).await?.iter().map(|row| self.edge(row)).collect()
    }

    /// An edge of [`COLUMNS`].
    pub(super) fn edge(&self, row: &AnyRow) -> sqlx::Result<Edge> {
        let region: String = row.try_get(1)?;
        let follows = row.try_get::<&str, _>(2)? == self.log().as_str();
        let behind_since: i64 = row.try_get(5)?;
        Ok(Edge {
            id: super::parsed(row.try_get(0)?)?,
            region: Some(region).filter(|region| !region.is_empty()),
            adopted: if follows { number(row, 3)? } else { 0 },
            acked: if follows { number(row, 4)? } else { 0 },
            behind_since: (behind_since != 0).then_some(Moment(behind_since)),
            first_seen: Moment(row.try_get(6)?),
            last_seen: Moment(row.try_get(7)?),
        })
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
