#!/usr/bin/env bash
# What callers see while parts of an installation fail, and whether everything converges after: PostgreSQL stopped for
# 10 s, a control killed, NATS killed, an edge paused for a minute. About 3 minutes.
#
# Two controls on one PostgreSQL behind nginx; two edges that follow over HTTP, one over NATS. All the while a page is
# changed and purged with `wait: all`, and asked for at every edge. Prints a table of what was answered, by phase.
#
# OUTAGES_SECONDS (60): how long the edge is paused; other times are a sixth of it.
# Debian packages: postgresql nats-server nginx curl.
set -euo pipefail
cd "$(dirname "$0")/.."
long=${OUTAGES_SECONDS:-60}
short=$((long / 6))
cargo build --quiet --release -p edge -p control
programs=${CARGO_TARGET_DIR:-target}/release
postgresql=$(compgen -G '/usr/lib/postgresql/*/bin' | tail -n 1)
directory=$(mktemp -d)
chmod 755 "$directory"
log=$directory/answers
running=()
declare -A pids

cleanup() {
    for pid in "${running[@]}"; do kill -CONT "$pid" 2>/dev/null || true; kill -KILL "$pid" 2>/dev/null || true; done
    stop_postgresql 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$directory"
}
trap cleanup EXIT

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 20000))
        (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}
# start NAME COMMAND…: runs it, with its output in a file of its name
start() {
    local name=$1
    shift
    "$@" >>"$directory/$name.log" 2>&1 &
    pids[$name]=$!
    running+=($!)
}
as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}
start_postgresql() {
    as_postgres "$postgresql/pg_ctl" -D "$directory/pg/data" -l "$directory/pg/log" -w -s \
        -o "-k $directory/pg -c listen_addresses=" start
}
stop_postgresql() { as_postgres "$postgresql/pg_ctl" -D "$directory/pg/data" -s -m immediate stop; }
until_answers() {
    for _ in $(seq 200); do
        curl -sf -o /dev/null "$1" && return
        sleep 0.05
    done
    echo "$1 does not answer" >&2
    exit 1
}

mkdir "$directory/pg"
[ "$(id -u)" != 0 ] || chown postgres "$directory/pg"
as_postgres "$postgresql/initdb" -A trust -U postgres -E UTF8 --locale=C.UTF-8 -D "$directory/pg/data" >/dev/null
start_postgresql
as_postgres "$postgresql/createdb" -h "$directory/pg" -U postgres longshore
export DATABASE_URL="postgres://postgres@localhost/longshore?host=${directory//\//%2F}%2Fpg"

nats=$(free_port)
start_nats() { start nats nats-server -js -sd "$directory/nats" -a 127.0.0.1 -p "$nats"; }
start_nats
one=$(free_port) two=$(free_port) balancer=$(free_port) origin=$(free_port)
start_control() {
    start "control-$1" "$programs/longshore-control" serve --data-dir "$directory/control-$1" \
        --listen "127.0.0.1:$2" --nats-url "nats://127.0.0.1:$nats"
}
start_control one "$one"
until_answers "http://127.0.0.1:$one/healthz"
start_control two "$two"
until_answers "http://127.0.0.1:$two/healthz"

mkdir "$directory/www"
echo 0 >"$directory/www/page"
cat >"$directory/nginx.conf" <<CONF
daemon off;
user root;
error_log stderr;
pid $directory/nginx.pid;
events {}
http {
    access_log off;
    upstream control {
        server 127.0.0.1:$one max_fails=0;
        server 127.0.0.1:$two max_fails=0;
    }
    server {
        listen 127.0.0.1:$balancer;
        location / {
            proxy_pass http://control;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 60s;
            proxy_next_upstream error timeout;
        }
    }
    server {
        listen 127.0.0.1:$origin;
        location / {
            root $directory/www;
            add_header Cache-Control "max-age=3600";
            add_header Cache-Tag "page";
        }
    }
}
CONF
start nginx nginx -c "$directory/nginx.conf"
token=$("$programs/longshore-control" token create --data-dir "$directory/control-one" --name outages --scope admin --json |
    sed 's/.*"token":"\([^"]*\)".*/\1/')
