//! Requests to the admin address of one edge.

use crate::args::AtEdge;
use crate::failure::Failure;
use crate::settings::{Given, edge_admin};
use api::explain::FieldLine;
use api::problem::ProblemDetails;
use reqwest::{Client, RequestBuilder, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A page of a large store takes a while.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One edge.
pub(crate) struct Edge {
    http: Client,
    at: Url,
}

impl Edge {
    /// The edge that was named, or else the one `longshore up` started.
    pub(crate) fn at(edge: &AtEdge, given: &Given) -> Result<Self, Failure> {
        let at = edge_admin(edge.edge.as_deref(), given)?;
        let http = Client::builder().no_proxy().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
        let http = http.build().map_err(|error| Failure::failed("no HTTP client", error))?;
        Ok(Self { http, at })
    }

    /// Asks what is at `path`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.send(self.http.get(url)).await
    }

    /// Asks what is said at `path` of `body`.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.send(self.http.post(self.url(path)?).json(body)).await
    }

    fn text(&self) -> &str {
        self.at.as_str().trim_end_matches('/')
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        let text = format!("{}/{path}", self.text());
        Url::parse(&text).map_err(|_| Failure::usage(format!("`{text}` is no URL")))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        // the address is in the message already
        let failed = |error: reqwest::Error| {
            Failure::failed(format!("can't ask the edge at {}", self.text()), error.without_url())
        };
        let answer = request.send().await.map_err(failed)?;
        if answer.status().is_success() {
            return answer.json().await.map_err(failed);
        }
        let problem = answer.json::<ProblemDetails>().await.map_err(failed)?;
        Err(Failure::Refused { problem: Box::new(problem), file: None })
    }
}

/// A field line as it is typed.
pub(crate) fn field(line: &str) -> Result<FieldLine, Failure> {
    let refuse = || Failure::usage(format!("`{line}` is no field line (`Name: value`)"));
    let (name, value) = line.split_once(':').ok_or_else(refuse)?;
    Ok(FieldLine { name: name.trim().to_owned(), value: value.trim().to_owned() })
}
