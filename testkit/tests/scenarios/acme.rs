//! Certificates from an ACME authority: real control, a real edge, `pebble`, and DNS by a script.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::site;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Control, Dns, Edge, EdgeOptions, Origin, Pebble, PebbleOptions, Tls, eventually};
use tokio::time::sleep;

const HOST: &str = "www.shop.example.com";
/// What hosts point to.
const EDGES: &str = "edges.example.net";
/// Longer than a replica that was killed holds its lease, and an attempt that follows.
const LONG: Duration = Duration::from_secs(40);

/// Everything but a site.
struct World {
    origin: Origin,
    dns: Dns,
    pebble: Pebble,
    control: Control,
    edge: Edge,
}

impl World {
    /// With an authority that runs.
    async fn start(arguments: &[&str]) -> Self {
        let mut world = Self::without_authority(arguments).await;
        world.start_authority().await;
        world
    }

    async fn without_authority(arguments: &[&str]) -> Self {
        let (origin, dns, pebble) = (Origin::start().await, Dns::start().await, Pebble::new());
        origin.on("/*").respond(200).body("x");
        dns.point(EDGES, "127.0.0.1");
        let (directory, root, server) =
            (pebble.url(), pebble.root_file(), dns.address().to_string());
        let root = root.to_str().expect("a path in UTF-8");
        let own = [
            "--acme-directory",
            &directory,
            "--acme-ca-file",
            root,
            "--acme-contact",
            "a@example.com",
            "--dns-server",
            &server,
            "--edge-names",
            EDGES,
            "--acme-retry-seconds",
            "1",
        ];
        let control = Control::start_with(&[&own, arguments].concat()).await;
        let token = control.token(&["edge"]).await;
        let edge = Edge::start(EdgeOptions::new().control(&control.url(), &token).https()).await;
        edge.wait_ready().await;
        Self { origin, dns, pebble, control, edge }
    }

    async fn start_authority(&mut self) {
        self.start_authority_with(&[]).await;
    }

    async fn start_authority_with(&mut self, environment: &[(&str, &str)]) {
        let options = PebbleOptions {
            http: self.edge.http().port(),
            tls: self.edge.https().port(),
            dns: self.dns.address(),
        };
        self.pebble.start(options, environment).await;
    }

    /// A site of these hosts whose certificates are the authority's.
    async fn put_site(&self, hosts: &[&str]) {
        let tls = json!({ "certificate": "acme" });
        let mut document = site("shop", "", &self.origin.url(), json!({ "tls": tls }));
        document["hosts"] = json!(hosts);
        self.control.put_site(&document).await;
    }

    async fn domain(&self, host: &str) -> Value {
        let path = format!("/v1/domains/{host}");
        let answer = self.control.call("GET", &path).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("it is JSON")
    }

