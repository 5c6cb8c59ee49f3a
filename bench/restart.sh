#!/bin/sh
# What is left after a clean stop and after kill -9, and how soon, beside nginx. About 8 minutes.
#
# RESTART_COUNT (100000), BENCH_SERVERS ("longshore nginx").
exec "$(dirname "$0")/store.sh" restart
