//! What does a request say? Bodies, query strings and names in paths, each read whole and within its limits.

use crate::auth::Caller;
use crate::db::sites::SiteRef;
use crate::problem::Error;
use crate::router::App;
use api::check::{self, Check};
use api::id::SiteId;
use api::problem::FieldProblem;
use api::site::DOCUMENT_MAX_BYTES;
use api::token::Scope;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use futures_util::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// JSON (RFC 8259).
    Json,
    /// TOML 1.0.
    Toml,
}

impl Format {
    /// The format that `Content-Type` names, if it is one of `known`.
    pub(crate) fn of(headers: &HeaderMap, known: &[Self]) -> Result<Self, Error> {
        let field = headers.get(CONTENT_TYPE).map(HeaderValue::to_str);
        let essence = match field {
            Some(Ok(text)) => text.split(';').next().unwrap_or_default().trim(),
            Some(Err(_)) | None => "",
        };
        let found = known.iter().find(|format| format.media_type().eq_ignore_ascii_case(essence));
        let expected = if known.contains(&Self::Toml) {
            "application/json or application/toml, named by Content-Type"
        } else {
            "application/json, named by Content-Type"
        };
        found.copied().ok_or(Error::MediaType(expected))
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Toml => "application/toml",
        }
    }

    /// The value that a body has in this format.
    pub(crate) fn read(self, body: &[u8]) -> Result<Value, Error> {
        self.parse(body)
    }

    fn parse(self, body: &[u8]) -> Result<Value, Error> {
        match self {
            Self::Json => api::json::parse(body).map_err(|error| json_error(&error)),
            Self::Toml => parse_toml(body),
        }
    }
}

fn json_error(error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    Error::Syntax { format: "JSON", message, line: error.line(), column: error.column() }
}

fn parse_toml(body: &[u8]) -> Result<Value, Error> {
    let wrong = |message: String, at: usize| {
        let before = body.get(..at).unwrap_or(body);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        Error::Syntax { format: "TOML", message, line, column }
    };
    let text = std::str::from_utf8(body)
        .map_err(|error| wrong("invalid UTF-8".to_owned(), error.valid_up_to()))?;
    toml::from_str(text).map_err(|error| {
        wrong(error.message().to_owned(), error.span().map_or(0, |span| span.start))
    })
}

/// Reads a whole body of [`DOCUMENT_MAX_BYTES`] at most.
pub(crate) async fn body(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Error> {
    body_within(headers, body, DOCUMENT_MAX_BYTES).await
}

/// Reads a whole body of `max_bytes` at most.
pub(crate) async fn body_within(
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Result<Vec<u8>, Error> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > max_bytes) {
        return Err(Error::Large(max_bytes));
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, collect(body, max_bytes)).await;
    read.unwrap_or(Err(Error::SlowBody(BODY_TIMEOUT.as_secs())))
}

async fn collect(body: Body, max_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut chunks = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(chunk) = chunks.next().await {
        whole.extend_from_slice(&chunk.map_err(|_| Error::Body)?);
        if whole.len() > max_bytes {
            return Err(Error::Large(max_bytes));
        }
    }
    Ok(whole)
}

/// Reads a document that people write, and reports everything that is wrong with it.
///
/// A large document full of mistakes takes a while, so it does not hold up what else the thread serves.
pub(crate) async fn document<T>(format: Format, body: Vec<u8>) -> Result<T, Error>
where
    T: DeserializeOwned + Serialize + Check + Send + 'static,
{
    let read = move || check::parse(format.parse(&body)?).map_err(Error::Invalid);
    // a runtime that stops abandons the task; then nobody waits for the answer
    tokio::task::spawn_blocking(read).await.unwrap_or(Err(Error::Body))
}

/// Reads a JSON document that a program sends; members it does not know are passed over.
pub(crate) fn message<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let value = Format::Json.parse(body)?;
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        let detail = check::plain(&error.inner().to_string());
        Error::Invalid(vec![FieldProblem { field, detail, value: None }])
    })
}

/// A request to an operation that needs a token.
pub(crate) struct Call {
    /// Whose it is.
    pub(crate) caller: Caller,
    /// Its header fields.
    pub(crate) headers: HeaderMap,
    uri: Uri,
}

impl Call {
    /// Refuses a caller without the scope `needed`, and query parameters that are not `known`.
    pub(crate) fn allow(&self, needed: Scope, known: &[&str]) -> Result<Query, Error> {
        self.caller.may(needed)?;
        Query::read(self.uri.query(), known)
    }

