//! The feed as it comes to one follower: frames of Zstandard, and the events in them.

use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use testkit::Client;
use zstd::zstd_safe::find_frame_compressed_size;

/// What a read of the stream brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Entries.
    pub(crate) entries: u64,
    /// The number of the last entry, or of `current` if one came.
    pub(crate) place: u64,
    /// Whether a `current` came last.
    pub(crate) current: bool,
}

/// An open stream.
pub(crate) struct Stream {
    client: Client,
    held: Vec<u8>,
    /// Bytes that came, as they came.
    pub(crate) bytes: u64,
    /// Which log it is.
    pub(crate) log: String,
}

impl Stream {
    /// Opens one that has everything of `log` up to `after`; from the beginning where there is none.
    pub(crate) async fn open(
        control: SocketAddr,
        token: &str,
        place: Option<(&str, u64)>,
    ) -> Result<Self> {
        let mut client = Client::try_connect(control).await?;
        client.try_send(request(control, token, place)).await?;
        let head = client.head().await?;
        ensure!(head.status == 200, "{}", head.head);
        ensure!(head.field("content-encoding") == Some("zstd"), "not compressed: {}", head.head);
        let mut stream = Self { client, held: Vec::new(), bytes: 0, log: String::new() };
        let hello = stream.text().await?;
        let (_, log) = hello.split_once(r#""log":""#).context("no log in `hello`")?;
        stream.log = log.chars().take_while(|character| *character != '"').collect();
        Ok(stream)
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Result<Heard> {
        Ok(heard(&self.text().await?))
    }

    /// The text of the next frames.
    async fn text(&mut self) -> Result<String> {
        loop {
            let mut text = Vec::new();
            while let Ok(size) = find_frame_compressed_size(&self.held) {
                let frame: Vec<u8> = self.held.drain(..size).collect();
                text.extend(zstd::stream::decode_all(&frame[..])?);
            }
            if !text.is_empty() {
                return Ok(String::from_utf8(text)?);
            }
            let piece = self.client.piece().await?.context("control ended the stream")?;
            self.bytes += piece.len() as u64;
            self.held.extend_from_slice(&piece);
        }
    }
}

/// The request for a stream.
pub(crate) fn request(control: SocketAddr, token: &str, place: Option<(&str, u64)>) -> String {
    let query = place.map(|(log, after)| format!("?after={after}&log={log}")).unwrap_or_default();
    format!(
        "GET /v1/feed{query} HTTP/1.1\r\nHost: {control}\r\nAuthorization: Bearer {token}\r\n\
         Accept-Encoding: zstd\r\n\r\n"
    )
}

fn heard(text: &str) -> Heard {
    let mut heard = Heard::default();
    for line in text.lines() {
        if let Some(id) = line.strip_prefix("id: ") {
            let place = id.parse().unwrap_or(heard.place);
            heard = Heard { entries: heard.entries + 1, place, current: false };
        } else if let Some(newest) = line.strip_prefix(r#"data: {"newest":"#) {
            let place = newest.trim_end_matches('}').parse().unwrap_or(heard.place);
            heard = Heard { place, current: true, ..heard };
        }
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_and_current_ends_them() {
        let text = "event: entry\nid: 7\ndata: {\"seq\":7}\n\nevent: entry\nid: 9\ndata: {}\n\n";
        assert_eq!(heard(text), Heard { entries: 2, place: 9, current: false });
        let text = format!("{text}event: current\ndata: {{\"newest\":12}}\n\n");
        assert_eq!(heard(&text), Heard { entries: 2, place: 12, current: true });
    }
}
