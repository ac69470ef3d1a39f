/* What a service manager is told of this process, and its watchdog: the protocol of sd_notify(3), a datagram of lines "NAME=value" to
 * the Unix socket of $NOTIFY_SOCKET. Without that variable nothing happens. It is spoken here because libsystemd would be a large library
 * for four lines of text. Everything on the loop. */
#ifndef CHRONOS_DAEMON_SERVICE_H
#define CHRONOS_DAEMON_SERVICE_H

#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "cluster/cluster.h"

enum {
    SERVICE_READY_LOOK_MS = 20,  /* how often it is looked whether the node is ready */
    SERVICE_READY_WAIT_MS = 5000, /* then it counts as started without a leader: others may have to be started first */
    SERVICE_TELL_MS = 5000,      /* how often what it does is told anew */
    SERVICE_EXTEND_MS = 30000,   /* while it stops: the manager waits so long for the next word */
};

struct service {
    int fd; /* -1: nobody asked */
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t watchdog_ms; /* 0: none */
    uint64_t started_ms;
    struct cluster *cluster;
    uv_timer_t timer;
    bool is_ready, is_stopping;
};

/* From the start: READY once the node is ready, or after SERVICE_READY_WAIT_MS; then the watchdog is fed as long as the loop turns.
 * An address that cannot be used is logged and ignored. False: no timer. */
must_use bool service_start(struct service *service, uv_loop_t *loop, struct cluster *cluster);
/* It stops, and takes its time: server.shutdown_timeout, whatever the manager's own limit is. */
void service_stopping(struct service *service);
void service_close(struct service *service); /* after service_start alone, once */

#endif
