//! What edges report: many reports in one transaction.

use super::edges::{EDGES_MAX, Edge};
use super::{Db, number, stored};
use crate::clock::Moment;
use api::edge::EdgeReport;
use api::id::EdgeId;
use api::purge::Progress;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of one statement. `SQLite` binds 32,766 values at most, and a row has 9.
const ROWS_MAX: usize = 1_000;

/// A report, and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// Which edge.
    pub(crate) id: EdgeId,
    /// What it says.
    pub(crate) report: EdgeReport,
}

/// What became of reports.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// New edges that are not kept, because there are [`EDGES_MAX`].
    pub(crate) refused: BTreeSet<EdgeId>,
}

type Bound = Query<'static, Any, AnyArguments>;

impl Db {
    /// Keeps reports in place of the last ones of their edges, all or none. Of several by one edge the last counts, and
    /// what each says of its progress.
    pub(crate) async fn keep_reports(&self, reports: &[Report], now: Moment) -> sqlx::Result<Kept> {
        let last: BTreeMap<&EdgeId, &EdgeReport> =
            reports.iter().map(|report| (&report.id, &report.report)).collect();
        let _writing = self.writer.lock().await;
        let mut transaction = self.pool.begin().await?;
        let newest = sqlx::query("SELECT newest FROM log").fetch_one(&mut *transaction).await?;
        let newest = number(&newest, 0)?;
        let earlier = self.earlier(&mut transaction, &last).await?;
        let room = EDGES_MAX.saturating_sub(count(&mut transaction).await?);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (known, new): (Vec<_>, Vec<_>) =
            last.into_iter().partition(|(id, _)| earlier.contains_key(*id));
        let (new, refused) = new.split_at(room.min(new.len()));
        let rows = known.iter().chain(new);
        let rows = rows.map(|(id, report)| self.row(id, report, earlier.get(*id), newest, now));
        let mut rows: Vec<Row> = rows.collect::<sqlx::Result<_>>()?;
        // replicas that write the same edges at one time wait for each other, in one order
        rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        put_edges(&mut transaction, &rows).await?;
        put_acks(&mut transaction, &rows).await?;
        self.put_progress(&mut transaction, reports).await?;
        let progress = reports.iter().any(|report| !report.report.progress.is_empty());
        if progress || rows.iter().any(|row| row.rose) {
            self.tell_acks(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(Kept { refused: refused.iter().map(|(id, _)| (*id).clone()).collect() })
    }

    /// The edges that reported before.
    async fn earlier(
        &self,
        transaction: &mut Transaction<'static, Any>,
        reports: &BTreeMap<&EdgeId, &EdgeReport>,
    ) -> sqlx::Result<BTreeMap<EdgeId, Edge>> {
        let ids: Vec<&EdgeId> = reports.keys().copied().collect();
        let mut earlier = BTreeMap::new();
        for ids in ids.chunks(ROWS_MAX) {
            let columns = super::edges::COLUMNS;
            let query = format!("SELECT {columns} FROM edges WHERE id IN {}", row(0, ids.len()));
            let query = ids
                .iter()
                .fold(sqlx::query(AssertSqlSafe(query)), |query, id| query.bind(id.to_string()));
            for row in query.fetch_all(&mut **transaction).await? {
                let edge = self.edge(&row)?;
                earlier.insert(edge.id.clone(), edge);
            }
        }
        Ok(earlier)
    }

    fn row(
        &self,
        id: &EdgeId,
        report: &EdgeReport,
        earlier: Option<&Edge>,
        newest: u64,
        now: Moment,
    ) -> sqlx::Result<Row> {
        let follows = report.log.as_ref() == Some(self.log());
        // a number that the log has not reached acknowledges nothing
        let adopted = if follows && report.adopted <= newest { report.adopted } else { 0 };
        let acked = earlier.map_or(0, |earlier| earlier.acked);
        let stands = earlier.is_some_and(|earlier| adopted <= earlier.adopted);
        let behind_since = match earlier.and_then(|earlier| earlier.behind_since) {
            _ if adopted >= newest => None,
            Some(since) if stands => Some(since),
            Some(_) | None => Some(now),
        };
        let told = EdgeReport { progress: Vec::new(), ..report.clone() };
        Ok(Row {
            id: id.to_string(),
            report: serde_json::to_string(&told)
                .map_err(|error| sqlx::Error::Encode(error.into()))?,
            region: report.region.clone().unwrap_or_default(),
            log: report.log.as_ref().map(ToString::to_string).unwrap_or_default(),
            adopted: stored(adopted),
            acked: stored(adopted.max(acked)),
            rose: adopted > acked,
            behind_since: behind_since.map_or(0, |since| since.0),
            now: now.0,
        })
    }

    /// Keeps what edges did for what they were asked. Of what nobody asked, nothing is kept.
    async fn put_progress(
        &self,
        transaction: &mut Transaction<'static, Any>,
        reports: &[Report],
    ) -> sqlx::Result<()> {
        let ours = reports.iter().filter(|report| report.report.log.as_ref() == Some(self.log()));
        let told: BTreeMap<(u64, &EdgeId), Progress> = ours
            .flat_map(|report| {
                let told = report.report.progress.iter();
                told.map(|told| ((told.seq, &report.id), told.progress))
            })
            .collect();
        let seqs: BTreeSet<u64> = told.keys().map(|(seq, _)| *seq).collect();
        let known = known(transaction, &seqs.into_iter().collect::<Vec<_>>()).await?;
        let told: Vec<_> = told.into_iter().filter(|((seq, _), _)| known.contains(seq)).collect();
        for rows in told.chunks(ROWS_MAX) {
            let insert = "INSERT INTO progress \
                (seq, edge_id, matched, to_fetch, fetched, failed, bytes, finished)";
            let update = "ON CONFLICT (seq, edge_id) DO UPDATE SET matched = excluded.matched, \
                to_fetch = excluded.to_fetch, fetched = excluded.fetched, \
                failed = excluded.failed, bytes = excluded.bytes, finished = excluded.finished";
            let insert = insert_rows(insert, 8, rows.len(), update);
            let insert = rows.iter().fold(insert, |insert, ((seq, id), progress)| {
                bind_progress(insert.bind(stored(*seq)).bind(id.to_string()), progress)
            });
            insert.execute(&mut **transaction).await?;
        }
        Ok(())
    }
}

/// An edge as it is written.
struct Row {
    id: String,
    report: String,
    region: String,
    log: String,
    adopted: i64,
    acked: i64,
    /// Whether it adopted more than ever before.
    rose: bool,
    behind_since: i64,
    now: i64,
}

async fn put_edges(transaction: &mut Transaction<'static, Any>, rows: &[Row]) -> sqlx::Result<()> {
    for rows in rows.chunks(ROWS_MAX) {
        let insert = "INSERT INTO edges (id, report, region, log, adopted, acked, behind_since, \
            first_seen, last_seen)";
        // another replica may have kept a newer report meanwhile: what was acknowledged stays so
        let update = "ON CONFLICT (id) DO UPDATE SET report = excluded.report, \
            region = excluded.region, log = excluded.log, adopted = excluded.adopted, \
            acked = CASE WHEN edges.log = excluded.log AND edges.acked > excluded.acked \
                THEN edges.acked ELSE excluded.acked END, \
            behind_since = excluded.behind_since, last_seen = excluded.last_seen";
        let insert = insert_rows(insert, 9, rows.len(), update);
        let insert = rows.iter().fold(insert, |insert, row| {
            insert
                .bind(row.id.clone())
                .bind(row.report.clone())
                .bind(row.region.clone())
                .bind(row.log.clone())
                .bind(row.adopted)
                .bind(row.acked)
                .bind(row.behind_since)
                .bind(row.now)
                .bind(row.now)
        });
        insert.execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn put_acks(transaction: &mut Transaction<'static, Any>, rows: &[Row]) -> sqlx::Result<()> {
    let rose: Vec<&Row> = rows.iter().filter(|row| row.rose).collect();
    for rows in rose.chunks(ROWS_MAX) {
        let insert = "INSERT INTO acks (edge_id, log, adopted, at)";
        let insert = insert_rows(insert, 4, rows.len(), "ON CONFLICT DO NOTHING");
        let insert = rows.iter().fold(insert, |insert, row| {
            insert.bind(row.id.clone()).bind(row.log.clone()).bind(row.adopted).bind(row.now)
        });
        insert.execute(&mut **transaction).await?;
    }
    Ok(())
}

async fn count(transaction: &mut Transaction<'static, Any>) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT COUNT(*) FROM edges").fetch_one(&mut **transaction).await?;
    number(&row, 0)
}

/// Those of the numbers that something was asked with.
async fn known(
    transaction: &mut Transaction<'static, Any>,
    seqs: &[u64],
) -> sqlx::Result<BTreeSet<u64>> {
    let mut known = BTreeSet::new();
    for seqs in seqs.chunks(ROWS_MAX) {
        let query = format!("SELECT seq FROM purges WHERE seq IN {}", row(0, seqs.len()));
        let query = sqlx::query(AssertSqlSafe(query));
        let query = seqs.iter().fold(query, |query, seq| query.bind(stored(*seq)));
        for row in query.fetch_all(&mut **transaction).await? {
            known.insert(number(&row, 0)?);
        }
    }
    Ok(known)
}

fn bind_progress(query: Bound, progress: &Progress) -> Bound {
    query
        .bind(stored(progress.matched))
        .bind(stored(progress.to_fetch))
        .bind(stored(progress.fetched))
        .bind(stored(progress.failed))
        .bind(stored(progress.bytes))
        .bind(i64::from(progress.finished))
}

/// Progress in the columns from `first` on.
pub(super) fn progress(row: &sqlx::any::AnyRow, first: usize) -> sqlx::Result<Option<Progress>> {
    if row.try_get::<Option<i64>, _>(first)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Progress {
        matched: number(row, first)?,
        to_fetch: number(row, first + 1)?,
        fetched: number(row, first + 2)?,
        failed: number(row, first + 3)?,
        bytes: number(row, first + 4)?,
        finished: number(row, first + 5)? != 0,
    }))
}

/// `insert` with so many rows of so many columns.
fn insert_rows(insert: &str, columns: usize, rows: usize, behind: &str) -> Bound {
    let values: Vec<String> = (0..rows).map(|index| row(index * columns, columns)).collect();
    sqlx::query(AssertSqlSafe(format!("{insert} VALUES {} {behind}", values.join(", "))))
}

/// `($4, $5, $6)`: three values behind the first three.
fn row(before: usize, columns: usize) -> String {
    let values: Vec<String> = (1..=columns).map(|column| format!("${}", before + column)).collect();
    format!("({})", values.join(", "))
}
