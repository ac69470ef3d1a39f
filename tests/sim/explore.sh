#!/bin/sh
# A short exploration for ctest: SIM_SECONDS long (20). In a checkout the first seed follows from the sources of the core and of the
# simulator, so that a commit that touches neither explores what was clean before, and one that does explores anew; elsewhere it is
# drawn. Longer and wider: chronos-sim --minutes.
cd "$(dirname "$0")/../.." || exit 1
start=$(git rev-parse HEAD:core/raft HEAD:core/state HEAD:core/scheduler HEAD:tests/sim 2>/dev/null | sha256sum | cut -c1-10)
git rev-parse HEAD:core/raft >/dev/null 2>&1 && set -- "$1" --start "$((0x$start))"
exec "$@" --seconds "${SIM_SECONDS:-20}"