export LONGSHORE_TOKEN=$token
control=http://127.0.0.1:$balancer
until_answers "$control/healthz"
curl -sf -o /dev/null -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$control/v1/sites" -d \
    "{\"name\":\"page\",\"hosts\":[\"page.example\"],\"origins\":[{\"name\":\"main\",\"url\":\"http://127.0.0.1:$origin\"}]}"
edges=()
for name in http-one http-two nats-one; do
    port=$(free_port)
    edges+=("$name:$port")
    printf '[control]\nurl = "%s"\n' "$control" >"$directory/$name.toml"
    [ "$name" != nats-one ] || printf '[feed.nats]\nurl = "nats://127.0.0.1:%s"\n' "$nats" >>"$directory/$name.toml"
    start "edge-$name" "$programs/longshore-edge" --config "$directory/$name.toml" \
        --state-dir "$directory/$name" --http-listen "127.0.0.1:$port" --admin-listen 127.0.0.1:0
done
page() { curl -s -m 5 -H 'Host: page.example' "http://127.0.0.1:$1/page"; }
for edge in "${edges[@]}"; do
    for _ in $(seq 200); do
        [ "$(page "${edge#*:}")" = 0 ] && break
        sleep 0.05
    done
done

echo calm >"$directory/phase"
# changes the page, purges it and waits for all edges; then every edge must have it
changes() {
    local version=0 answer code seconds body
    while [ ! -e "$directory/end" ]; do
        version=$((version + 1))
        echo "$version" >"$directory/www/page.new"
        mv "$directory/www/page.new" "$directory/www/page"
        answer=$(curl -s -m 10 -w '\n%{http_code} %{time_total}' -H "Authorization: Bearer $token" \
            -H 'Content-Type: application/json' "$control/v1/sites/page/purge" \
            -d '{"tags":["page"],"wait":"all","timeout_ms":3000}') || true
        read -r code seconds <<<"$(tail -n 1 <<<"$answer")"
        body=$(head -n 1 <<<"$answer")
        [[ $body == *'"complete":true'* ]] && code=$code-complete
        echo "$(cat "$directory/phase") purge $code $seconds" >>"$log"
        if [[ $code == 200-complete ]]; then echo "$version" >"$directory/purged.new" && mv "$directory/purged.new" "$directory/purged"; fi
        sleep 0.2
    done
}
# asks one edge for the page, and holds it against what was purged before the question
reads() {
    local name=$1 port=$2 purged version phase
    while [ ! -e "$directory/end" ]; do
        phase=$(cat "$directory/phase")
        purged=$(cat "$directory/purged" 2>/dev/null || echo 0)
        version=$(page "$port") || version=
        if [ -z "$version" ]; then
            echo "$phase $name no-answer" >>"$log"
        elif [ "$version" -lt "$purged" ]; then
            echo "$phase $name older-than-purged" >>"$log"
        else
            echo "$phase $name answered" >>"$log"
        fi
        sleep 0.1
    done
}
changes &
running+=($!)
for edge in "${edges[@]}"; do
    reads "${edge%%:*}" "${edge#*:}" &
    running+=($!)
done
phase() {
    echo "$1" >"$directory/phase"
    echo "$1" >&2
}

sleep "$short"
phase postgresql-away && stop_postgresql && sleep "$short" && start_postgresql
phase after-postgresql && sleep "$short"
phase control-killed && kill -KILL "${pids[control-one]}" && sleep "$short"
phase control-back && start_control one "$one" && sleep "$short"
phase nats-killed && kill -KILL "${pids[nats]}" && sleep "$short"
phase nats-back && start_nats && sleep "$short"
phase edge-paused && kill -STOP "${pids[edge-http-two]}" && sleep "$long"
phase edge-back && kill -CONT "${pids[edge-http-two]}" && sleep "$short"
touch "$directory/end"
sleep 6

echo "| phase | what | answer | times | longest, s |"
echo "|---|---|---|---|---|"
awk '{ key = $1 "|" $2 "|" $3; if (!(key in count)) order[++keys] = key; count[key]++; if ($4 > longest[key]) longest[key] = $4 }
    END { for (i = 1; i <= keys; i++) { split(order[i], part, "|");
        printf "| %s | %s | %s | %d | %s |\n", part[1], part[2], part[3], count[order[i]], longest[order[i]] } }' "$log"
echo
echo "edges at the end:"
curl -s -H "Authorization: Bearer $token" "$control/v1/edges" | grep -o '"adopted":[0-9]*\|"newest":[0-9]*\|"connected":[a-z]*\|"stalled":[a-z]*' | paste -sd' '
