#!/bin/sh
# Runs http-cache-tests against the built edge and compares with expected.toml.
# Needs node and npm (Debian: nodejs npm). CARGO_PROFILE: dev (default) or release.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
if ! [ node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --ignore-scripts --silent
fi
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge -p control
exec cargo run --quiet --profile "$profile" -p conformance --bin cache-tests -- "$here"
