//! Cloudflare's API for DNS, version 4: the zone of a name is looked up, a TXT record is made in it, and removed.

use super::{Record, trouble};
use crate::acme::domain::Trouble;
use crate::acme::words::shown;
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_MAX_BYTES: usize = 1_048_576;
const TOKEN_MAX_BYTES: usize = 1_024;
/// Seconds that resolvers may keep the record; the least that the API takes.
const TTL_SECONDS: u32 = 60;

/// The API, and a token for it.
pub(crate) struct Cloudflare {
    client: Client,
    url: Url,
    /// Read each time: a token that was replaced is used at once, and none is in memory for long.
    token_file: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    errors: Vec<Reason>,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

impl Cloudflare {
    /// The API at `url`.
    pub(crate) fn new(url: &Url, token_file: PathBuf) -> reqwest::Result<Self> {
        let client = Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        Ok(Self { client: client.build()?, url: url.clone(), token_file })
    }

    /// Makes the record, unless it is there.
    pub(crate) async fn present(&self, record: &Record) -> Result<(), Trouble> {
        let zone = self.zone(&record.name).await?;
        if !self.records(&zone, record).await?.is_empty() {
            return Ok(());
        }
        let body = json!({
            "type": "TXT", "name": record.name, "content": format!("\"{}\"", record.value),
            "ttl": TTL_SECONDS, "comment": "ACME challenge of Longshore",
        });
        let path = ["zones", &zone, "dns_records"];
        self.ask(Method::POST, &path, &[], Some(&body)).await.map(|_| ())
    }

    /// Removes the record, wherever it stands.
    pub(crate) async fn cleanup(&self, record: &Record) -> Result<(), Trouble> {
        let zone = self.zone(&record.name).await?;
        for id in self.records(&zone, record).await? {
            self.ask(Method::DELETE, &["zones", &zone, "dns_records", &id], &[], None).await?;
        }
        Ok(())
    }

    /// The zone that has `name`: the longest one whose name it ends in.
    async fn zone(&self, name: &str) -> Result<String, Trouble> {
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if !parent.contains('.') {
                break;
            }
            let found = self.ask(Method::GET, &["zones"], &[("name", parent)], None).await?;
            if let Some(zone) = named(found)?.into_iter().next() {
                return Ok(zone);
            }
            rest = parent;
        }
        Err(trouble(format!("Cloudflare has no zone for {name} that the token may see")))
    }

    async fn records(&self, zone: &str, record: &Record) -> Result<Vec<String>, Trouble> {
        let query = [("type", "TXT"), ("name", &record.name)];
        let path = ["zones", zone, "dns_records"];
        let found = self.ask(Method::GET, &path, &query, None).await?;
        let has_value = |found: &Value| {
            let content = found.get("content").and_then(Value::as_str).unwrap_or_default();
            content.trim_matches('"') == record.value
        };
        let Value::Array(found) = found else { return Ok(Vec::new()) };
        named(Value::Array(found.into_iter().filter(has_value).collect()))
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url).bearer_auth(self.token().await?);
        if let Some(body) = body {
            request = request.json(body);
        }
        read(request).await
    }

    async fn token(&self) -> Result<String, Trouble> {
        let path = self.token_file.display();
        let text = tokio::fs::read_to_string(&self.token_file).await;
        let text = text.map_err(|error| trouble(format!("cannot read `{path}`: {error}")))?;
        let token = text.trim();
        let is_right = (1..=TOKEN_MAX_BYTES).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if is_right {
            return Ok(token.to_owned());
        }
        Err(trouble(format!("`{path}` must have a token of at most {TOKEN_MAX_BYTES} characters")))
    }
}

async fn read(request: reqwest::RequestBuilder) -> Result<Value, Trouble> {
    let failed = |error: reqwest::Error| {
        trouble(format!("Cloudflare's API cannot be reached: {}", error.without_url()))
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut whole = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if whole.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(trouble("Cloudflare's answer is too long"));
        }
        whole.extend_from_slice(&chunk);
    }
    let answer: Option<Answer> = serde_json::from_slice(&whole).ok();
    match answer {
        Some(answer) if answer.success && status.is_success() => Ok(answer.result),
        Some(answer) => {
            let reasons: Vec<String> = answer
                .errors
                .iter()
                .map(|reason| format!("{} ({})", shown(&reason.message), reason.code))
                .collect();
            Err(trouble(format!("Cloudflare refuses with {status}: {}", reasons.join(", "))))
        }
        None => Err(trouble(format!("Cloudflare answers {status} and nothing readable"))),
    }
}

