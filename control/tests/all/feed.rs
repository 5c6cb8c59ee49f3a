//! The feed: order, resume, reset, what is left out, and live changes.

use crate::client::Client;
use crate::on_both_databases;
use crate::service::{Database, Service, changed, site};
use api::feed::{Change, Current, Entry, Hello};
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both_databases!(
    entries_come_in_order_and_at_once,
    a_follower_resumes_where_it_was,
    a_follower_of_another_log_begins_anew,
    only_the_newest_entry_about_a_subject_is_kept,
    a_long_feed_comes_in_pages,
    changes_come_at_once_and_those_of_another_replica_soon,
);

/// An open stream.
pub(crate) struct Feed {
    body: BodyDataStream,
    text: String,
    /// What came of a frame of Zstandard; nothing where the stream isn't compressed.
    frame: Option<Vec<u8>>,
    /// Bytes that came.
    pub(crate) bytes: usize,
}

/// An event.
#[derive(Debug, PartialEq)]
pub(crate) enum Event {
    Hello(Hello),
    Entry(Entry),
    Current(Current),
    End,
}

impl Feed {
    pub(crate) async fn open(control: &Client, query: &str) -> Self {
        Self::accepting(control, query, &[]).await
    }

    /// One that is compressed.
    pub(crate) async fn compressed(control: &Client, query: &str) -> Self {
        Self::accepting(control, query, &[("accept-encoding", "gzip, zstd")]).await
    }

    /// One at a control that may go away.
    pub(crate) async fn try_open(control: &Client, query: &str) -> Option<Self> {
        let path = format!("/v1/feed{query}");
        let response = control.try_open("GET", &path, &[], Bytes::new()).await?;
        let (parts, body) = response.into_parts();
        let body = Body::new(body).into_data_stream();
        let feed = Self { body, text: String::new(), frame: None, bytes: 0 };
        (parts.status == 200).then_some(feed)
    }

    async fn accepting(control: &Client, query: &str, headers: &[(&str, &str)]) -> Self {
        let response =
            control.open("GET", &format!("/v1/feed{query}"), headers, Bytes::new()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["vary"], "accept-encoding");
        let (parts, body) = response.into_parts();
        let coding = parts.headers.get("content-encoding").map(|coding| coding.to_str().unwrap());
        assert_eq!(coding, (!headers.is_empty()).then_some("zstd"));
        let frame = coding.map(|_| Vec::new());
        Self { body: Body::new(body).into_data_stream(), text: String::new(), frame, bytes: 0 }
    }

