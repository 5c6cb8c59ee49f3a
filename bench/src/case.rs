//! What is asked, and whether the answer is right.

use crate::servers::{HOST, Server};
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use tokio::process::Command;

/// One kind of request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// A path that ends in `/` gets a number after it, another for each request.
    path: &'static str,
    length: usize,
    hit: bool,
    pub(crate) over: Over,
}

/// How a request gets to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// HTTP/1.1 without TLS, on kept connections; so are the next three with TLS.
    Plain,
    Http1,
    Http2,
    Http3,
    /// HTTP/1.1 on a connection of its own, after a whole handshake of TLS 1.3.
    Full,
    /// The same after a handshake by a ticket.
    Resumed,
}

const fn hit(name: &'static str, path: &'static str, length: usize, over: Over) -> Case {
    Case { name, path, length, hit: true, over }
}

const fn passed(name: &'static str, path: &'static str) -> Case {
    Case { name, path, length: 1_024, hit: false, over: Over::Plain }
}

pub(crate) const CASES: [Case; 17] = [
    hit("hit 1 KiB", "/1024", 1_024, Over::Plain),
    hit("hit 16 KiB", "/16384", 16_384, Over::Plain),
    hit("hit 128 KiB", "/131072", 131_072, Over::Plain),
    hit("hit 1 MiB", "/1048576", 1_048_576, Over::Plain),
    passed("miss 1 KiB", "/miss/"),
    passed("fill 1 KiB", "/fill/"),
    hit("tls 1 KiB", "/1024", 1_024, Over::Http1),
    hit("tls 16 KiB", "/16384", 16_384, Over::Http1),
    hit("tls 1 MiB", "/1048576", 1_048_576, Over::Http1),
    hit("h2 1 KiB", "/1024", 1_024, Over::Http2),
    hit("h2 16 KiB", "/16384", 16_384, Over::Http2),
    hit("h2 1 MiB", "/1048576", 1_048_576, Over::Http2),
    hit("h3 1 KiB", "/1024", 1_024, Over::Http3),
    hit("h3 16 KiB", "/16384", 16_384, Over::Http3),
    hit("h3 1 MiB", "/1048576", 1_048_576, Over::Http3),
    hit("full", "/1024", 1_024, Over::Full),
    hit("resumed", "/1024", 1_024, Over::Resumed),
];

/// Those whose names hold one of the words in `BENCH_CASES`; all where it is not set.
pub(crate) fn chosen() -> impl Iterator<Item = &'static Case> {
    let words = std::env::var("BENCH_CASES").ok();
    CASES.iter().filter(move |case| {
        let is_meant = |words: &String| words.split(',').any(|word| case.name.contains(word));
        words.as_ref().is_none_or(is_meant)
    })
}

/// The lengths of the files the origin needs.
pub(crate) fn lengths() -> impl Iterator<Item = usize> {
    CASES.iter().filter(|case| case.hit).map(|case| case.length)
}

impl Case {
    /// The floor has no origin to ask and no TLS, Varnish no TLS, nginx no HTTP/3.
    pub(crate) fn is_for(&self, server: &Server) -> bool {
        match self.over {
            Over::Plain => self.hit || server.name != "floor",
            Over::Http3 => server.name == "longshore",
            _ => server.secure.is_some(),
        }
    }

    pub(crate) fn url(&self, server: &Server) -> String {
        match (self.over, server.secure) {
            (Over::Http1, Some(address)) => format!("https://{address}{}", self.path),
            (Over::Http2, Some(_)) => format!("https://{HOST}{}", self.path),
            _ => format!("http://{}{}", server.address, self.path),
        }
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Asks three times as wrk will, and looks at the last answer.
    pub(crate) async fn verify(&self, server: &Server, body: &[u8], round: usize) -> Result<()> {
        if let Some(address) = server.secure.filter(|_| self.over != Over::Plain) {
            return self.verify_secure(server, address, body).await;
        }
        let mut client = server.connect().await;
        for attempt in 0..3 {
            let path = match self.hit {
                true => self.path.to_owned(),
                false => format!("{}verify-{round}-{attempt}", self.path),
            };
            let answer = client.get(HOST, &path).await;
            let what = format!("{} {}: {}", server.name, self.name, answer.head);
            ensure!(answer.status == 200 && answer.body.len() == self.length, "{what}");
            if server.name == "floor" {
                continue;
            }
            ensure!(answer.body == body, "{what}: another body");
            let hit = answer.cache_status().to_ascii_lowercase().contains("hit");
            ensure!(attempt < 2 || hit == self.hit, "{what}: hit or not");
        }
        Ok(())
    }

    /// The same over TLS, by curl.
    async fn verify_secure(&self, server: &Server, address: SocketAddr, body: &[u8]) -> Result<()> {
        let version = if self.over == Over::Http2 { "--http2" } else { "--http1.1" };
        for attempt in 0..3 {
            let mut curl = Command::new("curl");
            curl.args(["-sk", "-i", version, "--connect-to", &format!("::{address}")]);
            curl.arg(format!("https://{HOST}{}", self.path)).kill_on_drop(true);
            let answer = curl.output().await?.stdout;
            let head = answer.len().saturating_sub(body.len());
            let (head, sent) = answer.split_at(head);
            let head = String::from_utf8_lossy(head).to_ascii_lowercase();
            let what = format!("{} {}: {head}", server.name, self.name);
            ensure!(head.contains(" 200") && sent == body, "{what}: another body");
            let hit = head.contains("cache-status") && head.contains("hit");
            ensure!(attempt < 2 || hit, "{what}: no hit");
        }
        Ok(())
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }
}
