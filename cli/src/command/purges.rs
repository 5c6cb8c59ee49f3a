//! `longshore purges`: what became of purges, revalidations, warmings and dry runs.

use super::progress;
use super::purge::selected;
use crate::args::Purges as Args;
use crate::client::{Ask, Client};
use crate::failure::Failure;
use crate::output::{Output, table};
use api::purge::{Kind, Mode, PurgePage, PurgeRecord};
use reqwest::Method;
use std::time::{Duration, Instant};

/// Does what was asked.
pub(crate) async fn run(args: &Args, client: &Client, output: Output) -> Result<(), Failure> {
    match args {
        Args::List { limit } => list(*limit, client, output).await,
        Args::Show { seq, wait } => show(*seq, wait.wait, client, output).await,
    }
}

async fn show(
    seq: u64,
    wait: Option<Duration>,
    client: &Client,
    output: Output,
) -> Result<(), Failure> {
    if let Some(limit) = wait {
        let about = progress::About { site: &format!("feed {seq}"), what: "entry", seq };
        return progress::follow(&about, client, output, Instant::now(), limit).await;
    }
    let (body, status) = progress::read(seq, client).await?;
    output.result(&body, || progress::rows(&status));
    Ok(())
}

async fn list(limit: u32, client: &Client, output: Output) -> Result<(), Failure> {
    let query = &[("limit", limit.to_string())];
    let query = query.each_ref().map(|(name, value)| (*name, value.as_str()));
    let ask = Ask { path: &["v1", "purges"], query: &query, ..Ask::default() };
    let answer = client.send(Method::GET, ask).await?;
    let page: PurgePage = answer.read()?;
    output.result(&answer.body, || {
        let rows: Vec<_> = page.purges.iter().map(row).collect();
        table(["FEED", "WHEN", "SITE", "WHAT", "OF", "REGIONS"], &rows)
    });
    Ok(())
}

fn row(purge: &PurgeRecord) -> [String; 6] {
    let what = match (purge.kind, purge.mode) {
        (Kind::Purge, Mode::Hard) => "purge",
        (Kind::Purge, Mode::Soft) => "soft purge",
        (Kind::Count, _) => "dry run",
        (Kind::Revalidate, _) => "revalidation",
        (Kind::Warm, _) => "warming",
    };
    let regions = if purge.regions.is_empty() { "all".to_owned() } else { purge.regions.join(" ") };
    [
        purge.seq.to_string(),
        purge.created_at.clone(),
        purge.site_id.to_string(),
        what.to_owned(),
        selected(&purge.selectors),
        regions,
    ]
}
