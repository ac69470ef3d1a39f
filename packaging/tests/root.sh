# Roots to install packages in, and systemd in them; sourced by run.sh. A root has no network but its own loopback.
#
# clean: made by debootstrap. overlay: this machine's system with everything new written to memory; seconds instead of minutes, but not clean.

# The archive that this machine installs from.
mirror() {
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -1
}

# make_clean FOLDER
make_clean() {
    debootstrap --variant=minbase --include=systemd,systemd-sysv bookworm "$1" "$(mirror)" >"$work/debootstrap.log" 2>&1 || {
        tail -5 "$work/debootstrap.log" >&2
        return 1
    }
}

# fetch FOLDER PACKAGES: what ours depend on, and these, go to the root's archive of apt, to be installed without network.
fetch() {
    rm -f "$1/usr/sbin/policy-rc.d"
    # shellcheck disable=SC2046,SC2086 # lists
    chroot "$1" apt-get update -q >/dev/null &&
        chroot "$1" apt-get install -q -y --download-only --no-install-recommends $(dependencies) $2 >"$work/fetch.log" 2>&1 || {
        tail -5 "$work/fetch.log" >&2
        return 1
    }
}

# The names in Depends of our packages, for apt to fetch.
dependencies() {
    for deb in "$packages"/*.deb; do
        dpkg-deb -f "$deb" Depends | tr ',' '\n' | sed 's/|.*//; s/(.*//; s/ //g'
    done | sort -u | grep -v '^chronos'
}

# mount_overlay FOLDER LOWER: what is written below FOLDER/root stays in memory and leaves LOWER as it is.
mount_overlay() {
    mkdir -p "$1"
    mount -t tmpfs -o mode=755 chronos-packages "$1" || return 1
    mounted="$1 $mounted"
    mkdir "$1/upper" "$1/work" "$1/root" # never both of a layer on the file system that it lies over
    mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" chronos-packages "$1/root" || return 1
    mounted="$1/root $mounted"
    rm -f "$1/root/usr/sbin/policy-rc.d" # what keeps services from being started on machines that are images
    rm -f "$1/root/var/lib/man-db/auto-update" # an index of all manual pages of this machine would take minutes
}

# boot FOLDER: systemd in it, up to basic.target; nothing that this machine starts by itself.
boot() {
    booted=$1
    systemd-nspawn --quiet --directory "$1" --machine "chronos-$$" --private-network --register=no --keep-unit --link-journal=no \
        --bind-ro "$packages:/packages" --bind "$work/share:/share" --boot -- --unit=basic.target </dev/null >"$work/boot.log" 2>&1 &
    nspawn=$!
    tries=0
    # PID 1 of the root is the only child of systemd-nspawn.
    until leader=$(pgrep -P "$nspawn" | head -1) && [ -n "$leader" ] && inside systemctl is-active -q basic.target 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$nspawn" 2>/dev/null; then
            tail -20 "$work/boot.log" >&2
            echo "systemd does not start in $1" >&2
            return 1
        fi
        sleep 0.2
    done
}

# inside COMMAND...: in the booted root, without what would change the machine itself (its clock).
inside() {
    setpriv --bounding-set=-sys_time,-sys_module,-sys_boot,-sys_rawio \
        nsenter --target "$leader" --mount --uts --ipc --net --pid --root env -i -C / PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root "$@"
}

halt() {
    [ -n "${nspawn:-}" ] || return 0
    /bin/kill -s RTMIN+4 "$leader" 2>/dev/null || true # poweroff
    tries=0
    while kill -0 "$nspawn" 2>/dev/null && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -9 "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    nspawn=""
}

# After `trap leave EXIT`; $KEEP=1 keeps the work folder.
leave() {
    trap - EXIT
    halt
    unmount_all
    [ "${KEEP:-}" ] || rm -rf --one-file-system "$work"
}

unmount_all() {
    for folder in $mounted; do
        umount --recursive "$folder" 2>/dev/null || umount --lazy "$folder" || true
    done
    mounted=""
}
