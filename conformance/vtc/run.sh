#!/bin/sh
# Runs the varnishtest cases against the built edge and compares with expected.toml.
# Needs varnishtest (Debian: varnish). CARGO_PROFILE: dev (default) or release. Arguments: names of cases; without, all.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge
exec cargo run --quiet --profile "$profile" -p conformance --bin vtc -- "$here" "$@"
