//! One connection: requests out, answers in.

use super::Load;
use crate::object::Object;
use crate::servers::HOST;
use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

const READ_BYTES: usize = 256 << 10;

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Requests, and how much of them is written.
    out: Vec<u8>,
    written: usize,
    /// What was asked for and isn't answered, in order.
    asked: VecDeque<Object>,
    /// Bytes of an answer's head, as far as they came.
    head: Vec<u8>,
    body: Option<Body>,
    buffer: Vec<u8>,
}

/// A body that is being read.
struct Body {
    object: Object,
    hit: bool,
    received: usize,
}

impl Connection {
    pub(super) fn open(load: &Load) -> Result<Self> {
        let stream = std::net::TcpStream::connect(load.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            out: Vec::new(),
            written: 0,
            asked: VecDeque::new(),
            head: Vec::new(),
            body: None,
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Whether something was asked and isn't answered.
    pub(super) fn is_waiting(&self) -> bool {
        !self.asked.is_empty() || self.body.is_some()
    }

    /// Writes and reads until the socket would block. False when there is nothing more to ask, or the server closed.
    pub(super) fn turn(
        &mut self,
        load: &Load,
        next: &mut impl FnMut() -> Option<Object>,
        answered: &mut impl FnMut(Object, bool),
    ) -> Result<bool> {
        loop {
            self.ask(load.depth, next);
            if !self.is_waiting() {
                return Ok(false);
            }
            if !self.write()? {
                return Ok(false);
            }
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = self.stream.read(&mut buffer);
            let taken = match read {
                Ok(count) => self.take(&buffer[..count], load, answered),
                Err(_) => Ok(()),
            };
            self.buffer = buffer;
            taken?;
            match read {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(error) => return Ok(error.kind() == ErrorKind::WouldBlock),
            }
        }
    }

    /// Adds requests when all before are answered. They leave in one piece: to a server that is busy with a request,
    /// more bytes of its client may look like the end of the connection.
    fn ask(&mut self, depth: usize, next: &mut impl FnMut() -> Option<Object>) {
        if self.is_waiting() {
            return;
        }
        for object in std::iter::from_fn(next).take(depth) {
            object.write_request(HOST, &mut self.out);
            self.asked.push_back(object);
        }
    }

    /// False when the server closed.
    fn write(&mut self) -> Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(self.out.get(self.written..).unwrap_or_default()) {
                Ok(count) => self.written += count,
                Err(error) => return Ok(error.kind() == ErrorKind::WouldBlock),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    fn take(
        &mut self,
        mut bytes: &[u8],
        load: &Load,
        answered: &mut impl FnMut(Object, bool),
    ) -> Result<()> {
        while !bytes.is_empty() {
            let Some(body) = &mut self.body else {
                bytes = self.take_head(bytes)?;
                continue;
            };
            let expected = body.object.body(&load.noise).get(body.received..).unwrap_or_default();
            let count = bytes.len().min(expected.len());
            ensure!(bytes[..count] == expected[..count], "wrong bytes in {:?}", body.object);
            body.received += count;
            bytes = &bytes[count..];
            if body.received == body.object.length {
                answered(body.object, body.hit);
                self.body = None;
            }
        }
        Ok(())
    }

    /// Takes the bytes of a head. Returns what follows it.
    fn take_head<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let from = before.saturating_sub(3);
        let Some(end) = memmem::find(self.head.get(from..).unwrap_or_default(), b"\r\n\r\n") else {
            return Ok(&[]);
        };
        let end = from + end + 4;
        self.head.truncate(end);
        let object = self.asked.pop_front().context("an answer nobody asked for")?;
        let answer = Head::parse(&self.head);
        if answer.status != b"200" || answer.length != Some(object.length) {
            bail!("{object:?} was answered with {}", String::from_utf8_lossy(&self.head));
        }
        self.body = Some(Body { object, hit: answer.hit, received: 0 });
        self.head.clear();
        Ok(&bytes[end - before..])
    }
}

struct Head<'h> {
    status: &'h [u8],
    length: Option<usize>,
    /// Whether a cache says in `Cache-Status` that it answered.
    hit: bool,
}

impl<'h> Head<'h> {
    fn parse(head: &'h [u8]) -> Self {
        let mut parsed =
            Self { status: head.get(9..12).unwrap_or_default(), length: None, hit: false };
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at(colon);
            if name.eq_ignore_ascii_case(b"content-length") {
                let digits = String::from_utf8_lossy(value);
                parsed.length = digits.trim_matches([':', ' ', '\r']).parse().ok();
            } else if name.eq_ignore_ascii_case(b"cache-status") {
                parsed.hit |= value.windows(5).any(|word| word.eq_ignore_ascii_case(b"; hit"));
            }
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_hits_of_every_cache() {
        let parse = |status: &str| {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nCache-Status: {status}\r\n\r\n");
            let head = Head::parse(head.as_bytes());
            assert_eq!((head.status, head.length), (b"200".as_slice(), Some(12)));
            head.hit
        };
        assert!(parse("longshore; hit; ttl=5") && parse("nginx; HIT") && parse("varnish; hit"));
        assert!(!parse("nginx; MISS") && !parse("longshore; fwd=uri-miss; stored; key=\"/hit\""));
    }
}
