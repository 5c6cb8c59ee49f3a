//! Two processes on one `PostgreSQL`: followers of either hear the same, whatever stops and starts meanwhile.

use crate::client::Client;
use crate::feed::{Event, Feed};
use crate::postgres::Server;
use crate::programs::serve;
use crate::service::{Database, site};
use api::feed::Entry;
use api::id::LogId;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// Follows until the entry `last`, by whichever of `controls` answers, and comes again when it is cut off.
async fn follow(controls: &Mutex<Vec<Client>>, first: usize, last: u64) -> Vec<u64> {
    let (mut log, mut place, mut turn): (Option<LogId>, u64, usize) = (None, 0, first);
    let mut heard = Vec::new();
    while place < last {
        let control = {
            let controls = controls.lock().unwrap();
            controls[turn % controls.len()].clone()
        };
        turn += 1;
        let query = log.as_ref().map(|log| format!("?after={place}&log={log}")).unwrap_or_default();
        let Some(mut feed) = Feed::try_open(&control, &query).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut add = |entry: Entry| {
            assert!(entry.seq > place, "{} after {place}", entry.seq);
            place = entry.seq;
            heard.push(entry.seq);
        };
        loop {
            match feed.next().await {
                Event::Hello(hello) => {
                    assert!(!hello.reset);
                    log = Some(hello.log);
                }
                Event::Entry(entry) => add(entry),
                Event::Current(current) if current.newest >= last => break,
                Event::Current(_) => {}
                Event::End => break,
            }
        }
    }
    heard
}

/// Makes sites until `count` were answered with success. Returns their numbers.
async fn write(controls: &Mutex<Vec<Client>>, writer: usize, count: usize) -> Vec<u64> {
    let mut made = Vec::new();
    for attempt in 0.. {
        if made.len() == count {
            break;
        }
        let control = {
            let controls = controls.lock().unwrap();
            controls[(writer + attempt) % controls.len()].clone()
        };
        let document = site(&format!("w{writer}-{attempt}"));
        let Some(answer) = control.try_post("/v1/sites", &document).await else { continue };
        match answer.status {
            StatusCode::CREATED => made.push(answer.json()["seq"].as_u64().unwrap()),
            status => assert!(status.is_server_error(), "{status}"),
        }
    }
    made
}

/// Every number that was given to a change that is there, in order, at each follower.
async fn check(control: &Client, heard: &[Vec<u64>], made: &[Vec<u64>]) {
    let mut feed = Feed::open(control, "").await;
    feed.hello().await;
    let (numbers, newest) = feed.numbers().await;
    // no gaps: every change is of a site of its own, so that nothing was replaced
    assert_eq!(numbers, (1..=newest).collect::<Vec<u64>>());
    let all: BTreeSet<u64> = numbers.iter().copied().collect();
    let made: Vec<u64> = made.concat();
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len(), "each number once");
    assert!(made.iter().all(|seq| all.contains(seq)), "nothing acknowledged is lost");
    for heard in heard {
        assert_eq!(heard[..], numbers[..heard.len()], "each follower hears the same");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_writers_on_two_replicas_and_a_kill() {
    let database = Database::postgresql();
    let (_one, first) = serve(&database).await;
    let (mut two, second) = serve(&database).await;
    let controls = Mutex::new(vec![first.clone(), second]);
    let killed = async {
        let mut feed = Feed::open(&first, "").await;
        feed.hello().await;
        let mut newest = 0;
        while newest < 100 {
            newest = feed.numbers().await.1;
        }
        two.kill().await.unwrap();
        controls.lock().unwrap().truncate(1);
    };
    let writers = join_all((0..200).map(|writer| write(&controls, writer, 2)));
    let followers = join_all((0..4).map(|follower| follow(&controls, follower, 400)));
    let (made, heard, ()) = tokio::join!(writers, followers, killed);
    check(&first, &heard, &made).await;
}

/// What an edge acknowledges to one replica, the others are told of.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_are_told_of() {
    let database = Database::postgresql();
    let service = database.start().await;
    let control = &service.admin;
    let log = Feed::open(control, "").await.hello().await.log;
    control.post("/v1/sites", &site("a")).await.expect(201);
    let url = database.place().database_url.unwrap();
    let mut listener = sqlx::postgres::PgListener::connect(&url).await.unwrap();
    listener.listen(&format!("longshore_acks_{log}")).await.unwrap();
    let report = |adopted| {
        json!({
            "http_address": "127.0.0.1:80", "admin_address": "127.0.0.1:9180",
            "software_version": "test", "log": log, "adopted": adopted,
        })
    };
    let path = "/v1/edges/edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2";
    for adopted in [0, 1] {
        control.put(path, "*", &report(adopted)).await.expect(204);
    }
    let told = tokio::time::timeout(Duration::from_secs(20), listener.recv()).await;
    assert_eq!(told.unwrap().unwrap().channel(), format!("longshore_acks_{log}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stops_for_a_while() {
    let mut server = Server::start();
    let database = Database::on(&server);
    let (_one, first) = serve(&database).await;
    let (_two, second) = serve(&database).await;
    // these are at the tip when it stops, and stay
    let mut feeds = Vec::new();
    for control in [&first, &second] {
        control.post("/v1/sites", &site(&format!("p{}", control.address.port()))).await.expect(201);
        let mut feed = Feed::open(control, "").await;
        feed.hello().await;
        feeds.push(feed);
    }
    for feed in &mut feeds {
        while feed.numbers().await.1 < 2 {}
    }
    let controls = Mutex::new(vec![first.clone(), second]);
    let stopped = tokio::task::spawn_blocking(move || {
        server.command("stop");
        server
    });
    let mut server = stopped.await.unwrap();
    // more than a heartbeat passes, and they hear one each
    for feed in &mut feeds {
        assert_eq!(feed.numbers().await, (vec![], 2));
    }
    let started = tokio::task::spawn_blocking(move || {
        server.command("start");
        server
    });
    let writers = join_all((0..20).map(|writer| write(&controls, writer, 3)));
    let (server, made) = tokio::join!(started, writers);
    let _server = server.unwrap();
    let mut heard = Vec::new();
    for feed in &mut feeds {
        let (mut numbers, mut newest) = (vec![1, 2], 2);
        while newest < 62 {
            let (more, current) = feed.numbers().await;
            numbers.extend(more);
            newest = current;
        }
        heard.push(numbers);
    }
    check(&first, &heard, &made).await;
}
