#!/bin/sh
# Starts the node of a pod.
#
# Pod 0 begins the cluster, and may do so only where there is none: each other pod that its peers name has to say that it belongs to none.
# It waits until all have, or until one belongs to a cluster; so an empty volume beside a cluster that lives, or sleeps, founds no second
# one. The daemon by itself sees only those that have it as a member and call it within three seconds.
set -eu
config=/etc/chronos/config/chronos.yaml
restore=/var/lib/chronos/restore # a snapshot: docs/kubernetes.md, "Backup and restore"

# The members that a pod knows, one a line; or why it cannot be asked.
members() {
    CHRONOS_TOKEN=$(cat /etc/chronos/tokens/node.token) chronosctl --server "$1:8080" --timeout 5s --output name cluster status 2>&1
}

founds() {
    said=""
    while :; do
        silent=""
        for peer in $(echo "$CHRONOS_CLUSTER_RAFT_PEERS" | tr , ' '); do
            host=${peer%:*}
            [ "$peer" = "$CHRONOS_CLUSTER_RAFT_ADVERTISE" ] && continue
            if ! answer=$(members "$host"); then
                silent="$silent $host"
                reason=${answer%%;*}
            elif [ -n "$answer" ]; then
                return 1
            fi
        done
        [ -n "$silent" ] || return 0
        if [ "$silent" != "$said" ]; then
            echo "start.sh: waits for$silent to say whether there is a cluster: $reason" >&2
            said=$silent
        fi
        sleep 1
    done
}

case $CHRONOS_CLUSTER_NODE_ID in
*-0)
    if [ -e "$restore" ]; then
        set -- --restore-snapshot "$restore" # done once
    elif founds; then
        set -- --bootstrap # with data it does nothing
    fi
    ;;
esac
exec chronos --config "$config" "$@"
