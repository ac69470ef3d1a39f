#!/bin/sh
# Builds the packages of HEAD and tries them: `sh packaging/tests/run.sh [short]`, as root. The last line is "N passed, N failed".
#
#   short   what CI runs: the Debian packages, in an overlay of this machine's system; upgraded from the same build under an older version
#   same    as short, in a clean root made by debootstrap
#   (none)  also: the same build twice, rpms, a clean root made by debootstrap, an upgrade from an earlier commit with its data
#
# $PACKAGES: a folder with Debian packages that build.sh has made, to be tried instead of building any. $KEEP=1 leaves the work folder.
# $ROOT: a clean root from before, which stays as it is. $CHRONOS_TEST_UPGRADE_FROM: that earlier commit.
set -u
cd "$(dirname "$0")/../.." || exit 1
. packaging/tests/root.sh
. packaging/tests/checks.sh
mode=${1:-full}
# Root looks into a clone that may be another user's.
git_() { git -c "safe.directory=$PWD" "$@"; }
head=$(git_ rev-parse HEAD) # work may go on meanwhile
passed=0
failed=0
mounted=""
work=$(mktemp -d)
mkdir "$work/share"

trap leave EXIT
trap 'exit 1' INT TERM

# check NAME COMMAND...
check() {
    checked=$1
    shift
    begun_s=$(date +%s)
    if "$@"; then
        passed=$((passed + 1))
        echo "ok      $checked ($(($(date +%s) - begun_s)) s)"
    else
        failed=$((failed + 1))
        echo "FAILED  $checked"
        return 1
    fi
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

build() { # KIND FOLDER [COMMIT]
    mkdir -p "$2" && PACKAGES=$2 nice packaging/build.sh "$1" "${3:-$head}" >"$work/build.log" 2>&1 || {
        tail -20 "$work/build.log"
        return 1
    }
}

lint_debs() { lintian --allow-root --fail-on error,warning,info --display-info "$packages"/chronos_*.changes; }

sizes() {
    rm -rf "$work/files"
    dpkg-deb -x "$packages"/chronos_*.deb "$work/files" || return 1
    bytes=$(cat "$work/files/usr/bin/chronos" "$work/files/usr/lib/chronos/plugins/"* | wc -c)
    echo "daemon and plugins: $bytes bytes"
    [ "$bytes" -lt 3000000 ]
}

# Pages and manifests have the names by which others call them.
unpacked_pages() { ! find "$work/files/usr/share/doc/chronos" -name '*.gz' ! -name 'changelog*' | grep .; }

# packaging/kubernetes, with the files of the packages in place of an image.
pods() {
    dpkg-deb -x "$packages"/chronosctl_*.deb "$work/files" && /usr/bin/python3 -B packaging/tests/kubernetes.py "$work/files"
}

same() {
    build deb "$work/again" && for file in "$work/again"/*.deb; do
        cmp "$file" "$packages/$(basename "$file")" || return 1
    done
}

# The packages of $packages under a version before theirs.
older_of_the_same() {
    mkdir "$work/older"
    for name in chronos chronosctl; do
        dpkg-deb -R "$packages"/${name}_*.deb "$work/older/$name" &&
            sed -i 's/^Version: .*/Version: 0older/; s/(= [^)]*)/(= 0older)/' "$work/older/$name/DEBIAN/control" &&
            dpkg-deb -b "$work/older/$name" "$packages/${name}_0older_all.deb" >/dev/null || return 1
    done
}

# The newest earlier commit that differs in what the daemon is; its formats must be those of today.
older_of_another_commit() {
    epoch=tests/integration/upgrade_epoch.txt
    commit=${CHRONOS_TEST_UPGRADE_FROM:-$(git_ log -1 --skip=1 --format=%H -- core plugins)}
    [ "$(git_ show "$commit:$epoch" | head -1)" = "$(head -1 $epoch)" ] || {
        echo "$commit has other formats: there is nothing to upgrade from"
        return 1
    }
    VERSION=0older build deb "$work/older" "$commit" && cp "$work/older"/chronos_*.deb "$work/older"/chronosctl_*.deb "$packages"
}

# As repo.md says, with a key of the moment; the root finds it as /packages/repository.
repository() {
    GNUPGHOME=$work/gnupg
    export GNUPGHOME
    mkdir -m 0700 "$GNUPGHOME" &&
        gpg --batch --quiet --passphrase '' --quick-generate-key 'Chronos packages <packages@example.org>' ed25519 sign 1d 2>/dev/null &&
        packaging/repository.sh "$packages/repository" packages@example.org "$packages"/*.deb >"$work/repository.log" 2>&1 || {
        tail -5 "$work/repository.log"
        return 1
    }
    gpgconf --kill gpg-agent
}

# Everything that is tried of the Debian packages, in the root of $1. The service begins as an older version, is tried as the new one.
try_in() {
    check "systemd starts in the root" boot "$1" || return 0
    check "a signed repository" use_repository || return 0
    newest=$(dpkg-deb -f "$(ls "$packages"/chronos_*.deb | grep -v _0older_)" Version)
    installed="chronos=$newest chronosctl=$newest"
    check "install, start, first run" install_to_first_run
    check "what is there after installing" what_is_there
    check "start to ready" start_to_ready
    check "sandbox" the_sandbox
    check "webhook-only.conf" the_webhook_drop_in
    check "watchdog" the_watchdog
    check "reload" reload
    check "security.strict" strict
    check "a broken configuration" broken_configuration
    check "data of a newer version" newer_data
    check "sqlite" sqlite
    # shellcheck disable=SC2086 # a list
    check "chronos-dev" apt_get install chronos-dev $2 && check "a plugin built with it" a_plugin
    check "purge" purge
    check "an older version" apt_get install --allow-downgrades chronos=0older chronosctl=0older
    check "upgrade of a node, and back" one_node_upgraded
    check "three nodes" three_nodes
    check "upgrade" upgrade
    check "remove" remove
    check "install again, with the data of before" again
    check "purge" purge
    halt
}

if [ "$(id -u)" -ne 0 ]; then
    echo "packaging/tests/run.sh mounts and starts systemd: run it as root" >&2
    exit 1
fi
sh packaging/install-dependencies.sh package || exit 1

packages=$work/packages
if [ "${PACKAGES:-}" ]; then
    cp -R "$PACKAGES" "$packages"
else
    check "build" build deb "$packages" || finish
fi
check "lintian" lint_debs
check "size" sizes
check "pages are as they were written" unpacked_pages
check "pods of Kubernetes" pods

if [ "$mode" = short ]; then
    check "an older version to upgrade from" older_of_the_same
    check "repository" repository
    check "root" mount_overlay "$work/overlay" / && try_in "$work/overlay/root" ""
    finish
fi

if [ -z "${PACKAGES:-}" ] && [ "$mode" = full ]; then
    check "twice the same" same
    check "rpms" sh packaging/tests/rpm.sh "$head"
fi
build_plugin="gcc libc6-dev make pkg-config"
if [ "$mode" = same ]; then
    check "an older version to upgrade from" older_of_the_same
else
    check "an earlier commit's packages" older_of_another_commit
fi
check "repository" repository
# It is left as it is, for $ROOT.
[ "${ROOT:-}" ] || check "clean root" make_clean "$work/clean" || finish
check "root" mount_overlay "$work/overlay" "${ROOT:-$work/clean}" && check "dependencies" fetch "$work/overlay/root" "$build_plugin" &&
    try_in "$work/overlay/root" "$build_plugin"
finish
