#!/bin/sh
# Installs, builds and runs every test; the last line is "N passed, N failed".
#
#   sh tests/run.sh           everything, as CI does
#   sh tests/run.sh quick     the release build alone, without the minutes of faults and of upgrading
#
# Builds: release (gcc), everything under ASan and UBSan, the threaded rooms under TSan, clang with its fuzz targets.
set -u
cd "$(dirname "$0")/.." || exit 1

mode=${1:-all}
passed=0
failed=0
jobs=$(nproc)
tests=$((jobs + 1)) # at a time: most integration tests wait more than they compute
# The simulator explores for so long in each of two builds, release and sanitized, from a seed that follows from the sources
# (tests/sim/explore.sh).
[ "$mode" = all ] && SIM_SECONDS=${SIM_SECONDS:-120} && export SIM_SECONDS
# Where threads meet; the rest has none and would only repeat what the other builds say.
threaded='^unit\.(base_log|plugin_|run_|cluster|executor_|state_store)|^conformance|^integration\.(runs|crash|slow_check|cluster\.lmdb)|^unit\.transport_(links|strangers)'

step() {
    printf '\n== %s (%s)\n' "$1" "$(date -u +%H:%M:%S)"
}

# One check that is not a ctest: its exit code counts.
check() {
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        echo "FAILED: $name"
        failed=$((failed + 1))
    fi
}

build() {
    cmake --preset "$1" -G Ninja >"/tmp/chronos-build-$1.log" 2>&1 &&
        cmake --build --preset "$1" -j "$jobs" >>"/tmp/chronos-build-$1.log" 2>&1 && return 0
    tail -40 "/tmp/chronos-build-$1.log"
    return 1
}

# Runs the ctests of a build and adds what ctest counted.
suite() {
    directory=$1
    shift
    output=$(mktemp)
    ctest --test-dir "$directory" --output-on-failure "$@" >"$output" 2>&1
    code=$?
    grep -vE '^ *Start ' "$output"
    summary=$(grep -E 'tests passed, [0-9]+ tests failed out of [0-9]+' "$output" | tail -1)
    rm -f "$output"
    total=$(echo "$summary" | sed -n 's/.*out of \([0-9]*\).*/\1/p')
    bad=$(echo "$summary" | sed -n 's/.*passed, \([0-9]*\) tests failed.*/\1/p')
    if [ -z "$total" ]; then
        failed=$((failed + 1))
        return
    fi
    passed=$((passed + total - bad))
    failed=$((failed + bad))
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        failed=$((failed + 1))
    fi
}

step "dependencies"
if ! sh packaging/install-dependencies.sh build || ! sh packaging/install-dependencies.sh test; then
    echo "0 passed, 1 failed"
    exit 1
fi

step "release build (gcc)"
check "release build" build release
step "release tests"
if [ "$mode" = quick ]; then
    suite build -j "$tests" -LE "faults|slow"
else
    suite build -j "$tests"
fi
step "quickstart"
check "quickstart" sh packaging/quickstart.sh --check

if [ "$mode" = all ]; then
    step "ASan and UBSan build"
    check "sanitized build" build asan
    step "sanitized tests"
    suite build-asan -j "$tests"
    step "TSan build"
    check "TSan build" build tsan
    step "TSan tests of the threaded rooms"
    TSAN_OPTIONS="suppressions=$PWD/tests/lib/tsan.supp"
    export TSAN_OPTIONS
    suite build-tsan -j "$tests" -R "$threaded"
    step "clang build with fuzz targets"
    check "clang build" build fuzz
    step "fuzzing"
    suite build-fuzz -j "$jobs" -L fuzz
fi

# Last, as it needs root and minutes of its own; its last line says how many checks it made.
packages() {
    step "packages"
    output=$(mktemp)
    sh packaging/tests/run.sh short >"$output" 2>&1
    code=$?
    cat "$output"
    good=$(sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$output" | tail -1)
    bad=$(sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$output" | tail -1)
    rm -f "$output"
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
    if [ "$code" -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then
        failed=$((failed + 1))
    fi
}
[ "$mode" = quick ] || packages

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
