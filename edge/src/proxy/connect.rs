//! The connection to an origin: what it needs, whether it is the right one, and what is done where none comes about.

use super::Edge;
use crate::clock;
use crate::context::Context;
use crate::origin::Agreement;
use crate::rarely::Rarely;
use crate::stage::fail;
use crate::stage::forward::{self, Shown};
use api::id::CertificateId;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::utils::tls::CertKey;
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use route::{Origin, Trust};
use std::io;
use std::sync::Arc;

/// How often a request is sent again where an HTTP/2 connection that was kept open takes no new one.
const STREAM_TRIES_MAX: usize = 3;

/// When a certificate that was not accepted was told of last.
static TOLD: Rarely = Rarely::new();

impl Edge {
    /// The connection to ask the origin on.
    pub(super) fn peer(&self, session: &Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let address = ctx.forward.address().ok_or_else(|| Error::new(fail::DNS_ERROR))?;
        let origin = ctx.origin()?;
        let request = session.req_header();
        ctx.forward.agreement = forward::is_upgrade(&request.method, &request.headers)
            .then(|| Arc::new(Agreement::new(origin.read_timeout, self.websocket_idle_timeout)));
        let shown = match &origin.trust {
            Some(trust) => self.shown(&origin, trust, ctx)?,
            None => Shown::default(),
        };
        let websocket = ctx.forward.agreement.as_ref();
        Ok(Box::new(forward::peer(&origin, address, shown, websocket)))
    }

    fn shown(&self, origin: &Origin, trust: &Trust, ctx: &Context) -> Result<Shown> {
        let authorities = self.authorities.of(trust).map_err(|error| {
            tracing::warn!(origin.name = %origin.name, "{error}");
            Error::because(fail::NO_CERTIFICATE, "reading tls.ca", error).into_in()
        })?;
        let certificate = match &trust.client_certificate {
            Some(id) => Some(client_certificate(id, ctx).ok_or_else(|| {
                if TOLD.is_time(clock::steady()) {
                    tracing::warn!(origin.name = %origin.name, certificate.id = %id,
                        "the certificate that an origin is to be shown is not known here, or can't be used");
                }
                Error::new_in(fail::NO_CERTIFICATE)
            })?),
            None => None,
        };
        Ok(Shown { authorities, certificate })
    }

    /// Refuses an origin that shows another certificate than it may have, before anything is sent.
    pub(super) fn check_pins(digest: Option<&Digest>, ctx: &Context) -> Result<()> {
        let origin = ctx.origin()?;
        let Some(trust) = origin.trust.as_ref().filter(|trust| !trust.pins.is_empty()) else {
            return Ok(());
        };
        let tls = digest.and_then(|digest| digest.ssl_digest.as_ref());
        if tls.is_some_and(|tls| trust.is_pinned(&tls.cert_digest)) {
            return Ok(());
        }
        if TOLD.is_time(clock::steady()) {
            tracing::warn!(origin.name = %origin.name, certificate.problem = "not_pinned",
                "an origin's certificate is not accepted");
        }
        Err(Error::new_up(fail::NOT_PINNED))
    }

    /// Decides whether another address is tried, or a kept connection that takes no more requests is left.
    pub(super) fn after_failed_connect(
        &self,
        mut error: Box<Error>,
        ctx: &mut Context,
    ) -> Box<Error> {
        self.telemetry.metrics.origin_connect_failure();
        if let Some(problem) = forward::certificate_problem(&error)
            && TOLD.is_time(clock::steady())
        {
            let name = ctx.asked_origin().map(|origin| &*origin.name).unwrap_or_default();
            tracing::warn!(origin.name = name, certificate.problem = problem, %error,
                "an origin's certificate is not accepted");
        }
        // nothing was sent, so trying again is safe for every method
        if *error.etype() == ErrorType::H2Error && ctx.forward.stream_tries < STREAM_TRIES_MAX {
            ctx.forward.stream_tries += 1;
            error.set_retry(true);
            return error;
        }
        ctx.forward.tries += 1;
        error.set_retry(ctx.forward.tries < ctx.forward.addresses.len().min(forward::TRIES_MAX));
        error
    }

    /// Notes that the origin has agreed to a WebSocket. From here on, the connection to it keeps time for both.
    pub(super) fn begin_websocket(&self, session: &mut Session, ctx: &mut Context) {
        if let Some(agreement) = &ctx.forward.agreement {
            agreement.reach();
            ctx.forward.websocket = Some(self.telemetry.metrics.websocket_opened());
            session.as_downstream_mut().set_read_timeout(None);
        }
    }
}

/// The certificate that an origin is shown.
fn client_certificate(id: &CertificateId, ctx: &Context) -> Option<Arc<CertKey>> {
    ctx.snapshot.certificates.get(id.as_str())?.shown().cloned()
}

/// Names what Pingora sees as a failure to read: an origin that didn't agree to a WebSocket in time.
pub(super) fn name_timeout(mut error: Box<Error>, ctx: &Context) -> Box<Error> {
    let timed_out = |error: &Error| {
        let cause = error.root_cause().downcast_ref::<io::Error>();
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
    };
    if ctx.forward.agreement.is_some() && timed_out(&error) {
        error.etype = ErrorType::ReadTimedout;
    }
    error
}
