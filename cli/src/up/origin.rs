//! The demo site's origin: a directory of files over HTTP, with what a cache needs to know of them
//! (RFC 9110 §8.8 validators, §13 conditional requests).

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

const PAGE_CACHE_CONTROL: &str = "max-age=60";

#[derive(Debug)]
struct Origin {
    directory: PathBuf,
    log: std::fs::File,
}

/// Serves `directory`, and writes a line for each request to `log`.
pub(super) async fn serve(
    listener: TcpListener,
    directory: PathBuf,
    log: std::fs::File,
) -> std::io::Result<()> {
    let origin = Arc::new(Origin { directory, log });
    axum::serve(listener, Router::new().fallback(logged).with_state(origin)).await
}

async fn logged(
    State(origin): State<Arc<Origin>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let path = uri.path();
    let response = answer(&origin.directory, &method, path, &headers).await;
    let line = serde_json::json!({
        "method": method.as_str(), "path": path, "status": response.status().as_u16(),
    });
    _ = writeln!(&origin.log, "{line}");
    response
}

async fn answer(directory: &Path, method: &Method, path: &str, headers: &HeaderMap) -> Response {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let found = match file_of(directory, path) {
        Some(path) => open(&path).await,
        None => None,
    };
    let Some(found) = found else {
        let fields =
            [(header::CONTENT_TYPE, "text/plain"), (header::CACHE_CONTROL, PAGE_CACHE_CONTROL)];
        return (StatusCode::NOT_FOUND, fields, "no such file\n").into_response();
    };
    let fields = found.fields();
    if found.is_known(headers) {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    let length = [(header::CONTENT_LENGTH, found.bytes)];
    (fields, length, Body::from_stream(ReaderStream::new(found.file))).into_response()
}

/// The file of a path: plain segments only, so that nothing outside of the directory, and nothing hidden, has one.
fn file_of(directory: &Path, path: &str) -> Option<PathBuf> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let path = path.strip_prefix('/')?;
    let path = if path.is_empty() || path.ends_with('/') {
        format!("{path}index.html")
    } else {
        path.to_owned()
    };
    let mut file = directory.to_owned();
    for segment in path.split('/') {
        if segment.is_empty() || segment.starts_with('.') || !segment.bytes().all(plain) {
            return None;
        }
        file.push(segment);
    }
    Some(file)
}

struct Found {
    file: tokio::fs::File,
    bytes: u64,
    modified: SystemTime,
    etag: String,
    content_type: &'static str,
}

async fn open(path: &Path) -> Option<Found> {
    let file = tokio::fs::File::open(path).await.ok()?;
    let metadata = file.metadata().await.ok().filter(std::fs::Metadata::is_file)?;
    let (bytes, modified) = (metadata.len(), metadata.modified().ok()?);
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let etag = format!("\"{:x}-{bytes:x}\"", since.as_nanos());
    Some(Found { file, bytes, modified, etag, content_type: content_type(path) })
}

impl Found {
    fn fields(&self) -> HeaderMap {
        let modified = httpdate::fmt_http_date(self.modified);
        let fields = [
            (header::CONTENT_TYPE, self.content_type),
            (header::CACHE_CONTROL, PAGE_CACHE_CONTROL),
            (header::ETAG, self.etag.as_str()),
            (header::LAST_MODIFIED, modified.as_str()),
        ];
        let value = |text| HeaderValue::from_str(text).ok();
        fields.into_iter().filter_map(|(name, text)| Some((name, value(text)?))).collect()
    }

    /// Whether the client has it (RFC 9110 §13.2.2): If-None-Match counts, and only without it If-Modified-Since.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            let mut tags = tags.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
            return tags.any(|tag| {
                let tag = tag.trim();
                tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
            });
        }
        let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
        let since = since.and_then(|text| httpdate::parse_http_date(text).ok());
        // The field has whole seconds.
        since.is_some_and(|since| self.modified < since + Duration::from_secs(1))
    }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_and_show_nothing_hidden() {
        let check = |path: &str, expected: Option<&str>| {
            let found = file_of(Path::new("d"), path);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{path}");
        };
        check("/", Some("d/index.html"));
        check("/a/", Some("d/a/index.html"));
        check("/a/b.css", Some("d/a/b.css"));
        for wrong in ["", "a", "//", "/../x", "/a/../x", "/.git/config", "/%2e%2e/x", "/a\\b"] {
            check(wrong, None);
        }
    }

    async fn status(directory: &Path, field: Option<(&str, &str)>) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = field {
            let name = header::HeaderName::try_from(name).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let response = answer(directory, &Method::GET, "/a.html", &headers).await;
        (response.status(), response.headers().clone())
    }

    #[tokio::test]
    async fn what_the_client_has_is_not_sent_again() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.html"), "hello").unwrap();
        let (ok, fields) = status(directory.path(), None).await;
        let field = |name| fields.get(name).unwrap().to_str().unwrap();
        assert_eq!((ok, field("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
        assert_eq!((field("cache-control"), field("content-length")), ("max-age=60", "5"));
        let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (name, value, expected) in [
            ("if-none-match", field("etag"), StatusCode::NOT_MODIFIED),
            ("if-none-match", "\"x\", *", StatusCode::NOT_MODIFIED),
            ("if-none-match", "\"x\"", StatusCode::OK),
            ("if-modified-since", field("last-modified"), StatusCode::NOT_MODIFIED),
            ("if-modified-since", long_ago, StatusCode::OK),
            ("if-modified-since", "yesterday", StatusCode::OK),
        ] {
            let (found, _) = status(directory.path(), Some((name, value))).await;
            assert_eq!(found, expected, "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn only_reading_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let answer = answer(directory.path(), &Method::PUT, "/a.html", &HeaderMap::new()).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
