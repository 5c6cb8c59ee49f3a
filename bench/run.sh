#!/bin/sh
# Compares longshore-edge with nginx, Varnish and a bare loop, and prints a table. About 5 minutes.
#
# BENCH_SECONDS (3), BENCH_ROUNDS (5), BENCH_SERVERS ("floor longshore nginx varnish").
# BENCH_CASES: only cases whose names hold one of these words, with commas between.
# Debian packages: nginx varnish wrk nghttp2-client curl.
set -eu
cd "$(dirname "$0")/.."
for program in wrk h2load curl /usr/sbin/nginx /usr/sbin/varnishd; do
    command -v "$program" >/dev/null || {
        echo "bench: $program is missing: apt-get install nginx varnish wrk nghttp2-client curl" >&2
        exit 1
    }
done
packages='-p bench'
case "${BENCH_SERVERS:-longshore}" in *longshore*) packages="$packages -p edge -p control" ;; esac
# shellcheck disable=SC2086  # a list of words
cargo build --release $packages
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- || commit=$commit-dirty
results=bench/results/$(date -u +%F)-$commit.json
BENCH_COMMIT=$commit
BENCH_VERSIONS="$(/usr/sbin/nginx -v 2>&1); $(/usr/sbin/varnishd -V 2>&1 | head -n 1); wrk $(wrk -v 2>&1 | head -n 1)"
export BENCH_COMMIT BENCH_VERSIONS
exec "${CARGO_TARGET_DIR:-target}/release/side-by-side" "$results"
