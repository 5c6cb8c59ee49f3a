#!/bin/sh
# Many clients at once for one response, and early hints, in front of longshore-edge, nginx and Varnish; prints a table.
# About 2 minutes. Debian packages: nginx varnish.
set -eu
cd "$(dirname "$0")/.."
for program in /usr/sbin/nginx /usr/sbin/varnishd; do
    command -v "$program" >/dev/null || {
        echo "collapse: $program is missing: apt-get install nginx varnish" >&2
        exit 1
    }
done
cargo build --release -p bench -p edge -p control -p cli
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- || commit=$commit-dirty
BENCH_COMMIT=$commit
BENCH_VERSIONS="$(/usr/sbin/nginx -v 2>&1); $(/usr/sbin/varnishd -V 2>&1 | head -n 1)"
export BENCH_COMMIT BENCH_VERSIONS
exec "${CARGO_TARGET_DIR:-target}/release/collapse" "bench/results/$(date -u +%F)-$commit-collapse.json"