    /// Refuses a caller with none of the scopes `needed`, and every query parameter that is not `known`.
    pub(crate) fn allow_any(&self, needed: [Scope; 2], known: &[&str]) -> Result<Query, Error> {
        let [first, other] = needed;
        self.caller.may(first).or_else(|refusal| self.caller.may(other).map_err(|_| refusal))?;
        Query::read(self.uri.query(), known)
    }

    /// The path as it was sent.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }
}

impl FromRequestParts<Arc<App>> for Call {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, app).await?;
        Ok(Self { caller, headers: parts.headers.clone(), uri: parts.uri.clone() })
    }
}

/// The parameters of a query string.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string that may have the parameters `known`, each once.
    pub(crate) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Error> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (field, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let field: String = field.chars().take(64).collect();
            let wrong = |detail: &str| {
                let detail = format!("query parameter `{field}` {detail}");
                Error::Query { field: field.clone(), detail }
            };
            if !known.contains(&field.as_str()) {
                return Err(wrong("is not known here"));
            }
            if found.iter().any(|(earlier, _)| *earlier == field) {
                return Err(wrong("is there twice"));
            }
            found.push((field, value.into_owned()));
        }
        Ok(Self(found))
    }

    /// The value of a parameter, if it is there.
    pub(crate) fn value(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == field).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, if it is there, read as a `T` that is `right`.
    pub(crate) fn parse<T: std::str::FromStr>(
        &self,
        field: &str,
        right: impl Fn(&T) -> bool,
        expected: &str,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let parsed = value.parse().ok().filter(right);
        parsed.map(Some).ok_or_else(|| Error::Query {
            field: field.to_owned(),
            detail: format!("query parameter `{field}` must be {expected}"),
        })
    }
}

/// Whether `text` has the form of a site's name.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl<S: Send + Sync> FromRequestParts<S> for SiteRef {
    type Rejection = Error;

    /// The site named in the path. What has the form of neither an id nor a name names no site.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| Error::Missing("such site"))?;
        match SiteId::try_from(text.clone()) {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) if is_name(&text) => Ok(Self::Name(text)),
            Err(_) => Err(Error::Missing("such site")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_strings_hold_known_parameters_once() {
        let check = |query: &str, expected: Result<Option<&str>, &str>| {
            let found = Query::read(Some(query), &["limit", "after"]);
            match (found, expected) {
                (Ok(found), Ok(limit)) => assert_eq!(found.value("limit"), limit, "{query}"),
                (Err(Error::Query { field, .. }), Err(name)) => assert_eq!(field, name),
                _ => panic!("{query}"),
            }
        };
        check("", Ok(None));
        check("limit=5&after=x", Ok(Some("5")));
        check("limit=%35", Ok(Some("5")));
        check("limit=5&limit=5", Err("limit"));
        check("Limit=5", Err("Limit"));
        check("&&=", Err(""));
    }

    #[test]
    fn syntax_errors_name_line_and_column() {
        let check = |format: Format, body: &str, expected: (usize, usize)| match format
            .parse(body.as_bytes())
        {
            Err(Error::Syntax { line, column, .. }) => {
                assert_eq!((line, column), expected, "{body}");
            }
            other => panic!("{body}: {other:?}"),
        };
        check(Format::Json, "{\n  \"a\": x}", (2, 8));
        check(Format::Json, "", (1, 0));
        check(Format::Json, "{\"a\": 1,\n \"a\": 2}", (2, 4));
        check(Format::Toml, "a = 1\nb = ", (2, 5));
        check(Format::Toml, "a = 1\na = 2", (2, 1));
    }

    #[test]
    fn nesting_is_bounded() {
        for (format, body) in [
            (Format::Json, "[".repeat(200_000)),
            (Format::Json, "{\"a\":".repeat(40_000)),
            (Format::Toml, format!("a = {}", "[".repeat(200_000))),
            (Format::Toml, format!("{} = 1", vec!["a"; 100_000].join("."))),
            (Format::Toml, format!("[{}]", vec!["a"; 100_000].join("."))),
            (Format::Toml, format!("[[{}]]", vec!["a"; 100_000].join("."))),
            (Format::Toml, format!("a = {}", "{a=".repeat(60_000))),
        ] {
            assert!(
                matches!(format.parse(body.as_bytes()), Err(Error::Syntax { .. })),
                "{format:?}"
            );
        }
    }
}
