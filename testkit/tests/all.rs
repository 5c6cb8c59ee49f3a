//! What the built programs do together, told from outside. One binary, so that it links once.
//!
//! Run `cargo build --workspace` first: these tests start the programs.

#[path = "scenarios/bodies.rs"]
mod bodies;
#[path = "scenarios/cache_tool.rs"]
mod cache_tool;
#[path = "scenarios/collapse.rs"]
mod collapse;
#[path = "scenarios/conditional.rs"]
mod conditional;
#[path = "scenarios/configuration.rs"]
mod configuration;
#[path = "scenarios/connections.rs"]
mod connections;
#[path = "scenarios/disk.rs"]
mod disk;
#[path = "scenarios/documents.rs"]
mod documents;
#[path = "scenarios/expectation.rs"]
mod expectation;
#[path = "scenarios/explain.rs"]
mod explain;
#[path = "scenarios/failure.rs"]
mod failure;
#[path = "scenarios/forwarding.rs"]
mod forwarding;
#[path = "scenarios/head.rs"]
mod head;
#[path = "scenarios/hostile.rs"]
mod hostile;
#[path = "scenarios/http2.rs"]
mod http2;
#[path = "scenarios/https.rs"]
mod https;
#[path = "scenarios/incomplete.rs"]
mod incomplete;
#[path = "scenarios/interim.rs"]
mod interim;
#[path = "scenarios/invalidation.rs"]
mod invalidation;
#[path = "scenarios/keys.rs"]
mod keys;
#[path = "scenarios/memory.rs"]
mod memory;
#[path = "scenarios/messages.rs"]
mod messages;
#[path = "scenarios/nginx.rs"]
mod nginx;
#[path = "scenarios/observability.rs"]
mod observability;
#[path = "scenarios/origins.rs"]
mod origins;
#[path = "scenarios/plain.rs"]
mod plain;
#[path = "scenarios/policy.rs"]
mod policy;
#[path = "scenarios/process.rs"]
mod process;
#[path = "scenarios/purge.rs"]
mod purge;
#[path = "scenarios/purge_method.rs"]
mod purge_method;
#[path = "scenarios/purging.rs"]
mod purging;
#[path = "scenarios/refetch.rs"]
mod refetch;
#[path = "scenarios/reuse.rs"]
mod reuse;
#[path = "scenarios/routing.rs"]
mod routing;
#[path = "scenarios/scale.rs"]
mod scale;
#[path = "scenarios/scene.rs"]
mod scene;
#[path = "scenarios/shield.rs"]
mod shield;
#[path = "scenarios/slices.rs"]
mod slices;
#[path = "scenarios/stale.rs"]
mod stale;
#[path = "scenarios/storing.rs"]
mod storing;
#[path = "scenarios/streaming.rs"]
mod streaming;
#[path = "scenarios/sweeping.rs"]
mod sweeping;
#[path = "scenarios/targeted.rs"]
mod targeted;
#[path = "scenarios/tls.rs"]
mod tls;
#[path = "scenarios/up.rs"]
mod up;
#[path = "scenarios/upgrade.rs"]
mod upgrade;
#[path = "scenarios/variants.rs"]
mod variants;
#[path = "scenarios/warming.rs"]
mod warming;
