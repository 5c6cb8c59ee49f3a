#!/bin/sh
# Hit rates and bytes written on traces by popularity, with scans and without, beside nginx and Varnish. About 12 minutes.
#
# TRACE_OBJECTS (200000), TRACE_REQUESTS (1000000), BENCH_SERVERS ("longshore nginx varnish").
exec "$(dirname "$0")/store.sh" trace
