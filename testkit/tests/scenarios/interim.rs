//! Interim responses (RFC 9110 §15.2, RFC 8297) reach the client that asked, each time, and nobody else.

use crate::scene::{FRESH, HOST, Scene};
use serde_json::json;
use std::fmt::Debug;
use testkit::{Barrier, Call, Client, Interim, Response, Script, eventually};

/// How often each case is tried. One that is lost now and then shows.
const TIMES: usize = 40;
const LINK: &str = "</style.css>; rel=preload; as=style";

/// What is asked, and what comes before its final response.
struct Case {
    name: &'static str,
    method: &'static str,
    /// The path begins with it.
    path: &'static str,
    interim: &'static [u16],
    cache_control: &'static str,
}

const MISS: Case =
    Case { name: "miss", method: "GET", path: "/miss", interim: &[103], cache_control: FRESH };

const CASES: [Case; 9] = [
    MISS,
    Case { name: "uncacheable", path: "/private", cache_control: "no-store", ..MISS },
    Case { name: "cache off", path: "/off", ..MISS },
    Case { name: "HEAD", method: "HEAD", path: "/head", ..MISS },
    Case { name: "POST", method: "POST", path: "/post", ..MISS },
    Case { name: "several", path: "/several", interim: &[103, 103, 103], ..MISS },
    Case { name: "102", path: "/102", interim: &[102], ..MISS },
    Case { name: "unknown", path: "/unknown", interim: &[110], ..MISS },
    Case { name: "mixed", path: "/mixed", interim: &[102, 103, 199, 103], ..MISS },
];

impl Case {
    async fn scene() -> Scene {
        let off = json!({ "paths": ["/off/*"], "cache": { "enabled": false } });
        Scene::with(json!({ "rules": [off] })).await
    }

    /// The interim responses of the `n`-th exchange; the final one is for the caller.
    fn begin<'s>(&self, scene: &'s Scene, n: usize) -> Script<'s> {
        hinted(scene.origin.on(&self.target(n)), self.interim)
    }

    fn target(&self, n: usize) -> String {
        format!("{}/{n}", self.path)
    }

    fn call(&self, scene: &Scene, n: usize) -> Call {
        let call = scene.call(self.method, &self.target(n));
        if self.method == "POST" { call.body("form") } else { call }
    }

    /// Whether the answer is whole, and came after what the origin sent before it.
    fn is_right(&self, answer: &Response) -> bool {
        let body = if self.method == "HEAD" { "" } else { "final" };
        answer.status == 200
            && answer.text() == body
            && answer.field("link").is_none()
            && answer.interim_statuses() == self.interim
            && answer.interim.iter().all(is_hint)
    }
}

fn hinted<'s>(script: Script<'s>, statuses: &[u16]) -> Script<'s> {
    statuses.iter().fold(script, |script, status| script.interim(*status, "Link", LINK))
}

fn is_hint(interim: &Interim) -> bool {
    interim.fields.iter().collect::<Vec<_>>() == [("Link", LINK)]
}

/// Reports every case that failed at least once, with how often it did not.
fn assert_each_time(counts: &[(impl Debug, usize)]) {
    let lost: Vec<_> = counts.iter().filter(|(_, count)| *count != TIMES).collect();
    assert!(lost.is_empty(), "of {TIMES}: {lost:?}");
}

#[tokio::test]
async fn hints_sent_with_the_final_response_are_passed() {
    let scene = Case::scene().await;
    let mut counts = Vec::new();
    for case in &CASES {
        let mut right = 0;
        for n in 0..TIMES {
            let script = case.begin(&scene, n).respond(200);
            script.header("Cache-Control", case.cache_control).body("final").at_once();
            right += usize::from(case.is_right(&case.call(&scene, n).send().await));
        }
        counts.push((case.name, right));
    }
    assert_each_time(&counts);
}

#[tokio::test]
async fn hints_are_passed_before_the_final_response_is_there() {
    let scene = Case::scene().await;
    let mut counts = Vec::new();
    for case in &CASES {
        let mut right = 0;
        for n in 0..TIMES {
            let later = Barrier::new();
            let script = case.begin(&scene, n).wait(&later).respond(200);
            script.header("Cache-Control", case.cache_control).chunked().body("final");
            let mut client = case.call(&scene, n).open().await;
            let mut interim = Vec::new();
            for _ in case.interim {
                interim.push(client.interim().await.unwrap());
            }
            later.release();
            let answer = client.response_to(case.method).await.unwrap();
            right += usize::from(case.is_right(&Response { interim, ..answer }));
        }
        counts.push((case.name, right));
    }
    assert_each_time(&counts);
}

