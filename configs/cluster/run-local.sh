#!/bin/sh
# Runs the three nodes of this folder on one machine, at 127.0.0.1, 127.0.0.2 and 127.0.0.3, until it is interrupted:
#
#   sh configs/cluster/run-local.sh [DIRECTORY]
#
# DIRECTORY (default ./chronos-cluster) gets their configurations, data and logs, and is used again by the next start.
# CHRONOS names the program (default: the one of the build tree, else that of the PATH).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
directory=${1:-./chronos-cluster}
program=${CHRONOS:-$here/../../build/bin/chronos}
[ -x "$program" ] || program=$(command -v chronos) || {
    echo "run-local.sh: no chronos found; build it, or name it: CHRONOS=/usr/bin/chronos sh $0" >&2
    exit 1
}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)

pids=""
stop() {
    trap - INT TERM EXIT
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait
}
trap 'stop; exit 0' INT TERM
trap stop EXIT

# Answers "ready" once it is led.
await() {
    tries=0
    until curl -fs "http://127.0.0.$1:8080/ready" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$2" 2>/dev/null; then
            echo "run-local.sh: node $1 did not start; its log ends with:" >&2
            tail -5 "$directory/chronos-$1.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

for node in 1 2 3; do
    sed -e "s|10\.0\.0\.|127.0.0.|; s|0\.0\.0\.0:8080|127.0.0.$node:8080|; s|/var/lib/chronos|$directory/data-$node|" \
        "$here/chronos-$node.yaml" >"$directory/chronos-$node.yaml"
    "$program" --config "$directory/chronos-$node.yaml" >>"$directory/chronos-$node.log" 2>&1 &
    pid=$!
    pids="$pids $pid"
    # Only a first start needs the order: a node that knows its cluster waits for a majority instead.
    if [ -e "$directory/founded" ]; then continue; fi
    await $node $pid
done
# shellcheck disable=SC2086
set -- $pids
for node in 1 2 3; do
    await $node "$1"
    shift
done
: >"$directory/founded"
echo "Three nodes run, with their logs in $directory. Try:"
echo "  chronosctl --server 127.0.0.1:8080,127.0.0.2:8080,127.0.0.3:8080 cluster status"
echo "Ctrl-C stops them."
wait
