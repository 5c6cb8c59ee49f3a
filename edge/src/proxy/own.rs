//! Requests that this edge makes of itself, when nobody asks: each passes all stages, as a client's would.
//!
//! They count with the origin only, as fetches in the background do, and are in no access log. No client can make one:
//! what tells them apart is no part of a message.

use super::{Edge, begin};
use crate::stage::identify::Scheme;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderValue};
use pingora_core::protocols::http::subrequest::server::SubrequestHandle;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_proxy::subrequest::Ctx;
use pingora_proxy::{HttpProxy, Session, SubrequestSpawner};
use semantics::directives::RequestDirectives;
use semantics::policy::CachePolicy;
use std::io::Cursor;
use std::sync::Arc;

/// How a request of this edge's own is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// From the store where something fresh is there.
    Stored,
    /// By what the origin says now.
    Anew,
}

impl Own {
    /// Whether a request is this edge's own.
    pub(super) fn of(session: &Session) -> Option<Self> {
        session.subrequest_ctx.as_ref()?.user_ctx()?.downcast_ref::<Self>().copied()
    }

    /// What it asks of the store, whatever the rule makes of what clients ask; none where that is what any client does.
    pub(super) fn asks(self) -> Option<RequestDirectives> {
        let mut fields = HeaderMap::new();
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        (self == Self::Anew).then(|| RequestDirectives::read(&fields, &CachePolicy::STANDARD))
    }
}

/// A GET of this edge's own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Get<'g> {
    pub(crate) scheme: Scheme,
    pub(crate) authority: &'g str,
    /// Path and query.
    pub(crate) target: &'g str,
    pub(crate) accept_encoding: &'static str,
    pub(crate) own: Own,
}

/// Why there is no answer, or not the whole.
#[derive(Debug, thiserror::Error)]
#[error("the exchange failed")]
pub(crate) struct BrokenOff;

/// The answer to a GET of this edge's own, as it arrives. To drop it is to leave, as a client would.
pub(crate) struct Answer {
    pub(crate) status: http::StatusCode,
    handle: SubrequestHandle,
    ended: bool,
}

impl Get<'_> {
    /// Makes the request, and waits for the head of its answer.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn send(self, app: &Arc<HttpProxy<Edge>>) -> Result<Answer, BrokenOff> {
        let Self { scheme, authority, target, accept_encoding, own } = self;
        let head = format!(
            "GET {}://{authority}{target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: longshore-edge\r\nAccept: */*\r\nAccept-Encoding: {accept_encoding}\r\n\r\n",
            scheme.as_str()
        );
        let mut session = ServerSession::new_http1(Box::new(Cursor::new(head.into_bytes())));
        if !session.read_request().await.unwrap_or_default() {
            return Err(BrokenOff);
        }
        begin::complete_target(session.req_header_mut());
        let spawner = SubrequestSpawner::new(Arc::clone(app) as _);
        let context = Ctx::builder().user_ctx(Box::new(own)).build();
        let (prepared, mut handle) = spawner.create_subrequest(&session, context);
        tokio::spawn(prepared.run());
        loop {
            match handle.rx.recv().await {
                Some(HttpTask::Header(head, ended)) if !head.status.is_informational() => {
                    return Ok(Answer { status: head.status, handle, ended });
                }
                Some(HttpTask::Header(..)) => {}
                Some(_) | None => return Err(BrokenOff),
            }
        }
    }
}

impl Answer {
    /// The next piece of the body. None at the end; an error where it breaks off before.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        while !self.ended {
            let bytes = match self.handle.rx.recv().await {
                Some(HttpTask::Body(bytes, ended)) => {
                    self.ended = ended;
                    bytes
                }
                Some(HttpTask::Trailer(_) | HttpTask::Done) => {
                    self.ended = true;
                    None
                }
                Some(HttpTask::Failed(_) | HttpTask::Header(..) | HttpTask::UpgradedBody(..))
                | None => return Err(BrokenOff),
            };
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}
