#!/bin/sh
# Builds the core with each known bug (core/raft/mutant.h) and tells which scripted test sees it. Exit 1 if one survives that is
# not in the list below.
# Usage: tests/unit/raft/mutants_by_scripts.sh BUILD_DIRECTORY [MUTANT...]   (a build of the room `base` is there)
set -u
usage="usage: mutants_by_scripts.sh BUILD_DIRECTORY [MUTANT...]"
build=${1:?$usage}
shift
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=$build/raft-mutants
allowed="$(cat "$here/mutants_not_seen.txt" | sed 's/#.*//')"
known=$(grep -oh 'MUTANT([0-9]*)' "$root"/core/raft/*.c | tr -dc '0-9\n' | sort -nu)
mutants=${*:-$known}
for n in $mutants; do
    echo "$known" | grep -qx -e "$n" || { echo "there is no mutant $n in the core; there are:" $known >&2; exit 2; }
done
base=$build/core/base/libchronos_base.a
[ -f "$base" ] || { echo "$build holds no build (no $base); $usage" >&2; exit 2; }
mkdir -p "$out"

compile() { # directory, flags: the core as objects, then the tests that need nothing else
    mkdir -p "$1"
    for source in "$root"/core/raft/*.c; do
        cc -O0 -std=c11 -D_GNU_SOURCE $2 -I"$root/core" -c "$source" -o "$1/$(basename "$source" .c).o" || return 1
    done
}

link() { # program, directory, sources...
    program=$1 objects=$2
    shift 2
    cc -O0 -std=c11 -D_GNU_SOURCE -I"$root/core" -I"$here" "$@" "$objects"/*.o "$base" -lcmocka -lcjson -lpthread -o "$program"
}

survivors=0
for n in $mutants; do
    objects=$out/$n
    compile "$objects" "-DRAFT_MUTANT=$n" || exit 2
    link "$objects/scenarios" "$objects" "$here/run_scenarios.c" "$here/script.c" "$here/words.c" "$here/network.c" \
        "$here/expect.c" "$here/world.c" "$here/disk.c" || exit 2
    seen=$("$objects/scenarios" "$here"/scenarios/*.txt 2>/dev/null | sed -n 's/^FAILED \(.*\)\.txt/\1/p' | tr '\n' ' ')
    for test in log progress; do
        link "$objects/test_$test" "$objects" "$here/test_$test.c" || exit 2
        "$objects/test_$test" >/dev/null 2>&1 || seen="$seen test_$test"
    done
    for test in step limits; do
        link "$objects/test_$test" "$objects" "$here/test_$test.c" "$here/core.c" || exit 2
        "$objects/test_$test" >/dev/null 2>&1 || seen="$seen test_$test"
    done
    if [ -n "$seen" ]; then
        echo "$n: $seen"
    else
        echo "$n: SURVIVES"
        echo "$allowed" | grep -qw "$n" || survivors=$((survivors + 1))
    fi
    rm -rf "$objects"
done
[ "$survivors" -eq 0 ]
