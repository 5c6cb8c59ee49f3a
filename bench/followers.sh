#!/bin/sh
# 500 simulated followers of one control service with 100,000 sites; prints a table. About 5 minutes, most of them for
# putting the sites; they are put quicker where TMPDIR is in memory.
set -eu
cd "$(dirname "$0")/.."
cargo build --release -p bench -p control
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- || commit=$commit-dirty
BENCH_COMMIT=$commit
export BENCH_COMMIT
# two connections for each follower, in two processes
ulimit -n 8192 2>/dev/null || true
exec "${CARGO_TARGET_DIR:-target}/release/followers" "bench/results/$(date -u +%F)-$commit-followers.json"
