#!/bin/sh
# Hits from disk, beside nginx and Varnish, with the smallest memory tier there is. About 6 minutes.
#
# BENCH_SECONDS (3), BENCH_ROUNDS (5), BENCH_SERVERS ("longshore nginx varnish").
exec "$(dirname "$0")/store.sh" disk
