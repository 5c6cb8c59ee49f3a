//! Purges from the API to the client: whatever happens between, nothing purged is served once that was confirmed.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "purging/fills.rs"]
mod fills;
#[path = "purging/outages.rs"]
mod outages;
#[path = "purging/stored.rs"]
mod stored;
#[path = "purging/tenants.rs"]
mod tenants;

use crate::scene::{FRESH, HOST, site};
use api::purge::{PurgeAccepted, PurgeStatus};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Barrier, Call, Control, Edge, EdgeOptions, Origin, Response};

/// Tags of whatever [`Installation::script`] has the origin answer.
const TAGS: &str = "one,two";
/// Every way to select the path `/a` of [`HOST`].
const SELECTORS: [&str; 6] = [
    r#"{"urls":["/a"]}"#,
    r#"{"urls":["https://a.example/a"]}"#,
    r#"{"prefixes":["/"]}"#,
    r#"{"tags":["TWO"]}"#,
    r#"{"hosts":["a.example"]}"#,
    r#"{"everything":true}"#,
];

/// Control, an edge with a directory on disk, and one site.
struct Installation {
    origin: Origin,
    control: Control,
    edge: Edge,
    _home: TempDir,
}

impl Installation {
    async fn start() -> Self {
        Self::under(Control::start().await).await
    }

    async fn under(control: Control) -> Self {
        let home = TempDir::new().expect("a temporary directory can be made");
        let origin = Origin::start().await;
        let token = control.token(&["edge"]).await;
        let config = format!(
            "[[disk.directories]]\npath = \"{}\"\ncapacity_bytes = 67108864\n",
            home.path().join("store").display()
        );
        let options = EdgeOptions::new().control(&control.url(), &token).config(&config);
        let edge = Edge::start(options).await;
        let record = control.put_site(&site("a", HOST, &origin.url(), json!({}))).await;
        control.wait_adopted(&edge, record.seq).await;
        Self { origin, control, edge, _home: home }
    }

    async fn get(&self, path: &str) -> Response {
        self.edge.get(HOST, path).await
    }

    fn call(&self, path: &str) -> Call {
        self.edge.call("GET", HOST, path)
    }

    /// From now on, the origin has this at `path`.
    fn script(&self, path: &str, body: &'static str) {
        let script = self.origin.now_on(path).respond(200).header("Cache-Control", FRESH);
        script.header("Cache-Tag", TAGS).body(body);
    }

    /// Has the origin begin an answer at `path` and go on when the barrier is released; `head` says whether the head
    /// comes before.
    fn script_slow(&self, path: &str, head: bool, barrier: &Barrier) {
        let script = self.origin.now_on(path);
        let script = if head { script } else { script.wait(barrier) };
        let script = script.respond(200).header("Cache-Control", FRESH).header("Cache-Tag", TAGS);
        let script = script.chunked().body("ol");
        let script = if head { script.wait(barrier) } else { script };
        script.body("d");
    }

    /// Sends a purge of the site `name`.
    async fn send(&self, name: &str, body: &Value) -> Response {
        let call = self.control.call("POST", &format!("/v1/sites/{name}/purge"));
        call.header("Content-Type", "application/json").body(body.to_string()).send().await
    }

    /// Purges, and doesn't wait.
    async fn accepted(&self, body: &Value) -> u64 {
        let answer = self.send("a", body).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let accepted: PurgeAccepted = serde_json::from_slice(&answer.body).expect("JSON");
        accepted.seq
    }

    /// Purges, and waits until that is confirmed.
    async fn purge(&self, body: &Value) -> PurgeStatus {
        let mut body = body.clone();
        body["wait"] = json!("all");
        let answer = self.send("a", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let status: PurgeStatus = serde_json::from_slice(&answer.body).expect("JSON");
        assert!(status.complete && status.edges.len() == 1, "{}", answer.text());
        status
    }

    /// Has `old` stored at `path`.
    async fn store_old(&self, path: &str, case: &str) {
        self.script(path, "old");
        self.check_stored(path, "old", case).await;
    }

    /// Expects that `body` is stored at `path` when it was asked for.
    async fn check_stored(&self, path: &str, body: &str, case: &str) {
        self.get(path).await;
        let answer = self.get(path).await;
        assert!(answer.is_hit() && answer.text() == body, "{case}: {}", answer.head);
    }

    /// Expects `body` at `path`, twice: fetched or not, it is what is served from now on.
    async fn check(&self, path: &str, body: &str, case: &str) {
        for _ in 0..2 {
            let answer = self.get(path).await;
            assert_eq!(answer.text(), body, "{case}: {}", answer.head);
        }
    }
}

/// A body of a request, of those above.
fn parsed(selector: &str) -> Value {
    serde_json::from_str(selector).expect("JSON")
}