#[tokio::test]
async fn hits_repeat_no_hint_and_hold_none_of_its_fields() {
    let scene = Scene::start().await;
    scene.origin.on("/a").interim(103, "Link", LINK).respond(200).header("Cache-Control", FRESH);
    scene.get("/a").await;
    for _ in 0..TIMES {
        let hit = scene.get("/a").await;
        assert!(hit.is_hit() && hit.interim.is_empty(), "{}", hit.head);
        assert_eq!(hit.field("link"), None, "{}", hit.head);
    }
    assert_eq!(scene.origin.count("/a"), 1);
}

#[tokio::test]
async fn hints_before_a_validation_are_passed() {
    let scene = Scene::with(json!({ "cache": { "stale_if_error_seconds": 3600 } })).await;
    let mut counts = Vec::new();
    for status in [304, 200, 503] {
        for held in [false, true] {
            let mut right = 0;
            for n in 0..TIMES {
                let path = format!("/{status}/{held}/{n}");
                let stale =
                    scene.origin.on(&path).respond(200).header("Cache-Control", "max-age=0");
                stale.header("ETag", "\"v\"").body("stored");
                scene.get(&path).await;
                let later = Barrier::new();
                if !held {
                    later.release();
                }
                let script = scene.origin.on(&path).interim(103, "Link", LINK);
                let script = if held { script.wait(&later) } else { script.at_once() };
                let script = script.respond(status).header("ETag", "\"v\"");
                let expected = if status == 200 { "new" } else { "stored" };
                if status == 200 {
                    script.body("new");
                }
                let mut client = scene.call("GET", &path).open().await;
                let hint = client.interim().await.unwrap();
                later.release();
                if hint.status != 103 {
                    continue;
                }
                let answer = client.response().await.unwrap();
                right += usize::from(
                    is_hint(&hint) && answer.status == 200 && answer.text() == expected,
                );
            }
            counts.push((format!("{status}, held: {held}"), right));
        }
    }
    assert_each_time(&counts);
}

