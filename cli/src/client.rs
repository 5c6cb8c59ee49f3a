//! Requests to control's API: bounded in time and in size, refusals as [`Failure`].

use crate::failure::Failure;
use crate::settings::{Settings, is_loopback};
use api::problem::{MEDIA_TYPE, ProblemDetails};
use reqwest::{Method, Url, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const BODY_MAX_BYTES: usize = 64 * 1_024 * 1_024;

/// One control, and a token for it.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    control: Url,
    token: Option<String>,
}

/// What to ask.
#[derive(Debug, Default)]
pub(crate) struct Ask<'a> {
    /// Segments of the path, as they are before encoding.
    pub(crate) path: &'a [&'a str],
    /// The query.
    pub(crate) query: &'a [(&'a str, &'a str)],
    /// The entity tag that must still hold (RFC 9110 §13.1.1).
    pub(crate) if_match: Option<&'a str>,
    /// The body.
    pub(crate) body: Option<&'a Value>,
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its entity tag.
    pub(crate) etag: Option<String>,
    /// Its body; null where there is none.
    pub(crate) body: Value,
    control: String,
}

impl Answer {
    /// The body as a type of the API.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        T::deserialize(&self.body).map_err(|error| {
            let answer = api::check::plain(&error.to_string());
            self.is_not_control(format!("its answer {answer}"))
        })
    }

    /// Expects that there is no body, as where something was removed.
    pub(crate) fn read_nothing(&self) -> Result<(), Failure> {
        match &self.body {
            Value::Null => Ok(()),
            _ => Err(self.is_not_control("its answer must be empty".to_owned())),
        }
    }

    fn is_not_control(&self, answer: String) -> Failure {
        Failure::NotControl { control: self.control.clone(), answer }
    }
}

impl Client {
    /// A client that has connected to nothing yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        let agent = concat!("longshore/", env!("CARGO_PKG_VERSION"));
        let mut builder = reqwest::Client::builder()
            .user_agent(agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &settings.ca_file {
            builder = builder.tls_certs_only(authorities(path)?);
        }
        if is_loopback(&settings.control) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| Failure::failed("no HTTP client", error))?;
        Ok(Self { http, control: settings.control.clone(), token: settings.token.clone() })
    }

    /// Where control is, as people write it.
    pub(crate) fn control(&self) -> &str {
        self.control.as_str().trim_end_matches('/')
    }

    /// Asks for a resource.
    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        self.send(Method::GET, Ask { path, ..Ask::default() }).await?.read()
    }

    /// Sends one request. An answer that is no success is [`Failure::Refused`] where control gave it, else
    /// [`Failure::NotControl`].
    pub(crate) async fn send(&self, method: Method, ask: Ask<'_>) -> Result<Answer, Failure> {
        let mut request = self.http.request(method, self.url(&ask)?);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(etag) = ask.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(body) = ask.body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status();
        let etag = response.headers().get(header::ETAG);
        let etag = etag.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(is_problem);
        let body = self.body(&mut response).await?;
        if !status.is_success() {
            let problem = problem(status, &body).filter(|_| is_problem).map(Box::new);
            let problem =
                problem.ok_or_else(|| self.is_not_control(format!("it says {status}")))?;
            return Err(Failure::Refused { problem, file: None });
        }
        let body = match body.as_slice() {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes)
                .or_else(|_| String::from_utf8(body).map(Value::String))
                .map_err(|_| {
                    self.is_not_control("its answer is neither JSON nor text".to_owned())
                })?,
        };
        Ok(Answer { etag, body, control: self.control().to_owned() })
    }

    fn url(&self, ask: &Ask<'_>) -> Result<Url, Failure> {
        let mut url = self.control.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::usage("the URL of control has no path"))?
            .pop_if_empty()
            .extend(ask.path);
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(ask.query);
        }
        Ok(url)
    }

    async fn body(&self, response: &mut reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > BODY_MAX_BYTES {
                let answer = format!("its answer is longer than {BODY_MAX_BYTES} bytes");
                return Err(self.is_not_control(answer));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn is_not_control(&self, answer: String) -> Failure {
        Failure::NotControl { control: self.control().to_owned(), answer }
    }

    fn unreachable(&self, source: reqwest::Error) -> Failure {
        // The address is in the message already.
        let source = source.without_url();
        Failure::Unreachable { control: self.control().to_owned(), source }
    }
}

/// The certificates of a file, of which there is one at least.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, Failure> {
    let text = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
    let found = reqwest::Certificate::from_pem_bundle(&text).ok();
    let none = || Failure::usage(format!("`{}` has no certificate in PEM", path.display()));
    found.filter(|found| !found.is_empty()).ok_or_else(none)
}

/// Whether a Content-Type is that of problem details.
fn is_problem(content_type: &header::HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(MEDIA_TYPE)
}

/// The problem details of a refusal.
fn problem(status: reqwest::StatusCode, body: &[u8]) -> Option<ProblemDetails> {
    let problem: ProblemDetails = serde_json::from_slice(body).ok()?;
    // The status of the message counts, whatever the body says (RFC 9457 §3.1.3).
    Some(ProblemDetails { status: status.as_u16(), ..problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(control: &str) -> Client {
        let settings =
            Settings { control: Url::parse(control).unwrap(), token: None, ca_file: None };
        Client::new(&settings).unwrap()
    }

    #[test]
    fn control_is_shown_without_a_slash_at_its_end() {
        for url in ["http://c.example", "http://c.example/cdn", "http://127.0.0.1:7070"] {
            assert_eq!(client(url).control(), url);
            assert_eq!(client(&format!("{url}/")).control(), url);
        }
    }

    #[test]
    fn paths_are_added_to_the_url_of_control_and_encoded() {
        let check = |control: &str, expected: &str| {
            let client = client(control);
            let ask =
                Ask { path: &["v1", "sites", "a/b"], query: &[("after", "x&y")], ..Ask::default() };
            assert_eq!(client.url(&ask).unwrap().as_str(), expected);
        };
        check("http://c.example", "http://c.example/v1/sites/a%2Fb?after=x%26y");
        check("http://c.example/cdn/", "http://c.example/cdn/v1/sites/a%2Fb?after=x%26y");
    }

    #[test]
    fn the_status_of_a_refusal_is_that_of_the_message() {
        let status = reqwest::StatusCode::BAD_GATEWAY;
        assert_eq!(problem(status, b"<html>"), None);
        let other = problem(status, br#"{"title":"T","status":200}"#).unwrap();
        assert_eq!((other.status, other.title.as_str()), (502, "T"));
    }

    #[test]
    fn problem_details_are_known_by_their_media_type() {
        for (text, expected) in [
            ("application/problem+json", true),
            ("Application/Problem+JSON ; charset=utf-8", true),
            ("application/json", false),
            ("text/html", false),
        ] {
            let value = header::HeaderValue::from_static(text);
            assert_eq!(is_problem(&value), expected, "{text}");
        }
    }
}
