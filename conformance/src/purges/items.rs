//! One round of each item.

use super::Item;
use super::load::pages;
use super::origin::{LARGE_BYTES, SLOW};
use super::world::{HOST, OTHER_HOST, World, exchange};
use crate::differential::Random;
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How soon what was purged soft has to be renewed once it is asked for.
const RENEWED: Duration = Duration::from_secs(5);
/// Purges while an edge is away.
const MISSED: usize = 20;

pub(crate) async fn round(item: Item, world: &mut World, random: &mut Random) -> Result<()> {
    match item {
        Item::Selectors => selectors(world, random).await,
        Item::InFlight => in_flight(world, random).await,
        Item::Variants => variants(world, random).await,
        Item::Slices => slices(world, random).await,
        Item::SeveralTags => several_tags(world, random).await,
        Item::TwoAtOnce => two_at_once(world).await,
        Item::Soft => soft(world).await,
        Item::ClockJump => clock_jump(world, random).await,
        Item::EdgeKilled => edge_killed(world, random).await,
        Item::EdgeAway => edge_away(world, random).await,
        Item::ControlKilled => control_killed(world, random).await,
        Item::OtherTenant => other_tenant(world, random).await,
    }
}

fn milliseconds(random: &mut Random, below: usize) -> Duration {
    Duration::from_millis(random.below(below) as u64)
}

/// The number and the kind in `/kind/number`.
fn named(page: &str) -> String {
    page.trim_start_matches('/').replace('/', "-")
}

/// A selector of any kind that selects a page.
fn selector(page: &str, random: &mut Random) -> Value {
    match random.below(7) {
        0 => json!({"urls": [page]}),
        1 => json!({"urls": [format!("https://{HOST}{page}")]}),
        2 => json!({"tags": [named(page)]}),
        3 => json!({"tags": ["never", format!("ALSO-{}", named(page))]}),
        4 => json!({"prefixes": [page]}),
        5 => json!({"hosts": [HOST]}),
        _ => json!({"everything": true}),
    }
}

async fn selectors(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("page");
    world.ask(&page).await;
    if random.chance(50) {
        world.ask(&format!("{page}?query={}", random.below(9))).await;
    }
    let all = pages();
    let mut reached = vec![page.as_str()];
    let selector = selector(&page, random);
    if selector.get("everything").is_some() || selector.get("hosts").is_some() {
        for page in &all {
            world.publish(page);
        }
        reached.extend(all.iter().map(String::as_str));
    }
    world.publish(&page);
    if world.purge(&selector, &reached).await? {
        world.ask(&page).await;
        world.ask(&format!("{page}?query=3")).await;
    }
    Ok(())
}

async fn in_flight(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("slow");
    let edge = world.edges[random.below(2)].http();
    let fetch = {
        let (known, page) = (Arc::clone(&world.known), page.clone());
        tokio::spawn(async move { known.ask(edge, HOST, &page, &[]).await.is_some() })
    };
    sleep(milliseconds(random, 2 * usize::try_from(SLOW.as_millis())?)).await;
    world.publish(&page);
    if world.purge(&selector(&page, random), &[&page]).await? {
        world.ask(&page).await;
    }
    fetch.await?;
    world.ask(&page).await;
    Ok(())
}

async fn variants(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("page");
    let languages = ["de", "en", "fr", "nl"];
    for _ in 0..2 {
        for edge in &world.edges {
            for language in languages {
                let fields = [("Accept-Language", language)];
                world.known.ask(edge.http(), HOST, &page, &fields).await;
            }
        }
        world.publish(&page);
        world.purge(&selector(&page, random), &[&page]).await?;
    }
    Ok(())
}

async fn slices(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("large");
    for _ in 0..2 {
        for edge in &world.edges {
            for _ in 0..2 {
                let first = random.below(LARGE_BYTES - 1);
                let last = first + random.below(LARGE_BYTES - first);
                let range = format!("bytes={first}-{last}");
                let fields = [("Range", range.as_str())];
                world.known.ask(edge.http(), HOST, &page, &fields).await;
            }
            if random.chance(30) {
                world.known.ask(edge.http(), HOST, &page, &[]).await;
            }
        }
        world.publish(&page);
        world.purge(&selector(&page, random), &[&page]).await?;
    }
    world.ask(&page).await;
    Ok(())
}

async fn several_tags(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("page");
    for tag in [named(&page), format!("also-{}", named(&page)), "page".to_owned(), "all".to_owned()]
    {
        world.ask(&page).await;
        world.publish(&page);
        world.purge(&json!({"tags": [tag]}), &[&page]).await?;
        sleep(milliseconds(random, 3)).await;
        world.ask(&page).await;
    }
    Ok(())
}

async fn two_at_once(world: &mut World) -> Result<()> {
    let (one, two) = (world.new_page("page"), world.new_page("page"));
    world.ask(&one).await;
    world.ask(&two).await;
    world.publish(&one);
    world.publish(&two);
    let tags = [json!({"tags": [named(&one)]}), json!({"tags": [named(&two)]})];
    let (first, second) = ([one.as_str()], [two.as_str()]);
    let (first, second) =
        tokio::join!(world.purge(&tags[0], &first), world.purge(&tags[1], &second));
    if first? && second? {
        world.ask(&one).await;
        world.ask(&two).await;
    }
    Ok(())
}

