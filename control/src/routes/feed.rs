//! `/v1/feed`: what edges follow.

use crate::feed::encoding::Encoding;
use crate::feed::follower::Follower;
use crate::input::Call;
use crate::problem::Error;
use crate::router::App;
use api::id::LogId;
use api::token::Scope;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use std::sync::Arc;

/// Follow the feed
///
/// Server-sent events that do not end: `hello`, then each `entry` in order, then `current` when the follower has
/// everything, which comes again every 5 seconds. Entries that a later one about the same subject replaces may be left
/// out, and for who begins anew, purges and removals up to the number in `hello` too. Where `Accept-Encoding` names `zstd`, the
/// stream is frames of Zstandard, each with whole events.
#[utoipa::path(get, path = "/v1/feed", tag = "edges", operation_id = "followFeed",
    params(
        ("after" = Option<u64>, Query, description = "The number of the last entry the follower has; 0 where absent."),
        ("Accept-Encoding" = Option<String>, Header, description = "`zstd` has the stream compressed."),
        ("log" = Option<String>, Query, description = "The log that `after` counts in. Where it is another than this one, everything is sent anew.")),
    responses((status = 200, description = "The stream.", body = String, content_type = "text/event-stream")),
    security(("token" = ["edge"])))]
pub(crate) async fn follow(State(app): State<Arc<App>>, call: Call) -> Result<Response, Error> {
    let query = call.allow(Scope::Edge, &["after", "log"])?;
    let after = query.parse("after", |_| true, "a number")?.unwrap_or(0);
    let log: Option<LogId> = query.parse("log", |_| true, "the id of a log")?;
    let encoding = Encoding::of(&call.headers);
    let follower = Follower::new(app, call.caller.token, encoding, after, log.as_ref()).await?;
    let body = Body::from_stream(follower.into_stream());
    let mut response = ([(CONTENT_TYPE, "text/event-stream")], body).into_response();
    let coding = encoding.name().map(|name| (CONTENT_ENCODING, HeaderValue::from_static(name)));
    response.headers_mut().extend(coding);
    response.headers_mut().insert(VARY, HeaderValue::from(ACCEPT_ENCODING));
    Ok(response)
}
