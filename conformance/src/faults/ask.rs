//! Asks the edge, and checks every byte of what it says.

use super::content::{Content, Manner, Page};
use super::ledger::{Floor, Ledger};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use testkit::{Broken, Client, Response};

/// What is larger than a slice (as the edge is configured for a run) may be sent in slices.
const SLICE_BYTES: u64 = 131_072;

/// A GET.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) page: Page,
    pub(crate) flavour: usize,
    /// First and last byte.
    pub(crate) range: Option<(u64, u64)>,
    /// The version that the client says it has.
    pub(crate) has: Option<u64>,
}

impl Ask {
    /// For all of a page.
    pub(crate) const fn whole(page: Page, flavour: usize) -> Self {
        Self { page, flavour, range: None, has: None }
    }

    fn content(&self, version: u64) -> Content {
        let flavour = if self.page.manner() == Manner::Varied { self.flavour } else { 0 };
        Content { page: self.page, version, flavour }
    }

    /// Whether an answer says rightly that the content ends before what was asked for.
    fn is_beyond(&self, content: Content, answer: &Response) -> bool {
        let length = content.length();
        let says = answer.field("content-range") == Some(&format!("bytes */{length}"));
        says && self.range.is_some_and(|(first, _)| first >= length)
    }

    fn request(&self) -> String {
        let (path, host) = (self.page.path(), self.page.host());
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
        request += &format!("X-Flavour: {}\r\n", self.flavour);
        if let Some((first, last)) = self.range {
            request += &format!("Range: bytes={first}-{last}\r\n");
        }
        if let Some(version) = self.has {
            request += &format!("If-None-Match: {}\r\n", self.content(version).tag());
        }
        request + "\r\n"
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Right {
        is_hit: bool,
    },
    /// Right as far as it went, and then the page changed at its origin: what is fetched in parts can't go on.
    Changed,
    /// Bytes, or fields, that aren't the page's.
    Wrong(String),
    /// The right bytes of a version that should not be served any more.
    Old(String),
    /// No answer, a part of one, or an error.
    Failed(String),
}

impl Outcome {
    /// The same, with what was asked.
    fn of(self, ask: &Ask) -> Self {
        match self {
            Self::Wrong(what) => Self::Wrong(format!("{ask:?}: {what}")),
            Self::Old(what) => Self::Old(format!("{ask:?}: {what}")),
            Self::Failed(what) => Self::Failed(format!("{ask:?}: {what}")),
            Self::Right { .. } | Self::Changed => self,
        }
    }
}

impl From<Broken> for Outcome {
    fn from(error: Broken) -> Self {
        Self::Failed(error.to_string())
    }
}

fn wrong(what: impl fmt::Display) -> Outcome {
    Outcome::Wrong(what.to_string())
}

/// A client with a connection that it keeps.
pub(crate) struct Asker {
    ledger: Arc<Ledger>,
    address: SocketAddr,
    client: Option<Client>,
}

impl Asker {
    pub(crate) const fn new(ledger: Arc<Ledger>, address: SocketAddr) -> Self {
        Self { ledger, address, client: None }
    }

    /// Asks for a page, or a part of it.
    pub(crate) async fn get(&mut self, ask: &Ask) -> Outcome {
        let floor = self.ledger.floor(ask.page);
        match self.exchange(ask, floor).await {
            Ok(answer) => self.done(&answer),
            Err(outcome) => {
                self.client = None;
                outcome.of(ask)
            }
        }
    }

    /// Has a page changed, which invalidates what is stored of it.
    pub(crate) async fn post(&mut self, page: Page) -> Outcome {
        let (path, host) = (page.path(), page.host());
        let request = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        // on a connection of its own: unlike a GET, it could not be sent again
        self.client = None;
        let told = async {
            let client = self.client().await?;
            client.try_send(request).await?;
            client.response().await
        };
        let answer = match told.await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => return Outcome::Failed(format!("POST {path}: {}", answer.head)),
            Err(error) => {
                self.client = None;
                return Outcome::Failed(format!("POST {path}: {error}"));
            }
        };
        let Some(version) = number(&answer, "x-version") else {
            return Outcome::Wrong(format!("POST {path}: another answer than the origin's"));
        };
        self.ledger.invalidated(page, version);
        self.done(&answer)
    }

    /// Sends a request, and reads the head of the answer. A connection that was used before may have been closed
    /// meanwhile: then it is sent again (RFC 9112 §9.3.1).
    async fn head(&mut self, request: &str) -> Result<Response, Broken> {
        if let Some(client) = &mut self.client {
            let answer = match client.try_send(request).await {
                Ok(()) => client.head().await,
                Err(error) => Err(error),
            };
            if !matches!(answer, Err(Broken::Closed | Broken::Reset)) {
                return answer;
            }
            self.client = None;
        }
        let client = self.client().await?;
        client.try_send(request).await?;
        client.head().await
    }

    async fn client(&mut self) -> Result<&mut Client, Broken> {
        if self.client.is_none() {
            self.client = Some(Client::try_connect(self.address).await?);
        }
        self.client.as_mut().ok_or(Broken::Closed)
    }

    /// Keeps the connection, unless the edge says otherwise.
    fn done(&mut self, answer: &Response) -> Outcome {
        if answer.field("connection") == Some("close") {
            self.client = None;
        }
        Outcome::Right { is_hit: answer.is_hit() }
    }

