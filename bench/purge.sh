#!/bin/sh
# How soon purges are in force at 20 edges, what becomes of 10,000 a second, and what hits cost with a million live ones.
# About 4 minutes.
#
# PURGE_EDGES (20), PURGE_COUNT (1000) one after the other, PURGE_SECONDS (15) for each of two shapes of batches,
# PURGE_LIVE (1000000).
set -eu
cd "$(dirname "$0")/.."
cargo build --release -p bench -p edge -p control
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- || commit=$commit-dirty
export BENCH_COMMIT="$commit"
exec "${CARGO_TARGET_DIR:-target}/release/bench-purge" "bench/results/$(date -u +%F)-$commit-purge.json"
