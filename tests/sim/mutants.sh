#!/bin/bash
# Each known bug, compiled in alone, must be seen by the simulator: mutants.sh [SECONDS each (60)] [number...]
# Prints one line a mutant and fails if one survives. Those marked "script" are seen by tests/unit/raft instead, and must be alive
# to be told apart here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
seconds=${1:-60}
case $seconds in *[!0-9]* | 0 | '') echo "usage: mutants.sh [SECONDS each (60)] [number...]" >&2; exit 2 ;; esac
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags="-std=c11 -D_GNU_SOURCE -O2 -g -w -I$root/core -I$here"
base="$root/core/base/status.c $root/core/base/buffer.c $root/core/base/codec.c $root/core/base/id.c"
# Seen by scripted tests alone. 47: PreVote keeps the candidates away that it would favour. 51, 52: storms of messages, one in
# some hundred thousand seeds. 53: an answer must outlive a restart of its asker in one term, and find the same name asked again.
script="47 51 52 53"

list() {
    grep -oh 'MUTANT([0-9]*)' "$root"/core/raft/*.c "$here"/*.c | tr -dc '0-9\n' | sort -nu
}

run() { # number
    local n=$1 bin=$work/sim-$1 out=$work/out-$1
    # shellcheck disable=SC2086
    cc $flags -DRAFT_MUTANT="$n" "$here"/*.c "$root"/core/raft/*.c $base -o "$bin" -lpthread -lm || return
    local begin=$(date +%s.%N)
    "$bin" --seconds "$seconds" --start 1 >"$out" 2>&1
    local rc=$? spent
    spent=$(awk -v a="$begin" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
    rm -f "$bin"
    if [ $rc -eq 0 ]; then
        printf 'mutant %-3s SURVIVES %.0f s\n' "$n" "$spent"
    elif grep -q '^FAILED seed' "$out"; then
        local why
        why=$(grep -m1 '^FAILED' "$out" | sed 's/FAILED seed \([0-9]*\): /\1: /')
        case $why in *assertion*) why="$why $(grep -m1 -o 'Assertion.*' "$out")" ;; esac
        printf 'mutant %-3s killed in %5.1f s by seed %s\n' "$n" "$spent" "$why"
    else
        cat "$out" >&2
    fi
}
export -f run
export here root seconds work flags base

known=$(list)
numbers=${*:-$known}
for n in $numbers; do
    echo "$known" | grep -qx "$n" || { echo "mutants.sh: there is no mutant $n; there are:" $known >&2; exit 2; }
done
echo "$numbers" | tr ' ' '\n' | xargs -P "${MUTANT_JOBS:-2}" -I{} bash -c 'run {}' | tee "$work/table"
survivors=$(awk '/SURVIVES/ {print $2}' "$work/table")
bad=0
for n in $survivors; do
    case " $script " in *" $n "*) echo "mutant $n: script" ;; *) echo "mutant $n SURVIVED"; bad=1 ;; esac
done
[ "$(grep -c '^mutant' "$work/table")" -eq "$(echo $numbers | wc -w)" ] || { echo "mutants.sh: not all could be run" >&2; bad=2; }
exit $bad
