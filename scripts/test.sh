#!/usr/bin/env bash
# Runs the tests of the workspace: with cargo-nextest where it is installed, else with cargo.
set -euo pipefail

if cargo nextest --version >/dev/null 2>&1; then
    profile=default
    [ -z "${CI:-}" ] || profile=ci
    cargo nextest run --locked --workspace --profile "$profile"
    # nextest leaves examples in documentation out
    cargo test --locked --workspace --doc --quiet
else
    cargo test --locked --workspace
fi
