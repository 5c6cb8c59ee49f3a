//! Interim responses, and clients that wait for one: RFC 9110 §10.1.1, §15.2; RFC 8297.
//!
//! Pingora takes heads from the origin in batches, and drops a whole batch where the store answers in place of its
//! final head. So its copies of interim heads are always dropped, and the client is sent ours the moment a head is
//! there (docs/adr/0010-interim-responses.md).

use crate::context::Context;
use crate::listen::ClientStream;
use crate::stage::fail::Failure;
use bytes::BytesMut;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode, Version, header};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use route::Rule;
use semantics::fields::{CONSUMED_FIELDS, removed_when_forwarding};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

/// Interim responses to one request, and their bytes. An origin that sends more has no final one in mind.
const COUNT_MAX: usize = 64;
const BYTES_MAX: usize = 65_536;
/// How long a client that has its answer may take to go on with its body, or to close.
const LINGER: Duration = Duration::from_secs(5);

/// What has come before the final response.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Interim {
    pub(super) count: usize,
    bytes: usize,
    /// The client waits for a 100 before it sends its body.
    awaited: bool,
    /// The client has its whole answer, and has not sent its whole body.
    pub(super) settled: bool,
}

/// Takes a client's expectation out of the request: the origin is told of it by [`forward_expectation`]. An HTTP/1.0
/// client has none, and one without a body has nothing to wait with.
pub(super) fn take_expectation(session: &mut Session, ctx: &mut Context) -> Result<(), Failure> {
    // a 100 for a client that expects it is the one copy that this would let through
    session.as_downstream_mut().set_ignore_info_resp(true);
    if !session.req_header().headers.contains_key(header::EXPECT) {
        return Ok(());
    }
    let understood = is_understood(&session.req_header().headers);
    session.req_header_mut().remove_header(&header::EXPECT);
    if session.req_header().version == Version::HTTP_10 {
        return Ok(());
    }
    ctx.interim.awaited = understood && !session.as_downstream_mut().is_body_empty();
    if understood { Ok(()) } else { Err(Failure::Expectation) }
}

/// Whether all that a request expects is a 100.
pub(crate) fn is_understood(request: &HeaderMap) -> bool {
    let lines = request.get_all(header::EXPECT).iter();
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    members.all(|member| {
        let member = member.trim_ascii();
        member.is_empty() || member.eq_ignore_ascii_case(b"100-continue")
    })
}

/// Tells the origin that the client waits.
pub(super) fn forward_expectation(head: &mut RequestHeader, ctx: &Context) -> Result<()> {
    if ctx.interim.awaited {
        head.insert_header(header::EXPECT, "100-continue")?;
    }
    Ok(())
}

/// Sends an interim response to the client, and waits for no room: others may wait for the final response.
pub(super) async fn pass(
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut Context,
) -> Result<()> {
    let rule = ctx.route.as_ref().map(|routed| &*routed.rule);
    let passed = passed(response, rule);
    let head = head(&passed);
    ctx.interim.count += 1;
    ctx.interim.bytes += head.len();
    if ctx.interim.count > COUNT_MAX || ctx.interim.bytes > BYTES_MAX {
        let error = Error::explain(ErrorType::InvalidHTTPHeader, "interim responses without end");
        return Err(error.into_up());
    }
    if session.req_header().version == Version::HTTP_10 || session.response_written().is_some() {
        return Ok(());
    }
    let is_custom = session.as_downstream().is_custom();
    if let Some(stream) = ClientStream::of(session) {
        stream.send_ahead(&head);
    } else if !is_custom {
        return Ok(());
    }
    // the one way that a bridge sends interim heads; otherwise, no body has begun, so this only flushes
    let client = session.as_downstream_mut();
    let mut sending: BoxFuture<'_, Result<()>> = match is_custom {
        true => client.write_response_header_ref(&passed).boxed(),
        false => client.finish_body().boxed(),
    };
    // What there is no room for goes out when the client is read from or written to next. One that is gone shows it where
    // the final response is written.
    drop(poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await);
    Ok(())
}

/// What is passed on of an interim response.
fn passed(response: &ResponseHeader, rule: Option<&Rule>) -> ResponseHeader {
    let mut passed = response.clone();
    let ours = rule.into_iter().flat_map(|rule| &rule.response_headers.remove);
    // it has no body, whatever it says (RFC 9110 §8.6)
    for name in ours.chain(&CONSUMED_FIELDS).chain([&header::CONTENT_LENGTH]) {
        passed.remove_header(name);
    }
    for name in removed_when_forwarding(&response.headers) {
        passed.remove_header(&name);
    }
    passed
}

/// It as it is in HTTP/1.1.
fn head(passed: &ResponseHeader) -> BytesMut {
    let (status, reason) = (passed.status.as_u16(), passed.get_reason_phrase().unwrap_or_default());
    let mut head = BytesMut::from(format!("HTTP/1.1 {status} {reason}\r\n").as_bytes());
    passed.header_to_h1_wire(&mut head);
    head.extend_from_slice(b"\r\n");
    head
}

/// Notes that the final response has ended: its client reads no further along with a fill. Where the body of the request hasn't, the client was told that its
/// connection ends here; one that waited to send the body sees that nobody wants it.
pub(super) fn settle(session: &mut Session, ctx: &mut Context) {
    if let Some(own) = ctx.course.own() {
        own.finish();
    }
    if !session.as_downstream_mut().is_body_done() {
        ctx.interim.settled = true;
        session.as_downstream_mut().set_read_timeout(Some(LINGER));
    }
}

/// The same for a response that ends with its head.
pub(super) fn settle_bodyless(session: &mut Session, response: &ResponseHeader, ctx: &mut Context) {
    let length = response.headers.get(header::CONTENT_LENGTH);
    if session.req_header().method == Method::HEAD
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || length.is_some_and(|length| length == "0")
    {
        settle(session, ctx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_100_can_be_expected() {
        let check = |lines: &[&'static str], expected: bool| {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            for line in lines {
                request.append_header(header::EXPECT, *line).unwrap();
            }
            assert_eq!(is_understood(&request.headers), expected, "{lines:?}");
        };
        check(&["100-continue"], true);
        check(&["100-Continue , 100-continue"], true);
        check(&["", "100-continue"], true);
        check(&["100-continue", "else"], false);
        check(&["100-continue=1"], false);
        check(&["else"], false);
    }

    #[test]
    fn a_hint_has_the_origins_fields_and_none_that_end_here() {
        let mut response = ResponseHeader::build(103, None).unwrap();
        for (name, value) in [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("Link", "</a>"),
            ("content-length", "9"),
            ("cdn-cache-control", "max-age=1"),
            ("Link", "</b>"),
        ] {
            response.append_header(name, value).unwrap();
        }
        let wire = head(&passed(&response, None));
        assert_eq!(&*wire, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n");
        let unknown = ResponseHeader::build(110, None).unwrap();
        assert_eq!(&*head(&passed(&unknown, None)), b"HTTP/1.1 110 \r\n\r\n");
    }
}
