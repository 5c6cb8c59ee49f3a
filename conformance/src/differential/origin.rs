//! The origin: answers as the case says, and keeps a log of what each case's requests got.
//!
//! Every full answer carries a serial number in `X-Serial` and in its body, so that a stored one is known again.

use super::case::Case;
use super::feature::Place;
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How long a refetch takes where the response may be used meanwhile: long enough to see who waited for it.
const REFETCH: Duration = Duration::from_millis(50);

/// The scripted origin. Stops when dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    cases: Arc<Cases>,
    server: JoinHandle<()>,
}

/// What the origin answered, in order: a status, 0 where it closed.
pub(crate) type Log = Vec<u16>;

#[derive(Default)]
struct Cases(Mutex<HashMap<String, Running>>);

/// A case that is going through a cache.
struct Running {
    case: Case,
    beginning: SystemTime,
    /// GET and HEAD requests so far.
    asked: usize,
    log: Log,
}

impl Cases {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let address = listener.local_addr()?;
        let cases = Arc::new(Cases::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&cases)));
        Ok(Self { address, cases, server })
    }

    pub(crate) fn begin(&self, path: &str, case: &Case, beginning: SystemTime) {
        let running = Running { case: case.clone(), beginning, asked: 0, log: Log::new() };
        self.cases.lock().insert(path.to_owned(), running);
    }

    pub(crate) fn log(&self, path: &str) -> Log {
        self.cases.lock().get(path).map(|running| running.log.clone()).unwrap_or_default()
    }

    pub(crate) fn end(&self, path: &str) {
        self.cases.lock().remove(path);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, cases: Arc<Cases>) {
    while let Ok((stream, _)) = listener.accept().await {
        let cases = Arc::clone(&cases);
        tokio::spawn(async move {
            // a cache may leave at any time; what it got is in the log
            let _left = connection(stream, &cases).await;
        });
    }
}

async fn connection(mut stream: TcpStream, cases: &Cases) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        // the requests of a case have no bodies: unsafe ones say `Content-Length: 0`
        let head: Vec<u8> = buffer.drain(..end + 4).collect();
        let request = Request::parse(&String::from_utf8_lossy(&head));
        let Some(reply) = reply(cases, &request).await else { return Ok(()) };
        stream.write_all(reply.as_bytes()).await?;
    }
}

/// A request as far as the origin is interested.
struct Request {
    method: String,
    path: String,
    fields: HashMap<String, String>,
}

impl Request {
    fn parse(head: &str) -> Self {
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Self { method, path, fields: fields.collect() }
    }

    /// The status its conditions lead to (RFC 9110 §13.2.2), where that isn't 200.
    fn condition(&self, etag: Option<&str>, modified: Option<&str>) -> Option<u16> {
        let field = |name: &str| self.fields.get(name).map(String::as_str);
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        let own = etag.map(opaque);
        if let Some(tags) = field("if-match") {
            let strong = etag.filter(|etag| !etag.starts_with("W/"));
            let matches = tags == "*" || tags.split(',').any(|tag| Some(tag.trim()) == strong);
            if !matches {
                return Some(412);
            }
        } else if let (Some(since), Some(own)) =
            (field("if-unmodified-since").and_then(date), modified.and_then(date))
            && own > since
        {
            return Some(412);
        }
        if let Some(tags) = field("if-none-match") {
            let matches = tags == "*" || tags.split(',').any(|tag| Some(opaque(tag)) == own);
            return matches.then_some(304);
        }
        let (since, own) = (field("if-modified-since").and_then(date), modified.and_then(date));
        since.zip(own).and_then(|(since, own)| (own <= since).then_some(304))
    }
}

/// The answer; `None` where the connection is to be closed instead.
async fn reply(cases: &Cases, request: &Request) -> Option<String> {
    let safe = matches!(request.method.as_str(), "GET" | "HEAD");
    let slow = {
        let mut cases = cases.lock();
        let running = cases.get_mut(&request.path);
        running.is_some_and(|running| {
            running.asked += usize::from(safe);
            safe && running.asked > 1 && running.case.has_directive("stale-while-revalidate")
        })
    };
    if slow {
        sleep(REFETCH).await;
    }
    let mut cases = cases.lock();
    let Some(running) = cases.get_mut(&request.path) else {
        // a late refetch of a case that has ended
        return Some("HTTP/1.1 404 Ended\r\nContent-Length: 0\r\n\r\n".to_owned());
    };
    let (status, reply) = if safe { running.answer(request) } else { running.accept() };
    running.log.push(status);
    reply
}

impl Running {
    /// The answer to GET or HEAD.
    fn answer(&self, request: &Request) -> (u16, Option<String>) {
        let later = if self.asked > 1 { self.case.value(Place::Later) } else { None };
        let status = later.or_else(|| self.case.value(Place::Status)).unwrap_or("200");
        let Ok(number) = status.parse() else { return (0, None) };
        if later.is_some() {
            return (number, Some(plain(number)));
        }
        let field = |name| self.case.answer_field(name, self.beginning);
        let (etag, modified) = (field("ETag"), field("Last-Modified"));
        let condition = request.condition(etag.as_deref(), modified.as_deref());
        let fields = self.case.answer_fields(self.beginning, now());
        match condition.filter(|_| number == 200) {
            Some(304) => {
                let update = self.case.lines(Place::Update, self.beginning);
                (304, Some(format!("HTTP/1.1 304 Case\r\n{fields}{update}\r\n")))
            }
            Some(other) => (other, Some(plain(other))),
            None => (number, Some(self.full(number, &fields, request.method == "HEAD"))),
        }
    }

    fn full(&self, status: u16, fields: &str, head_only: bool) -> String {
        let serial = self.asked;
        let head = format!("HTTP/1.1 {status} Case\r\nX-Serial: {serial}\r\nX-Kept: 1\r\n{fields}");
        if status == 204 {
            return format!("{head}\r\n");
        }
        let body = format!("serial={serial:06} 0123456789abcdef");
        let length = body.len();
        let body = if head_only { "" } else { &body };
        format!("{head}Content-Length: {length}\r\n\r\n{body}")
    }

    /// The answer to an unsafe request.
    fn accept(&self) -> (u16, Option<String>) {
        let status = self.case.between().and_then(|(_, status)| status.parse().ok());
        let status = status.unwrap_or(200);
        (status, Some(plain(status)))
    }
}

/// An answer of which nothing is known again, with an empty body.
fn plain(status: u16) -> String {
    let date = httpdate::fmt_http_date(now());
    let length = if status == 204 { "" } else { "Content-Length: 0\r\n" };
    format!("HTTP/1.1 {status} Case\r\nDate: {date}\r\n{length}\r\n")
}

#[expect(clippy::disallowed_methods, reason = "an origin dates its answers")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, expected: Option<u16>) {
        let request = Request::parse(&format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"));
        let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(request.condition(Some("\"a\""), Some(modified)), expected, "{fields}");
    }

    #[test]
    fn conditions_are_evaluated_in_their_order() {
        check("If-None-Match: \"b\", W/\"a\"", Some(304));
        check("If-None-Match: \"b\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", None);
        check("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", Some(304));
        check("If-Match: W/\"a\"", Some(412));
        check("If-Match: *\r\nIf-None-Match: \"a\"", Some(304));
        check("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT", Some(412));
        check("Accept: x", None);
    }
}
