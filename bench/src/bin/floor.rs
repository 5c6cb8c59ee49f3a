//! The floor: one thread, epoll, a constant answer of the size asked for. No parsing beyond the end of the head, no
//! cache, no log. What a server spends more than this is its own.
//!
//! `floor`: listens on a port the kernel chooses and prints it as a line of JSON. `GET /N` answers with N bytes.

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};

const LISTENER: Token = Token(0);
const READ_BYTES: usize = 4_096;

#[expect(clippy::print_stdout, reason = "the address is this program's answer")]
fn main() -> Result<()> {
    let mut listener = TcpListener::bind(([127, 0, 0, 1], 0).into())?;
    println!("{{\"http\":\"{}\"}}", listener.local_addr()?);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor =
        Floor { listener, connections: HashMap::new(), answers: HashMap::new(), next: 1 };
    let mut events = Events::with_capacity(256);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&poll)?,
                token => floor.serve(token),
            }
        }
    }
}

struct Floor {
    listener: TcpListener,
    connections: HashMap<Token, Connection>,
    /// Whole answers, by body length.
    answers: HashMap<usize, Vec<u8>>,
    next: usize,
}

struct Connection {
    stream: TcpStream,
    /// The length of the answer being written, and how much of it is.
    writing: Option<(usize, usize)>,
}

impl Floor {
    fn accept(&mut self, poll: &Poll) -> Result<()> {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let token = Token(self.next);
            self.next += 1;
            stream.set_nodelay(true)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, token, interest).context("can't watch")?;
            self.connections.insert(token, Connection { stream, writing: None });
        }
        Ok(())
    }

    fn serve(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if !connection.turn(&mut self.answers) {
            self.connections.remove(&token);
        }
    }
}

impl Connection {
    /// Writes and reads until the socket would block. False when the connection is over.
    fn turn(&mut self, answers: &mut HashMap<usize, Vec<u8>>) -> bool {
        let mut head = [0; READ_BYTES];
        loop {
            if let Some((length, sent)) = self.writing {
                let answer = answers.entry(length).or_insert_with(|| answer(length));
                match self.stream.write(&answer[sent..]) {
                    Ok(count) if sent + count == answer.len() => self.writing = None,
                    Ok(count) => self.writing = Some((length, sent + count)),
                    Err(error) => return error.kind() == ErrorKind::WouldBlock,
                }
                continue;
            }
            match self.stream.read(&mut head) {
                Ok(0) => return false,
                // the client of a measurement sends a head in one piece, and one at a time
                Ok(count) => self.writing = Some((length_asked(&head[..count]), 0)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

/// `GET /1024 HTTP/1.1` asks for 1024.
fn length_asked(head: &[u8]) -> usize {
    let digits = head.iter().skip(5).take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
}

fn answer(length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut answer = head.into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}
