//! The client: one thread, epoll, few kept connections, as many requests under way on each as wanted. Every byte that
//! comes back is compared with what the origin has.

mod connection;

use crate::object::Object;
use anyhow::{Result, bail};
use connection::Connection;
use mio::{Events, Interest, Poll, Token};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// How a server is asked.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Requests sent on a connection before the first of them is answered.
    pub(crate) depth: usize,
    pub(crate) noise: Arc<Vec<u8>>,
    /// Grows with each answer.
    pub(crate) answered: Arc<AtomicU64>,
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) hits: u64,
    pub(crate) bytes: u64,
    pub(crate) hit_bytes: u64,
    pub(crate) seconds: f64,
    /// Connections that broke, with requests under way.
    pub(crate) broken: usize,
    /// The numbers that were answered, if they were to be kept.
    pub(crate) numbers: Option<Vec<u64>>,
}

impl Tally {
    fn add(&mut self, object: Object, hit: bool) {
        let length = object.length as u64;
        self.requests += 1;
        self.bytes += length;
        if hit {
            self.hits += 1;
            self.hit_bytes += length;
        }
        if let Some(numbers) = &mut self.numbers {
            numbers.push(object.number);
        }
    }
}

impl Load {
    /// 16 connections to `address`, each with one request at a time.
    pub(crate) fn new(address: SocketAddr, noise: &Arc<Vec<u8>>) -> Self {
        let noise = Arc::clone(noise);
        Self { address, connections: 16, depth: 1, noise, answered: Arc::default() }
    }

    /// Many requests at once on few connections, for what isn't measured by the request.
    pub(crate) fn in_bulk(self) -> Self {
        Self { connections: 8, depth: 8, ..self }
    }

    /// Asks for all of `objects`.
    ///
    /// Errors at a wrong answer, at one that doesn't come, and at a connection that breaks.
    pub(crate) async fn run(
        self,
        objects: impl Iterator<Item = Object> + Send + 'static,
    ) -> Result<Tally> {
        let tally = self.run_to_the_end(objects, false).await?;
        if tally.broken > 0 {
            bail!("{} connections broke after {} answers", tally.broken, tally.requests);
        }
        Ok(tally)
    }

    /// The same, but the server may end before the objects do. `numbers`: whether to keep those that were answered.
    pub(crate) async fn run_to_the_end(
        self,
        objects: impl Iterator<Item = Object> + Send + 'static,
        numbers: bool,
    ) -> Result<Tally> {
        let (done, result) = oneshot::channel();
        // a thread of its own isn't waited for when the program is interrupted
        std::thread::spawn(move || done.send(ask(&self, objects, numbers)).ok());
        result.await?
    }
}

fn ask(load: &Load, mut objects: impl Iterator<Item = Object>, numbers: bool) -> Result<Tally> {
    let begun = Instant::now();
    let mut tally = Tally { numbers: numbers.then(Vec::new), ..Tally::default() };
    let mut poll = Poll::new()?;
    let mut connections = Vec::new();
    for index in 0..load.connections {
        let mut connection = Connection::open(load)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut connection.stream, Token(index), interest)?;
        connections.push(Some(connection));
    }
    let mut events = Events::with_capacity(256);
    let mut next = || objects.next();
    while connections.iter().any(Option::is_some) {
        poll.poll(&mut events, Some(SILENCE))?;
        if events.is_empty() {
            bail!("{} is silent after {} answers", load.address, tally.requests);
        }
        for event in &events {
            let Some(slot) = connections.get_mut(event.token().0) else { continue };
            let Some(connection) = slot else { continue };
            let before = tally.requests;
            let more =
                connection.turn(load, &mut next, &mut |object, hit| tally.add(object, hit))?;
            load.answered.fetch_add(tally.requests - before, Ordering::Relaxed);
            if !more {
                tally.broken += usize::from(connection.is_waiting());
                *slot = None;
            }
        }
    }
    tally.seconds = begun.elapsed().as_secs_f64();
    Ok(tally)
}