    async fn ask(&self, host: &str, action: &str) {
        let path = format!("/v1/domains/{host}/{action}");
        let answer = self.control.call("POST", &path).send().await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// The domain when it is as `is` says.
    async fn domain_when(&self, host: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let domain = self.domain(host).await;
            if is(&domain) {
                return domain;
            }
            assert!(began.elapsed() < LONG, "{host} is not {what}: {domain:#}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn domain_in(&self, host: &str, state: &str) -> Value {
        self.domain_when(host, state, |domain| domain["state"] == state).await
    }

    /// The domain when it failed with an error of this kind.
    async fn domain_with_error(&self, host: &str, kind: &str) -> Value {
        self.domain_when(host, kind, |domain| domain["last_error"]["kind"] == kind).await
    }

    /// The serial number that is served for a host, by TLS that the authority's root is trusted by.
    async fn served(&self, host: &str, tls: &Tls) -> Option<Vec<u8>> {
        let mut client = self.edge.try_connect_secure(host, tls).await.ok()?;
        let chain = client.session().peer_certificates().expect("there is a certificate");
        let leaf = chain[0].to_vec();
        let answer = client.get(host, "/").await;
        assert_eq!((answer.status, answer.text()), (200, "x"));
        Some(leaf)
    }

    async fn served_at_last(&self, host: &str, tls: &Tls) -> Vec<u8> {
        eventually("the certificate to be served", || self.served(host, tls)).await
    }
}

fn detail(domain: &Value) -> &str {
    domain["last_error"]["detail"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_site_has_a_certificate_by_http_01_seconds_after_it_is_put() {
    let world = World::start(&[]).await;
    world.dns.alias(HOST, EDGES);
    let tls = world.pebble.tls().await;
    let began = Instant::now();
    world.put_site(&[HOST]).await;
    world.served_at_last(HOST, &tls).await;
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    let domain = world.domain_in(HOST, "issued").await;
    assert_eq!(domain["method"], "http-01");
    assert_eq!((&domain["last_error"], &domain["attempts"]), (&Value::Null, &json!(0)));
    assert!(domain["certificate_id"].as_str().expect("an id").starts_with("crt_"));
    let metrics = world.control.call("GET", "/metrics").send().await;
    assert!(metrics.text().contains("longshore_control_domains{state=\"issued\"} 1"));
    assert!(metrics.text().contains("longshore_control_acme_issued_total 1"));
    // gone with its site
    world.control.delete_site("shop").await;
    eventually("the certificate to be gone", || async {
        world.edge.try_connect_secure(HOST, &tls).await.is_err().then_some(())
    })
    .await;
    assert_eq!(world.control.call("GET", &format!("/v1/domains/{HOST}")).send().await.status, 404);
}

#[tokio::test]
async fn a_site_has_a_certificate_by_tls_alpn_01() {
    let world = World::start(&["--acme-challenges", "tls-alpn-01"]).await;
    world.dns.point(HOST, "127.0.0.1");
    world.put_site(&[HOST]).await;
    let domain = world.domain_in(HOST, "issued").await;
    assert_eq!(domain["method"], "tls-alpn-01");
    world.served_at_last(HOST, &world.pebble.tls().await).await;
}

/// A hook that writes what it is to set into the directory of a DNS server.
fn hook(dns: &Dns) -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let program = directory.path().join("hook");
    let records = dns.directory();
    let records = records.display();
    let script = format!(
        "#!/bin/sh\ncase $1 in\npresent) echo \"$4\" >\"{records}/$3\" ;;\n\
         cleanup) rm -f \"{records}/$3\" ;;\nesac\necho \"$1 $2\" >>\"$0.log\"\n"
    );
    std::fs::write(&program, script).expect("it can be written");
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&program, mode).expect("it can be run");
    (directory, program)
}

#[tokio::test]
async fn a_wildcard_has_a_certificate_by_a_dns_hook() {
    // the hook is told its directory before control starts
    let dns = Dns::start().await;
    let (directory, program) = hook(&dns);
    let program = program.to_str().expect("a path in UTF-8");
    let mut world = World::without_authority(&["--acme-dns-hook", program]).await;
    // records of the hook are in one server, those of the world in the other
    drop(std::mem::replace(&mut world.dns, dns));
    let server = world.dns.address().to_string();
    world.dns.point(EDGES, "127.0.0.1");
    world.control.program.stop().await;
    world.control.set_argument("--dns-server", &server);
    world.control.start_again().await;
    world.start_authority().await;
    world.put_site(&["*.shop.example.com"]).await;
    let domain = world.domain_with_error("*.shop.example.com", "ownership").await;
    assert_eq!(domain["state"], "pending_verification");
    assert!(
        detail(&domain).contains("there is no TXT record _longshore-challenge.shop.example.com")
    );
    let record = &domain["ownership"];
    let (name, value) = (record["name"].as_str(), record["value"].as_str());
    world.dns.text(name.expect("a name"), value.expect("a value"));
    let domain = world.domain_in("*.shop.example.com", "issued").await;
    assert_eq!(domain["method"], "dns-01");
    world.served_at_last("any.shop.example.com", &world.pebble.tls().await).await;
    let log = std::fs::read_to_string(directory.path().join("hook.log")).expect("a log");
    assert_eq!(log, "present shop.example.com\ncleanup shop.example.com\n");
}

#[tokio::test]
async fn wrong_dns_is_told_in_words_and_put_right() {
    let world = World::start(&[]).await;
    world.put_site(&[HOST]).await;
    let domain = world.domain_with_error(HOST, "ownership").await;
    assert!(detail(&domain).contains(&format!("{HOST} has no address in DNS")), "{domain:#}");
    world.dns.point(HOST, "192.0.2.1");
    let domain =
        world.domain_when(HOST, "elsewhere", |domain| detail(domain).contains("192.0.2.1")).await;
    let expected =
        format!("the A/AAAA of {HOST} points to 192.0.2.1, not here; it must point to {EDGES}");
    assert!(detail(&domain).starts_with(&expected), "{domain:#}");
    assert_eq!(domain["state"], "pending_verification");
    world.dns.fail(true);
    world.domain_with_error(HOST, "dns").await;
    world.dns.fail(false);
    // owned by a token, but nothing at the host can answer the authority
    let record = &domain["ownership"];
    let (name, value) = (record["name"].as_str(), record["value"].as_str());
    world.dns.text(name.expect("a name"), value.expect("a value"));
    world.ask(HOST, "verify").await;
    let domain = world.domain_in(HOST, "failed").await;
    assert!(detail(&domain).contains("points to 192.0.2.1, not here"), "{domain:#}");
    assert!(domain["verified_at"].is_string() && domain["next_attempt_at"].is_string());
    world.dns.point(HOST, "127.0.0.1");
    let domain = world.domain_in(HOST, "issued").await;
    assert_eq!((&domain["last_error"], &domain["attempts"]), (&Value::Null, &json!(0)));
}

#[tokio::test]
async fn a_host_that_another_site_takes_over_is_verified_anew() {
    let world = World::start(&[]).await;
    world.dns.point(HOST, "127.0.0.1");
    world.put_site(&[HOST]).await;
    let before = world.domain_in(HOST, "issued").await;
    world.control.delete_site("shop").await;
    world.dns.point(HOST, "192.0.2.1");
    world.put_site(&[HOST]).await;
    let after = world.domain_with_error(HOST, "ownership").await;
    assert_eq!(after["state"], "pending_verification");
    assert_ne!(after["ownership"], before["ownership"]);
    assert_eq!(after["certificate_id"], Value::Null);
}

#[tokio::test]
async fn the_old_certificate_stays_while_the_authority_is_away() {
    let mut world = World::start(&[]).await;
    world.dns.point(HOST, "127.0.0.1");
    world.put_site(&[HOST]).await;
    let before = world.domain_in(HOST, "issued").await;
    let old = world.served_at_last(HOST, &world.pebble.tls().await).await;
    let tls = world.pebble.tls().await;
    world.pebble.stop().await;
    world.ask(HOST, "renew").await;
    let domain = world.domain_with_error(HOST, "authority").await;
    assert_eq!(domain["state"], "issued");
    assert!(detail(&domain).starts_with("the authority can't be used"), "{domain:#}");
    assert_eq!(domain["not_after"], before["not_after"]);
    assert_eq!(world.served(HOST, &tls).await, Some(old.clone()));
    // it comes back and knows neither the account nor any order
    world.start_authority().await;
    world.ask(HOST, "renew").await;
    let domain = world
        .domain_when(HOST, "renewed", |domain| {
            domain["last_error"].is_null() && domain["updated_at"] != before["updated_at"]
        })
        .await;
    assert_eq!(domain["certificate_id"], before["certificate_id"]);
    let new = world.served_at_last(HOST, &world.pebble.tls().await).await;
    assert_ne!(old, new);
}

#[tokio::test]
async fn a_certificate_is_renewed_with_another_key_and_revoked() {
    let world = World::start(&[]).await;
    world.dns.point(HOST, "127.0.0.1");
    world.put_site(&[HOST]).await;
    world.domain_in(HOST, "issued").await;
    let tls = world.pebble.tls().await;
    let mut served = vec![world.served_at_last(HOST, &tls).await];
    for action in ["renew", "revoke"] {
        world.ask(HOST, action).await;
        let next = eventually("another certificate", || async {
            world.served(HOST, &tls).await.filter(|leaf| !served.contains(leaf))
        })
        .await;
        served.push(next);
        world.domain_in(HOST, "issued").await;
    }
    assert!(world.control.program.log().contains("the certificate is revoked"));
}

#[tokio::test]
async fn an_order_is_gone_on_with_by_a_control_that_was_killed() {
    let mut world = World::without_authority(&[]).await;
    // the authority takes its time to look
    let slow =
        [("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "3"), ("PEBBLE_AUTHZREUSE", "0")];
    world.start_authority_with(&slow).await;
    world.dns.point(HOST, "127.0.0.1");
    world.put_site(&[HOST]).await;
    world
        .domain_when(HOST, "being shown", |domain| {
            domain["state"] == "issuing" && domain["method"] == "http-01"
        })
        .await;
    world.control.program.kill().await;
    world.control.start_again().await;
    let domain = world.domain_in(HOST, "issued").await;
    assert_eq!(domain["attempts"], 0);
    world.served_at_last(HOST, &world.pebble.tls().await).await;
    assert_eq!(world.pebble.log().matches("Added order").count(), 1, "{}", world.pebble.log());
}

/// Killed again and again, at whatever moment: what counts is that it comes to an end, and to one certificate.
#[tokio::test]
async fn a_control_that_is_killed_at_any_moment_leaves_nothing_stuck() {
    let mut world = World::start(&[]).await;
    let hosts: Vec<String> = (0..4).map(|index| format!("h{index}.example.com")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    hosts.iter().for_each(|host| world.dns.point(host, "127.0.0.1"));
    world.put_site(&hosts).await;
    for milliseconds in [40, 120, 260, 420] {
        // the first moment counts from the site, those after from when the lease is had again
        sleep(Duration::from_millis(milliseconds)).await;
        world.control.program.kill().await;
        world.control.start_again().await;
        let before = world.domain(hosts[0]).await;
        if before["state"] == "issued" {
            world.ask(hosts[0], "renew").await;
        }
        world
            .domain_when(hosts[0], "taken up", |domain| {
                domain["updated_at"] != before["updated_at"]
            })
            .await;
    }
    for host in &hosts {
        world.domain_in(host, "issued").await;
    }
    let tls = world.pebble.tls().await;
    world.served_at_last(hosts[3], &tls).await;
    let page = world.control.call("GET", "/v1/certificates").send().await;
    let page: Value = serde_json::from_slice(&page.body).expect("it is JSON");
    assert_eq!(page["certificates"].as_array().expect("a list").len(), hosts.len());
}

#[tokio::test]
async fn a_site_waits_where_there_is_no_authority_and_goes_on_when_there_is() {
    let mut world = World::start(&[]).await;
    world.control.program.stop().await;
    let directory = world.control.take_argument("--acme-directory");
    world.control.start_again().await;
    world.dns.point(HOST, "127.0.0.1");
    world.put_site(&[HOST]).await;
    let domain = world.domain_with_error(HOST, "off").await;
    assert_eq!(domain["state"], "verified");
    assert!(detail(&domain).contains("--acme-directory"));
    world.control.program.stop().await;
    world.control.add_arguments(&["--acme-directory", &directory]);
    world.control.start_again().await;
    world.domain_in(HOST, "issued").await;
}

#[tokio::test]
async fn what_no_authority_issues_for_is_refused_at_once() {
    let world = World::start(&[]).await;
    let document = site(
        "a",
        "demo.localhost",
        &world.origin.url(),
        json!({ "tls": { "certificate": "acme" } }),
    );
    let answer = world
        .control
        .call("POST", "/v1/sites")
        .header("Content-Type", "application/json")
        .body(document.to_string())
        .send()
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("hosts[0]") && answer.text().contains("is reserved"));
}