fn named(found: Value) -> Result<Vec<String>, Trouble> {
    let named: Result<Vec<Named>, _> = serde_json::from_value(found);
    let named = named.map_err(|_| trouble("Cloudflare's answer has no ids"))?;
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Ok(named.into_iter().map(|named| named.id).filter(|id| is_id(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::{Query, State};
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::{delete, get};
    use axum::{Json, Router};
    use std::collections::{BTreeMap, HashMap};
    use std::sync::{Arc, Mutex};

    /// The part of the API that is used, with one zone.
    #[derive(Default)]
    struct Api {
        records: Mutex<BTreeMap<String, Value>>,
        asked: Mutex<Vec<String>>,
    }

    fn result(value: &Value) -> (StatusCode, Json<Value>) {
        (StatusCode::OK, Json(json!({ "success": true, "errors": [], "result": value })))
    }

    async fn zones(
        State(api): State<Arc<Api>>,
        headers: HeaderMap,
        Query(query): Query<HashMap<String, String>>,
    ) -> (StatusCode, Json<Value>) {
        api.asked.lock().unwrap().push(query["name"].clone());
        if headers["authorization"] != "Bearer right" {
            let errors = json!([{ "code": 9_109, "message": "Invalid access token" }]);
            let body = json!({ "success": false, "errors": errors, "result": null });
            return (StatusCode::FORBIDDEN, Json(body));
        }
        let found = query["name"] == "example.com";
        result(&if found { json!([{ "id": "z1", "name": "example.com" }]) } else { json!([]) })
    }

    async fn list(State(api): State<Arc<Api>>) -> (StatusCode, Json<Value>) {
        result(&json!(api.records.lock().unwrap().values().collect::<Vec<_>>()))
    }

    async fn make(
        State(api): State<Arc<Api>>,
        Json(mut body): Json<Value>,
    ) -> (StatusCode, Json<Value>) {
        let mut records = api.records.lock().unwrap();
        let id = format!("r{}", records.len());
        body["id"] = json!(id);
        records.insert(id, body.clone());
        result(&body)
    }

    async fn remove(
        State(api): State<Arc<Api>>,
        axum::extract::Path((_, id)): axum::extract::Path<(String, String)>,
    ) -> (StatusCode, Json<Value>) {
        api.records.lock().unwrap().remove(&id);
        result(&json!({ "id": id }))
    }

    async fn start(token: &str) -> (tempfile::TempDir, Arc<Api>, Cloudflare) {
        let api = Arc::new(Api::default());
        let router = Router::new()
            .route("/v4/zones", get(zones))
            .route("/v4/zones/z1/dns_records", get(list).post(make))
            .route("/v4/zones/{zone}/dns_records/{record}", delete(remove))
            .with_state(Arc::clone(&api));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v4", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let service = hyper_util::service::TowerToHyperService::new(router);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let io = hyper_util::rt::TokioIo::new(stream);
                let service = service.clone();
                let serve = hyper::server::conn::http1::Builder::new();
                tokio::spawn(async move { serve.serve_connection(io, service).await });
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, format!("{token}\n")).unwrap();
        let cloudflare = Cloudflare::new(&url.parse().unwrap(), file).unwrap();
        (directory, api, cloudflare)
    }

    #[tokio::test]
    async fn a_record_is_made_once_in_the_zone_of_its_name_and_removed() {
        let (_directory, api, cloudflare) = start("right").await;
        let record = Record::new("*.shop.example.com", "value".to_owned());
        cloudflare.present(&record).await.unwrap();
        cloudflare.present(&record).await.unwrap();
        let records = api.records.lock().unwrap().clone();
        assert_eq!(records.len(), 1);
        let made = &records["r0"];
        assert_eq!(made["name"], "_acme-challenge.shop.example.com");
        assert_eq!(made["content"], "\"value\"");
        assert_eq!(api.asked.lock().unwrap()[..2], ["shop.example.com", "example.com"]);
        let other = Record::new("shop.example.com", "other".to_owned());
        cloudflare.cleanup(&other).await.unwrap();
        assert_eq!(api.records.lock().unwrap().len(), 1);
        cloudflare.cleanup(&record).await.unwrap();
        assert!(api.records.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn refusals_are_told() {
        let (_directory, _api, cloudflare) = start("wrong").await;
        let record = Record::new("a.example.com", "v".to_owned());
        let found = cloudflare.present(&record).await.unwrap_err().detail;
        assert_eq!(found, "Cloudflare refuses with 403 Forbidden: Invalid access token (9109)");
        let (_directory, _api, cloudflare) = start("right").await;
        let record = Record::new("a.example.org", "v".to_owned());
        let found = cloudflare.present(&record).await.unwrap_err().detail;
        assert!(found.starts_with("Cloudflare has no zone for _acme-challenge.a.example.org"));
        let (_directory, _api, cloudflare) = start("").await;
        assert!(
            cloudflare.present(&record).await.unwrap_err().detail.contains("must have a token")
        );
    }
}
