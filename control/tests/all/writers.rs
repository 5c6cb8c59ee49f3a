//! Many writers, several replicas: numbers without gaps, in the order of commits.

use crate::feed::Feed;
use crate::on_both_databases;
use crate::service::{Database, changed, site};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

on_both_databases!(
    numbers_have_no_gaps,
    one_of_two_changes_wins,
    clients_that_go_away_leave_no_half_change
);

async fn numbers_have_no_gaps(database: Database) {
    let services = [database.start().await, database.start().await];
    let mut feed = Feed::open(&services[1].admin, "").await;
    feed.hello().await;
    let writes = (0..60).map(|number| {
        let control = &services[number % 2].admin;
        async move {
            // every third is refused, and leaves no gap
            let name = format!("s{}", number - number % 3);
            let host = format!("h{number}.example");
            let made = control.post("/v1/sites", &changed(&name, &host)).await;
            (made.status.as_u16(), made.json()["seq"].as_u64())
        }
    });
    let answers = join_all(writes).await;
    let seqs: BTreeSet<u64> = answers.iter().filter_map(|(_, seq)| *seq).collect();
    assert_eq!(seqs, (1..=20).collect());
    assert_eq!(answers.iter().filter(|(status, _)| *status == 409).count(), 40);
    let (mut heard, mut newest) = (Vec::new(), 0);
    while newest < 20 {
        let (numbers, current) = feed.numbers().await;
        heard.extend(numbers);
        newest = current;
    }
    assert_eq!(heard, (1..=20).collect::<Vec<u64>>());
}

async fn one_of_two_changes_wins(database: Database) {
    let services = [database.start().await, database.start().await];
    services[0].admin.post("/v1/sites", &site("a")).await.expect(201);
    let changes: Vec<Value> =
        (0..10).map(|number| changed("a", &format!("h{number}.example"))).collect();
    let writes = changes
        .iter()
        .enumerate()
        .map(|(number, change)| services[number % 2].admin.put("/v1/sites/a", "\"1\"", change));
    let answers = join_all(writes).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(won.len(), 1);
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 412)));
    assert_eq!(services[1].admin.get("/v1/sites/a").await.json(), won[0].json());
    assert_eq!(won[0].json()["seq"], json!(2));
}

/// Clients go away at every moment of a change. Each change is then made or not, and later ones are not caught in it.
async fn clients_that_go_away_leave_no_half_change(database: Database) {
    let services = [database.start().await, database.start().await];
    let leaving = (0..100).map(|number| {
        let control = services[0].admin.clone();
        async move {
            let site = site(&format!("s{number}"));
            let request = control.post("/v1/sites", &site);
            let moment = Duration::from_micros(200 * number);
            tokio::time::timeout(moment, request).await.is_ok()
        }
    });
    let stayed = join_all(leaving).await.into_iter().filter(|stayed| *stayed).count();
    let last = services[0].admin.post("/v1/sites", &site("last")).await.expect(201).json();
    let sites = services[1].admin.get("/v1/sites?limit=200").await.expect(200).json();
    let sites = sites["sites"].as_array().unwrap();
    let seqs: BTreeSet<u64> = sites.iter().filter_map(|site| site["seq"].as_u64()).collect();
    assert!(sites.len() > stayed);
    assert!(seqs.contains(&last["seq"].as_u64().unwrap()));
    assert_eq!(seqs, (1..=sites.len() as u64).collect());
}
