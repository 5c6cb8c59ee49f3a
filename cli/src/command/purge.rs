//! `longshore purge`: have edges forget what they stored of a site.

use super::wait;
use crate::args::Purge as Args;
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::output::Output;
use api::purge::{PurgeAccepted, PurgeRequest};
use reqwest::Method;
use std::time::Instant;

/// Does what was asked.
pub(crate) async fn run(args: &Args, client: &Client, output: Output) -> Result<(), Failure> {
    let request = serde_json::to_value(PurgeRequest {
        everything: args.everything,
        ..PurgeRequest::default()
    })
    .map_err(|error| Failure::failed("the purge can't be written", error))?;
    let since = Instant::now();
    let path = &["v1", "sites", args.site.as_str(), "purge"];
    let ask = Ask { path, body: Some(&request), ..Ask::default() };
    let answer = client.send(Method::POST, ask).await?;
    let accepted: PurgeAccepted = answer.read()?;
    output.result(&answer.body, || {
        format!("{}: purge of everything accepted, feed {}", args.site, accepted.seq)
    });
    if let Some(limit) = args.wait.wait {
        let adoption = wait::adopted(client, accepted.seq, None, since, limit).await?;
        output.note(&format!("{}: purge {adoption}", args.site));
    }
    Ok(())
}
