//! Answers to requests that carried an `Idempotency-Key`, for those that ask again.

use super::{Change, Db};
use crate::clock::Moment;
use api::id::TokenId;
use sqlx::{Any, Executor, Row as _};

/// Answers that are kept at most; the oldest go first.
const ANSWERS_MAX: i64 = 10_000;

/// A request as it is told from others: whose, by which key, and a hash of all that it says.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Whose request. Keys of different tokens are different keys.
    pub(crate) token: TokenId,
    /// Its `Idempotency-Key`.
    pub(crate) key: String,
    /// The hash of its path, media type and body.
    pub(crate) hash: String,
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// The status code.
    pub(crate) status: u16,
    /// Header fields, in order.
    pub(crate) headers: Vec<(String, String)>,
    /// The JSON body.
    pub(crate) body: String,
}

/// What is known of a request's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    New,
    /// The same request was answered so.
    Answered(Given),
    /// It was used for another request.
    Other,
}

impl Change<'_> {
    /// What is known of the key of `asked`.
    pub(crate) async fn known(&mut self, asked: &Asked) -> sqlx::Result<Known> {
        find(&mut *self.transaction, asked).await
    }

    /// Keeps the answer, in the transaction that makes it true.
    pub(crate) async fn answer(
        &mut self,
        asked: &Asked,
        given: &Given,
        now: Moment,
    ) -> sqlx::Result<()> {
        let headers = serde_json::to_string(&given.headers)
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        let insert = "INSERT INTO idempotency \
            (token_id, idempotency_key, request_hash, status, headers, body, created_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(insert)
            .bind(asked.token.to_string())
            .bind(asked.key.clone())
            .bind(asked.hash.clone())
            .bind(i64::from(given.status))
            .bind(headers)
            .bind(given.body.clone())
            .bind(now.0)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

impl Db {
    /// What is known of the key of `asked`, while nothing is being changed.
    pub(crate) async fn known(&self, asked: &Asked) -> sqlx::Result<Known> {
        find(&self.pool, asked).await
    }

    /// Forgets the answers given before `since`, and the oldest beyond [`ANSWERS_MAX`].
    pub(crate) async fn forget_answers(&self, since: Moment) -> sqlx::Result<u64> {
        let _writing = self.writer.lock().await;
        let delete = "DELETE FROM idempotency WHERE created_at < $1 OR created_at < \
            (SELECT created_at FROM idempotency ORDER BY created_at DESC LIMIT 1 OFFSET $2)";
        let done =
            sqlx::query(delete).bind(since.0).bind(ANSWERS_MAX - 1).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }
}

async fn find<'e>(
    executor: impl Executor<'e, Database = Any>,
    asked: &Asked,
) -> sqlx::Result<Known> {
    let query = "SELECT request_hash, status, headers, body FROM idempotency \
        WHERE token_id = $1 AND idempotency_key = $2";
    let row = sqlx::query(query)
        .bind(asked.token.to_string())
        .bind(asked.key.clone())
        .fetch_optional(executor)
        .await?;
    let Some(row) = row else { return Ok(Known::New) };
    if row.try_get::<&str, _>(0)? != asked.hash {
        return Ok(Known::Other);
    }
    let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    let status: i64 = row.try_get(1)?;
    Ok(Known::Answered(Given {
        status: u16::try_from(status).map_err(|error| decode(error.into()))?,
        headers: serde_json::from_str(row.try_get(2)?).map_err(|error| decode(error.into()))?,
        body: row.try_get(3)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn answers_are_forgotten_when_they_are_old_and_not_before() {
        let directory = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite://{}/a.db?mode=rwc", directory.path().display());
        let db = Db::make(&url, |_| Ok(crate::secrets::SecretsKey::new([7; 32]))).await.unwrap();
        let token: TokenId = "tok_01J9Z3K8Q4W5E6R7T8Y9V0B1N2".parse().unwrap();
        let asked =
            |key: &str| Asked { token: token.clone(), key: key.to_owned(), hash: "h".to_owned() };
        let given = Given { status: 201, headers: Vec::new(), body: "{}".to_owned() };
        let day = Duration::from_secs(24 * 3600);
        let now = Moment(200_000_000);
        for (key, at) in [("old", Moment(100_000_000)), ("new", now.before(day))] {
            let mut change = db.change().await.unwrap();
            change.answer(&asked(key), &given, at).await.unwrap();
            change.commit().await.unwrap();
        }
        assert_eq!(db.forget_answers(now.before(day)).await.unwrap(), 1);
        let mut change = db.change().await.unwrap();
        assert_eq!(change.known(&asked("old")).await.unwrap(), Known::New);
        assert_eq!(change.known(&asked("new")).await.unwrap(), Known::Answered(given));
        let other = Asked { hash: "other".to_owned(), ..asked("new") };
        assert_eq!(change.known(&other).await.unwrap(), Known::Other);
        // a change that is not committed takes no number
        drop(change);
        assert_eq!(db.change().await.unwrap().seq(), 3);
    }
}
