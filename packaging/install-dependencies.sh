#!/bin/sh
# Installs what Chronos needs from the distribution's packages: `sh packaging/install-dependencies.sh [build|test|package|bench]`.
# build (default): to build and run it. test: also what the tests use. package: to build and
# test the packages. bench: also the servers that it is measured against.
set -eu

what=${1:-build}
packages="gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libcjson-dev libyaml-dev liblmdb-dev libsqlite3-dev
 libcurl4-openssl-dev libssl-dev libzstd-dev llhttp-dev tzdata ca-certificates curl python3"
case $what in
build) ;;
test) packages="$packages make g++ clang libclang-rt-14-dev libcmocka-dev git prometheus iproute2 nftables openssl" ;;
package) packages="$packages build-essential dpkg-dev debhelper fakeroot lintian rpm rpmlint debootstrap systemd-container apt-utils gnupg git
 iproute2 nftables openssl python3-yaml tini" ;;
bench) packages="$packages etcd-server nginx-light wrk" ;;
*)
    echo "usage: $0 [build|test|package|bench]" >&2
    exit 2
    ;;
esac

if ! command -v apt-get >/dev/null; then
    echo "This script knows apt-get only. Install by hand what docs/dependencies.md lists." >&2
    exit 1
fi

missing=""
for package in $packages; do
    # llhttp-dev is a virtual package of node-llhttp on Debian 12.
    case $package in
    llhttp-dev) [ -e /usr/share/include/llhttp/llhttp.h ] || [ -e /usr/include/llhttp.h ] || missing="$missing $package" ;;
    *) dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "These packages are missing and need root to install:$missing" >&2
        echo "Run as root: apt-get update && apt-get install -y$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
echo "Installing:$missing"
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
