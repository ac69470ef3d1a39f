#!/bin/sh
# Every constant of core/base/limits.h is used by a room and named in a test: in the test that hits it, or in a comment beside
# one that has to spell the number out (Python, tables of text). Whether the test hits it is the reviewer's to see; that one is
# named at all, and that none is left behind, is what a machine can say.
#
#   sh tests/lib/limits_check.sh [ROOT]
set -u
cd "${1:-$(dirname "$0")/../..}" || exit 1
header=core/base/limits.h
failed=0
names=$(sed -n 's/^    \([A-Z][A-Z0-9_]*\) = .*/\1/p' $header)
if [ "$(echo "$names" | wc -l)" -ne "$(grep -cE '^ +[A-Za-z0-9_]+ *=' $header)" ]; then
    echo "$header: a constant is not written as the others are, on a line of its own"
    failed=1
fi
for name in $names; do
    if ! grep -rqw --include='*.c' --include='*.h' --exclude=limits.h "$name" core; then
        echo "$name: no room uses it; take it out of $header"
        failed=1
    fi
    if ! grep -rqw --include='test_*' "$name" tests/unit tests/integration; then
        echo "$name: no test names it; hit it at the limit and one beyond, in the test beside its room"
        failed=1
    fi
done
[ "$failed" -eq 0 ] && echo "$(echo "$names" | wc -l) limits, each named in a test"
exit $failed
