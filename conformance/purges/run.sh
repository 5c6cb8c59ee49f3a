#!/bin/sh
# Purges under load, with random timing, at real edges: run.sh [ROUNDS [SEED [ITEM…]]].
# CARGO_PROFILE: dev (default) or release.
set -eu
cd "$(dirname "$0")"
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge -p control
exec cargo run --quiet --profile "$profile" -p conformance --bin purges -- "$@"
