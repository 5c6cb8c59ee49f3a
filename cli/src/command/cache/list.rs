//! `longshore cache list`: pages are asked for until there are as many as wanted.

use super::{state, tiers};
use crate::args::CacheList as Args;
use crate::edge::Edge;
use crate::failure::Failure;
use crate::output::{Output, bytes, seconds, table};
use api::cache::{LISTED_MAX, StoredPage, StoredResponse};

pub(super) async fn run(args: &Args, edge: &Edge, output: Output) -> Result<(), Failure> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut page = ask(args, edge, limit, None).await?;
    while let Some(after) = page.next.take() {
        if page.responses.len() >= limit {
            page.next = Some(after);
            break;
        }
        let more = ask(args, edge, limit - page.responses.len(), Some(&after)).await?;
        page.responses.extend(more.responses);
        page.next = more.next;
    }
    output.result(&page, || text(&page.responses));
    if page.next.is_some() && !output.json {
        output.note(&format!("there may be more than these {limit}; --limit asks for more"));
    }
    Ok(())
}

async fn ask(
    args: &Args,
    edge: &Edge,
    limit: usize,
    after: Option<&str>,
) -> Result<StoredPage, Failure> {
    let limit = limit.min(LISTED_MAX).to_string();
    let optional = [
        ("prefix", args.prefix.as_deref()),
        ("site", args.site.as_deref()),
        ("tier", args.tier.as_deref()),
        ("after", after),
    ];
    let mut query = vec![("limit", limit.as_str())];
    query.extend(optional.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
    edge.get("cache/list", &query).await
}

fn text(responses: &[StoredResponse]) -> String {
    let rows: Vec<_> = responses.iter().map(row).collect();
    let header = ["STATE", "AGE", "TTL", "STATUS", "BODY", "TIER", "VARIANT", "SLICE", "URL"];
    table(header, &rows)
}

/// With the number of the purge that made it so.
fn state_text(stored: &StoredResponse) -> String {
    let state = state(stored.state);
    stored.purged.map_or_else(|| state.to_owned(), |by| format!("{state} by {}", by.seq))
}

fn row(stored: &StoredResponse) -> [String; 9] {
    let sign = if stored.ttl_seconds < 0 { "-" } else { "" };
    let absent = || "-".to_owned();
    [
        state_text(stored),
        seconds(stored.age_seconds),
        format!("{sign}{}", seconds(stored.ttl_seconds.unsigned_abs())),
        stored.status.to_string(),
        stored.body_bytes.map_or_else(absent, bytes),
        tiers(&stored.tiers),
        stored.variant.clone().unwrap_or_else(absent),
        stored.slice.map_or_else(absent, |slice| slice.index.to_string()),
        stored.url.clone(),
    ]
}
