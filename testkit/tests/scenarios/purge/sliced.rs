//! Slices are reached like the whole they are of, and those of two representations are never mixed.

use super::{purge, select, tag, url};
use crate::scene::{FRESH, HOST, Scene};
use api::purge::{Mode, Selector};
use testkit::{Live, Response, eventually};

const SLICE_BYTES: usize = 65_536;
const LENGTH: usize = 10 * SLICE_BYTES + 5;

async fn scene() -> Scene {
    Scene::with_config(&format!("[memory]\nslice_bytes = {SLICE_BYTES}\n")).await
}

/// Has the origin answer with this byte all over.
fn file(scene: &Scene, byte: u8, length: usize) {
    let script = scene.origin.now_on("/a").respond(200).header("Cache-Control", FRESH);
    let script = script.header("ETag", &format!("\"{byte}\"")).header("Cache-Tag", "t");
    script.body(vec![byte; length]).ranged();
}

async fn range(scene: &Scene, first: usize, last: usize) -> Response {
    scene.call("GET", "/a").header("Range", &format!("bytes={first}-{last}")).send().await
}

fn selectors() -> [Selector; 5] {
    [
        url("/a"),
        tag("t"),
        select(|selectors| selectors.prefixes.push("/".to_owned())),
        select(|selectors| selectors.hosts.push(HOST.to_owned())),
        Selector::Everything,
    ]
}

/// Whether all bytes of an answer are this one.
fn is_all(answer: &Response, byte: u8, length: usize) -> bool {
    answer.body.len() == length && answer.body.iter().all(|own| *own == byte)
}

#[tokio::test]
async fn slices_are_purged_with_their_whole_however_they_came() {
    for selector in selectors() {
        for is_cut in [false, true] {
            let scene = scene().await;
            file(&scene, b'1', LENGTH);
            // cut from the whole while it passes, or fetched each on its own
            let before =
                if is_cut { scene.get("/a").await } else { range(&scene, 0, LENGTH - 1).await };
            assert!(is_all(&before, b'1', LENGTH), "{}", before.head);
            let stored = eventually("the slices to be stored", || async {
                let answer = range(&scene, SLICE_BYTES - 1, 3 * SLICE_BYTES).await;
                answer.is_hit().then_some(answer)
            });
            assert!(is_all(&stored.await, b'1', 2 * SLICE_BYTES + 2));
            purge(&scene, selector.clone(), Mode::Hard).await;
            file(&scene, b'2', LENGTH - 100);
            let after = range(&scene, SLICE_BYTES - 1, 3 * SLICE_BYTES).await;
            assert!(!after.is_hit() && is_all(&after, b'2', 2 * SLICE_BYTES + 2), "{}", after.head);
            let whole = scene.get("/a").await;
            assert!(is_all(&whole, b'2', LENGTH - 100), "{selector:?} {is_cut}: {}", whole.head);
            let again = range(&scene, SLICE_BYTES - 1, 3 * SLICE_BYTES).await;
            assert!(again.is_hit() && is_all(&again, b'2', 2 * SLICE_BYTES + 2), "{}", again.head);
        }
    }
}

#[tokio::test]
async fn a_purged_group_costs_no_fetch_of_its_own() {
    let scene = scene().await;
    file(&scene, b'1', LENGTH);
    range(&scene, 0, 9).await;
    purge(&scene, url("/a"), Mode::Hard).await;
    file(&scene, b'2', LENGTH);
    let before = scene.origin.count("/a");
    assert!(is_all(&range(&scene, 0, 9).await, b'2', 10));
    assert_eq!(scene.origin.count("/a") - before, 1);
    // what has become small is stored as the whole that it is
    purge(&scene, url("/a"), Mode::Hard).await;
    file(&scene, b'3', 10);
    assert!(is_all(&scene.get("/a").await, b'3', 10));
    let requests = scene.origin.requests();
    assert_eq!(requests.last().and_then(|request| request.field("range")), None);
    assert!(scene.get("/a").await.is_hit());
}

