//! `longshore-control token`: makes, lists and revokes tokens in the database, without the API.

use crate::auth;
use crate::clock::now;
use crate::config::{Place, TokenCommand};
use crate::db::tokens::Token;
use crate::server::{StartError, open};
use api::id::TokenId;
use api::token::Scope;
use serde_json::json;
use ulid::Ulid;

/// Why a command on tokens failed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The database could not be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// There is nothing to revoke.
    #[error("there is no token `{0}` that works")]
    Missing(TokenId),
}

/// Runs a command and returns what it prints.
///
/// # Errors
/// When the database cannot be opened or fails, or the token to revoke is not there.
pub async fn run(command: TokenCommand) -> Result<String, TokenError> {
    match command {
        TokenCommand::Create { place, name, scopes, json } => {
            create(&place, &name, scopes, json).await
        }
        TokenCommand::List { place, json } => {
            let tokens = open(&place).await?.tokens().await?;
            Ok(if json { list_json(&tokens) } else { list_text(&tokens) })
        }
        TokenCommand::Revoke { place, id, json } => {
            if !open(&place).await?.revoke_token(&id, now()).await? {
                return Err(TokenError::Missing(id));
            }
            Ok(if json { line(&json!({ "revoked": id })) } else { format!("revoked {id}\n") })
        }
    }
}

async fn create(
    place: &Place,
    name: &str,
    mut scopes: Vec<Scope>,
    json: bool,
) -> Result<String, TokenError> {
    scopes.sort();
    scopes.dedup();
    let (id, secret) = (new_id(), auth::new_secret());
    let db = open(place).await?;
    db.add_token(&id, name, &scopes, &auth::hash(&secret), now()).await?;
    db.close().await;
    if json {
        return Ok(line(&json!({"id": id, "name": name, "scopes": scopes, "token": secret})));
    }
    Ok(format!("{secret}\n"))
}

fn new_id() -> TokenId {
    #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
    TokenId::from_ulid(&Ulid::new().to_string()).expect("a ULID is 26 letters and digits")
}

fn list_json(tokens: &[Token]) -> String {
    let tokens: Vec<_> = tokens
        .iter()
        .map(|token| {
            json!({"id": token.id, "name": token.name, "scopes": token.scopes,
                "created_at": token.created_at, "revoked_at": token.revoked_at})
        })
        .collect();
    line(&json!({ "tokens": tokens }))
}

fn list_text(tokens: &[Token]) -> String {
    let row = |token: &Token| {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let state =
            token.revoked_at.as_ref().map_or_else(String::new, |at| format!("revoked {at}"));
        let columns =
            [token.id.as_str(), &token.created_at, &scopes.join(","), &token.name, &state];
        format!("{}\n", columns.join("  ").trim_end())
    };
    tokens.iter().map(row).collect()
}

fn line(value: &serde_json::Value) -> String {
    format!("{value}\n")
}
