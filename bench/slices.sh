#!/bin/sh
# Ranges of a 10 GB file, of which nothing is on disk, in front of longshore-edge and nginx; prints a table.
# About 10 seconds. Debian package: nginx.
set -eu
cd "$(dirname "$0")/.."
command -v /usr/sbin/nginx >/dev/null || {
    echo "slices: /usr/sbin/nginx is missing: apt-get install nginx" >&2
    exit 1
}
cargo build --release -p bench -p edge -p control -p cli
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- || commit=$commit-dirty
BENCH_COMMIT=$commit
BENCH_VERSIONS="$(/usr/sbin/nginx -v 2>&1)"
export BENCH_COMMIT BENCH_VERSIONS
exec "${CARGO_TARGET_DIR:-target}/release/slices" "bench/results/$(date -u +%F)-$commit-slices.json"
