#!/bin/sh
# Sends hostile requests through the built edge to nginx, Node and Python, and compares what they saw with what was sent on.
# Needs nginx, node and python3. HOSTILE_REQUESTS: a file of other people's cases to send as well. CARGO_PROFILE: dev
# (default) or release. Arguments: how many cases are generated for each origin (1500), and a seed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge
exec cargo run --quiet --profile "$profile" -p conformance --bin smuggling -- "$here" "$@"
