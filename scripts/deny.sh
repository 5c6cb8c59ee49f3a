#!/usr/bin/env bash
# Checks licences, advisories and sources of the dependencies, where cargo-deny is installed.
set -euo pipefail

if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked --workspace check
else
    echo "lint: cargo-deny is not installed; dependencies were not checked" >&2
fi
