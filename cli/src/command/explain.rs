//! `longshore explain`: why is a URL a hit, or not?

use crate::args::Explain as Args;
use crate::edge::{self, Edge};
use crate::failure::Failure;
use crate::output::Output;
use crate::settings::Given;
use api::explain::{
    ExplainRequest, Explanation, FreshnessFound, KeyFound, PurgedBy, SiteFound, StoredFound,
};
use api::purge::Mode;
use std::fmt::Write as _;

/// Width of the words before each line.
pub(super) const MARGIN: usize = 10;

/// Asks one edge, and shows what it says.
pub(crate) async fn run(args: Args, given: Given, output: Output) -> Result<(), Failure> {
    let edge = Edge::at(&args.at, &given)?;
    let fields = args.field.iter().map(|line| edge::field(line)).collect::<Result<_, _>>()?;
    let request =
        ExplainRequest { method: args.method, url: args.url, fields, client: args.client };
    let explanation: Explanation = edge.post("explain", &request).await?;
    output.result(&explanation, || text(&request, &explanation));
    Ok(())
}

fn text(request: &ExplainRequest, found: &Explanation) -> String {
    let mut lines = vec![format!("{} {}", request.method, request.url)];
    let mut say = |word: &str, text: String| lines.push(format!("  {word:MARGIN$}{text}"));
    if let Some(site) = &found.site {
        say("site", site_text(site));
    }
    if let Some(key) = &found.key {
        say("key", key_text(key));
    }
    if let Some(stored) = &found.stored {
        say_stored(stored, &mut say);
    }
    say("now", format!("{}: {}", word(found), found.why));
    lines.join("\n")
}

pub(super) fn site_text(site: &SiteFound) -> String {
    let rule =
        site.rule.as_ref().map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
    let origin = site
        .origin
        .as_deref()
        .map_or_else(|| "no origin".to_owned(), |origin| format!("origin {origin}"));
    format!("{} ({}), {rule}, {origin}", site.name, site.id)
}

pub(super) fn key_text(key: &KeyFound) -> String {
    format!("{}: {}", key.hash, key.parts.join(" "))
}

fn word(found: &Explanation) -> String {
    let outcome = serde_json::to_value(found.outcome).unwrap_or_default();
    let word = outcome.as_str().unwrap_or_default().replace('_', " ");
    found.status.map_or_else(|| word.clone(), |status| format!("{word}, {status}"))
}

pub(super) fn say_stored(stored: &StoredFound, say: &mut impl FnMut(&str, String)) {
    let size = stored
        .body_bytes
        .map_or_else(|| "being filled".to_owned(), |bytes| format!("{bytes} bytes"));
    let purged = stored.purged.map(|by| format!(", {}", purged(by))).unwrap_or_default();
    say("stored", format!("{}, {size}, received {}{purged}", stored.status, stored.received));
    for line in &stored.fields {
        say("", format!("{}: {}", line.name, line.value));
    }
    if !stored.tags.is_empty() {
        say("tags", stored.tags.join(" "));
    }
    if !stored.selected_by.is_empty() {
        say("vary", selection(stored));
    }
    say_freshness(&stored.freshness, say);
}

fn purged(by: PurgedBy) -> String {
    match by.mode {
        Mode::Hard => format!("purged by {}", by.seq),
        Mode::Soft => format!("purged softly by {}", by.seq),
    }
}

fn selection(stored: &StoredFound) -> String {
    let mut text = String::new();
    for (name, value) in &stored.selected_by {
        let value =
            value.as_deref().map_or_else(|| "absent".to_owned(), |value| format!("`{value}`"));
        // writing to a string can't fail
        _ = write!(text, "{name} {value}, ");
    }
    text + if stored.selected {
        "as in the request it was fetched for"
    } else {
        "not as in the request it was fetched for"
    }
}

fn say_freshness(fresh: &FreshnessFound, say: &mut impl FnMut(&str, String)) {
    say("lifetime", format!("{} s, by {}", fresh.lifetime_seconds, fresh.lifetime_from));
    let (age, first, here) = (fresh.age_seconds, fresh.initial_age_seconds, fresh.resident_seconds);
    say("age", format!("{age} s: {first} s when it was received, {here} s here"));
    let left = match fresh.ttl_seconds {
        ttl if ttl > 0 => format!("fresh for another {ttl} s"),
        ttl => format!("stale for {} s", -ttl),
    };
    let windows = match (fresh.no_cache, fresh.forbids_stale) {
        (true, _) => "validated before each use".to_owned(),
        (_, true) => "never used stale".to_owned(),
        _ => format!(
            "then {} s while revalidating, {} s if the origin fails",
            fresh.stale_while_revalidate_seconds, fresh.stale_if_error_seconds
        ),
    };
    say("", format!("{left}; {windows}"));
}
