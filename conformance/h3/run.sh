#!/bin/sh
# Asks the built edge by HTTP/3 with aioquic, well and badly, and compares with expected.toml.
# Needs python3 with venv (Debian: python3-venv), and PyPI the first time. CARGO_PROFILE: dev (default) or release.
# Further arguments are the only cases that are run.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
venv=$target/conformance-h3
if ! [ "$venv/installed" -nt "$here/requirements.txt" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    touch "$venv/installed"
fi
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge
exec cargo run --quiet --profile "$profile" -p conformance --bin h3 -- "$here" "$venv/bin/python3" "$@"
