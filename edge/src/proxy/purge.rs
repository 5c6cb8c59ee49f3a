//! The PURGE method, as clients of Varnish and Fastly send it: handed on to control with the caller's own token.
//!
//! `Surrogate-Key`, `xkey` and `Cache-Tag` name tags; without them it is the URL that is purged. The token goes to
//! control only.

use crate::answer;
use crate::clock;
use crate::context::Context;
use crate::feed::Link;
use crate::rarely::Rarely;
use crate::stage::fail::Failure;
use crate::stage::identify::Identity;
use api::id::SiteId;
use api::problem::{MEDIA_TYPE, ProblemDetails};
use api::purge::{Mode, PurgeAccepted, PurgeRequest};
use http::{HeaderMap, Uri, header};
use pingora_error::Result;
use pingora_proxy::Session;
use semantics::fields::TAG_FIELDS;
use serde_json::json;
use tokio::sync::Semaphore;

static NOT_HANDED_ON: Rarely = Rarely::new();

/// Purges that control is being asked for at a time.
const AT_ONCE: usize = 64;
/// The method's name.
const METHOD: &str = "PURGE";
const JSON: &str = "application/json";
/// Fields that ask for a soft purge with the value 1.
const SOFT: [&str; 2] = ["fastly-soft-purge", "soft-purge"];

/// Who hands purges on.
pub(crate) struct Purging {
    link: Link,
    places: Semaphore,
}

/// What is answered: status, media type and body.
type Told = (u16, &'static str, Vec<u8>);

impl Purging {
    /// By a link that has no token of its own.
    pub(crate) fn new(link: Link) -> Self {
        Self { link, places: Semaphore::new(AT_ONCE) }
    }

    /// Whether a request is one to be handed on.
    pub(super) fn is_asked(session: &Session) -> bool {
        session.req_header().method.as_str() == METHOD
    }

    /// Has control purge what the request names of its site, and answers.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        site_id: &SiteId,
        ctx: &mut Context,
    ) -> Result<()> {
        let Some(identity) = &ctx.identity else { return Ok(()) };
        let request = session.req_header();
        let told = match (token(&request.headers), session.as_downstream_mut().is_body_done()) {
            (_, false) => problem(400, "a PURGE has no body"),
            (None, true) => {
                problem(401, "a token is needed: `Authorization: Bearer …` or `Fastly-Key`")
            }
            (Some(token), true) => {
                let request = session.req_header();
                let asked = request_of(identity, &request.uri, &request.headers);
                self.ask(site_id, &token, &asked).await
            }
        };
        ctx.failure = (told.0 >= 400).then_some(Failure::Method.reply().1);
        answer::told(session, told).await
    }

    async fn ask(&self, site_id: &SiteId, token: &str, asked: &PurgeRequest) -> Told {
        let Ok(_place) = self.places.try_acquire() else {
            return problem(503, "too many purges are under way");
        };
        match self.link.purge(site_id, token, asked).await {
            Ok((status, body)) if (200..300).contains(&status) => {
                match serde_json::from_slice::<PurgeAccepted>(&body) {
                    Ok(PurgeAccepted { seq }) => {
                        let ok = json!({ "status": "ok", "id": seq.to_string() });
                        (200, JSON, ok.to_string().into_bytes())
                    }
                    Err(_) => problem(502, "control answered what can't be understood"),
                }
            }
            Ok((status, body)) => (status, MEDIA_TYPE, body),
            Err(error) => {
                if NOT_HANDED_ON.is_time(clock::steady()) {
                    tracing::warn!("a purge was not handed on: {error}");
                }
                problem(503, "control can't be reached")
            }
        }
    }
}

/// The caller's own.
fn token(fields: &HeaderMap) -> Option<String> {
    let text = |name: &str| fields.get(name)?.to_str().ok().map(str::trim);
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| text("fastly-key")).filter(|token| !token.is_empty()).map(str::to_owned)
}

/// What a PURGE asks for.
fn request_of(identity: &Identity, uri: &Uri, fields: &HeaderMap) -> PurgeRequest {
    let lines = TAG_FIELDS
        .iter()
        .flat_map(|name| fields.get_all(name))
        .filter_map(|value| value.to_str().ok());
    let tags = lines.flat_map(|line| line.split([',', ' ', '\t'])).filter(|tag| !tag.is_empty());
    let tags: Vec<String> = tags.map(str::to_owned).collect();
    let named_tags = TAG_FIELDS.iter().any(|name| fields.contains_key(name));
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let url = format!("{}://{}{target}", identity.scheme.as_str(), identity.host.authority());
    let urls = if named_tags { Vec::new() } else { vec![url] };
    let is_soft = SOFT.iter().any(|name| fields.get(*name).is_some_and(|value| value == "1"));
    let mode = if is_soft { Mode::Soft } else { Mode::Hard };
    PurgeRequest { tags, urls, mode, ..PurgeRequest::default() }
}

fn problem(status: u16, detail: &str) -> Told {
    let title =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let problem = ProblemDetails::new(status, title.unwrap_or_default()).detail(detail);
    (status, MEDIA_TYPE, serde_json::to_vec(&problem).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing;

    fn check(fields: &[(&'static str, &'static str)], urls: &[&str], tags: &[&str], mode: Mode) {
        let identity = testing::identity("a.example:81");
        let asked = request_of(&identity, &"/x?y".parse().unwrap(), &testing::fields(fields));
        assert_eq!(
            (asked.urls, asked.tags.iter().map(String::as_str).collect::<Vec<_>>(), asked.mode),
            (urls.iter().map(|url| (*url).to_owned()).collect(), tags.to_vec(), mode),
            "{fields:?}"
        );
    }

    #[test]
    fn a_purge_is_of_the_url_or_of_tags() {
        check(&[], &["http://a.example:81/x?y"], &[], Mode::Hard);
        check(&[("surrogate-key", "a b"), ("xkey", "c,d")], &[], &["a", "b", "c", "d"], Mode::Hard);
        check(&[("fastly-soft-purge", "1"), ("cache-tag", "a")], &[], &["a"], Mode::Soft);
        // tags that name nothing don't make it one of the URL
        check(&[("surrogate-key", " "), ("soft-purge", "0")], &[], &[], Mode::Hard);
    }

    #[test]
    fn the_token_is_the_callers() {
        let of = |fields: &[(&'static str, &'static str)]| token(&testing::fields(fields));
        assert_eq!(of(&[("authorization", "bearer  t")]).as_deref(), Some("t"));
        assert_eq!(of(&[("fastly-key", "k")]).as_deref(), Some("k"));
        assert_eq!(of(&[("authorization", "Basic eDp5")]), None);
        assert_eq!(of(&[("authorization", "Bearer ")]), None);
    }
}
