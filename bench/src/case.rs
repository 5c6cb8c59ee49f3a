//! What is asked, and whether the answer is right.

use crate::servers::{HOST, Server};
use anyhow::{Result, ensure};

/// One kind of request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// A path that ends in `/` gets a number after it, another for each request.
    path: &'static str,
    length: usize,
    hit: bool,
}

pub(crate) const CASES: [Case; 6] = [
    Case { name: "hit 1 KiB", path: "/1024", length: 1_024, hit: true },
    Case { name: "hit 16 KiB", path: "/16384", length: 16_384, hit: true },
    Case { name: "hit 128 KiB", path: "/131072", length: 131_072, hit: true },
    Case { name: "hit 1 MiB", path: "/1048576", length: 1_048_576, hit: true },
    Case { name: "miss 1 KiB", path: "/miss/", length: 1_024, hit: false },
    Case { name: "fill 1 KiB", path: "/fill/", length: 1_024, hit: false },
];

/// The lengths of the files the origin needs.
pub(crate) fn lengths() -> impl Iterator<Item = usize> {
    CASES.iter().filter(|case| case.hit).map(|case| case.length)
}

impl Case {
    /// The floor has no origin to ask.
    pub(crate) fn is_for(&self, server: &Server) -> bool {
        self.hit || server.name != "floor"
    }

    pub(crate) fn url(&self, server: &Server) -> String {
        format!("http://{}{}", server.address, self.path)
    }

    /// Asks three times as wrk will, and looks at the last answer.
    pub(crate) async fn verify(&self, server: &Server, body: &[u8], round: usize) -> Result<()> {
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

    pub(crate) fn length(&self) -> usize {
        self.length
    }
}
