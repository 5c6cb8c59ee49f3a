#!/bin/sh
# Kills the built edge again and again and damages what it stores: run.sh [CYCLES [SEED [FAULT…]]].
# CARGO_PROFILE: dev (default) or release. Root for the fault `full`, which is skipped without.
set -eu
cd "$(dirname "$0")"
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge -p control
exec cargo run --quiet --profile "$profile" -p conformance --bin faults -- "$@"
