#!/bin/sh
# The benchmark suite: `sh tests/bench/run.sh [--backend lmdb|sqlite] [--rounds N] [--seconds N] [name...]`.
# JSON lines on stdout, one a figure; what happens on stderr. README.md in this folder explains every figure.
#
# CHRONOS_BUILD names the build folder (default: build/, which is built first if it has no program).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

sh "$root/packaging/install-dependencies.sh" bench >&2
if [ -z "${CHRONOS_BUILD:-}" ]; then
    CHRONOS_BUILD=$root/build
    if [ ! -x "$CHRONOS_BUILD/bin/chronos" ]; then
        (cd "$root" && cmake -G Ninja --preset release -DCHRONOS_TESTS=OFF && cmake --build build) >&2
    fi
fi
export CHRONOS_BUILD
exec python3 -B "$here/suite.py" "$@"
