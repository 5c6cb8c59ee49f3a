#!/bin/sh
# The edge's memory with millions of small responses, stored and then replaced by as many others. About 20 minutes.
#
# RESIDENT_COUNT (5000000), RESIDENT_CAPACITY_BYTES (1073741824).
exec "$(dirname "$0")/store.sh" resident
