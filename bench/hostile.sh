#!/usr/bin/env bash
# What hostile clients cost longshore-edge and, beside it, nginx: both cache for one origin, good requests come at a fixed
# rate, and an attack goes on meanwhile. Prints a row of a table for each. About 8 minutes.
#
# HOSTILE_ATTACKS ("none slow-head slow-body slow-read idle"), HOSTILE_SECONDS (25), HOSTILE_CONNECTIONS (1000),
# HOSTILE_IDLE (10000), HOSTILE_SERVERS ("longshore nginx"), HOSTILE_PROFILE (release).
# Another attack is a function `attack_NAME HOST:PORT` of a file that HOSTILE_MORE names; it runs in the background for
# HOSTILE_SECONDS. Debian packages: nginx, nghttp2-client, slowhttptest, python3, curl.
set -euo pipefail
cd "$(dirname "$0")/.."
attacks=${HOSTILE_ATTACKS:-none slow-head slow-body slow-read idle}
seconds=${HOSTILE_SECONDS:-25}
connections=${HOSTILE_CONNECTIONS:-1000}
idle=${HOSTILE_IDLE:-10000}
profile=${HOSTILE_PROFILE:-release}
ulimit -n "$(ulimit -Hn)"
for program in h2load slowhttptest nginx python3 curl; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || {
        echo "hostile: $program is missing" >&2
        exit 1
    }
done
directory=$(mktemp -d)
chmod 755 "$directory" # nginx reads the site as another user
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$directory"' EXIT

cargo build --quiet --profile "$profile" -p edge -p conformance
target=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
origin=127.0.0.1:$(free_port)
front=127.0.0.1:$(free_port)
mkdir -p "$directory/site"
head -c 1024 /dev/zero | tr '\0' x >"$directory/site/good"
head -c 4194304 /dev/zero | tr '\0' x >"$directory/site/large"
common="daemon off; error_log $directory/error.log; events { worker_connections 200000; } worker_rlimit_nofile 250000;"
paths="client_body_temp_path $directory/b; proxy_temp_path $directory/p; fastcgi_temp_path $directory/f;
    uwsgi_temp_path $directory/u; scgi_temp_path $directory/s; access_log off; default_type text/plain;"
cat >"$directory/origin.conf" <<END
worker_processes 1; pid $directory/origin.pid; $common
http { $paths server { listen $origin; root $directory/site; add_header Cache-Control max-age=3600;
    location /post { return 204; } } }
END
cat >"$directory/front.conf" <<END
worker_processes $(nproc); pid $directory/front.pid; $common
http { $paths proxy_cache_path $directory/cache keys_zone=cache:16m;
    upstream origin { server $origin; keepalive 64; }
    server { listen $front backlog=4096; location / { proxy_pass http://origin; proxy_http_version 1.1;
        proxy_set_header Connection ""; proxy_cache cache; } } }
END
PATH=$PATH:/usr/sbin nginx -c "$directory/origin.conf" & started+=($!)
PATH=$PATH:/usr/sbin nginx -c "$directory/front.conf" & front_process=$! started+=($!)
"$target/stand" "$origin" '[http]
connections_max = 200000' >"$directory/stand" & started+=($!)
until [ -s "$directory/stand" ] && curl -sf -o /dev/null "http://$front/good"; do sleep 0.2; done
edge=$(python3 -c 'import json; print(json.load(open("'"$directory"'/stand"))["http"])')
edge_process=$(python3 -c 'import json; print(json.load(open("'"$directory"'/stand"))["process"])')

# A process and its children.
family() { echo "$1 $(pgrep -P "$1" | tr '\n' ' ')"; }
cpu_ticks() { for one in $(family "$1"); do awk '{print $14 + $15}' "/proc/$one/stat"; done | awk '{all += $1} END {print all}'; }
rss_kib() { for one in $(family "$1"); do awk '/^VmRSS/ {print $2}' "/proc/$one/status"; done | awk '{all += $1} END {print all}'; }
# Connections that stand at a server's address, its own side.
standing() { ss -Htn state established "sport = :${1#*:}" | wc -l; }

attack_none() { sleep "$seconds"; }
slow() { slowhttptest -c "$connections" -r "$connections" -l "$seconds" -v 0 "$@"; }
attack_slow-head() { slow -H -i 2 -u "http://$1/good"; }
attack_slow-body() { slow -B -i 2 -s 100000 -u "http://$1/post"; }
attack_slow-read() { slow -X -w 256 -y 512 -n 5 -z 32 -u "http://$1/large"; }
attack_idle() { python3 bench/hostile/hold.py "$1" "$idle" "$seconds"; }
# shellcheck disable=SC1090  # whatever the caller names
[ -z "${HOSTILE_MORE:-}" ] || . "$HOSTILE_MORE"

# Good requests, 200 a second over 10 connections: the 99th percentile in milliseconds, and how many failed.
good() {
    local log=$directory/good.log
    rm -f "$log"
    h2load --h1 -c 10 --rps=20 -D "$((seconds - 2))" --log-file="$log" "http://$1/good" >/dev/null 2>&1 || true
    sort -n -k3 "$log" | awk '{took[NR] = $3; if ($2 != 200) failed++}
        END {printf "%.2f | %d of %d", took[int(NR * 0.99)] / 1000, failed + 0, NR}'
}

row() {
    local server=$1 attack=$2 address=$3 process=$4
    curl -s -o /dev/null "http://$address/good" -o /dev/null "http://$address/large"
    local ticks memory pid peak=0 left=0 now
    ticks=$(cpu_ticks "$process") memory=$(rss_kib "$process")
    good "$address" >"$directory/p99" & local load=$!
    "attack_$attack" "$address" >/dev/null 2>&1 & pid=$!
    local most=0 gone=-
    for ((second = 1; second < seconds; second++)); do
        sleep 1
        now=$(rss_kib "$process")
        [ "$now" -gt "$peak" ] && peak=$now
        left=$(standing "$address")
        [ "$left" -gt "$most" ] && most=$left
        if [ "$gone" = - ] && [ "$most" -gt 100 ] && [ "$left" -lt $((most / 10 + 12)) ]; then gone=$second; fi
    done
    wait "$load" || true
    ticks=$(($(cpu_ticks "$process") - ticks))
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    printf '| %s | %s | %.1f%% | %+.1f MiB | %s | %s | %s | %s |\n' "$attack" "$server" \
        "$(awk "BEGIN {print $ticks / $(getconf CLK_TCK) / $seconds * 100}")" \
        "$(awk "BEGIN {print ($peak - $memory) / 1024}")" "$(cat "$directory/p99")" "$most" "$left" "$gone"
}

echo "| attack | server | CPU | memory | good p99, ms | good failed | connections at most | at the end | gone after, s |"
echo "|---|---|---|---|---|---|---|---|---|"
for attack in $attacks; do
    for server in ${HOSTILE_SERVERS:-longshore nginx}; do
        case $server in
        longshore) row "$server" "$attack" "$edge" "$edge_process" ;;
        nginx) row "$server" "$attack" "$front" "$front_process" ;;
        esac
        sleep 2
    done
done
