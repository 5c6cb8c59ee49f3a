//! What purges do to stored responses: which they reach, and what becomes of those.

#[path = "purge/race.rs"]
mod race;
#[path = "purge/selectors.rs"]
mod selectors;
#[path = "purge/sliced.rs"]
mod sliced;
#[path = "purge/soft.rs"]
mod soft;

use crate::scene::Scene;
use api::purge::{Mode, Selector, Selectors};

/// What one list of selectors selects.
fn select(change: impl FnOnce(&mut Selectors)) -> Selector {
    let mut selectors = Selectors::default();
    change(&mut selectors);
    Selector::Any(selectors)
}

fn tag(tag: &str) -> Selector {
    select(|selectors| selectors.tags.push(tag.to_owned()))
}

fn url(url: &str) -> Selector {
    select(|selectors| selectors.urls.push(url.to_owned()))
}

/// Purges, and waits until that is in force.
async fn purge(scene: &Scene, selector: Selector, mode: Mode) {
    scene.feed.adopted(scene.feed.purge_by(1, selector, mode)).await;
}
