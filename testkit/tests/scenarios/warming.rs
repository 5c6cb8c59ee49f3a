//! Warming: what clients will ask for is fetched before they do.

use crate::scene::{FRESH, HOST, Scene};
use api::feed::Change;
use api::purge::{Progress, Warm};
use testkit::{Barrier, Feed};

fn warm(urls: &[&str], sitemaps: &[&str], rate: u32) -> Change {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let (urls, sitemaps) = (owned(urls), owned(sitemaps));
    Change::Warm(Warm { site_id: Feed::site_id(1), urls, sitemaps, rate, regions: Vec::new() })
}

fn script(scene: &Scene, path: &str, body: &str) {
    let answer = scene.origin.on(path).respond(200).header("Cache-Control", FRESH);
    answer.body(body.to_owned());
}

async fn finished(scene: &Scene, seq: u64) -> Progress {
    scene.feed.progress(seq, |progress| progress.finished).await
}

#[tokio::test]
async fn urls_are_fetched_once_and_those_of_others_are_not() {
    let scene = Scene::start().await;
    script(&scene, "/*", "12345");
    scene.get("/there").await;
    let urls = [
        "http://a.example/a?b",
        "http://A.example:80/a?b",
        "http://a.example/there",
        "https://other.example/c",
        "/no-host",
    ];
    let seq = scene.feed.entry(warm(&urls, &[], 1_000));
    let progress = finished(&scene, seq).await;
    let Progress { to_fetch, fetched, failed, bytes, .. } = progress;
    assert_eq!((to_fetch, fetched, failed, bytes), (4, 2, 2, 10));
    assert_eq!(scene.origin.requests().len(), 2);
    for path in ["/a?b", "/there"] {
        assert!(scene.get(path).await.is_hit(), "{path}");
    }
}

#[tokio::test]
async fn sitemaps_are_read_through_the_edge_and_those_they_name() {
    let scene = Scene::start().await;
    let index = |name: &str| {
        format!("<sitemapindex><sitemap><loc>http://{HOST}{name}</loc></sitemap></sitemapindex>")
    };
    script(&scene, "/sitemap.xml", &index("/nested.xml"));
    script(&scene, "/nested.xml", &index("/pages.xml"));
    let pages = format!(
        "<urlset><url><loc>http://{HOST}/1?a=1&amp;b=2</loc></url><url><loc>http://elsewhere.example/</loc></url></urlset>"
    );
    script(&scene, "/pages.xml", &pages);
    script(&scene, "/pages.txt", &format!("http://{HOST}/1?a=1&b=2\nhttp://{HOST}/2\n"));
    script(&scene, "/1*", "one");
    script(&scene, "/2", "two");
    let sitemaps =
        ["http://a.example/sitemap.xml", "http://a.example/pages.txt", "http://a.example/none"];
    scene.origin.on("/none").respond(404);
    let seq = scene.feed.entry(warm(&[], &sitemaps, 1_000));
    let progress = finished(&scene, seq).await;
    // five sitemaps of which one isn't there, two pages, and one of another site
    assert_eq!((progress.to_fetch, progress.fetched, progress.failed), (8, 6, 2));
    for path in ["/1?a=1&b=2", "/2", "/sitemap.xml"] {
        assert!(scene.get(path).await.is_hit(), "{path}");
    }
}

#[tokio::test]
async fn at_most_eight_requests_are_under_way() {
    let scene = Scene::start().await;
    let barrier = Barrier::new();
    for _ in 0..20 {
        scene.origin.on("/*").wait(&barrier).respond(200).header("Cache-Control", FRESH).body("x");
    }
    let urls: Vec<String> = (0..20).map(|number| format!("http://{HOST}/{number}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let seqs = urls.chunks(10).map(|some| scene.feed.entry(warm(some, &[], 1_000)));
    let seqs: Vec<u64> = seqs.collect();
    scene.origin.arrived("/*", 8).await;
    for seq in &seqs {
        scene.feed.progress(*seq, |progress| progress.to_fetch == 10).await;
    }
    assert_eq!(scene.origin.requests().len(), 8);
    barrier.release();
    for seq in seqs {
        assert_eq!(finished(&scene, seq).await.fetched, 10);
    }
}

#[tokio::test]
async fn a_site_that_is_removed_is_warmed_no_further() {
    let scene = Scene::start().await;
    script(&scene, "/*", "x");
    let urls: Vec<String> = (0..10_000).map(|number| format!("http://{HOST}/{number}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let seq = scene.feed.entry(warm(&urls, &[], 10));
    scene.origin.arrived("/*", 1).await;
    scene.feed.remove_site(1);
    let progress = finished(&scene, seq).await;
    assert!(progress.to_fetch == 10_000 && progress.fetched < 1_000, "{progress:?}");
}
