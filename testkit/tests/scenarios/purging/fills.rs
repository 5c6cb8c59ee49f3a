//! Fetches that began before a purge and end after it.

use super::{Installation, SELECTORS, parsed};
use testkit::Barrier;

async fn check(head: bool) {
    let own = Installation::start().await;
    for selector in SELECTORS {
        let barrier = Barrier::new();
        own.script_slow("/a", head, &barrier);
        let before = own.origin.count("/a");
        let mut early = own.call("/a").open().await;
        own.origin.arrived("/a", before + 1).await;
        if head {
            early.head().await.expect("the head comes");
        }
        own.purge(&parsed(selector)).await;
        own.script("/a", "new");
        barrier.release();
        let body = match head {
            true => early.rest_of_body().await.expect("the body comes"),
            false => early.response().await.expect("a response comes").body,
        };
        assert!(body == b"old" || body == b"new", "{selector}");
        own.check("/a", "new", selector).await;
        own.purge(&parsed(r#"{"everything":true}"#)).await;
    }
}

#[tokio::test]
async fn a_fetch_that_waits_for_its_head_does_not_outlive_a_purge() {
    check(false).await;
}

#[tokio::test]
async fn a_fetch_that_waits_for_its_body_does_not_outlive_a_purge() {
    check(true).await;
}

#[tokio::test]
async fn who_asks_after_a_purge_is_not_given_what_began_before() {
    let own = Installation::start().await;
    for selector in SELECTORS {
        let barrier = Barrier::new();
        own.script_slow("/a", true, &barrier);
        let mut early = own.call("/a").open().await;
        early.head().await.expect("the head comes");
        own.purge(&parsed(selector)).await;
        own.script("/a", "new");
        // while the old body is still on its way
        own.check("/a", "new", selector).await;
        barrier.release();
        assert_eq!(early.rest_of_body().await.expect("the body comes"), b"old", "{selector}");
        own.check("/a", "new", selector).await;
        own.purge(&parsed(r#"{"everything":true}"#)).await;
    }
}
