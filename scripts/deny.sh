#!/usr/bin/env bash
# Checks licences, sources and versions of the dependencies, where cargo-deny is installed; and advisories, where their
# database can be fetched.
set -euo pipefail

if ! cargo deny --version >/dev/null 2>&1; then
    echo "lint: cargo-deny is not installed; dependencies were not checked" >&2
    exit 0
fi
cargo deny --locked --workspace --log-level error check licenses bans sources
if cargo deny --locked --workspace --log-level off fetch db 2>/dev/null; then
    cargo deny --locked --workspace --log-level error check advisories
else
    echo "lint: the advisory database can't be fetched; advisories were not checked" >&2
fi
