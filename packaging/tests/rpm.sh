#!/bin/sh
# Builds the rpms of a commit, twice, and tries them: `sh packaging/tests/rpm.sh [COMMIT]`, as root. $PACKAGES: a folder with rpms to try instead.
#
# The root is an overlay of this machine's Debian with an empty database of rpm in it. What the rpms require is looked for in that database,
# so a package without files is made first which provides what the libraries of this machine do: a requirement that they do not meet is found.
set -u
cd "$(dirname "$0")/../.." || exit 1
. packaging/tests/root.sh
. packaging/tests/checks.sh
mounted=""
work=$(mktemp -d)
packages=$work/rpms
mkdir "$work/share"

trap leave EXIT
trap 'exit 1' INT TERM

failed() {
    echo "rpm: $1" >&2
    exit 1
}

# The libraries that ours ask for, as rpm would call what these provide.
machine_provides() {
    for soname in $(rpm -qp --requires "$packages"/*.rpm | sed -n 's/^\(lib[^(]*\)(.*/\1/p; s/^\(ld-[^(]*\)(.*/\1/p' | sort -u); do
        ldconfig -p | sed -n "s|^[[:space:]]*$soname (.*x86-64.*) => ||p" | head -1
    done | /usr/lib/rpm/elfdeps --provides | sort -u
}
machine_package() {
    {
        printf 'Name: this-machine\nVersion: 1\nRelease: 1\nSummary: what is here\nLicense: none\nBuildArch: noarch\n'
        printf 'Provides: %s\n' /bin/sh /usr/bin/pkg-config tzdata shadow-utils "rtld(GNU_HASH)"
        machine_provides | sed 's/^/Provides: /'
        printf '%%description\nnone\n%%files\n'
    } >"$work/machine.spec"
    rpmbuild -bb --define "_topdir $work/machine" --define "_rpmdir $packages" "$work/machine.spec" >"$work/machine.log" 2>&1
}

install_and_run() {
    inside rpm --initdb && inside sh -c 'rpm -i /packages/noarch/this-machine-*.rpm' &&
        inside sh -c 'rpm -i --excludedocs /packages/chronos-[0-9]*.rpm /packages/chronosctl-*.rpm /packages/chronos-devel-*.rpm' &&
        inside rpm -V chronosctl chronos-devel && [ "$(inside stat -c '%a %U %G' /var/lib/chronos)" = "750 chronos chronos" ] &&
        inside systemctl start chronos && [ "$(inside systemctl is-enabled chronos)" = enabled ] &&
        ctl job create --name first --schedule '@every 1s' --command true >/dev/null && until_true 30 succeeded first
}
replace_and_remove() {
    inside systemctl stop chronos-2 chronos-3
    before=$(main_pid)
    inside sh -c 'echo "# edited by hand" >>/etc/chronos/chronos.yaml && rpm -U --force --excludedocs /packages/chronos-[0-9]*.rpm' &&
        another_pid "$before" && says "# edited by hand" inside cat /etc/chronos/chronos.yaml && until_true 10 says all ctl job list -o name &&
        inside rpm -e chronos && ! inside test -e /usr/bin/chronos && inside test -d /var/lib/chronos/log &&
        says "# edited by hand" inside sh -c 'cat /etc/chronos/chronos.yaml*'
}

for folder in rpms again; do
    [ -z "${PACKAGES:-}" ] || break
    PACKAGES=$work/$folder nice packaging/build.sh rpm "${1:-HEAD}" >"$work/build.log" 2>&1 || {
        tail -20 "$work/build.log"
        failed "the build"
    }
done
if [ "${PACKAGES:-}" ]; then
    mkdir "$packages" && cp "$PACKAGES"/*.rpm "$packages"
else
    for file in "$work"/again/*.rpm; do # names and bytes
        cmp "$file" "$packages/$(basename "$file")" || failed "two builds differ"
    done
fi
rpmlint --strict --config packaging/rpm/rpmlint.toml "$packages"/*.rpm >"$work/rpmlint" 2>&1 || {
    cat "$work/rpmlint"
    failed "rpmlint"
}
machine_package || failed "a package of what this machine provides"
mount_overlay "$work/overlay" / && boot "$work/overlay/root" || failed "a root"
install_and_run || failed "install, start, first run"
sqlite || failed "sqlite"
a_plugin || failed "a plugin built with chronos-devel"
three_nodes || failed "three nodes"
replace_and_remove || failed "replace, remove"
echo "rpm: $([ "${PACKAGES:-}" ] || echo built twice the same,) rpmlint content, installed, run, both backends, a plugin, three nodes, replaced, removed"
