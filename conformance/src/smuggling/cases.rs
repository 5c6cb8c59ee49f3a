//! What is sent: cases of our own, and files of other people's.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use std::path::Path;

/// Bytes for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it is called in reports.
    pub name: String,
    /// The group that refusals are counted in: what the source expects of a parser.
    pub group: String,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// The bodies of the requests that every parser sees, where that is known.
    pub bodies: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Line {
    src: String,
    name: String,
    raw: String,
    expect: Option<String>,
}

/// Reads a file of cases: a JSON list of objects with `src`, `name`, `raw` (base64) and `expect`.
///
/// # Errors
/// When it can't be read.
pub fn corpus(path: &Path) -> Result<Vec<Case>> {
    let text = std::fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let lines: Vec<Line> = serde_json::from_slice(&text).context("not a list of cases")?;
    let case = |line: Line| {
        let bytes = BASE64_STANDARD.decode(&line.raw).context("not base64")?;
        let expect = line.expect.unwrap_or_else(|| "anything".to_owned());
        let (name, group) =
            (format!("{}/{}", line.src, line.name), format!("{} {expect}", line.src));
        Ok(Case { name, group, bytes, bodies: None })
    };
    lines.into_iter().map(case).collect()
}

/// Cases that every parser has to see as they are, with what they are.
#[must_use]
pub fn own() -> Vec<Case> {
    let inner = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = inner.len();
    let size = format!("{length:x}");
    let case = |name: &str, bytes: String, bodies: &[&str]| Case {
        name: format!("own/{name}"),
        group: "own right".to_owned(),
        bytes: bytes.into_bytes(),
        bodies: Some(bodies.iter().map(|body| (*body).to_owned()).collect()),
    };
    let post = |fields: &str, body: &str| {
        format!("POST /own HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n{body}")
    };
    let get = "GET /own HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked";
    vec![
        case("a request in a body", post(&format!("Content-Length: {length}"), inner), &[inner]),
        case(
            "a request in a chunk",
            post(chunked, &format!("{size}\r\n{inner}\r\n0\r\n\r\n")),
            &[inner],
        ),
        case(
            "a request in an extension",
            post(chunked, "3;a=\"GET /smuggled HTTP/1.1\"\r\nabc\r\n0\r\n\r\n"),
            &["abc"],
        ),
        case(
            "framing in trailers",
            post(chunked, "3\r\nabc\r\n0\r\nContent-Length: 50\r\nHost: x\r\n\r\n"),
            &["abc"],
        ),
        case(
            "a chunk that looks like an end",
            post(chunked, "5\r\n0\r\n\r\n\r\n0\r\n\r\n"),
            &["0\r\n\r\n"],
        ),
        case(
            "body, chunks, none, on one connection",
            [
                post(&format!("Content-Length: {length}"), inner),
                post(chunked, "3\r\nabc\r\n0\r\n\r\n"),
                get.to_owned(),
                post("Content-Length: 0", ""),
            ]
            .concat(),
            &[inner, "abc", "", ""],
        ),
        case(
            "a request after a request for an upgrade",
            format!(
                "GET /own HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n{get}"
            ),
            &["", ""],
        ),
        case(
            "a client that waits for 100",
            post("Expect: 100-continue\r\nContent-Length: 3", "abc"),
            &["abc"],
        ),
    ]
}
