#include "daemon/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { MESSAGE_SIZE = 512, MICROSECONDS = 1000, WATCHDOG_SHARE = 3 /* two may be lost */ };

/* A path, or with '@' an abstract name. */
static bool read_address(struct service *service, const char *text)
{
    size_t size = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || text[1] == '\0' || size >= sizeof service->address.sun_path)
        return false;
    service->address.sun_family = AF_UNIX;
    memcpy(service->address.sun_path, text, size + 1);
    bool is_abstract = text[0] == '@';
    if (is_abstract)
        service->address.sun_path[0] = '\0';
    service->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + (is_abstract ? 0 : 1));
    return true;
}

static void open_socket(struct service *service)
{
    const char *text = getenv("NOTIFY_SOCKET");
    if (text == NULL)
        return;
    if (!read_address(service, text)) {
        LOG_WARN("NOTIFY_SOCKET is neither a path nor an abstract address; the service manager is told nothing",
                 LOG_STRING("NOTIFY_SOCKET", text));
        return;
    }
    service->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (service->fd < 0)
        LOG_WARN("no socket for the service manager; it is told nothing", LOG_STRING("error", strerror(errno)));
}

static bool read_number(const char *name, uint64_t *ret)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret = number;
    return true;
}

/* WATCHDOG_PID: whom it is meant for, where a child inherited the variables. */
static uint64_t read_watchdog_ms(void)
{
    uint64_t period_us = 0, pid = 0;
    if (!read_number("WATCHDOG_USEC", &period_us) || (read_number("WATCHDOG_PID", &pid) && pid != (uint64_t)getpid()))
        return 0;
    return period_us / MICROSECONDS;
}

/* False: not sent. The next turn of the timer says it again. */
static bool tell(const struct service *service, const char *text)
{
    return sendto(service->fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&service->address, service->address_size) >= 0;
}

static void describe(const struct service *service, const struct cluster_status *status, char out[NODE_NAME_MAX + 64])
{
    if (service->is_stopping)
        (void)snprintf(out, NODE_NAME_MAX + 64, "stopping: runs may end");
    else if (status->is_leader)
        (void)snprintf(out, NODE_NAME_MAX + 64, "leads %u node%s", status->member_count, status->member_count == 1 ? "" : "s");
    else if (status->leader_node != NULL)
        (void)snprintf(out, NODE_NAME_MAX + 64, "follows %s", status->leader_node);
    else
        (void)snprintf(out, NODE_NAME_MAX + 64, status->member_count == 0 ? "asks to be admitted to a cluster" : "waits for a leader");
}

static void tell_all(struct service *service, bool is_ready)
{
    char message[MESSAGE_SIZE], state[NODE_NAME_MAX + 64];
    struct cluster_status status;
    cluster_status_get(service->cluster, &status);
    describe(service, &status, state);
    int size = snprintf(message, sizeof message, "%s%sSTATUS=%s\nWATCHDOG=1\n", is_ready ? "READY=1\n" : "",
                        service->is_stopping ? "STOPPING=1\n" : "", state);
    if (service->is_stopping && size > 0 && (size_t)size < sizeof message)
        (void)snprintf(message + size, sizeof message - (size_t)size, "EXTEND_TIMEOUT_USEC=%" PRIu64 "\n",
                       (uint64_t)SERVICE_EXTEND_MS * MICROSECONDS);
    if (tell(service, message) && is_ready)
        service->is_ready = true;
}

static uint64_t period_ms(const struct service *service)
{
    uint64_t share = service->watchdog_ms / WATCHDOG_SHARE;
    if (service->watchdog_ms == 0 || share > SERVICE_TELL_MS)
        return SERVICE_TELL_MS;
    return share > 0 ? share : 1;
}

static void repeat(struct service *service)
{
    uv_timer_set_repeat(&service->timer, period_ms(service));
    (void)uv_timer_again(&service->timer); /* fails only where it never ran */
}

static void look_whether_ready(struct service *service)
{
    struct cluster_status status;
    cluster_status_get(service->cluster, &status);
    if (!status.is_ready && uv_now(service->timer.loop) - service->started_ms < SERVICE_READY_WAIT_MS)
        return;
    tell_all(service, true);
    if (service->is_ready)
        repeat(service);
}

static void on_timer(uv_timer_t *timer)
{
    struct service *service = timer->data;
    if (service->is_ready || service->is_stopping)
        tell_all(service, false);
    else
        look_whether_ready(service);
}

bool service_start(struct service *service, uv_loop_t *loop, struct cluster *cluster)
{
    *service = (struct service){.fd = -1, .cluster = cluster, .watchdog_ms = read_watchdog_ms()};
    open_socket(service);
    uv_update_time(loop);
    service->started_ms = uv_now(loop);
    service->timer.data = service;
    if (uv_timer_init(loop, &service->timer) != 0)
        return false;
    return service->fd < 0 || uv_timer_start(&service->timer, on_timer, 0, SERVICE_READY_LOOK_MS) == 0;
}

void service_stopping(struct service *service)
{
    service->is_stopping = true;
    if (service->fd < 0)
        return;
    tell_all(service, false);
    repeat(service);
}

void service_close(struct service *service)
{
    if (service->fd >= 0)
        (void)close(service->fd); /* datagrams: nothing is under way */
    service->fd = -1;
    uv_close((uv_handle_t *)&service->timer, NULL);
}
