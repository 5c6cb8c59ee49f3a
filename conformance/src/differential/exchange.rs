//! A case going through a cache, and what became of its second request.

use super::case::{Case, HOST};
use super::feature::Place;
use super::origin::{Log, Origin, now};
use super::servers::{Cache, Servers};
use anyhow::Result;
use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::SystemTime;
use testkit::{Broken, Client, Response};

/// Cases that go through a cache together, request by request, so that each response is stored before it is asked for
/// again.
const BATCH: usize = 64;
/// Fields of an answer that are looked for when it is used again.
const FIELDS: [&str; 10] = [
    "X-Kept",
    "X-New",
    "X-Listed",
    "ETag",
    "Last-Modified",
    "Cache-Control",
    "Expires",
    "Vary",
    "Set-Cookie",
    "Content-Length",
];

/// What became of the second request, as seen from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// `hit`, `validated`, `fetched`, …: how the answer came about.
    pub reuse: String,
    /// Its status.
    pub status: u16,
    /// `age 30 min`, where it came from the store; else empty.
    pub age: String,
    /// Fields of interest and their values, where it came from the store whole; else empty.
    pub fields: String,
}

/// The caches and their origin, and what is known of cases already.
pub struct Caches {
    origin: Origin,
    servers: Servers,
    known: HashMap<(Cache, Case), Outcome>,
    runs: u64,
}

impl Caches {
    /// Starts everything.
    ///
    /// # Errors
    /// When a directory or a port can't be had.
    pub async fn start() -> Result<Self> {
        let origin = Origin::start().await?;
        let servers = Servers::start(origin.address).await?;
        Ok(Self { origin, servers, known: HashMap::new(), runs: 0 })
    }

    /// Ends everything.
    pub async fn stop(self) {
        self.servers.stop().await;
    }

    /// Lets cases go through a cache, unless it is known what comes out.
    pub async fn outcomes(&mut self, cache: Cache, cases: &[Case]) -> Vec<Outcome> {
        let mut unknown: Vec<Case> = cases.to_vec();
        unknown.sort_unstable();
        unknown.dedup();
        unknown.retain(|case| !self.known.contains_key(&(cache, case.clone())));
        for batch in unknown.chunks(BATCH) {
            for (case, outcome) in batch.iter().zip(self.run(cache, batch).await) {
                self.known.insert((cache, case.clone()), outcome);
            }
        }
        let known = |case: &Case| self.known.get(&(cache, case.clone())).cloned();
        cases.iter().map(|case| known(case).unwrap_or_default()).collect()
    }

    /// Lets cases go through a cache, known or not.
    pub async fn run(&mut self, cache: Cache, cases: &[Case]) -> Vec<Outcome> {
        let mut connection = Connection::new(self.servers.address(cache));
        let mut exchanges: Vec<Exchange<'_>> = Vec::new();
        for case in cases {
            self.runs += 1;
            let path = format!("/{cache}/{}", self.runs);
            let beginning = now();
            self.origin.begin(&path, case, beginning);
            exchanges.push(Exchange { case, path, beginning, first: None });
        }
        for exchange in &mut exchanges {
            exchange.first = exchange.ask(Place::Request1, &mut connection).await;
        }
        for exchange in &exchanges {
            exchange.interfere(&mut connection).await;
        }
        let mut outcomes = Vec::new();
        for exchange in &exchanges {
            let before = self.origin.log(&exchange.path).len();
            let second = exchange.ask(Place::Request2, &mut connection).await;
            let log = self.origin.log(&exchange.path).split_off(before);
            outcomes.push(outcome(exchange.first.as_ref(), second.as_ref(), &log));
            self.origin.end(&exchange.path);
        }
        outcomes
    }
}

struct Exchange<'c> {
    case: &'c Case,
    path: String,
    beginning: SystemTime,
    first: Option<Response>,
}

impl Exchange<'_> {
    async fn ask(&self, place: Place, connection: &mut Connection) -> Option<Response> {
        let (method, head) = self.case.request(place, &self.path, self.beginning);
        connection.ask(method, &head).await
    }

    async fn interfere(&self, connection: &mut Connection) {
        let Some((method, _)) = self.case.between() else { return };
        let head =
            format!("{method} {} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 0\r\n\r\n", self.path);
        connection.ask(method, &head).await;
    }
}

/// A connection that is made anew when the cache has closed it.
struct Connection {
    address: SocketAddr,
    client: Option<Client>,
}

impl Connection {
    fn new(address: SocketAddr) -> Self {
        Self { address, client: None }
    }

    /// The answer, or `None` where the cache closed without one.
    async fn ask(&mut self, method: &str, head: &str) -> Option<Response> {
        if let Some(mut client) = self.client.take()
            && let Ok(response) = exchange(&mut client, method, head).await
        {
            self.keep(client, &response);
            return Some(response);
        }
        let mut client = Client::connect(self.address).await;
        let response = exchange(&mut client, method, head).await.ok()?;
        self.keep(client, &response);
        Some(response)
    }

    fn keep(&mut self, client: Client, response: &Response) {
        let closes = response.field("connection").is_some_and(|value| value.contains("close"));
        self.client = (!closes).then_some(client);
    }
}

async fn exchange(client: &mut Client, method: &str, head: &str) -> Result<Response, Broken> {
    client.try_send(head).await?;
    client.response_to(method).await
}

fn outcome(first: Option<&Response>, second: Option<&Response>, log: &Log) -> Outcome {
    let Some(second) = second else {
        return Outcome { reuse: "closed".to_owned(), ..Outcome::default() };
    };
    let serial = |response: &Response| response.field("x-serial").map(str::to_owned);
    let stored = serial(second).is_some() && first.and_then(serial) == serial(second);
    let own_304 = second.status == 304 && serial(second).is_none();
    let word = match log.last() {
        None if second.status >= 500 && !stored => "refused",
        None => "hit",
        Some(304) => "validated",
        Some(0 | 500..) if stored => "stale",
        Some(0) => "failed",
        Some(_) if own_304 => "fetched and compared",
        Some(_) => "fetched",
    };
    let mixed = if agrees(second) { "" } else { " with another's body" };
    let (reuse, status) = (format!("{word}{mixed}"), second.status);
    if !stored {
        return Outcome { reuse, status, ..Outcome::default() };
    }
    Outcome { reuse, status, age: age(second), fields: fields(second) }
}

/// Whether a whole body has the serial number of its head.
fn agrees(response: &Response) -> bool {
    let Some(serial) = response.field("x-serial").and_then(|serial| serial.parse::<usize>().ok())
    else {
        return true;
    };
    let text = String::from_utf8_lossy(&response.body);
    !text.starts_with("serial=")
        || text.len() < 13
        || text.starts_with(&format!("serial={serial:06}"))
}

fn age(response: &Response) -> String {
    match response.field("age") {
        None => "no Age".to_owned(),
        // half a minute is more than a run of a batch takes
        Some(text) => match text.parse::<u64>() {
            Ok(seconds) => format!("Age of {} min", (seconds + 30) / 60),
            Err(_) => format!("Age: {text}"),
        },
    }
}

fn fields(response: &Response) -> String {
    let mut fields = String::new();
    for name in FIELDS {
        let values = response.fields.all(name);
        let dates = matches!(name, "Expires" | "Last-Modified");
        if !values.is_empty() {
            let values = if dates { String::new() } else { format!("={}", values.join(", ")) };
            // writing to a string can't fail
            let _written = write!(fields, "{name}{values}; ");
        }
    }
    fields
}
