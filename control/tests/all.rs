//! The service as its clients see it: over a socket, on both databases.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "all/certificates.rs"]
mod certificates;
#[path = "all/client.rs"]
mod client;
#[path = "all/domains.rs"]
mod domains;
#[path = "all/edges.rs"]
mod edges;
#[path = "all/fan_out.rs"]
mod fan_out;
#[path = "all/feed.rs"]
mod feed;
#[path = "all/fleet.rs"]
mod fleet;
#[path = "all/idempotency.rs"]
mod idempotency;
#[path = "all/nats.rs"]
mod nats;
#[path = "all/openapi.rs"]
mod openapi;
#[path = "all/postgres.rs"]
mod postgres;
#[path = "all/programs.rs"]
mod programs;
#[path = "all/purges.rs"]
mod purges;
#[path = "all/refusals.rs"]
mod refusals;
#[path = "all/replicas.rs"]
mod replicas;
#[path = "all/retention.rs"]
mod retention;
#[path = "all/service.rs"]
mod service;
#[path = "all/sites.rs"]
mod sites;
#[path = "all/tokens.rs"]
mod tokens;
#[path = "all/writers.rs"]
mod writers;

/// Makes two tests of each scenario, one on each database.
macro_rules! on_both_databases {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario($crate::service::Database::sqlite()).await;
            })+
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario($crate::service::Database::postgresql()).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;
