//! An origin that costs little: one thread, epoll, bodies from memory. It counts what it is asked.

use crate::object::Object;
use anyhow::{Context, Result};
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const LISTENER: Token = Token(0);
const READ_BYTES: usize = 4_096;

/// The origin; runs as long as the program.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    asked: Arc<Asked>,
}

/// What an origin was asked for so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fetched {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct Asked {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Origin {
    pub(crate) fn start(noise: Arc<Vec<u8>>) -> Result<Self> {
        let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into()).context("no free port")?;
        let address = listener.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let asked = Arc::<Asked>::default();
        let serving = Serving {
            listener,
            poll,
            connections: HashMap::new(),
            next: 1,
            noise,
            asked: Arc::clone(&asked),
        };
        std::thread::spawn(move || serving.run());
        Ok(Self { address, asked })
    }

    pub(crate) fn fetched(&self) -> Fetched {
        Fetched {
            requests: self.asked.requests.load(Ordering::Relaxed),
            bytes: self.asked.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Fetched {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { requests: self.requests - before.requests, bytes: self.bytes - before.bytes }
    }
}

struct Serving {
    listener: TcpListener,
    poll: Poll,
    connections: HashMap<Token, Connection>,
    next: usize,
    noise: Arc<Vec<u8>>,
    asked: Arc<Asked>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes of a request's head, as far as they came.
    head: Vec<u8>,
    writing: Option<Answer>,
}

struct Answer {
    head: Vec<u8>,
    object: Object,
    sent: usize,
}

impl Serving {
    fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    token => self.serve(token),
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let token = Token(self.next);
            self.next += 1;
            stream.set_nodelay(true)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, token, interest)?;
            self.connections.insert(token, Connection { stream, head: Vec::new(), writing: None });
        }
        Ok(())
    }

    fn serve(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if !connection.turn(&self.noise, &self.asked) {
            self.connections.remove(&token);
        }
    }
}

impl Connection {
    /// Writes and reads until the socket would block. False when the connection is over.
    fn turn(&mut self, noise: &[u8], asked: &Asked) -> bool {
        let mut bytes = [0; READ_BYTES];
        loop {
            if let Some(answer) = &mut self.writing {
                match answer.write(&mut self.stream, noise) {
                    Ok(true) => self.writing = None,
                    Ok(false) => {}
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
                continue;
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.head.extend_from_slice(&bytes[..count]),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            // a cache sends one request at a time
            if memmem::find(&self.head, b"\r\n\r\n").is_some() {
                let Ok(object) = Object::asked(&self.head) else { return false };
                self.head.clear();
                asked.requests.fetch_add(1, Ordering::Relaxed);
                asked.bytes.fetch_add(object.length as u64, Ordering::Relaxed);
                self.writing = Some(Answer::new(object));
            }
        }
    }
}

impl Answer {
    fn new(object: Object) -> Self {
        let length = object.length;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nCache-Control: max-age=86400\r\nContent-Length: {length}\r\n\r\n"
        );
        Self { head: head.into_bytes(), object, sent: 0 }
    }

    /// Writes once. True when all is written.
    fn write(&mut self, stream: &mut TcpStream, noise: &[u8]) -> std::io::Result<bool> {
        let body = self.object.body(noise);
        let head = self.head.get(self.sent..).unwrap_or_default();
        let rest = body.get(self.sent.saturating_sub(self.head.len())..).unwrap_or_default();
        self.sent += stream.write_vectored(&[IoSlice::new(head), IoSlice::new(rest)])?;
        Ok(self.sent == self.head.len() + body.len())
    }
}
