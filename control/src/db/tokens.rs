//! API tokens: by the hash of their secret.

use super::Db;
use crate::clock::Moment;
use api::id::TokenId;
use api::token::Scope;
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// A token without its secret.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// Which token.
    pub(crate) id: TokenId,
    /// What its owner calls it.
    pub(crate) name: String,
    /// What it may be used for.
    pub(crate) scopes: Vec<Scope>,
    /// When it was made: RFC 3339, UTC.
    pub(crate) created_at: String,
    /// When it was revoked, if it was.
    pub(crate) revoked_at: Option<String>,
}

impl Db {
    /// Keeps a new token.
    pub(crate) async fn add_token(
        &self,
        token: &TokenId,
        name: &str,
        scopes: &[Scope],
        hash: &str,
        now: Moment,
    ) -> sqlx::Result<()> {
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let insert = "INSERT INTO tokens (id, name, hash, scopes, created_at) \
            VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(insert)
            .bind(token.to_string())
            .bind(name.to_owned())
            .bind(hash.to_owned())
            .bind(scopes.join(" "))
            .bind(now.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The token whose secret has this hash, unless it was revoked.
    pub(crate) async fn token_by_hash(&self, hash: &str) -> sqlx::Result<Option<Token>> {
        let query = "SELECT id, name, scopes, created_at, revoked_at FROM tokens \
            WHERE hash = $1 AND revoked_at IS NULL";
        let row = sqlx::query(query).bind(hash.to_owned()).fetch_optional(&self.pool).await?;
        row.as_ref().map(token).transpose()
    }

    /// Whether a token may still be used.
    pub(crate) async fn token_works(&self, id: &TokenId) -> sqlx::Result<bool> {
        let query = "SELECT id FROM tokens WHERE id = $1 AND revoked_at IS NULL";
        let row = sqlx::query(query).bind(id.to_string()).fetch_optional(&self.pool).await?;
        Ok(row.is_some())
    }

    /// Every token, revoked ones too, in the order they were made.
    pub(crate) async fn tokens(&self) -> sqlx::Result<Vec<Token>> {
        let query = "SELECT id, name, scopes, created_at, revoked_at FROM tokens ORDER BY id";
        let rows = sqlx::query(query).fetch_all(&self.pool).await?;
        rows.iter().map(token).collect()
    }

    /// Revokes a token for good. False when there is none that works.
    pub(crate) async fn revoke_token(&self, id: &TokenId, now: Moment) -> sqlx::Result<bool> {
        let update = "UPDATE tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        let done = sqlx::query(update).bind(id.to_string()).bind(now.0).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }
}

fn token(row: &AnyRow) -> sqlx::Result<Token> {
    let scopes: &str = row.try_get(2)?;
    let revoked_at: Option<i64> = row.try_get(4)?;
    Ok(Token {
        id: super::parsed(row.try_get(0)?)?,
        name: row.try_get(1)?,
        scopes: scopes.split(' ').map(super::parsed).collect::<sqlx::Result<_>>()?,
        created_at: Moment(row.try_get(3)?).rfc3339(),
        revoked_at: revoked_at.map(|at| Moment(at).rfc3339()),
    })
}
