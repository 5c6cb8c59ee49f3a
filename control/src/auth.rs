//! Who asks, and may they? Bearer tokens (RFC 6750 §2.1) and their scopes.
//!
//! A secret is 32 random bytes; the database has its BLAKE3 hash only. A fast hash is enough for a secret that
//! cannot be guessed. It is looked up anew for every request, so that a revoked token is refused at once.

use crate::problem::Error;
use crate::router::App;
use api::id::TokenId;
use api::token::{PREFIX, Scope};
use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use std::sync::{Arc, OnceLock};

const SECRET_BYTES: usize = 32;

/// Where a request's token is noted once it is known, for the log.
pub(crate) type CallerCell = Arc<OnceLock<TokenId>>;

/// A new secret.
pub(crate) fn new_secret() -> String {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    format!("{PREFIX}{}", blake3::Hash::from_bytes(bytes).to_hex())
}

/// What the database has of a secret.
pub(crate) fn hash(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

/// Whose request it is. As an argument of a handler it refuses requests without a token that works.
pub(crate) struct Caller {
    /// The token.
    pub(crate) token: TokenId,
    scopes: Vec<Scope>,
}

impl Caller {
    /// Refuses a caller whose token does not allow what needs `needed`.
    pub(crate) fn may(&self, needed: Scope) -> Result<(), Error> {
        let allowed = self.scopes.iter().any(|scope| scope.allows(needed));
        if allowed { Ok(()) } else { Err(Error::Forbidden(needed)) }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let hash = hash(secret(&parts.headers)?);
        let token = app.db.token_by_hash(&hash).await?;
        // the index compares hashes of a secret the caller does not know how to choose: its timing tells nothing
        let token = token.ok_or(Error::Unauthorized("the token is unknown or was revoked"))?;
        if let Some(cell) = parts.extensions.get::<CallerCell>() {
            // a request has one caller; a second note would be the same
            let _ = cell.set(token.id.clone());
        }
        Ok(Self { token: token.id, scopes: token.scopes })
    }
}

/// The secret in `Authorization`, if it has the form of one.
fn secret(headers: &HeaderMap) -> Result<&str, Error> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().ok_or(Error::Unauthorized("Authorization is missing"))?;
    if fields.next().is_some() {
        return Err(Error::Unauthorized("Authorization is there twice"));
    }
    let wrong = "Authorization must be `Bearer` and a token";
    bearer(field).ok_or(Error::Unauthorized(wrong))
}

/// The scheme's letters may be of either case (RFC 9110 §11.1).
fn bearer(field: &HeaderValue) -> Option<&str> {
    let (scheme, secret) = field.to_str().ok()?.split_once(' ')?;
    let secret = secret.trim_matches(' ');
    let digits = secret.strip_prefix(PREFIX)?;
    let right =
        digits.len() == 2 * SECRET_BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (scheme.eq_ignore_ascii_case("bearer") && right).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, expected: bool) {
        let field = HeaderValue::from_str(field).unwrap();
        assert_eq!(bearer(&field).is_some(), expected, "{field:?}");
    }

    #[test]
    fn only_a_bearer_token_of_our_form_is_looked_up() {
        let secret = new_secret();
        check(&format!("Bearer {secret}"), true);
        check(&format!("bearer  {secret}"), true);
        check(&format!("Basic {secret}"), false);
        check(&secret, false);
        check("Bearer", false);
        check("Bearer ls_", false);
        check(&format!("Bearer {secret}0"), false);
        check(&format!("Bearer {}", secret.replace("ls_", "lt_")), false);
    }

    #[test]
    fn a_secret_is_not_in_its_hash() {
        let (one, other) = (new_secret(), new_secret());
        assert_ne!(one, other);
        assert_ne!(hash(&one), hash(&other));
        assert!(!hash(&one).contains(one.trim_start_matches(PREFIX)));
    }
}
