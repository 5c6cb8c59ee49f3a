#!/bin/sh
# Hits from disk, beside nginx and Varnish: one response, and sets larger than the memory tier. About 10 minutes.
#
# BENCH_SECONDS (3), BENCH_ROUNDS (5), BENCH_SERVERS ("longshore nginx varnish").
exec "$(dirname "$0")/store.sh" disk
