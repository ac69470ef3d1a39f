/* Who calls this node: anybody may knock, few at a time, and not for long. */
#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "transport/internal.h"

enum { BACKLOG = 128, REFUSED_LOG_MS = 60 * 1000 };

void accept_refused(struct transport *transport, enum transport_refusal refusal, const char *where, const char *why)
{
    uint64_t now = transport_now(transport), logged_ms = transport->refusals[refusal].logged_ms;
    transport->stats.refused[refusal]++;
    transport->refusals[refusal].unlogged++;
    if (logged_ms != 0 && now - logged_ms < REFUSED_LOG_MS)
        return;
    LOG_WARN("node link refused", LOG_STRING("from", where), LOG_STRING("kind", transport_refusal_name(refusal)),
             LOG_STRING("reason", why), LOG_U64("refused_since", transport->refusals[refusal].unlogged));
    transport->refusals[refusal].logged_ms = now;
    transport->refusals[refusal].unlogged = 0;
}

/* In its handshake, or of a node that this one does not call: a guest. */
static bool is_stranger(const struct link *link)
{
    return !link->is_dialled && link->state != LINK_CLOSING &&
           (!link->is_up || transport_find_peer(link->transport, link->remote.node) == NULL);
}

/* Whoever floods this port must not keep the others out: an honest handshake, or visit, is short, so the oldest one is none. */
static void close_oldest_stranger(struct transport *transport)
{
    struct link *oldest = NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++) {
        struct link *link = transport->links[i];
        if (link == NULL || !is_stranger(link))
            continue;
        count++;
        if (oldest == NULL || link->since_ms < oldest->since_ms)
            oldest = link;
    }
    if (count > TRANSPORT_KNOCKING_MAX)
        link_close(oldest, "too many strangers at once");
}

static bool is_full(const struct transport *transport)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++)
        count += transport->links[i] != NULL && !transport->links[i]->is_dialled;
    return count >= ACCEPTED_MAX;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct transport *transport = stream->data;
    struct error err;
    if (status != 0) {
        accept_refused(transport, TRANSPORT_REFUSED_HANDSHAKE, "?", uv_strerror(status));
        return;
    }
    struct link *link = NULL;
    if (is_full(transport))
        (void)error_set(&err, STATUS_TOO_MANY, "too many links"); /* said below */
    else
        link = link_new(transport, NULL, &err);
    if (link == NULL) {
        /* Left in the backlog: libuv goes on only behind uv_accept, which transport_released calls for. */
        transport->is_accept_owed = true;
        accept_refused(transport, TRANSPORT_REFUSED_ROOM, "?", err.message);
        return;
    }
    int failed = uv_accept(stream, &link->uv.stream);
    if (failed != 0) {
        link_close(link, uv_strerror(failed));
        return;
    }
    link_begin(link);
    close_oldest_stranger(transport);
}

void accept_retry(struct transport *transport)
{
    if (!transport->is_accept_owed || transport->is_closing)
        return;
    transport->is_accept_owed = false;
    on_connection(&transport->listener.stream, 0);
}

static enum status listen_failed(const char *address, int failed, struct error *err)
{
    if (failed == UV_EADDRINUSE)
        return error_set(err, STATUS_IO, "listen on %s: in use by another program; stop it, or choose another address", address);
    if (failed == UV_EADDRNOTAVAIL)
        return error_set(err, STATUS_IO, "listen on %s: not an address of this machine", address);
    return error_set_errno(err, STATUS_IO, -failed, "listen on %s", address);
}

static enum status bind_to(struct transport *transport, const char *text, struct error *err)
{
    struct sockaddr_storage name;
    struct address address;
    const char *wrong = address_split(text, &address);
    if (wrong != NULL || (address.kind != ADDRESS_IPV4 && address.kind != ADDRESS_IPV6))
        return error_set(err, STATUS_INVALID, "\"%s\" is not an address to listen on, as 10.0.0.1:7000 or [::]:7000 are", text);
    address_to_sockaddr(&address, &name);
    int failed = uv_tcp_bind(&transport->listener.tcp, (struct sockaddr *)&name, 0);
    if (failed == 0)
        failed = uv_listen(&transport->listener.stream, BACKLOG, on_connection);
    return failed == 0 ? STATUS_OK : listen_failed(text, failed, err);
}

static void on_listener_closed(uv_handle_t *handle)
{
    transport_released(handle->data);
}

void accept_stop(struct transport *transport)
{
    if (transport->has_listener)
        uv_close(&transport->listener.handle, on_listener_closed);
    transport->has_listener = false;
}

enum status transport_listen(struct transport *transport, const char *address, int *ret_port, struct error *err)
{
    struct sockaddr_storage name;
    int size = sizeof name;
    assert(!transport->has_listener && !transport->is_closing);
    (void)uv_tcp_init(transport->config.loop, &transport->listener.tcp); /* always 0 without a flag */
    transport->listener.handle.data = transport;
    transport->has_listener = true;
    transport->pending++;
    enum status status = bind_to(transport, address, err);
    int failed = status == STATUS_OK ? uv_tcp_getsockname(&transport->listener.tcp, (struct sockaddr *)&name, &size) : 0;
    if (failed != 0)
        status = listen_failed(address, failed, err);
    if (status != STATUS_OK) {
        accept_stop(transport);
        return status;
    }
    *ret_port = sockaddr_port(&name);
    return STATUS_OK;
}
