//! An origin that answers what the test wrote, and remembers what it was asked.
//!
//! Scripts are kept by path. Each [`Origin::on`] adds one answer for a path; requests get them in order, and the last
//! one again and again. A path that ends in `*` stands for everything that begins so, and is asked when no exact one
//! is there. A path without a script is answered with 404.

mod answer;
mod connection;
mod live;
mod ranged;
mod script;
mod unreachable;

pub use live::Live;
pub use script::Script;
pub use unreachable::Unreachable;

use crate::message::{Fields, Head};
use crate::wait::within;
use answer::Answer;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A request as the origin read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`
    pub method: String,
    /// `/a?b=c`
    pub target: String,
    /// Field lines, in order.
    pub fields: Fields,
    /// What has come of the body, without its framing.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub complete: bool,
    /// The how-manieth connection it came over, from 1.
    pub connection: usize,
}

impl Request {
    fn new(head: &Head, connection: usize) -> Self {
        let mut words = head.start_line.split(' ').map(str::to_owned);
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let fields = head.fields.clone();
        Self { method, target, fields, connection, ..Self::default() }
    }

    /// The value of the first field line with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.first(name)
    }

    fn is_for(&self, path: &str) -> bool {
        matches(path, &self.target)
    }
}

/// The origin. Stops when dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl Origin {
    /// Starts on a port of 127.0.0.1 that the kernel chooses.
    pub async fn start() -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    /// Starts at `address`, for an origin that comes back.
    pub async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:port`, as a site names it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds an answer for a path. Begin with [`Script::respond`], [`Script::raw`], [`Script::wait`], …
    pub fn on(&self, path: &str) -> Script<'_> {
        Script::new(&self.state, path)
    }

    /// Forgets the answers for a path and adds one.
    pub fn now_on(&self, path: &str) -> Script<'_> {
        self.state.lock().scripts.retain(|script| script.path != path);
        self.on(path)
    }

    /// Every request whose head has come, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    /// How many requests have come for a path. Queries count only where `path` has one.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.state.lock().requests.iter().filter(|request| request.is_for(path)).count()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.lock().connections
    }

    /// Waits until the head of the n-th request (from 1) for a path has come.
    pub async fn arrived(&self, path: &str, n: usize) -> Request {
        self.nth(path, n, |_| true).await
    }

    /// Waits until the n-th request (from 1) for a path has come, with its body.
    pub async fn received(&self, path: &str, n: usize) -> Request {
        self.nth(path, n, |request| request.complete).await
    }

    /// Waits until the n-th request for a path has come as far as `far` says.
    pub async fn nth(&self, path: &str, n: usize, far: impl Fn(&Request) -> bool) -> Request {
        let find = || {
            let state = self.state.lock();
            let found = state.requests.iter().filter(|request| request.is_for(path)).nth(n - 1);
            found.filter(|request| far(request)).cloned()
        };
        let mut changes = self.state.changes.subscribe();
        let found = async {
            loop {
                if let Some(request) = find() {
                    return request;
                }
                changes.changed().await.expect("the state holds the sender");
            }
        };
        within(&format!("request {n} for {path} to reach the origin"), found).await
    }

    /// Stops listening and ends every connection.
    pub async fn stop(mut self) {
        self.server.abort();
        // the error says that it was aborted
        let _aborted = (&mut self.server).await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What the connections share.
#[derive(Debug, Default)]
struct State {
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    scripts: Vec<PathScript>,
    requests: Vec<Request>,
    connections: usize,
}

#[derive(Debug)]
struct PathScript {
    path: String,
    answers: Vec<Answer>,
    given: usize,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_replace(());
        result
    }

    /// The answer whose turn it is.
    fn next_answer(&self, target: &str) -> Answer {
        let mut inner = self.lock();
        let scripts = inner.scripts.iter_mut().filter(|script| matches(&script.path, target));
        // the longest is the most exact
        let Some(script) = scripts.max_by_key(|script| script.path.len()) else {
            return Answer::not_scripted(target);
        };
        let turn = script.given.min(script.answers.len().saturating_sub(1));
        script.given += 1;
        script.answers.get(turn).cloned().unwrap_or_else(|| Answer::not_scripted(target))
    }
}

fn matches(pattern: &str, target: &str) -> bool {
    if let Some(prefix) = pattern.strip_suffix('*') {
        return target.starts_with(prefix);
    }
    target == pattern || target.split('?').next() == Some(pattern)
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        // a head and its body are two writes; a client that has gone shows it later
        stream.set_nodelay(true).ok();
        let number = state.change(|inner| {
            inner.connections += 1;
            inner.connections
        });
        connections.spawn(connection::serve(stream, number, Arc::clone(&state)));
    }
}
