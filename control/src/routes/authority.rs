//! `/v1/authority`: the root of the local authority, for whoever wants to trust it.

use crate::problem::Error;
use crate::router::App;
use axum::extract::State;
use http::HeaderName;
use http::header::CONTENT_TYPE;
use std::sync::Arc;

/// Read the root of the local authority
///
/// A certificate in PEM. It is public; there is none before something was issued by it.
#[utoipa::path(get, path = "/v1/authority", tag = "certificates", operation_id = "readAuthority",
    responses((status = 200, description = "The root.", body = String, content_type = "application/pem-certificate-chain")))]
pub(crate) async fn read(
    State(app): State<Arc<App>>,
) -> Result<([(HeaderName, &'static str); 1], String), Error> {
    let root = app.db.authority().await?.ok_or(Error::Missing("local authority yet"))?;
    Ok(([(CONTENT_TYPE, "application/pem-certificate-chain")], root))
}
