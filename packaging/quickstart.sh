#!/bin/sh
# From a bare machine to jobs that run: `sh packaging/quickstart.sh`.
#
# Installs what is needed, builds a release into build/, starts one node with its embedded defaults (no configuration file),
# creates a shell job and a webhook job that are due every few seconds, and shows their runs as they happen. Ctrl-C ends it.
# `--check` does the same for at most 20 seconds and exits 0 only if both jobs ran as scheduled.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)

check=no
case ${1:-} in
"") ;;
--check) check=yes ;;
*)
    echo "usage: sh packaging/quickstart.sh [--check]" >&2
    exit 2
    ;;
esac

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }

say "1. Install what Chronos needs"
sh packaging/install-dependencies.sh build

say "2. Build (build/bin/chronos, build/bin/chronosctl): about a minute the first time"
log=$(mktemp)
if ! { cmake -G Ninja --preset release &&
    cmake --build build; } >"$log" 2>&1; then
    tail -40 "$log"
    echo "The build failed; the whole log is $log" >&2
    exit 1
fi
rm -f "$log"

work=$(mktemp -d "${TMPDIR:-/tmp}/chronos-quickstart.XXXXXX")
node=""
receiver=""
watcher=""
cleanup() {
    trap - EXIT INT TERM
    for pid in $watcher $node $receiver; do kill "$pid" 2>/dev/null || true; done
    for pid in $watcher $node $receiver; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'echo; echo "Stopping."; exit 0' INT TERM

# A webhook needs somebody who listens: a receiver that answers every POST, on a free port of this machine.
python3 packaging/quickstart-receiver.py "$work/port" >"$work/receiver.log" 2>&1 &
receiver=$!

say "3. Start a node (embedded defaults, data in $work/chronos-data)"
cd "$work"
"$root/build/bin/chronos" 2>"$work/chronos.log" &
node=$!
cd "$root"
server=${CHRONOS_SERVER_HTTP_ADDRESS:-127.0.0.1:8080}
url=http://$server
ctl() { "$root/build/bin/chronosctl" --server "$url" "$@"; }

waited=0
until curl -fsS "$url/ready" >/dev/null 2>&1 && [ -s "$work/port" ]; do
    if ! kill -0 "$node" 2>/dev/null; then
        cat "$work/chronos.log" >&2
        echo "The node did not start. If $server is in use, choose another: CHRONOS_SERVER_HTTP_ADDRESS=127.0.0.1:8081 sh packaging/quickstart.sh" >&2
        exit 1
    fi
    waited=$((waited + 1))
    if [ "$waited" -gt 100 ]; then
        cat "$work/chronos.log" "$work/receiver.log" >&2
        echo "The node is not ready after 10 seconds." >&2
        exit 1
    fi
    sleep 0.1
done
# Another daemon on this port would answer as well: the node that we started must be the one that listens.
if ! grep -q "became leader" "$work/chronos.log"; then
    cat "$work/chronos.log" >&2
    echo "Something else answers on $server." >&2
    exit 1
fi
grep -E "became leader|listening" "$work/chronos.log"

say "4. Create two jobs"
ctl job create --name hello --schedule '*/3 * * * * *' --command 'echo "Hello from $CHRONOS_JOB_NAME, scheduled for $CHRONOS_SCHEDULED_TIME"'
ctl job create --name ping --schedule '@every 4s' --webhook "http://127.0.0.1:$(cat "$work/port")/ping"

say "5. Watch them run"
if [ "$check" = yes ]; then
    python3 packaging/quickstart-watch.py "$url" --check --seconds 18
    say "Both jobs ran as scheduled."
    exit 0
fi
shown="$root/build/bin/chronosctl --server $url"
cat <<END
The API:      $url/api/v1/jobs
Try next, in another terminal:
  $shown job list
  $shown job upcoming hello
  $shown execution list --job hello
  $shown job trigger hello
  $shown job create --name nightly --schedule '0 2 * * *' --timezone Europe/Berlin --command 'echo good night'
  curl -s $url/metrics
Read on in docs/getting-started.md. Ctrl-C stops the node; its data is deleted with it.

END
# In the background, so that a signal is handled at once and not after it.
python3 packaging/quickstart-watch.py "$url" &
watcher=$!
wait "$watcher"
