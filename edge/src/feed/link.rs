//! Talks to control: opens its feed, and sends it reports.

use super::events::{EVENT_MAX_BYTES, Event, Inflate, Parser, TooLong};
use api::edge::EdgeReport;
use api::id::{EdgeId, LogId, SiteId};
use api::purge::PurgeRequest;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use reqwest::{Client, Response, StatusCode, Url};
use std::path::PathBuf;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);
const PURGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer to a purge.
const ANSWER_MAX_BYTES: usize = 65_536;
/// Characters of a reason that are logged.
const REASON_MAX_CHARACTERS: usize = 300;

/// Events handed on together, about.
const BATCH_MAX: usize = 512;
/// The one content coding that is asked for.
pub(super) const ZSTD: &str = "zstd";

/// Why control is not being followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("control at {url} can't be reached: {reason}")]
    Unreachable { url: Url, reason: String },
    #[error("control answered {0}")]
    Status(StatusCode),
    #[error("the token `{path}` can't be read: {source}")]
    Token { path: PathBuf, source: std::io::Error },
    #[error("control said nothing for too long")]
    Silent,
    #[error("control sent an event of more than {EVENT_MAX_BYTES} bytes")]
    TooLong,
    #[error("control ended the stream")]
    Ended,
    #[error("the stream broke: {0}")]
    Stream(String),
    /// The feed was followed there.
    #[error("{0}")]
    Nats(String),
    #[error("control sent what can't be understood: {0}")]
    Format(#[from] serde_json::Error),
}

/// Where a token comes from.
#[derive(Clone)]
pub(crate) enum Token {
    /// A file, read at each use: a token can be replaced without a restart.
    File(PathBuf),
    /// The environment's.
    Given(String),
    /// None: control will say that one is needed.
    Absent,
}

/// The way to control.
pub(crate) struct Link {
    client: Client,
    url: Url,
    token: Token,
}

impl Link {
    /// # Errors
    /// When `url` is none, or the system's certificates can't be used.
    pub(crate) fn new(url: &str, token: Token) -> anyhow::Result<Self> {
        let url: Url = url
            .parse()
            .map_err(|error| anyhow::anyhow!("`control.url` `{url}` is no URL: {error}"))?;
        let mut builder = Client::builder().connect_timeout(CONNECT_TIMEOUT);
        if is_loopback(&url) {
            // the system's proxy has another idea of what is local
            builder = builder.no_proxy();
        }
        let client = builder.build()?;
        Ok(Self { client, url, token })
    }

    pub(super) async fn open_feed(
        &self,
        after: u64,
        log: Option<&LogId>,
    ) -> Result<Events, LinkError> {
        let mut url = self.at("v1/feed");
        url.query_pairs_mut().append_pair("after", &after.to_string());
        if let Some(log) = log {
            url.query_pairs_mut().append_pair("log", log.as_str());
        }
        let request = self.client.get(url).bearer_auth(self.token()?).header(ACCEPT_ENCODING, ZSTD);
        Events::of(self.checked(request.send().await)?)
    }

    /// Whether control gives out its feed, to this token.
    pub(crate) async fn is_open(&self) -> Result<(), LinkError> {
        self.open_feed(0, None).await.map(drop)
    }

    pub(super) async fn report(
        &self,
        edge_id: &EdgeId,
        report: &EdgeReport,
    ) -> Result<(), LinkError> {
        let request =
            self.client.put(self.at(&format!("v1/edges/{edge_id}"))).bearer_auth(self.token()?);
        self.checked(request.timeout(REPORT_TIMEOUT).json(report).send().await).map(drop)
    }

