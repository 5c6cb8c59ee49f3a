//! Talks to control: opens its feed, and sends it reports.

use api::edge::EdgeReport;
use api::id::{EdgeId, LogId};
use reqwest::{Client, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPORT_TIMEOUT: Duration = Duration::from_secs(10);

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
    #[error("control ended the stream")]
    Ended,
    #[error("the stream broke: {0}")]
    Stream(String),
    #[error("control sent what can't be understood: {0}")]
    Format(#[from] serde_json::Error),
}

/// Where a token comes from.
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
        let url = url
            .parse()
            .map_err(|error| anyhow::anyhow!("`control.url` `{url}` is no URL: {error}"))?;
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).build()?;
        Ok(Self { client, url, token })
    }

    pub(super) async fn open_feed(
        &self,
        after: u64,
        log: Option<&LogId>,
    ) -> Result<Response, LinkError> {
        let mut url = self.at("v1/feed");
        url.query_pairs_mut().append_pair("after", &after.to_string());
        if let Some(log) = log {
            url.query_pairs_mut().append_pair("log", log.as_str());
        }
        let request = self.client.get(url).bearer_auth(self.token()?);
        self.checked(request.send().await)
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
            let mut reason = error.without_url().to_string();
            reason.truncate(200);
            LinkError::Unreachable { url: self.url.clone(), reason }
        })?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(LinkError::Status(response.status()))
        }
    }
}

pub(super) fn parse<T: DeserializeOwned>(data: &str) -> Result<T, LinkError> {
    Ok(serde_json::from_str(data)?)
}
