//! `longshore-control secrets` and `authority`: the key that the database's secrets are sealed under, and the root that
//! may be given away.

use crate::config::{Place, SecretsCommand};
use crate::secrets::{Secrets, SecretsKey};
use crate::server::{StartError, open, open_sealed};
use serde_json::json;

/// Why the key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The database could not be opened, or a key not be read.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database failed. Everything is sealed as it was.
    #[error("the database failed; nothing was changed")]
    Database(#[from] sqlx::Error),
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The database could not be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Nothing was issued yet.
    #[error(
        "there is no local authority yet; a site with `tls.certificate = \"local\"` or `serve --tls-local` has it made"
    )]
    None,
}

/// The root of the local authority in PEM.
///
/// # Errors
/// When the database can't be opened or fails, or there is none.
pub async fn root(place: &Place) -> Result<String, RootError> {
    open(place).await?.authority().await?.ok_or(RootError::None)
}

/// Runs a command and returns what it prints.
///
/// # Errors
/// When a key can't be read, or the database can't be opened or fails.
pub async fn run(command: SecretsCommand) -> Result<String, RotateError> {
    let SecretsCommand::Rotate { place, secrets, new_key_file, json } = command;
    let db = open_sealed(&place, &secrets).await?;
    let key = SecretsKey::of_file(&new_key_file, true).map_err(StartError::from)?;
    let count = db.reseal(&Secrets::new(&key)).await?;
    db.close().await;
    if json {
        return Ok(format!("{}\n", json!({ "resealed": count, "key_file": new_key_file })));
    }
    let path = new_key_file.display();
    Ok(format!("sealed {count} secrets anew; start control with --secrets-key-file {path}\n"))
}
