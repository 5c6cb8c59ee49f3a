#!/bin/sh
# Sends random cases through the built edge, Apache Traffic Server and Varnish, and triages the differences:
# run.sh [CASES [SEED]]. Debian packages: trafficserver varnish. CARGO_PROFILE: dev (default) or release.
set -eu
cd "$(dirname "$0")"
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge -p control
exec cargo run --quiet --profile "$profile" -p conformance --bin differential -- "$PWD/triage.toml" "$@"
