//! The request for one slice: what it is told, what it tells, and its response as it arrives.

use crate::stage::deliver::Handling;
use crate::stage::reuse::Kept;
use crate::stage::slice::Slice;
use bytes::Bytes;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::subrequest::server::SubrequestHandle;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use pingora_proxy::subrequest::Ctx;
use semantics::cache_status::CacheStatus;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

/// What the request for a slice knows of the request that it is made for, and tells it.
#[derive(Clone)]
pub(crate) struct SliceRequest {
    pub(crate) slice: Slice,
    answer: Arc<Telling>,
}

/// What the request for a slice tells the request that it is made for, before its head is written.
#[derive(Default)]
struct Telling {
    told: OnceLock<Told>,
    refused: OnceLock<&'static str>,
}

/// How a slice was come by.
#[derive(Clone, Copy)]
pub(crate) enum Told {
    /// The store or the origin answered.
    Answered {
        handling: Handling,
        status: CacheStatus<'static>,
        response_time: SystemTime,
        /// What is kept beside it, where it is stored now.
        kept: Option<Kept>,
    },
    /// It failed here: the `error` token of Proxy-Status.
    Failed(&'static str),
}

impl SliceRequest {
    /// The slice that this request is for; none for a client's request.
    pub(crate) fn of(session: &Session) -> Option<Self> {
        session.subrequest_ctx.as_ref()?.user_ctx()?.downcast_ref::<Self>().cloned()
    }

    /// Tells how the slice was come by, before its head is written.
    pub(crate) fn tell(&self, told: Told) {
        // told twice, for an answer that failed before it was written: the first reason is the reason
        self.answer.told.set(told).ok();
    }

    /// Tells that the slice may not be stored, for a reason that holds for the next ones too.
    pub(crate) fn refuse(&self, reason: &'static str) {
        // the first reason is the reason
        self.answer.refused.set(reason).ok();
    }
}

/// A slice on its way.
pub(super) struct Arriving {
    pub(super) head: ResponseHeader,
    pub(super) told: Option<Told>,
    /// Why slices of this name may not be stored.
    pub(super) refused: Option<&'static str>,
    handle: SubrequestHandle,
    ended: bool,
}

/// A slice that was asked for, and comes whether or not it is waited for.
pub(super) struct Asked {
    answer: Arc<Telling>,
    handle: SubrequestHandle,
}

impl Asked {
    pub(super) fn ask(session: &Session, slice: Slice) -> Result<Self> {
        let spawner = session.subrequest_spawner.as_ref().ok_or_else(broken_off)?;
        let answer = Arc::new(Telling::default());
        let request = SliceRequest { slice, answer: Arc::clone(&answer) };
        let context = Ctx::builder().user_ctx(Box::new(request)).build();
        let (prepared, handle) = spawner.create_subrequest(session.as_downstream(), context);
        tokio::spawn(prepared.run());
        Ok(Self { answer, handle })
    }

    /// Waits for its head.
    pub(super) async fn arrives(self) -> Result<Arriving> {
        let Self { answer, mut handle } = self;
        loop {
            match handle.rx.recv().await {
                Some(HttpTask::Header(head, ended)) if !head.status.is_informational() => {
                    let (told, refused) = (answer.told.get(), answer.refused.get());
                    let (told, refused) = (told.copied(), refused.copied());
                    return Ok(Arriving { head: *head, told, refused, handle, ended });
                }
                Some(HttpTask::Header(..)) => {}
                Some(HttpTask::Failed(error)) => return Err(error),
                Some(_) | None => return Err(broken_off()),
            }
        }
    }
}

impl Arriving {
    /// The next piece of its body. None at the end; an error where it breaks off before.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
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
                Some(HttpTask::Failed(error)) => return Err(error),
                Some(HttpTask::Header(..) | HttpTask::UpgradedBody(..)) | None => {
                    return Err(broken_off());
                }
            };
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

pub(super) fn broken_off() -> Box<Error> {
    Error::explain(ErrorType::ReadError, "a slice broke off").into_up()
}
