//! The stage most scenarios stand on: an origin, a feed with one site, and an edge that adopted it.

use serde_json::{Value, json};
use testkit::{Call, Edge, EdgeOptions, Feed, Origin, Response};

/// The host of the site.
pub(crate) const HOST: &str = "a.example";
/// A lifetime no test outlives.
pub(crate) const FRESH: &str = "max-age=3600";

pub(crate) struct Scene {
    pub(crate) origin: Origin,
    pub(crate) feed: Feed,
    pub(crate) edge: Edge,
}

impl Scene {
    /// A site with the defaults.
    pub(crate) async fn start() -> Self {
        Self::with(json!({})).await
    }

    /// A site with some members besides its name, hosts and origin.
    pub(crate) async fn with(members: Value) -> Self {
        let origin = Origin::start().await;
        let document = site("a", HOST, &origin.url(), members);
        Self::with_document(origin, document).await
    }

    /// A site with the defaults, on an edge with these lines in its configuration.
    pub(crate) async fn with_config(config: &str) -> Self {
        let origin = Origin::start().await;
        let document = site("a", HOST, &origin.url(), json!({}));
        Self::with_options(origin, document, EdgeOptions::new().config(config)).await
    }

    pub(crate) async fn with_document(origin: Origin, document: Value) -> Self {
        Self::with_options(origin, document, EdgeOptions::new()).await
    }

    async fn with_options(origin: Origin, document: Value, options: EdgeOptions) -> Self {
        let feed = Feed::start().await;
        let edge = Edge::start(options.control(&feed.url(), "ls_test")).await;
        feed.adopted(feed.put_site(1, document)).await;
        Self { origin, feed, edge }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.edge.get(HOST, path).await
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        self.edge.call(method, HOST, path)
    }
}

/// A site document. `members` replace or add.
pub(crate) fn site(name: &str, host: &str, origin: &str, members: Value) -> Value {
    let mut document = json!({
        "name": name,
        "hosts": [host],
        "origins": [{ "name": "main", "url": origin }],
    });
    if let (Value::Object(document), Value::Object(members)) = (&mut document, members) {
        document.extend(members);
    }
    document
}
