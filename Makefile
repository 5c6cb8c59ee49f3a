# Longshore. `make` alone lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Outside of the tree, so that a fresh clone builds warm.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/longshore/target
PREFIX ?= /usr/local
PROGRAMS := longshore longshore-control longshore-edge
RELEASE := $(CARGO_TARGET_DIR)/release

.PHONY: help setup setup-test setup-bench build up test conformance conformance-h2 faults purges bench bench-store bench-purge bench-hostile lint openapi install clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## install the Debian packages a build needs, if any is missing
	@scripts/setup.sh build

setup-test: ## ... and those the tests need
	@scripts/setup.sh build test

setup-bench: ## ... and those the benchmarks need
	@scripts/setup.sh build test bench

build: ## build the three programs, optimised
	cargo build --release --locked -p cli -p control -p edge

up: setup build ## build, then run control, an edge and a demo site until Ctrl-C
	@exec "$(RELEASE)/longshore" up

test: setup-test ## run every test, then the conformance suites
	cargo build --locked --workspace --bins
	@scripts/test.sh
	@$(MAKE) --no-print-directory conformance

conformance: setup-test ## run the suites: caching, scripted clients and origins, hostile requests
	conformance/cache-tests/run.sh
	conformance/h3/run.sh
	conformance/vtc/run.sh
	conformance/smuggling/run.sh
	conformance/protocols/run.sh
	@$(MAKE) --no-print-directory conformance-h2

conformance-h2: ## ... and what hostile clients of HTTP/2 do
	conformance/h2/run.sh

faults: setup-test ## kill an edge 200 times, and damage what it stores
	conformance/faults/run.sh

purges: setup-test ## purge 100 times in each of a dozen ways, under load
	conformance/purges/run.sh

bench: setup-bench ## compare with nginx and Varnish, side by side
	bench/run.sh

bench-store: setup-bench ## measure the store: disk, size, restarts, traces; about an hour
	bench/disk.sh
	bench/flat.sh
	bench/resident.sh
	bench/restart.sh
	bench/trace.sh

bench-purge: setup-bench ## measure purges at 20 edges, outages, and 500 followers of 100,000 sites
	bench/purge.sh
	bench/outages.sh

bench-hostile: setup-bench ## measure what hostile clients cost, beside nginx
	bench/hostile.sh

lint: ## format, clippy, documentation, dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet
	@scripts/deny.sh

openapi: ## write control/openapi.json anew
	cargo run --locked -q -p control -- openapi > control/openapi.json.half
	mv control/openapi.json.half control/openapi.json

install: build ## copy the three programs to PREFIX/bin (PREFIX=/usr/local)
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 $(PROGRAMS:%="$(RELEASE)/%") "$(DESTDIR)$(PREFIX)/bin/"

clean: ## remove what was built; data stays
	cargo clean