    /// Returns the head of the answer, which was right.
    async fn exchange(&mut self, ask: &Ask, floor: Floor) -> Result<Response, Outcome> {
        let ledger = Arc::clone(&self.ledger);
        let answer = self.head(&ask.request()).await?;
        let client = self.client().await?;
        if answer.status == 416 {
            while client.piece().await?.is_some() {}
            let current = ledger.current(ask.page).unwrap_or_default();
            let is_beyond = |version| ask.is_beyond(ask.content(version), &answer);
            return if (floor.removed..=current).any(&is_beyond) {
                Ok(answer)
            } else if (0..floor.removed).any(is_beyond) {
                Err(Outcome::Old(answer.head))
            } else {
                Err(wrong(answer.head))
            };
        }
        if !matches!(answer.status, 200 | 206 | 304) {
            return Err(Outcome::Failed(answer.head));
        }
        let version = number(&answer, "x-version").ok_or_else(|| wrong(&answer.head))?;
        let content = ask.content(version);
        check_head(ask, content, &answer)?;
        let checked = check_body(client, part_of(ask, content, &answer)?).await;
        let is_changed = ledger.current(ask.page) != Some(version);
        let is_in_parts = ask.range.is_some() || content.length() > SLICE_BYTES;
        if matches!(checked, Err(Outcome::Failed(_)) if is_changed && is_in_parts) {
            return Err(Outcome::Changed);
        }
        checked?;
        // the origin may have changed it while it was read
        if ledger.current(ask.page).is_none_or(|current| version > current) {
            return Err(wrong(format!("version {version} never was")));
        }
        // who joins a fetch that was under way gets what it was told before
        let has_joined = answer.cache_status().contains("; collapsed");
        let floor = if has_joined { floor.removed } else { floor.validated };
        if version < floor {
            return Err(Outcome::Old(format!("version {version} after {floor}\n{}", answer.head)));
        }
        Ok(answer)
    }
}

fn number(answer: &Response, field: &str) -> Option<u64> {
    answer.field(field)?.parse().ok()
}

/// Whether the fields are of the content.
fn check_head(ask: &Ask, content: Content, answer: &Response) -> Result<(), Outcome> {
    let Content { page, flavour, .. } = content;
    let is_own = answer.field("x-page") == Some(&format!("{}{}", page.host(), page.path()))
        && number(answer, "x-got-flavour") == Some(flavour as u64)
        && answer.field("etag") == Some(&content.tag());
    let is_asked = match answer.status {
        206 => ask.range.is_some(),
        304 => ask.has == Some(content.version),
        _ => true,
    };
    if is_own && is_asked { Ok(()) } else { Err(wrong(&answer.head)) }
}

/// The bytes that an answer should have.
fn part_of(ask: &Ask, content: Content, answer: &Response) -> Result<Expected, Outcome> {
    let length = content.length();
    let part = match (answer.status, ask.range) {
        (304, _) => 0..0,
        (206, Some((first, last))) => {
            let last = last.min(length.saturating_sub(1));
            if answer.field("content-range") != Some(&format!("bytes {first}-{last}/{length}")) {
                return Err(wrong(&answer.head));
            }
            first..last + 1
        }
        _ => 0..length,
    };
    Ok(Expected { content, part })
}

struct Expected {
    content: Content,
    part: Range<u64>,
}

async fn check_body(client: &mut Client, expected: Expected) -> Result<(), Outcome> {
    let Expected { content, part } = expected;
    let mut at = part.start;
    while let Some(piece) = client.piece().await? {
        if let Some(place) = content.differs_at(at, &piece) {
            return Err(wrong(format!("another byte at {place} of {content:?}")));
        }
        at += piece.len() as u64;
        if at > part.end {
            return Err(wrong(format!("more than {} bytes of {content:?}", part.end)));
        }
    }
    if at < part.end {
        return Err(wrong(format!("an end after {at} of {} bytes of {content:?}", part.end)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::Origin;

    const PAGE: Page = Page { site: 1, number: 4 };

    /// What comes of a GET for the page's first 1000 bytes, answered with these; version 2 is what the origin has, and
    /// nothing before may be served.
    async fn outcome(version: u64, head: &str, bytes: &[u8]) -> Outcome {
        let ledger = Arc::new(Ledger::new(5));
        ledger.publish(PAGE);
        ledger.invalidated(PAGE, 2);
        let content = Content { page: PAGE, version, flavour: 0 };
        let edge = Origin::start().await;
        let answer = edge.on(&PAGE.path()).respond(206).header("ETag", &content.tag());
        let answer = answer.header("X-Version", &version.to_string()).header("X-Got-Flavour", "0");
        let range = format!("bytes 0-999/{}", content.length());
        answer.header("X-Page", head).header("Content-Range", &range).body(bytes.to_vec());
        let ask = Ask { range: Some((0, 999)), ..Ask::whole(PAGE, 0) };
        Asker::new(ledger, edge.address()).get(&ask).await
    }

    #[tokio::test]
    async fn whatever_is_wrong_is_seen() {
        let own = PAGE.host() + &PAGE.path();
        let bytes = |version| Content { page: PAGE, version, flavour: 0 }.bytes(0, 1_000);
        let right = outcome(2, &own, &bytes(2)).await;
        assert!(matches!(right, Outcome::Right { is_hit: false }), "{right:?}");
        let mut flipped = bytes(2);
        flipped[999] ^= 1;
        for (version, head, bytes) in [
            (2, own.as_str(), flipped.as_slice()),
            (2, &own, &bytes(1)),
            (2, "site-0.example/large/4", &bytes(2)),
            (2, &own, &bytes(2)[..999]),
            (3, &own, &bytes(3)),
        ] {
            let wrong = outcome(version, head, bytes).await;
            assert!(matches!(wrong, Outcome::Wrong(_)), "{wrong:?}");
        }
        let old = outcome(1, &own, &bytes(1)).await;
        assert!(matches!(old, Outcome::Old(_)), "{old:?}");
    }
}
