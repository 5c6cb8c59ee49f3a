//! What can go wrong with a request, and what is it answered with? (RFC 9457)
//!
//! An [`Error`] becomes a response without a body that carries the error; [`describe`], which the router runs last,
//! writes the body, where the id of the request is known, and logs what is control's own fault.

use api::problem::{FieldProblem, MEDIA_TYPE, ProblemDetails};
use api::token::Scope;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use std::sync::Arc;

/// Why a request is refused or could not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{detail}")]
    Query { field: String, detail: String },
    #[error("header field `{name}` {detail}")]
    Header { name: &'static str, detail: &'static str },
    #[error("the body is not {format}: {message} at line {line} column {column}")]
    Syntax { format: &'static str, message: String, line: usize, column: usize },
    #[error("the body ended early or could not be read")]
    Body,
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("the token does not have the scope `{}`", .0.as_str())]
    Forbidden(Scope),
    #[error("there is no {0}")]
    Missing(&'static str),
    #[error("there is nothing at this path")]
    Path,
    #[error("the path does not answer this method")]
    Method,
    #[error("the body did not arrive within {0} s")]
    SlowBody(u64),
    #[error("{detail}")]
    Taken { detail: &'static str, errors: Vec<FieldProblem> },
    #[error("there are {0} edges already")]
    Edges(u64),
    #[error("a request with this Idempotency-Key is being served")]
    KeyInUse,
    #[error("it is at revision {revision}, which If-Match does not name")]
    Precondition { revision: u64 },
    #[error("the body is longer than {0} bytes")]
    Large(usize),
    #[error("the body must be {0}")]
    MediaType(&'static str),
    #[error("the document has {}", problems(.0.len()))]
    Invalid(Vec<FieldProblem>),
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    #[error("a change needs If-Match with the ETag of what it replaces, or `*`")]
    PreconditionRequired,
    #[error("{0} edges follow the feed already")]
    Followers(usize),
    #[error("{0} requests wait for edges already")]
    Waiters(usize),
    #[error("the report could not be kept")]
    Report,
    #[error("the request took longer than {0} s")]
    Slow(u64),
    #[error("the database does not answer")]
    Unavailable(#[source] sqlx::Error),
    #[error("the operation panicked")]
    Panic,
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
}

fn problems(count: usize) -> String {
    if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Self::Unavailable(error)
            }
            _ => Self::Database(error),
        }
    }
}

impl Error {
    /// The status of the answer.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Query { .. } | Self::Header { .. } | Self::Syntax { .. } | Self::Body => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Missing(_) | Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowBody(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Taken { .. } | Self::Edges(_) | Self::KeyInUse => StatusCode::CONFLICT,
            Self::Precondition { .. } => StatusCode::PRECONDITION_FAILED,
            Self::Large(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::Followers(_)
            | Self::Waiters(_)
            | Self::Report
            | Self::Slow(_)
            | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panic | Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn errors(&self) -> Vec<FieldProblem> {
        match self {
            Self::Query { field, detail } => {
                vec![FieldProblem { field: field.clone(), detail: detail.clone(), value: None }]
            }
            Self::Taken { errors, .. } | Self::Invalid(errors) => errors.clone(),
            _ => Vec::new(),
        }
    }

    fn details(&self, request_id: &str) -> ProblemDetails {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or("Error");
        let mut details = ProblemDetails::new(status.as_u16(), title).detail(self.to_string());
        details.request_id = Some(request_id.to_owned());
        details.errors = self.errors();
        details
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if let Self::Unauthorized(_) = self {
            headers
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"longshore\""));
        }
        if let Self::Forbidden(scope) = self {
            // RFC 6750 §3.1
            let challenge = format!(
                "Bearer realm=\"longshore\", error=\"insufficient_scope\", scope=\"{}\"",
                scope.as_str()
            );
            headers.extend(HeaderValue::from_str(&challenge).map(|it| (WWW_AUTHENTICATE, it)));
        }
        if let Self::Precondition { revision } = self {
            headers.insert(ETAG, crate::precondition::etag(revision));
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Writes the body of a response that carries an [`Error`].
pub(crate) fn describe(mut response: Response, request_id: &str) -> Response {
    let Some(error) = response.extensions_mut().remove::<Arc<Error>>() else { return response };
    if error.status().is_server_error() {
        let cause = std::error::Error::source(&*error).map(ToString::to_string);
        tracing::error!(request.id = request_id, cause, "{error}");
    }
    let body = serde_json::to_vec(&error.details(request_id)).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    *response.body_mut() = Body::from(body);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted() {
        let check = |count: usize, expected: &str| {
            let problem = FieldProblem { field: String::new(), detail: String::new(), value: None };
            assert_eq!(Error::Invalid(vec![problem; count]).to_string(), expected);
        };
        check(1, "the document has 1 problem");
        check(2, "the document has 2 problems");
    }
}
