//! Which replica does what only one may do? A lease that its holder renews, and a term that rises with each new holder, by
//! which what an earlier one still writes is refused (fencing).

use super::{Change, Db, number, stored};
use crate::clock::Moment;
use sqlx::{Any, Executor};

/// A lease that was held when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) name: &'static str,
    pub(crate) number: u64,
}

impl Db {
    /// Takes the lease `name` for `holder` until `until`, or renews it. None where another one has it.
    pub(crate) async fn take_lease(
        &self,
        name: &'static str,
        holder: &str,
        until: Moment,
        now: Moment,
    ) -> sqlx::Result<Option<Term>> {
        let _writing = self.writer.lock().await;
        let upsert = "INSERT INTO leases (name, holder, term, expires_at) VALUES ($1, $2, 1, $3) \
            ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at, \
                holder = excluded.holder, \
                term = leases.term + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END \
            WHERE leases.holder = excluded.holder OR leases.expires_at <= $4 RETURNING term";
        let row = sqlx::query(upsert)
            .bind(name)
            .bind(holder.to_owned())
            .bind(until.0)
            .bind(now.0)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| Ok(Term { name, number: number(&row, 0)? })).transpose()
    }

    /// Gives a lease back, so that another one need not wait.
    pub(crate) async fn give_lease_back(&self, name: &str, holder: &str) -> sqlx::Result<()> {
        let _writing = self.writer.lock().await;
        let give = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2";
        sqlx::query(give).bind(name.to_owned()).bind(holder.to_owned()).execute(&self.pool).await?;
        Ok(())
    }
}

impl Change<'_> {
    /// Whether a lease is still held as it was.
    pub(crate) async fn holds(&mut self, term: Term) -> sqlx::Result<bool> {
        holds(&mut *self.transaction, term).await
    }
}

async fn holds<'e>(executor: impl Executor<'e, Database = Any>, term: Term) -> sqlx::Result<bool> {
    let query = sqlx::query("SELECT term FROM leases WHERE name = $1 AND term = $2")
        .bind(term.name)
        .bind(stored(term.number));
    Ok(query.fetch_optional(executor).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretsKey;

    #[tokio::test]
    async fn one_holds_a_lease_and_the_next_has_another_term() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/control.db?mode=rwc", directory.path().display());
        let db = Db::make(&url, |_| Ok(SecretsKey::new([7; 32]))).await.unwrap();
        let take = async |holder: &str, until: i64, now: i64| {
            let term = db.take_lease("acme", holder, Moment(until), Moment(now)).await.unwrap();
            term.map(|term| term.number)
        };
        assert_eq!(take("a", 10, 0).await, Some(1));
        assert_eq!(take("b", 19, 9).await, None);
        assert_eq!(take("a", 20, 9).await, Some(1));
        assert_eq!(take("b", 30, 20).await, Some(2));
        assert_eq!(take("a", 30, 21).await, None);
        let mut change = db.change().await.unwrap();
        assert!(!change.holds(Term { name: "acme", number: 1 }).await.unwrap());
        assert!(change.holds(Term { name: "acme", number: 2 }).await.unwrap());
        drop(change);
        db.give_lease_back("acme", "a").await.unwrap();
        assert_eq!(take("a", 40, 22).await, None);
        db.give_lease_back("acme", "b").await.unwrap();
        assert_eq!(take("a", 40, 23).await, Some(3));
        db.close().await;
    }
}