#[tokio::test]
async fn the_same_representation_is_fetched_again_slice_by_slice() {
    let scene = scene().await;
    file(&scene, b'1', LENGTH);
    range(&scene, 0, 2 * SLICE_BYTES - 1).await;
    purge(&scene, tag("t"), Mode::Hard).await;
    let before = scene.origin.count("/a");
    assert!(is_all(&range(&scene, 0, 2 * SLICE_BYTES - 1).await, b'1', 2 * SLICE_BYTES));
    assert_eq!(scene.origin.count("/a") - before, 2);
    assert!(range(&scene, 0, 2 * SLICE_BYTES - 1).await.is_hit());
}

#[tokio::test]
async fn slices_that_were_purged_softly_are_validated_or_replaced_together() {
    let scene = scene().await;
    file(&scene, b'1', LENGTH);
    range(&scene, 0, 2 * SLICE_BYTES - 1).await;
    purge(&scene, url("/a"), Mode::Soft).await;
    let asked = |number: usize| scene.origin.requests()[number].clone();
    let answer = range(&scene, 0, 2 * SLICE_BYTES - 1).await;
    assert!(is_all(&answer, b'1', 2 * SLICE_BYTES), "{}", answer.head);
    assert_eq!(asked(2).field("if-none-match"), Some("\"49\""));
    assert!(range(&scene, 0, 2 * SLICE_BYTES - 1).await.is_hit());
    assert_eq!(scene.origin.count("/a"), 4);

    purge(&scene, url("/a"), Mode::Soft).await;
    file(&scene, b'2', LENGTH);
    let answer = range(&scene, 0, 2 * SLICE_BYTES - 1).await;
    assert!(is_all(&answer, b'2', 2 * SLICE_BYTES), "{}", answer.head);
    let again = range(&scene, 0, 2 * SLICE_BYTES - 1).await;
    assert!(again.is_hit() && is_all(&again, b'2', 2 * SLICE_BYTES), "{}", again.head);
}

#[tokio::test]
async fn slices_that_were_purged_softly_are_used_when_the_origin_fails() {
    let scene = scene().await;
    file(&scene, b'1', LENGTH);
    range(&scene, 0, 2 * SLICE_BYTES - 1).await;
    scene.origin.now_on("/a").reset();
    purge(&scene, url("/a"), Mode::Soft).await;
    let answer = range(&scene, 0, 2 * SLICE_BYTES - 1).await;
    assert!(answer.status == 206 && is_all(&answer, b'1', 2 * SLICE_BYTES), "{}", answer.head);
}

#[tokio::test]
async fn what_is_cut_while_a_purge_comes_is_its_reader_s_alone() {
    for selector in selectors() {
        let scene = scene().await;
        let live = Live::new();
        let script = scene.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        let script = script.header("ETag", "\"49\"").header("Cache-Tag", "t");
        script.length(LENGTH).live(&live);
        live.push(vec![b'1'; 3 * SLICE_BYTES]);
        let mut client = scene.call("GET", "/a").open().await;
        client.head().await.expect("the head is there");
        client.at_least(2 * SLICE_BYTES).await.expect("it passes");
        purge(&scene, selector.clone(), Mode::Hard).await;
        live.push(vec![b'1'; LENGTH - 3 * SLICE_BYTES]);
        live.end();
        let rest = client.rest_of_body().await.expect("it is whole");
        assert!(rest.iter().all(|byte| *byte == b'1'));
        file(&scene, b'2', LENGTH);
        for _ in 0..2 {
            let answer = range(&scene, 0, 5 * SLICE_BYTES).await;
            assert!(is_all(&answer, b'2', 5 * SLICE_BYTES + 1), "{selector:?}: {}", answer.head);
        }
        assert!(range(&scene, 0, 5 * SLICE_BYTES).await.is_hit());
    }
}