async fn soft(world: &mut World) -> Result<()> {
    let page = world.new_page("page");
    world.ask(&page).await;
    let version = world.publish(&page);
    let purge =
        json!({"tags": [named(&page)], "mode": "soft", "wait": "all", "timeout_ms": 20_000});
    let answer = world.post("one", &purge).await?;
    if answer.status != 200 {
        world.known.fail(format!("{} {}", answer.status, answer.text()));
        return Ok(());
    }
    for edge in &world.edges {
        let began = Instant::now();
        loop {
            let Some((found, _)) = world.known.ask(edge.http(), HOST, &page, &[]).await else {
                break;
            };
            if found >= version {
                break;
            }
            if began.elapsed() > RENEWED {
                world.known.violate(format!("{page}: {found} where {version} was to be fetched"));
                break;
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
    Ok(())
}

async fn clock_jump(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("page");
    world.ask(&page).await;
    world.publish(&page);
    if random.chance(50) {
        world.clock.jump(random)?;
    }
    let is_purged = world.purge(&selector(&page, random), &[&page]).await?;
    if random.chance(50) {
        world.clock.jump(random)?;
    }
    if is_purged {
        world.ask(&page).await;
    }
    world.clock.set(0)?;
    world.ask(&page).await;
    Ok(())
}

async fn edge_killed(world: &mut World, random: &mut Random) -> Result<()> {
    let (page, which) = (world.new_page("page"), random.below(2));
    world.ask(&page).await;
    let version = world.publish(&page);
    let answer = world.post("one", &selector(&page, random)).await?;
    if answer.status != 202 {
        world.known.fail(format!("{} {}", answer.status, answer.text()));
    }
    sleep(milliseconds(random, 30)).await;
    world.edges[which].program.kill().await;
    world.start_again(which).await;
    world.caught_up().await?;
    world.known.raise(HOST, &[&page], &[version]);
    world.ask(&page).await;
    Ok(())
}

async fn edge_away(world: &mut World, random: &mut Random) -> Result<()> {
    let missed: Vec<String> = (0..MISSED).map(|_| world.new_page("page")).collect();
    for page in &missed {
        world.ask(page).await;
    }
    world.edges[1].program.kill().await;
    let mut versions = Vec::new();
    for page in &missed {
        versions.push(world.publish(page));
        let answer = world.post("one", &selector(page, random)).await?;
        if answer.status != 202 {
            world.known.fail(format!("{} {}", answer.status, answer.text()));
        }
    }
    world.start_again(1).await;
    world.caught_up().await?;
    let missed: Vec<&str> = missed.iter().map(String::as_str).collect();
    world.known.raise(HOST, &missed, &versions);
    for page in missed {
        world.ask(page).await;
    }
    Ok(())
}

async fn control_killed(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("page");
    world.ask(&page).await;
    let version = world.publish(&page);
    let key = format!("\"{page}-{}\"", random.below(usize::MAX));
    let purge = selector(&page, random).to_string();
    let control = world.control.address();
    let request = format!(
        "POST /v1/sites/one/purge HTTP/1.1\r\nHost: control\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{purge}",
        world.control.admin_token(),
        purge.len()
    );
    let first = {
        let request = request.clone();
        tokio::spawn(async move { exchange(control, &request).await })
    };
    sleep(milliseconds(random, 20)).await;
    world.control.program.kill().await;
    let answered = first.await?.map(|answer| answer.status);
    world.control.start_again().await;
    if !matches!(answered, Ok(202)) {
        // nobody knows whether it was accepted: the same again is accepted once
        let again = exchange(control, &request).await?;
        if again.status != 202 {
            world.known.fail(format!("{} {}", again.status, again.text()));
        }
    }
    world.caught_up().await?;
    world.known.raise(HOST, &[&page], &[version]);
    world.ask(&page).await;
    Ok(())
}

async fn other_tenant(world: &mut World, random: &mut Random) -> Result<()> {
    let page = world.new_page("page");
    let others = format!("{OTHER_HOST}{page}");
    for edge in &world.edges {
        world.known.ask(edge.http(), OTHER_HOST, &page, &[]).await;
    }
    let stored = world.versions.of(&others);
    world.versions.publish(&others);
    world.publish(&page);
    world.purge(&selector(&page, random), &[&page]).await?;
    let wrong = json!({"urls": [format!("http://{OTHER_HOST}{page}")], "hosts": [OTHER_HOST]});
    let refused = world.post("one", &wrong).await?;
    if refused.status != 422 {
        world.known.fail(format!("another's host: {} {}", refused.status, refused.text()));
    }
    for edge in &world.edges {
        if let Some((found, answer)) = world.known.ask(edge.http(), OTHER_HOST, &page, &[]).await
            && found != stored
        {
            let status = answer.cache_status();
            world.known.violate(format!("{others}: {found} where {stored} was stored: {status}"));
        }
    }
    Ok(())
}
