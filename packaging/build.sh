#!/bin/sh
# Builds the packages of a commit: `packaging/build.sh deb|rpm|all [COMMIT]`; they are written to build-packages/ (or to $PACKAGES).
#
# What is built is the commit (HEAD without one), not the working tree: so two builds of one commit are the same, byte for byte, on machines
# with the same compiler and libraries. Set VERSION to give them another version than the commit's.
# `packaging/install-dependencies.sh package` installs what is needed on Debian 12.
set -eu
umask 022
export LC_ALL=C TZ=UTC
root=$(cd "$(dirname "$0")/.." && pwd)
git_() { git -c "safe.directory=$root" -C "$root" "$@"; }

what=${1:-}
case $what in
deb | rpm | all) ;;
*)
    echo "usage: packaging/build.sh deb|rpm|all [COMMIT]" >&2
    exit 2
    ;;
esac
if ! commit=$(git_ rev-parse --verify --quiet "${2:-HEAD}^{commit}"); then
    echo "packaging/build.sh: ${2:-HEAD} is no commit here; packages are built in a git clone" >&2
    exit 1
fi
if [ -z "${2:-}" ] && [ -n "$(git_ status --porcelain --untracked-files=no)" ]; then
    echo "packaging/build.sh: what is not committed is not built" >&2
fi

SOURCE_DATE_EPOCH=$(git_ log -1 --format=%ct "$commit")
export SOURCE_DATE_EPOCH
base=$(git_ show "$commit:CMakeLists.txt" | sed -n 's/^project(chronos VERSION \([0-9.]*\).*/\1/p')
# A commit without the tag of its version comes before that version, and after every commit before it.
version=$base~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(echo "$commit" | cut -c1-8)
if [ "$(git_ tag --points-at "$commit" --list "v$base")" ]; then
    version=$base
fi
version=${VERSION:-$version}
echo "packaging/build.sh: building chronos $version, which takes some minutes" >&2

packages=${PACKAGES:-$root/build-packages}
mkdir -p "$packages"
packages=$(cd "$packages" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
tree=$work/chronos-$version
mkdir "$tree"
git_ archive "$commit" | tar -x -C "$tree"

build_deb() {
    cp -R "$tree/packaging/debian" "$tree/debian"
    maintainer=$(sed -n 's/^Maintainer: //p' "$tree/debian/control")
    cat >"$tree/debian/changelog" <<END
chronos ($version) unstable; urgency=medium

  * Commit $commit.
    /usr/share/doc/chronos/CHANGELOG.md says what changed.

 -- $maintainer  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
    (cd "$tree" && DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" dpkg-buildpackage --build=binary --no-sign --no-pre-clean) \
        >"$work/deb.log" 2>&1 || {
        tail -40 "$work/deb.log" >&2
        return 1
    }
    mv "$work"/*.deb "$work"/*.changes "$work"/*.buildinfo "$packages"
    rm -rf "$tree/debian" "$tree"/obj-*
}

# rpm forgets what the compiler was told of paths, unless the flags say so.
build_rpm() {
    mkdir -p "$work/rpm/SOURCES"
    tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -czf \
        "$work/rpm/SOURCES/chronos-$version.tar.gz" "chronos-$version"
    nodeps=""
    # On Debian the build dependencies are there under other names (packaging/install-dependencies.sh).
    [ -e /etc/debian_version ] && nodeps=--nodeps
    # shellcheck disable=SC2086 # none, or one word
    rpmbuild -bb $nodeps --define "_topdir $work/rpm" --define "version_ $version" \
        --define "date_ $(date -u -d "@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" --define "commit_ $commit" \
        --define "_buildhost localhost" --define "use_source_date_epoch_as_buildtime 1" \
        --define "clamp_mtime_to_source_date_epoch 1" "$tree/packaging/rpm/chronos.spec" >"$work/rpm.log" 2>&1 || {
        tail -40 "$work/rpm.log" >&2
        return 1
    }
    find "$work/rpm/RPMS" -name '*.rpm' -exec mv {} "$packages" \;
}

[ "$what" = rpm ] || build_deb
[ "$what" = deb ] || build_rpm
echo "chronos $version: $packages"
