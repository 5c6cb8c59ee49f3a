#!/bin/sh
# Tries the built edge over HTTP/2 and compares with expected.toml. CARGO_PROFILE: dev (default) or release.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
target=${CARGO_TARGET_DIR:-$here/../../target}
tools=$target/h2-tools
if ! [ -x "$tools/bin/httpwg" ]; then
    cargo install --quiet --locked --version 0.2.5 --root "$tools" --target-dir "$tools/build" httpwg-cli
    rm -rf "$tools/build"
fi
if ! [ -d "$tools/python" ]; then
    python3 -m venv "$tools/python.new"
    "$tools/python.new/bin/pip" install --quiet --disable-pip-version-check hpack==4.1.0 hyperframe==6.1.0
    mv "$tools/python.new" "$tools/python"
fi
profile=${CARGO_PROFILE:-dev}
cargo build --quiet --profile "$profile" -p edge -p conformance --bin longshore-edge --bin h2
directory=$profile
[ "$profile" != dev ] || directory=debug
exec "$tools/python/bin/python" suite.py "$target/$directory/h2" "$tools/bin/httpwg"
