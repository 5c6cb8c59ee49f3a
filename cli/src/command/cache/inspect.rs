//! `longshore cache inspect`: everything that is stored of a URL.

use super::{state, tiers};
use crate::args::CacheInspect as Args;
use crate::command::explain::{MARGIN, key_text, say_stored, site_text};
use crate::edge::{self, Edge};
use crate::failure::Failure;
use crate::output::{Output, bytes};
use api::cache::{Inspection, SlicesFound, VariantFound};

pub(super) async fn run(args: &Args, edge: &Edge, output: Output) -> Result<(), Failure> {
    for line in &args.field {
        edge::field(line)?;
    }
    let mut query = vec![("url", args.url.as_str())];
    query.extend(args.field.iter().map(|line| ("field", line.as_str())));
    let found: Inspection = edge.get("cache/inspect", &query).await?;
    output.result(&found, || text(&args.url, &found));
    Ok(())
}

fn text(url: &str, found: &Inspection) -> String {
    let mut lines = vec![url.to_owned()];
    let mut say = |word: &str, text: String| lines.push(format!("  {word:MARGIN$}{text}"));
    say("site", site_text(&found.site));
    say("key", key_text(&found.key));
    if found.variants.is_empty() {
        say("stored", "nothing whole".to_owned());
    }
    for variant in &found.variants {
        say("variant", variant_text(variant));
        say_stored(&variant.stored, &mut say);
    }
    if let Some(slices) = &found.slices {
        say("slices", slices_text(slices));
    }
    lines.join("\n")
}

fn variant_text(found: &VariantFound) -> String {
    let which = found.variant.as_deref().unwrap_or("without one");
    let state = state(found.state);
    let selected = if found.stored.selected { ", selected" } else { "" };
    let (tiers, head) = (tiers(&found.tiers), bytes(found.head_bytes));
    format!("{which}: {tiers}, {state}{selected}; head {head}, feed {}", found.applied)
}

fn slices_text(found: &SlicesFound) -> String {
    let SlicesFound { stored, looked_for, count, .. } = found;
    let of = if looked_for < count {
        format!("the first {looked_for} of {count}")
    } else {
        count.to_string()
    };
    let selected = if found.selected { "" } else { "; not selected" };
    format!(
        "{stored} of {of} stored, {} of {}; {} each{selected}",
        bytes(found.stored_bytes),
        bytes(found.complete_length),
        bytes(found.slice_bytes)
    )
}