#[tokio::test]
async fn an_http_1_0_client_is_sent_no_interim_response() {
    let scene = Scene::start().await;
    let script = hinted(scene.origin.on("/*"), &[103, 102, 100]);
    script.respond(200).header("Cache-Control", FRESH).body("final");
    for n in 0..TIMES {
        let mut client = scene.edge.connect().await;
        client.send(format!("GET /{n} HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).await;
        let answer = client.response().await.unwrap();
        assert_eq!((answer.status, answer.interim.len(), answer.text()), (200, 0, "final"));
    }
}

#[tokio::test]
async fn who_waits_for_another_request_gets_the_final_response() {
    let scene = Scene::start().await;
    let mut counts = 0;
    for n in 0..TIMES {
        let path = format!("/{n}");
        let later = Barrier::new();
        let script = scene.origin.on(&path).interim(103, "Link", LINK).wait(&later);
        script
            .interim(103, "Link", LINK)
            .respond(200)
            .header("Cache-Control", FRESH)
            .body("final")
            .at_once();
        let mut first = scene.call("GET", &path).open().await;
        counts += usize::from(first.interim().await.unwrap().status == 103);
        let mut others: Vec<Client> = Vec::new();
        for _ in 0..4 {
            others.push(scene.call("GET", &path).open().await);
        }
        later.release();
        let answer = first.response().await.unwrap();
        counts += usize::from(answer.interim.iter().all(is_hint) && answer.interim.len() == 1);
        for mut other in others {
            let answer = other.response().await.unwrap();
            assert_eq!((answer.status, answer.text()), (200, "final"), "{}", answer.head);
            // one that came too late to wait may have asked by itself
            let asked = !answer.is_hit() && !answer.cache_status().contains("collapsed");
            assert!(asked || answer.interim.is_empty(), "{}", answer.head);
        }
    }
    assert_eq!(counts, 2 * TIMES);
}

#[tokio::test]
async fn a_hit_that_is_revalidated_in_the_background_has_no_hint() {
    let scene = Scene::start().await;
    let stale = "max-age=0, stale-while-revalidate=3600";
    scene.origin.on("/a").respond(200).header("Cache-Control", stale).body("old");
    scene.get("/a").await;
    let script = scene.origin.now_on("/a").interim(103, "Link", LINK).respond(200);
    script.header("Cache-Control", FRESH).body("new").at_once();
    let renewed = || async {
        let hit = scene.get("/a").await;
        assert!(hit.is_hit() && hit.interim.is_empty(), "{}", hit.head);
        (hit.text() == "new").then_some(hit)
    };
    eventually("the response of the background", renewed).await;
}

#[tokio::test]
async fn an_origin_that_breaks_off_after_a_hint_is_answered_for() {
    let scene = Scene::with(json!({ "cache": { "stale_if_error_seconds": 3600 } })).await;
    let stale = scene.origin.on("/stored").respond(200).header("Cache-Control", "max-age=0");
    stale.header("ETag", "\"v\"").body("stored");
    scene.get("/stored").await;
    scene.origin.on("/other").respond(200).header("Cache-Control", "no-store");
    for (path, status, asked) in [("/stored", 200, 2), ("/missing", 502, 1)] {
        // over a connection that was used before, on which a request that broke is tried again
        scene.get("/other").await;
        scene.origin.on(path).interim(103, "Link", LINK).close();
        let answer = scene.get(path).await;
        assert_eq!((answer.status, answer.interim_statuses()), (status, vec![103]), "{path}");
        assert_eq!(scene.origin.count(path), asked, "{path}");
    }
}

#[tokio::test]
async fn interim_responses_are_bounded() {
    let scene = Scene::start().await;
    scene.origin.on("/many").raw("HTTP/1.1 102 Processing\r\n\r\n".repeat(64)).respond(200);
    scene.origin.on("/endless").raw("HTTP/1.1 102 Processing\r\n\r\n".repeat(1_000)).hang();
    let large = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(40_000));
    scene.origin.on("/large").raw(large.clone()).respond(200);
    scene.origin.on("/larger").raw(large.repeat(2)).hang();
    for (path, status, interim) in
        [("/many", 200, 64), ("/endless", 502, 64), ("/large", 200, 1), ("/larger", 502, 1)]
    {
        let answer = scene.get(path).await;
        assert_eq!((answer.status, answer.interim.len()), (status, interim), "{path}");
        let told = answer.field("proxy-status").unwrap_or("http_protocol_error");
        assert!(told.contains("http_protocol_error"), "{path}: {}", answer.head);
    }
}

#[tokio::test]
async fn fields_that_end_here_are_in_no_hint() {
    let document =
        json!({ "rules": [{ "paths": ["/*"], "response_headers": { "remove": ["X-Inner"] } }] });
    let scene = Scene::with(document).await;
    let ours = "Connection: close, x-hop\r\nX-Hop: 1\r\nContent-Length: 0\r\nX-Inner: 1\r\nCDN-Cache-Control: max-age=9\r\n";
    let head = format!("HTTP/1.1 103 Early Hints\r\n{ours}Link: {LINK}\r\n\r\n");
    scene.origin.on("/a").raw(head).respond(200).body("final").at_once();
    let answer = scene.get("/a").await;
    assert!(
        answer.interim.len() == 1 && answer.interim.iter().all(is_hint),
        "{:?}",
        answer.interim
    );
    assert_eq!(answer.text(), "final");
}

#[tokio::test]
async fn a_hint_may_come_before_an_upgrade() {
    let scene = Scene::start().await;
    let script = scene.origin.on("/ws").interim(103, "Link", LINK).respond(101);
    script.header("Upgrade", "websocket").header("Connection", "upgrade").at_once().echo();
    for _ in 0..TIMES {
        let call = scene.call("GET", "/ws").header("Upgrade", "websocket");
        let mut client = call.header("Connection", "upgrade").open().await;
        assert!(is_hint(&client.interim().await.unwrap()));
        assert_eq!(client.head().await.unwrap().status, 101);
        client.send("ping").await;
        assert_eq!(client.some().await.unwrap().unwrap(), "ping");
    }
}