    /// Asks for a purge with the token of somebody else. Control's status, and its answer.
    pub(crate) async fn purge(
        &self,
        site_id: &SiteId,
        token: &str,
        asked: &PurgeRequest,
    ) -> Result<(u16, Vec<u8>), LinkError> {
        let request = self.client.post(self.at(&format!("v1/sites/{site_id}/purge")));
        let request = request.timeout(PURGE_TIMEOUT).bearer_auth(token).json(asked);
        let unreachable = |error: reqwest::Error| {
            let reason = reason(&error.without_url());
            LinkError::Unreachable { url: self.url.clone(), reason }
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        while let Some(bytes) = response.chunk().await.map_err(unreachable)? {
            if body.len() + bytes.len() > ANSWER_MAX_BYTES {
                return Err(LinkError::TooLong);
            }
            body.extend_from_slice(&bytes);
        }
        Ok((status, body))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{path}", self.url.path().trim_end_matches('/')));
        url
    }

    fn token(&self) -> Result<String, LinkError> {
        match &self.token {
            Token::Absent => Ok(String::new()),
            Token::Given(token) => Ok(token.clone()),
            Token::File(path) => {
                let text = std::fs::read_to_string(path);
                let text =
                    text.map_err(|source| LinkError::Token { path: path.clone(), source })?;
                Ok(text.trim().to_owned())
            }
        }
    }

    fn checked(&self, answer: reqwest::Result<Response>) -> Result<Response, LinkError> {
        let response = answer.map_err(|error| {
            let reason = reason(&error.without_url());
            LinkError::Unreachable { url: self.url.clone(), reason }
        })?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(LinkError::Status(response.status()))
        }
    }
}

/// Whether control is on this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// What went wrong, and what that came from.
fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ").chars().take(REASON_MAX_CHARACTERS).collect()
}

/// The events of a feed.
pub(super) struct Events {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    inflate: Option<Inflate>,
    parser: Parser,
}

impl Events {
    fn of(response: Response) -> Result<Self, LinkError> {
        let coding = response.headers().get(CONTENT_ENCODING).map(|coding| coding.as_bytes());
        let inflate = match coding {
            None | Some(b"identity") => None,
            Some(b"zstd") => Some(Inflate::new()?),
            Some(_) => return Err(LinkError::Stream("it has an unknown coding".to_owned())),
        };
        Ok(Self { body: response.bytes_stream().boxed(), inflate, parser: Parser::default() })
    }

    /// Waits for events, and puts them in `events`, with those that have come as well, until they are many. What came
    /// before an error is there.
    pub(super) async fn next(&mut self, events: &mut Vec<Event>) -> Result<(), LinkError> {
        while events.is_empty() {
            let piece = self.body.next().await;
            self.take(piece, events)?;
        }
        while events.len() < BATCH_MAX
            && let Some(piece) = self.body.next().now_or_never()
        {
            self.take(piece, events)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        piece: Option<reqwest::Result<Bytes>>,
        events: &mut Vec<Event>,
    ) -> Result<(), LinkError> {
        let piece = piece.ok_or(LinkError::Ended)?;
        let piece = piece.map_err(|error| LinkError::Stream(reason(&error.without_url())))?;
        let Self { inflate, parser, .. } = self;
        match inflate {
            Some(inflate) => inflate.take(&piece, |bytes| Ok(parser.take(bytes, events)?)),
            None => Ok(parser.take(&piece, events)?),
        }
    }
}

impl From<TooLong> for LinkError {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}

impl From<std::io::Error> for LinkError {
    fn from(error: std::io::Error) -> Self {
        Self::Stream(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Failed(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn a_reason_has_its_causes() {
        let cause = Failed("connection refused", None);
        assert_eq!(
            reason(&Failed("can't send", Some(Box::new(cause)))),
            "can't send: connection refused"
        );
        let long = Failed("\u{fc}".repeat(500).leak(), None);
        assert_eq!(reason(&long).chars().count(), REASON_MAX_CHARACTERS);
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        let check = |url: &str, expected| {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        };
        check("http://127.0.0.1:7070", true);
        check("http://127.8.0.1", true);
        check("http://[::1]:7070", true);
        check("http://localhost:7070/x", true);
        check("https://control.example.com", false);
        check("http://10.0.0.1", false);
    }
}
