#!/usr/bin/env bash
# Installs the Debian packages that are missing for the purposes named: build, test, bench.
# Nothing is asked of the network or of apt when nothing is missing.
set -euo pipefail

# Command, package, what it is for. A command on PATH counts, wherever it came from.
needs() {
    case $1 in
    build)
        echo "gcc         gcc             compiles the C parts of SQLite and of the cryptography"
        echo "g++         g++             compiles their C++ parts"
        echo "ld          binutils        links"
        echo "make        make            runs the Makefile"
        echo "cmake       cmake           configures zlib-ng"
        echo "pkg-config  pkg-config      finds system libraries"
        echo "curl        curl            tries out what was built"
        ;;
    test)
        echo "nginx       nginx           is a real origin in the tests"
        echo "openssl     openssl         is an origin that speaks TLS"
        echo "postgres    postgresql      is the other database control runs on"
        echo "nats-server nats-server     is what the feed is published to"
        echo "pebble      pebble          is the ACME authority that certificates are got from"
        echo "python3-venv python3-venv   runs clients and origins of Python, with what they need from PyPI"
        echo "node        nodejs          runs http-cache-tests"
        echo "npm         npm             fetches http-cache-tests"
        echo "varnishtest varnish         scripts clients and origins"
        ;;
    bench)
        echo "nginx       nginx           is a peer to compare with"
        echo "varnishd    varnish         is a peer to compare with"
        echo "wrk         wrk             is the client"
        echo "slowhttptest slowhttptest   is a hostile client"
        echo "h2load      nghttp2-client  is the client of HTTP/2"
        echo "curl        curl            looks at answers before they are measured"
        echo "python3     python3         finds ports and holds connections"
        ;;
    *)
        say "there is no purpose \`$1\`: build, test, bench"
        return 2
        ;;
    esac
}

say() { printf 'setup: %s\n' "$*" >&2; }

has() {
    command -v "$1" >/dev/null && return
    # Debian keeps servers where a person's PATH does not lead.
    compgen -G "/usr/sbin/$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for purpose in "$@"; do
    list=$(needs "$purpose")
    while read -r command package reason; do
        if ! has "$command" && ! installed "$package"; then
            say "missing: $package, which $reason"
            missing+=("$package")
        fi
    done <<<"$list"
done

if ! command -v cargo >/dev/null; then
    say "missing: Rust. https://rustup.rs installs it; rust-toolchain.toml names the version."
    exit 1
fi
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    say "this is not Debian: install what these packages hold by hand: ${missing[*]}"
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "run as root, or with sudo installed: apt-get install ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi

# The packages of nginx, NATS, PostgreSQL and Varnish start a service when they are installed. Nobody asked for one, and it
# would take port 80 or 5432. policy-rc.d is what invoke-rc.d and deb-systemd-invoke ask first. A machine that has one
# of its own decides for itself.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\n# Put here by Longshore'\''s scripts/setup.sh while it installs packages.\nexit 101\n' |
        "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
fi

say "installing: ${missing[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=120)
"${apt[@]}" update
"${apt[@]}" install --no-install-recommends "${missing[@]}"
