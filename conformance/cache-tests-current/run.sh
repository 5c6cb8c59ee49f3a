#!/bin/sh
# Runs a checkout of the repository http-tests/cache-tests against the built edge and compares with expected.toml:
# run.sh CHECKOUT. Needs node and npm (Debian: nodejs npm). CARGO_PROFILE: dev (default) or release.
set -eu
[ -d "${1:-}/test-engine" ] || { echo "usage: $0 CHECKOUT of http-tests/cache-tests" >&2; exit 2; }
CACHE_TESTS=$(cd "$1" && pwd)
export CACHE_TESTS
cd "$(dirname "$0")"
# the suite reads interim responses with this client; its other packages are for its web site
[ -d "$CACHE_TESTS/node_modules/undici" ] ||
    npm install --prefix "$CACHE_TESTS" --no-save --ignore-scripts --silent undici@7
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge -p control
status=0
cargo run --quiet --profile "$profile" -p conformance --bin cache-tests -- "$PWD" || status=$?
[ "$profile" = dev ] && built=debug || built=$profile
node peers.mjs "${CARGO_TARGET_DIR:-$HOME/.cache/longshore/target}/$built/cache-tests.json"
exit $status
