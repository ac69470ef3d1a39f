#!/bin/sh
# Before a pod gets SIGTERM. The daemon hands over leadership by itself then; done here, it has happened before the daemon takes no more
# requests. Meanwhile those who send requests learn that this pod is going.
set -u

ctl() {
    CHRONOS_TOKEN=$(cat /etc/chronos/tokens/node.token) chronosctl --timeout 3s "$@"
}

if ctl --output json cluster status | grep -q '"is_leader": true'; then
    ctl cluster transfer
fi
sleep 5
