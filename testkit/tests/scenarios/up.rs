//! `longshore up`: everything on one machine.

use testkit::{Up, eventually};

const DEMO: &str = "demo.localhost";

#[tokio::test]
async fn the_demo_site_is_served_and_kept() {
    let mut up = Up::start().await;
    for _ in 0..2 {
        eventually("the demo site", || async {
            (up.get(DEMO, "/").await.status == 200).then_some(())
        })
        .await;
        assert!(up.get(DEMO, "/").await.is_hit());
        assert!(up.data().join("token").is_file());
        let list = up.longshore(&["site", "list", "--json"]).await;
        assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
        assert!(String::from_utf8_lossy(&list.stdout).contains(DEMO));
        assert_eq!(up.program.stop().await, Some(0));
        up.start_again().await;
    }
}
