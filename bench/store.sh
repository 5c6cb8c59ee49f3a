#!/bin/sh
# Measures the store: `store.sh disk|flat|resident|restart|trace`; each has a script of its name that says what it is.
# Debian packages: nginx varnish.
set -eu
cd "$(dirname "$0")/.."
for program in /usr/sbin/nginx /usr/sbin/varnishd; do
    command -v "$program" >/dev/null || {
        echo "$1: $program is missing: apt-get install nginx varnish" >&2
        exit 1
    }
done
cargo build --release -p bench -p edge -p control
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- || commit=$commit-dirty
BENCH_COMMIT=$commit
BENCH_VERSIONS="$(/usr/sbin/nginx -v 2>&1); $(/usr/sbin/varnishd -V 2>&1 | head -n 1)"
export BENCH_COMMIT BENCH_VERSIONS
exec "${CARGO_TARGET_DIR:-target}/release/bench-store" "$1" "bench/results/$(date -u +%F)-$commit-$1.json"
