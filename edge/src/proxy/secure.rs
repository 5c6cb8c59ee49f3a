//! What the connection of a request has to do with its answer: challenges of authorities, the way to TLS, and who the client
//! is by its certificate.

use super::Edge;
use crate::answer;
use crate::context::Context;
use crate::listen::Connection;
use crate::stage::entrance::Entrance;
use crate::stage::shield::CLIENT_CERT;
use crate::tls::{self, HTTP_PATH};
use http::{HeaderName, Method};
use pingora_error::Result;
use pingora_proxy::Session;
use route::Host;

/// With [`CLIENT_CERT`], what tells an origin of a client's certificate (RFC 9440).
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

const HTTPS_PORT: u16 = 443;

/// How a request came in. What another edge asks for, it has asked its client about.
pub(super) fn entrance<'s>(session: &'s Session, ctx: &Context) -> Entrance<'s> {
    match Connection::of(session.as_downstream()) {
        Some(connection) if !ctx.asking.is_edge() => Entrance::of(connection),
        _ => Entrance::Inside,
    }
}

/// Tells the origin of the certificate that a client has shown, and of none that it only says it has.
pub(super) fn tell_of_client(session: &mut Session, ctx: &Context) {
    let field = match entrance(session, ctx) {
        Entrance::Inside => return,
        Entrance::Open => None,
        Entrance::Secure(secure) => {
            secure.client_certificate.as_ref().map(|shown| shown.field.clone())
        }
    };
    let head = session.req_header_mut();
    for name in [&CLIENT_CERT, &CLIENT_CERT_CHAIN] {
        head.remove_header(name);
    }
    if let Some(field) = field {
        // the name is one that any head can have
        head.insert_header(CLIENT_CERT, field).ok();
    }
}

impl Edge {
    /// Answers an authority that wants to see who has a host (RFC 8555 §8.3), whether or not a site serves it. False
    /// where it asks for something else.
    pub(super) async fn answers_challenge(
        &self,
        session: &mut Session,
        ctx: &mut Context,
    ) -> Result<bool> {
        let challenges = &ctx.snapshot.challenges;
        let request = session.req_header();
        let path = request.uri.path();
        let reads = [Method::GET, Method::HEAD].contains(&request.method);
        if challenges.is_empty() || !reads || !path.starts_with(HTTP_PATH) {
            return Ok(false);
        }
        let Some(identity) = &ctx.identity else { return Ok(false) };
        let now = tls::seconds(ctx.received.wall);
        let found = challenges.http(identity.host.name(), path, now);
        let Some(body) = found.map(|body| body.as_bytes().to_vec()) else { return Ok(false) };
        answer::told(session, (200, "application/octet-stream", body)).await?;
        Ok(true)
    }

    /// Where a request is to be sent again, over TLS.
    pub(super) fn secure_location(&self, host: &Host, target: &str) -> String {
        let name = host.name();
        match self.https_port {
            HTTPS_PORT => format!("https://{name}{target}"),
            port => format!("https://{name}:{port}{target}"),
        }
    }
}
