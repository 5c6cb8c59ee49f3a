#!/bin/sh
# What a hit costs with few and with many responses stored, in memory and on disk. About 15 minutes, and 15 GB of each.
#
# FLAT_COUNTS ("1000 100000 5000000"), FLAT_SUBSET (1000), BENCH_SECONDS (3), BENCH_ROUNDS (5).
exec "$(dirname "$0")/store.sh" flat
