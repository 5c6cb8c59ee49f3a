//! Runs an edge in front of an origin until it is ended: `stand ORIGIN [CONFIG]`, with lines for `edge.toml` in CONFIG. Prints
//! where it is and its process as a line of JSON. The site's hosts are `127.0.0.1` and `localhost`.

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{Edge, EdgeOptions, Feed};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "what a command tells")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let origin = arguments.next().context("usage: stand ORIGIN [CONFIG]")?;
    let config = arguments.next().unwrap_or_default();
    let feed = Feed::start().await;
    let options = EdgeOptions::new().control(&feed.url(), "ls_test").config(&config);
    let edge = Edge::start(options.without_access_log()).await;
    let origins = json!([{ "name": "main", "url": format!("http://{origin}") }]);
    let hosts = ["127.0.0.1", "localhost"];
    feed.adopted(feed.put_site(1, json!({ "name": "stand", "hosts": hosts, "origins": origins })))
        .await;
    let process = edge.program.id();
    println!("{}", json!({ "http": edge.http(), "admin": edge.admin(), "process": process }));
    tokio::signal::ctrl_c().await?;
    Ok(())
}
