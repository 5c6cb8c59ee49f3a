//! What is there again after a restart, and what isn't.

use super::{End, LARGE_BYTES, Stored, content};
use crate::scene::FRESH;

const ENDS: [End; 2] = [End::Stopped, End::Killed];

#[tokio::test]
async fn what_is_stored_is_there_again() {
    for end in ENDS {
        let mut stored = Stored::start().await;
        for (path, length) in [("/none", 0), ("/small", 10), ("/large", LARGE_BYTES)] {
            stored.script(path, &content(length));
            stored.get(path).await;
        }
        stored.restart(end).await;
        stored.without_origin().await;
        for (path, length) in [("/none", 0), ("/small", 10), ("/large", LARGE_BYTES)] {
            let answer = stored.get(path).await;
            assert!(answer.is_hit() && answer.body == content(length), "{end:?} {}", answer.head);
            assert_eq!(answer.field("etag"), Some("\"1\""), "{end:?} {path}");
        }
    }
}

#[tokio::test]
async fn variants_are_there_again() {
    for end in ENDS {
        let mut stored = Stored::start().await;
        let languages = ["en", "de", "fr"];
        for language in languages {
            let answer = stored.origin.on("/a").respond(200).header("Cache-Control", FRESH);
            answer.header("Vary", "Accept-Language").body(language);
        }
        let get = async |stored: &Stored, language: &str| {
            stored.call("GET", "/a").header("Accept-Language", language).send().await
        };
        for language in languages {
            get(&stored, language).await;
        }
        stored.restart(end).await;
        stored.without_origin().await;
        for language in languages {
            let answer = get(&stored, language).await;
            assert!(answer.is_hit() && answer.text() == language, "{end:?} {}", answer.head);
        }
    }
}

#[tokio::test]
async fn a_renewed_head_is_there_again_with_its_body() {
    for (end, length) in [(End::Stopped, 10), (End::Killed, 10), (End::Killed, LARGE_BYTES)] {
        let mut stored = Stored::start().await;
        let script = stored.origin.on("/a").respond(200).header("ETag", "\"1\"");
        script.header("Cache-Control", "max-age=0").header("X-Head", "old").body(content(length));
        let script = stored.origin.on("/a").respond(304).header("ETag", "\"1\"");
        script.header("Cache-Control", FRESH).header("X-Head", "new");
        for _ in 0..2 {
            assert_eq!(stored.get("/a").await.body, content(length));
            stored.written().await;
        }
        stored.restart(end).await;
        stored.without_origin().await;
        let answer = stored.get("/a").await;
        assert!(answer.is_hit() && answer.body == content(length), "{end:?} {}", answer.head);
        assert_eq!(answer.field("x-head"), Some("new"));
    }
}

#[tokio::test]
async fn what_was_invalidated_is_not_there_again() {
    for end in ENDS {
        let mut stored = Stored::start().await;
        for path in ["/a", "/b"] {
            stored.script(path, b"old");
            stored.get(path).await;
        }
        stored.written().await;
        stored.origin.now_on("/a").respond(204);
        assert_eq!(stored.call("POST", "/a").body("x").send().await.status, 204);
        stored.restart(end).await;
        stored.script("/a", b"new");
        assert_eq!(stored.get("/a").await.text(), "new", "{end:?}");
        assert!(stored.get("/b").await.is_hit(), "{end:?}");
    }
}

#[tokio::test]
async fn what_was_purged_is_not_there_again() {
    for end in ENDS {
        let mut stored = Stored::start().await;
        stored.script("/a", b"old");
        stored.get("/a").await;
        stored.written().await;
        let seq = stored.control.purge("a").await;
        stored.control.wait_adopted(&stored.edge, seq).await;
        stored.restart(end).await;
        stored.script("/a", b"new");
        assert_eq!(stored.get("/a").await.text(), "new", "{end:?}");
    }
}

#[tokio::test]
async fn slices_are_there_again() {
    const MIB: usize = 1 << 20;
    for end in ENDS {
        let mut stored = Stored::start().await;
        let script = stored.origin.on("/a").respond(200).header("Cache-Control", FRESH);
        script.header("ETag", "\"1\"").body(content(5 * MIB)).ranged();
        let part = async |stored: &Stored| {
            let range = format!("bytes={}-{}", 2 * MIB - 10, 2 * MIB + 9);
            stored.call("GET", "/a").header("Range", &range).send().await
        };
        assert_eq!(part(&stored).await.status, 206);
        stored.restart(end).await;
        stored.without_origin().await;
        let answer = part(&stored).await;
        assert!(answer.is_hit(), "{end:?} {}", answer.head);
        assert_eq!(answer.body, content(5 * MIB)[2 * MIB - 10..2 * MIB + 10]);
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_is_survived() {
    let mut stored = Stored::start().await;
    for round in 0..4 {
        for number in 0..10 {
            let path = format!("/{round}/{number}");
            stored.script(&path, &content(LARGE_BYTES + number));
            stored.get(&path).await;
        }
        // what is being written now may be lost, and nothing else
        stored.edge.program.kill().await;
        stored.start_again().await;
        for number in 0..10 {
            let answer = stored.get(&format!("/{round}/{number}")).await;
            assert_eq!(answer.body, content(LARGE_BYTES + number), "{}", answer.head);
        }
    }
}
