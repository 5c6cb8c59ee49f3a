//! `/v1/domains`: they come and go with sites, and one replica looks after them.

use crate::client::Client;
use crate::on_both_databases;
use crate::service::{Database, Service};
use control::config::Serve;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

/// A DNS server that refuses every question.
async fn refusing() -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut query = [0; 1_024];
        while let Ok((length, client)) = socket.recv_from(&mut query).await {
            // a response with the code REFUSED
            (query[2], query[3]) = (0x80, 5);
            let _gone = socket.send_to(&query[..length], client).await;
        }
    });
    address
}

async fn start(database: &Database) -> Service {
    let server = refusing().await;
    let configure = |config: &mut Serve| {
        config.acme.dns_servers = vec![server];
        config.acme.edge_names = vec!["192.0.2.1".parse().unwrap()];
    };
    database.start_with(configure).await
}

fn site(name: &str, hosts: &[&str], certificate: &str) -> Value {
    json!({
        "name": name,
        "hosts": hosts,
        "origins": [{ "name": "main", "url": "http://127.0.0.1:9000" }],
        "tls": { "certificate": certificate },
    })
}

async fn hosts(client: &Client, query: &str) -> Vec<String> {
    let page = client.get(&format!("/v1/domains{query}")).await.expect(200).json();
    let domains = page["domains"].as_array().unwrap();
    domains.iter().map(|domain| domain["host"].as_str().unwrap().to_owned()).collect()
}

/// The domain when it was looked at.
async fn looked_at(client: &Client, host: &str) -> Value {
    let looked_at = async {
        loop {
            let domain = client.get(&format!("/v1/domains/{host}")).await.expect(200).json();
            if domain["last_error"].is_object() {
                return domain;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, looked_at).await.expect("the domain is looked at")
}

async fn domains_come_and_go_with_sites(database: Database) {
    let service = start(&database).await;
    let admin = &service.admin;
    let three = ["a.example.com", "b.example.com", "*.example.com"];
    admin.post("/v1/sites", &site("one", &three, "acme")).await.expect(201);
    admin.post("/v1/sites", &site("two", &["c.example.com"], "local")).await.expect(201);
    assert_eq!(hosts(admin, "").await, ["*.example.com", "a.example.com", "b.example.com"]);
    let page = admin.get("/v1/domains?limit=2").await.expect(200).json();
    assert_eq!(page["next"], "a.example.com");
    assert_eq!(hosts(admin, "?limit=2&after=a.example.com").await, ["b.example.com"]);
    assert_eq!(hosts(admin, "?state=issued").await, Vec::<String>::new());
    assert_eq!(hosts(admin, "?state=pending_verification").await.len(), 3);
    admin.get("/v1/domains?state=lost").await.expect(400);
    let before = looked_at(admin, "a.example.com").await;
    assert_eq!(before["state"], "pending_verification");
    assert_eq!(before["last_error"]["kind"], "dns");
    assert_eq!(before["points_to"], json!(["192.0.2.1"]));
    // a host that is taken away and given back is another one's
    let fewer = site("one", &["b.example.com"], "acme");
    admin.put("/v1/sites/one", "*", &fewer).await.expect(200);
    assert_eq!(hosts(admin, "").await, ["b.example.com"]);
    admin.post("/v1/sites", &site("three", &["a.example.com"], "acme")).await.expect(201);
    let after = admin.get("/v1/domains/A.Example.com").await.expect(200).json();
    assert_ne!(after["ownership"]["value"], before["ownership"]["value"]);
    assert_ne!(after["site_id"], before["site_id"]);
    // a site whose certificates come from elsewhere has no domains
    admin.put("/v1/sites/one", "*", &site("one", &["b.example.com"], "local")).await.expect(200);
    assert_eq!(hosts(admin, "").await, ["a.example.com"]);
    admin.get("/v1/domains/b.example.com").await.expect(404);
    service.stop().await;
}

async fn what_is_asked_needs_a_scope_and_a_domain(database: Database) {
    let service = start(&database).await;
    let admin = &service.admin;
    admin.post("/v1/sites", &site("one", &["a.example.com"], "acme")).await.expect(201);
    let reader = service.client(&["sites:read"]).await;
    let purger = service.client(&["purge"]).await;
    reader.get("/v1/domains").await.expect(200);
    purger.get("/v1/domains").await.expect(403);
    for action in ["verify", "renew", "revoke"] {
        let path = |host: &str| format!("/v1/domains/{host}/{action}");
        reader.send("POST", &path("a.example.com"), &[], "").await.expect(403);
        admin.send("POST", &path("a.example.com"), &[], "").await.expect(202);
        admin.send("POST", &path("b.example.com"), &[], "").await.expect(404);
        admin.send("POST", &path("a%2Fb"), &[], "").await.expect(404);
    }
    service.stop().await;
}

async fn another_replica_takes_over(database: Database) {
    let first = start(&database).await;
    first.admin.post("/v1/sites", &site("one", &["a.example.com"], "acme")).await.expect(201);
    looked_at(&first.admin, "a.example.com").await;
    let second = start(&database).await;
    first.stop().await;
    second.admin.post("/v1/sites", &site("two", &["b.example.com"], "acme")).await.expect(201);
    looked_at(&second.admin, "b.example.com").await;
    second.stop().await;
}

on_both_databases!(
    domains_come_and_go_with_sites,
    what_is_asked_needs_a_scope_and_a_domain,
    another_replica_takes_over,
);