    pub(crate) async fn next(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(20), self.read()).await.expect("an event in time")
    }

    async fn read(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return parse(&event);
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.take(&bytes),
                Some(Err(_)) | None => return Event::End,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        let Some(frame) = &mut self.frame else {
            return self.text.push_str(std::str::from_utf8(bytes).unwrap());
        };
        frame.extend_from_slice(bytes);
        // a large frame comes in pieces
        if let Ok(text) = zstd::stream::decode_all(&frame[..]) {
            self.text.push_str(&String::from_utf8(text).unwrap());
            frame.clear();
        }
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.next().await {
            Event::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    /// The entries up to the next `current`, and its number.
    pub(crate) async fn until_current(&mut self) -> (Vec<Entry>, u64) {
        let mut entries = Vec::new();
        loop {
            match self.next().await {
                Event::Entry(entry) => entries.push(entry),
                Event::Current(current) => return (entries, current.newest),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The numbers of the entries up to the next `current`, and its number.
    pub(crate) async fn numbers(&mut self) -> (Vec<u64>, u64) {
        let (entries, newest) = self.until_current().await;
        (entries.iter().map(|entry| entry.seq).collect(), newest)
    }
}

fn parse(event: &str) -> Event {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    let data = field("data").unwrap();
    match field("event").unwrap() {
        "hello" => Event::Hello(serde_json::from_str(data).unwrap()),
        "current" => Event::Current(serde_json::from_str(data).unwrap()),
        "entry" => {
            let entry: Entry = serde_json::from_str(data).unwrap();
            assert_eq!(field("id").unwrap(), entry.seq.to_string());
            Event::Entry(entry)
        }
        other => panic!("{other}"),
    }
}

async fn entries_come_in_order_and_at_once(database: Database) {
    let service = database.start().await;
    let control = &service.admin;
    let mut feed = Feed::open(&service.client(&["edge"]).await, "").await;
    let hello = feed.hello().await;
    assert_eq!((hello.version, hello.newest, hello.reset), (1, 0, false));
    let key = hello.key.expect("every log has a key");
    assert!(key.bytes().is_some());
    let other = Feed::open(&service.admin, "").await.hello().await.key;
    assert_eq!(other, Some(key), "all followers are given the same");
    assert_eq!(feed.numbers().await, (vec![], 0));
    let id = control.post("/v1/sites", &site("a")).await.expect(201).json()["id"].clone();
    let (entries, newest) = feed.until_current().await;
    assert_eq!((entries.len(), newest), (1, 1));
    let Change::SitePut { site_id, site: document } = &entries[0].change else { panic!() };
    assert_eq!((json!(site_id), &document["name"]), (id.clone(), &json!("a")));
    control.put("/v1/sites/a", "*", &changed("a", "b.example")).await.expect(200);
    assert_eq!(feed.numbers().await, (vec![2], 2));
    control.post("/v1/sites/a/purge", &json!({ "everything": true })).await.expect(202);
    let (entries, _) = feed.until_current().await;
    assert!(matches!(&entries[0].change, Change::Purge(purge) if json!(purge.site_id) == id));
    control.send("DELETE", "/v1/sites/a", &[], "").await.expect(204);
    let (entries, newest) = feed.until_current().await;
    assert!(matches!(&entries[0].change, Change::SiteRemoved { site_id } if json!(site_id) == id));
    assert_eq!(newest, 4);
    // what is refused or changes nothing is not in the feed
    control.post("/v1/sites", &site("b")).await.expect(201);
    assert_eq!(feed.numbers().await, (vec![5], 5));
    control.put("/v1/sites/b", "*", &site("b")).await.expect(200);
    control.post("/v1/sites", &site("b")).await.expect(409);
    control.post("/v1/sites", &site("c")).await.expect(201);
    assert_eq!(feed.numbers().await, (vec![6], 6));
    service.stop().await;
    assert_eq!(feed.next().await, Event::End);
}

async fn a_follower_resumes_where_it_was(database: Database) {
    let service = database.start().await;
    for name in ["a", "b", "c"] {
        service.admin.post("/v1/sites", &site(name)).await.expect(201);
    }
    let log = Feed::open(&service.admin, "").await.hello().await.log;
    for (after, expected) in [(0, vec![1, 2, 3]), (1, vec![2, 3]), (3, vec![])] {
        let mut feed = Feed::open(&service.admin, &format!("?after={after}&log={log}")).await;
        let hello = feed.hello().await;
        assert_eq!((hello.newest, hello.reset), (3, false));
        assert_eq!(feed.numbers().await, (expected, 3));
    }
    let token = service.admin.token.clone();
    service.stop().await;
    let service = database.start().await;
    let control = service.admin.with(token);
    let mut feed = Feed::open(&control, &format!("?log={log}&after=2")).await;
    assert!(!feed.hello().await.reset);
    assert_eq!(feed.numbers().await, (vec![3], 3));
}

async fn a_follower_of_another_log_begins_anew(database: Database) {
    let service = database.start().await;
    for name in ["a", "b"] {
        service.admin.post("/v1/sites", &site(name)).await.expect(201);
    }
    let log = Feed::open(&service.admin, "").await.hello().await.log;
    let other = "log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2";
    for query in [
        format!("?after=1&log={other}"),
        format!("?after=0&log={other}"),
        format!("?after=3&log={log}"),
        format!("?after={}&log={log}", u64::MAX),
        "?after=1".to_owned(),
    ] {
        let mut feed = Feed::open(&service.admin, &query).await;
        assert!(feed.hello().await.reset, "{query}");
        assert_eq!(feed.numbers().await, (vec![1, 2], 2));
    }
}

async fn only_the_newest_entry_about_a_subject_is_kept(database: Database) {
    let mut service = database.start().await;
    let purge = json!({ "everything": true });
    let log = Feed::open(&service.admin, "").await.hello().await.log;
    let known = format!("?after=0&log={log}");
    let control = &service.admin;
    control.post("/v1/sites", &site("a")).await.expect(201);
    control.post("/v1/sites", &site("b")).await.expect(201);
    control.post("/v1/sites/a/purge", &purge).await.expect(202);
    control.post("/v1/sites/b/purge", &purge).await.expect(202);
    assert_eq!(numbers(control, &known).await, [1, 2, 3, 4]);
    control.put("/v1/sites/a", "*", &changed("a", "x.example")).await.expect(200);
    control.post("/v1/sites/a/purge", &purge).await.expect(202);
    // what is in memory is the log as it came
    service = again(service).await;
    assert_eq!(numbers(&service.admin, &known).await, [2, 3, 4, 5, 6]);
    service.admin.send("DELETE", "/v1/sites/a", &[], "").await.expect(204);
    service = again(service).await;
    assert_eq!(numbers(&service.admin, &known).await, [2, 4, 7]);
    // one that begins anew hears only what is
    let other = "?after=5&log=log_01J9Z3K8Q4W5E6R7T8Y9V0B1N2";
    for query in ["", other] {
        assert_eq!(numbers(&service.admin, query).await, [2]);
    }
}

async fn numbers(control: &Client, query: &str) -> Vec<u64> {
    let mut feed = Feed::open(control, query).await;
    feed.hello().await;
    feed.numbers().await.0
}

async fn again(service: Service) -> Service {
    let database = service.database.clone();
    service.stop().await;
    database.start().await
}

async fn a_long_feed_comes_in_pages(database: Database) {
    let service = database.start().await;
    let target = format!("/{}", "x".repeat(1_900));
    let rules: Vec<Value> = (0..60)
        .map(|number| json!({ "paths": [format!("/{number}")], "redirect": { "to": target } }))
        .collect();
    for number in 0..300 {
        let mut site = site(&format!("s{number}"));
        if number % 30 == 0 {
            site["rules"] = json!(rules);
        }
        service.admin.post("/v1/sites", &site).await.expect(201);
    }
    let mut feed = Feed::open(&service.admin, "").await;
    feed.hello().await;
    assert_eq!(feed.numbers().await, ((1..=300).collect(), 300));
}

async fn changes_come_at_once_and_those_of_another_replica_soon(database: Database) {
    let (one, other) = (database.start().await, database.start().await);
    let mut feed = Feed::open(&one.admin, "").await;
    feed.hello().await;
    feed.until_current().await;
    // the quickest of a few, because the machine may be busy
    let told = if database.tells() { 150 } else { 500 };
    for (writer, replica, limit) in [(&one, "one", 150), (&other, "other", told)] {
        let limit = Duration::from_millis(limit);
        let mut quickest = Duration::MAX;
        for number in 0..6 {
            let name = format!("s{number}-{replica}");
            writer.admin.post("/v1/sites", &site(&name)).await.expect(201);
            let began = Instant::now();
            assert_eq!(feed.numbers().await.0.len(), 1);
            quickest = quickest.min(began.elapsed());
        }
        assert!(quickest < limit, "{quickest:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_are_limited() {
    let service = Database::sqlite().start_with(|config| config.followers_max = 2).await;
    let first = Feed::open(&service.admin, "").await;
    let _second = Feed::open(&service.admin, "").await;
    let refused = service.admin.get("/v1/feed").await.expect(503);
    assert_eq!(refused.header("retry-after"), "1");
    drop(first);
    // the place is free once the server has seen the connection close
    while service.admin.open("GET", "/v1/feed", &[], Bytes::new()).await.status() != 200 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_comes_and_a_revoked_token_ends_the_stream() {
    let database = Database::sqlite();
    let service = database.start().await;
    let (id, token) = database.token(&["edge"]).await;
    let mut feed = Feed::open(&service.admin.with(Some(token)), "").await;
    let mut kept = Feed::open(&service.admin, "").await;
    let mut small = Feed::compressed(&service.admin, "").await;
    for feed in [&mut feed, &mut kept, &mut small] {
        feed.hello().await;
        feed.until_current().await;
    }
    crate::tokens::revoke(&database, &id).await;
    assert_eq!(feed.next().await, Event::End);
    assert_eq!(kept.numbers().await, (vec![], 0));
    assert_eq!(small.numbers().await, (vec![], 0));
}
