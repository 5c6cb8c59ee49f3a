#!/bin/sh
# Runs every fuzz target, or those named, for so many seconds each: run.sh SECONDS [TARGET…].
# Needs a C++ compiler. What is found on the way is kept beneath the target directory, for the next run; an input that
# fails is kept there too and named at the end. JOBS=n runs n targets at a time.
set -eu
seconds=${1:?usage: $0 SECONDS [TARGET…]}
shift
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/longshore/fuzz}"
export work="$CARGO_TARGET_DIR/fuzzing" seconds here
host=$(rustc -vV | sed -n 's/^host: //p')
export bin="$CARGO_TARGET_DIR/$host/release"

# what cargo-fuzz passes, without the sanitizers that only a nightly compiler has: there is no unsafe code to watch
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --quiet --locked --release --target "$host" --bins

[ $# -gt 0 ] || set -- $(ls targets | sed 's/\.rs$//')
mkdir -p "$work"
printf '%s\n' "$@" | xargs -P "${JOBS:-1}" -I '{}' sh -c '
    target=$1 corpus="$work/corpus/$1" log="$work/$1.log"
    mkdir -p "$corpus" "$work/seeds/$target" "$work/failed"
    number=0
    while IFS= read -r seed; do
        number=$((number + 1))
        printf %b "$seed" > "$work/seeds/$target/$number"
    done < "seeds/$target.txt"
    if nice -n 10 "$bin/$target" -max_total_time="$seconds" -max_len=1024 -timeout=10 -rss_limit_mb=1024 \
        -malloc_limit_mb=256 -dict=dictionary.txt -print_final_stats=1 -artifact_prefix="$work/failed/$target-" \
        "$corpus" "$work/seeds/$target" > "$log" 2>&1
    then outcome=passed
    else outcome="FAILED, see $log"
    fi
    runs=$(sed -n "s/^stat::number_of_executed_units: *//p" "$log")
    covered=$(grep -o "cov: [0-9]*" "$log" | tail -1)
    echo "$target: ${runs:-?} runs, ${covered:-cov: ?}, $(ls "$corpus" | wc -l) inputs kept, $outcome"
    [ "$outcome" = passed ]
' sh '{}'
