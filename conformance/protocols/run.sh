#!/bin/sh
# Asks the built edge the same by HTTP/1.1, HTTP/2 (curl) and HTTP/3 (aioquic), and prints a table.
# Needs curl, and python3 with venv. CARGO_PROFILE: dev (default) or release.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
venv=$target/conformance-h3
requirements=$here/../h3/requirements.txt
if ! [ "$venv/installed" -nt "$requirements" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    touch "$venv/installed"
fi
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge
exec cargo run --quiet --profile "$profile" -p conformance --bin protocols -- "$here" "$venv/bin/python3"
