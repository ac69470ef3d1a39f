/* One connection between two nodes: TLS, the introduction, then frames. */
#include <assert.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "transport/internal.h"

/* --- states --- */

#define TO(name) (1u << LINK_##name)
static const uint8_t successors[LINK_STATE_COUNT] = {
#define X(name, allowed) [LINK_##name] = (allowed),
    LINK_STATES(X)
#undef X
};
#undef TO

static void move_to(struct link *link, enum link_state next)
{
    assert((successors[link->state] >> next & 1u) != 0);
    link->state = next;
}

/* --- life --- */

static bool take_place(struct transport *transport, struct link *link)
{
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++) {
        if (transport->links[i] != NULL)
            continue;
        transport->links[i] = link;
        link->name = (struct transport_link){.slot = i, .generation = ++transport->generations[i]};
        return true;
    }
    return false;
}

struct link *link_new(struct transport *transport, struct dial *dial, struct error *err)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL || !take_place(transport, link)) {
        (void)error_set(err, link == NULL ? STATUS_NO_MEMORY : STATUS_TOO_MANY, "%s",
                        link == NULL ? "out of memory" : "too many links"); /* told by NULL */
        free(link);
        return NULL;
    }
    link->transport = transport;
    link->dial = dial;
    link->is_dialled = dial != NULL;
    link->since_ms = transport_now(transport);
    buffer_init(&link->input, TRANSPORT_FRAME_MAX + FRAME_HEADER_SIZE + 2 * READ_SIZE);
    buffer_init(&link->out, TRANSPORT_OUTBOX_MAX);
    buffer_init(&link->wire, TRANSPORT_OUTBOX_MAX + WIRE_HIGH);
    buffer_init(&link->sending, TRANSPORT_OUTBOX_MAX + WIRE_HIGH);
    (void)uv_tcp_init(transport->config.loop, &link->uv.tcp); /* always 0 without a flag */
    link->uv.handle.data = link;
    transport->pending++;
    return link;
}

static void on_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    struct transport *transport = link->transport;
    const struct transport_ops *ops = &transport->config.ops;
    transport->links[link->name.slot] = NULL;
    if (link->is_up && !link->is_replaced && !transport->is_closing)
        ops->down(ops->arg, link->name, &link->remote, link->is_dialled);
    tls_session_free(link->tls);
    buffer_deinit(&link->input);
    buffer_deinit(&link->out);
    buffer_deinit(&link->wire);
    buffer_deinit(&link->sending);
    free(link);
    transport_released(transport);
}

void link_close(struct link *link, const char *why)
{
    struct transport *transport = link->transport;
    if (link->state == LINK_CLOSING)
        return;
    bool was_knocking = !link->is_dialled && !link->is_up && link->state != LINK_PARTING;
    move_to(link, LINK_CLOSING);
    if (link->is_up && link->is_dialled)
        transport->stats.dialled_up--;
    else if (link->is_up)
        transport->stats.accepted_up--;
    if (was_knocking && why != NULL)
        accept_refused(transport, TRANSPORT_REFUSED_HANDSHAKE, link->where, why);
    if (link->dial != NULL)
        dial_ended(link, why);
    link->dial = NULL;
    uv_close(&link->uv.handle, on_closed);
}

/* A burst is over: its memory is not kept. */
static void give_back(struct buffer *buffer, size_t kept)
{
    size_t limit = buffer->limit;
    if (buffer->size > 0 || buffer->capacity <= kept)
        return;
    buffer_deinit(buffer);
    buffer_init(buffer, limit);
}

/* --- sending --- */

static void on_written(uv_write_t *request, int status)
{
    struct link *link = request->data;
    link->is_writing = false;
    if (link->state == LINK_CLOSING)
        return;
    if (status != 0) {
        link_close(link, uv_strerror(status));
        return;
    }
    link->transport->stats.bytes_out += link->sending.size;
    buffer_clear(&link->sending);
    give_back(&link->sending, 2 * WIRE_HIGH);
    if (link->state == LINK_PARTING && link->wire.size == 0 && link->out.size == 0)
        link_close(link, NULL);
    else
        link_flush(link);
}

static void write_wire(struct link *link)
{
    struct buffer emptied = link->sending;
    if (link->is_writing || link->wire.size == 0)
        return;
    link->sending = link->wire;
    link->wire = emptied;
    link->write.data = link;
    link->is_writing = true;
    uv_buf_t part = uv_buf_init(link->sending.data, (unsigned)link->sending.size);
    int failed = uv_write(&link->write, &link->uv.stream, &part, 1, on_written);
    if (failed != 0) {
        link->is_writing = false;
        link_close(link, uv_strerror(failed));
    }
}

/* No more than WIRE_HIGH is encrypted ahead of the network. */
static enum status encrypt(struct link *link, struct error *err)
{
    size_t size = link->out.size < WIRE_HIGH ? link->out.size : WIRE_HIGH;
    if (link->tls == NULL || size == 0 || link->wire.size >= WIRE_HIGH || !tls_session_is_ready(link->tls))
        return STATUS_OK;
    enum status status = tls_session_send(link->tls, (struct bytes){link->out.data, size}, &link->wire, err);
    if (status == STATUS_OK)
        buffer_consume(&link->out, size);
    return status;
}

void link_flush(struct link *link)
{
    struct error err;
    if (link->state == LINK_CLOSING || link->is_writing)
        return;
    if (encrypt(link, &err) != STATUS_OK)
        link_close(link, err.message);
    else
        write_wire(link);
}

size_t link_waiting(const struct link *link)
{
    return link->out.size + link->wire.size + link->sending.size;
}

static bool put_frame(struct link *link, uint8_t type, struct bytes payload)
{
    struct buffer *to = link->tls != NULL ? &link->out : &link->wire;
    size_t size = FRAME_HEADER_SIZE + payload.size, before = to->size;
    if (link_waiting(link) + size > (link->is_dialled ? TRANSPORT_OUTBOX_MAX : ANSWERS_MAX))
        return false;
    size_t begun = frame_begin(to, type, link->transport->config.self.node);
    buffer_append(to, payload.data, payload.size);
    frame_end(to, begun);
    if (to->failed != STATUS_OK) { /* no memory: what was there before stays whole */
        to->failed = STATUS_OK;
        to->size = before;
        return false;
    }
    link->transport->stats.frames_out++;
    return true;
}

bool link_send(struct link *link, uint8_t type, struct bytes payload)
{
    assert(payload.size <= TRANSPORT_FRAME_MAX);
    if (link->state == LINK_OPEN && put_frame(link, type, payload))
        return true;
    link->transport->stats.frames_dropped++;
    return false;
}

void link_retire(struct link *link)
{
    link->is_replaced = true;
    link->dial = NULL;
    if (link_waiting(link) == 0) {
        link_close(link, NULL);
        return;
    }
    move_to(link, LINK_PARTING);
    link->deadline_ms = transport_now(link->transport) + link->transport->config.handshake_ms;
    link_set_reading(link, false);
    link_flush(link);
}

/* --- the introduction --- */

static void send_hello(struct link *link)
{
    struct hello self = link->transport->config.self;
    struct buffer encoded;
    self.lane = link->dial != NULL ? link->dial->lane : link->remote.lane;
    if (link->dial != NULL && link->dial->peer->id != 0)
        self.features |= HELLO_CALLS_MEMBER;
    buffer_init(&encoded, TRANSPORT_HELLO_MAX);
    hello_encode(&self, &encoded);
    bool is_sent = encoded.failed == STATUS_OK && put_frame(link, FRAME_HELLO, buffer_bytes(&encoded));
    buffer_deinit(&encoded);
    if (is_sent)
        link_flush(link);
    else
        link_close(link, "out of memory");
}

static enum transport_refusal refusal_of(enum status status)
{
    if (status == STATUS_CONFLICT || status == STATUS_NOT_READY)
        return TRANSPORT_REFUSED_MEMBERSHIP;
    return status == STATUS_UNAUTHENTICATED ? TRANSPORT_REFUSED_IDENTITY : TRANSPORT_REFUSED_PROTOCOL;
}

/* Says why, then closes. */
static void refuse(struct link *link, enum refusal reason, const struct error *why)
{
    const char *message = why->message;
    char payload[1 + REFUSAL_MAX] = {(char)reason};
    size_t size = utf8_cut(message, strlen(message), REFUSAL_MAX);
    if (reason != REFUSAL_SELF && !link->is_dialled && !link->is_up)
        accept_refused(link->transport, refusal_of(why->code), link->where, message);
    if (link->dial != NULL)
        dial_ended(link, message);
    link->dial = NULL;
    move_to(link, LINK_PARTING);
    link->deadline_ms = transport_now(link->transport) + link->transport->config.handshake_ms;
    transport_reschedule(link->transport);
    link_set_reading(link, false);
    memcpy(payload + 1, message, size);
    if (put_frame(link, FRAME_REFUSED, (struct bytes){payload, size + 1}))
        link_flush(link);
    else
        link_close(link, NULL);
}

/* The certificate must be the node's own: made for its node_id, or for the host of its address. */
static enum status check_certificate(const struct link *link, struct hello *remote, struct error *err)
{
    struct address address = {.host = ""};
    remote->is_name_proven = link->tls == NULL || tls_session_names(link->tls, remote->name);
    if (remote->is_name_proven)
        return STATUS_OK;
    if (remote->address[0] != '\0')
        (void)address_split(remote->address, &address); /* checked when it was decoded */
    if (tls_session_names(link->tls, address.host))
        return STATUS_OK;
    return error_set(err, STATUS_UNAUTHENTICATED,
                     "the certificate of node \"%s\" is made neither for that name nor for \"%s\": it needs one of them as a "
                     "subject alternative name", remote->name, address.host);
}

static enum status check_hello(struct link *link, struct hello *remote, struct error *err)
{
    const struct hello *self = &link->transport->config.self;
    if (hello_protocol(self, remote) == 0)
        return error_set(err, STATUS_MALFORMED, "node \"%s\" speaks protocols %u to %u, node \"%s\" speaks %u to %u: upgrade the older "
                         "one", remote->name, remote->protocol_min, remote->protocol_max, self->name, self->protocol_min,
                         self->protocol_max);
    if (link->is_dialled && link->dial->lane != remote->lane)
        return error_set(err, STATUS_MALFORMED, "it answers for another lane");
    enum status status = check_certificate(link, remote, err);
    const struct transport_ops *ops = &link->transport->config.ops;
    if (status == STATUS_OK && !ops->admit(ops->arg, remote, link->is_dialled, err))
        return err->code;
    if (status == STATUS_OK && link->dial != NULL && link->dial->peer->id != 0 && link->dial->peer->id != remote->node)
        return error_set(err, STATUS_CONFLICT, "another node than expected answers at %s: \"%s\"", link->dial->peer->address,
                         remote->name);
    return status;
}

/* A node that dials anew has lost its old link, whether that is seen here already or not; or, where it is the same process, it makes
 * the link anew: what it has sent on the old one is still taken, until it closes that. */
static void replace_older(struct link *link)
{
    struct transport *transport = link->transport;
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++) {
        struct link *other = transport->links[i];
        if (other == NULL || other == link || other->is_dialled || other->state != LINK_OPEN ||
            other->remote.node != link->remote.node || other->remote.lane != link->remote.lane)
            continue;
        other->is_replaced = true;
        if (other->remote.session == link->remote.session)
            other->deadline_ms = transport_now(transport) + transport->config.handshake_ms;
        else
            link_close(other, NULL);
    }
}

static void link_open(struct link *link)
{
    struct transport *transport = link->transport;
    const struct transport_ops *ops = &transport->config.ops;
    move_to(link, LINK_OPEN);
    link->deadline_ms = 0;
    link->is_up = true;
    if (link->is_dialled) {
        transport->stats.dialled_up++;
        renew_opened(link);
        dial_opened(link->dial);
    } else {
        transport->stats.accepted_up++;
        replace_older(link);
        renew_accepted(link);
        struct peer *peer = transport_find_peer(transport, link->remote.node);
        if (peer != NULL)
            peer_dial(peer); /* it is back: no reason to wait any longer */
    }
    ops->up(ops->arg, link->name, &link->remote, link->is_dialled);
    transport_reschedule(transport);
}

static void take_hello(struct link *link, const struct frame *frame)
{
    struct error err;
    struct hello remote;
    enum status status = hello_decode(frame->payload, &remote, &err);
    if (status == STATUS_OK && frame->from != remote.node)
        status = error_set(&err, STATUS_MALFORMED, "its introduction is another node's");
    if (status == STATUS_OK && remote.node == link->transport->config.self.node) {
        (void)error_set(&err, STATUS_CONFLICT, "this is the node itself"); /* sent */
        refuse(link, REFUSAL_SELF, &err);
        return;
    }
    if (status == STATUS_OK)
        status = check_hello(link, &remote, &err);
    if (status != STATUS_OK) {
        refuse(link, REFUSAL_OTHER, &err);
        return;
    }
    link->remote = remote;
    if (!link->is_dialled)
        send_hello(link);
    if (link->state == LINK_GREETING)
        link_open(link);
}

/* What the other side says when it turns this node away; shown, so no more than plain text of it. */
static void take_refusal(struct link *link, struct bytes payload)
{
    char why[REFUSAL_MAX + 16] = "refused: ";
    const char *text = payload.data;
    size_t at = strlen(why), size = payload.size < REFUSAL_MAX + 1 ? payload.size : REFUSAL_MAX + 1;
    for (size_t i = 1; i < size; i++)
        why[at++] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    why[at] = '\0';
    bool is_self = link->dial != NULL && link->dial->peer->id == 0 && size > 0 && text[0] == REFUSAL_SELF;
    /* A name may have other addresses, now or later: the next one is tried. */
    bool is_one_of_many = is_self && link->dial->peer->parsed.kind == ADDRESS_NAME;
    if (is_self && !is_one_of_many)
        link->dial->peer->is_self = true;
    link_close(link, is_one_of_many ? NULL : why);
}

/* --- receiving --- */

static void take_frame(struct link *link, const struct frame *frame)
{
    struct transport *transport = link->transport;
    const struct transport_ops *ops = &transport->config.ops;
    struct error err;
    transport->stats.frames_in++;
    if (frame->type == FRAME_REFUSED) {
        take_refusal(link, frame->payload);
    } else if (link->state == LINK_GREETING && frame->type == FRAME_HELLO) {
        take_hello(link, frame);
    } else if (link->state == LINK_GREETING || frame->from != link->remote.node) {
        (void)error_set(&err, STATUS_MALFORMED, "it sends before it has introduced itself, or for another node");
        refuse(link, REFUSAL_OTHER, &err);
    } else if (frame->type == FRAME_RENEW && link->is_dialled) {
        renew_wanted(link);
    } else if (frame->type >= TRANSPORT_TYPE_FIRST) { /* what a newer protocol adds below is skipped */
        if (!ops->frame(ops->arg, link->name, &link->remote, link->is_dialled, frame->type, frame->payload, &err)) {
            accept_refused(transport, TRANSPORT_REFUSED_PROTOCOL, link->where, err.message);
            refuse(link, REFUSAL_OTHER, &err);
        }
    }
}

static bool is_listening(const struct link *link)
{
    return link->state == LINK_GREETING || link->state == LINK_OPEN;
}

/* Takes the complete frames at the front; how many bytes that were. */
static size_t take_frames(struct link *link, struct bytes input)
{
    size_t used = 0;
    while (is_listening(link)) {
        struct frame frame;
        struct error err;
        size_t size = 0;
        struct bytes rest = {(const char *)input.data + used, input.size - used};
        size_t limit = link->state == LINK_OPEN ? TRANSPORT_FRAME_MAX : TRANSPORT_HELLO_MAX;
        enum frame_found found = frame_scan(rest, limit, &frame, &size, &err);
        if (found == FRAME_PARTIAL)
            return used;
        if (found == FRAME_BAD) {
            refuse(link, REFUSAL_OTHER, &err);
            break;
        }
        used += size;
        take_frame(link, &frame);
    }
    return input.size; /* nobody wants the rest */
}

static void take_input(struct link *link)
{
    size_t used = take_frames(link, buffer_bytes(&link->input));
    buffer_consume(&link->input, used);
    give_back(&link->input, 2 * READ_SIZE);
}

static void receive_plain(struct link *link, struct bytes received)
{
    if (link->input.size == 0) { /* nearly always whole frames: no copy */
        size_t used = take_frames(link, received);
        received = (struct bytes){(const char *)received.data + used, received.size - used};
    }
    buffer_append(&link->input, received.data, received.size);
    if (link->input.failed != STATUS_OK)
        link_close(link, "out of memory");
    else if (received.size > 0)
        take_input(link);
}

/* One side has TLS, the other has not: said in a way that it understands. */
static void refuse_plain(struct link *link)
{
    struct error err;
    (void)error_set(&err, STATUS_UNAUTHENTICATED, "one node speaks TLS and the other does not: set cluster.raft.tls on all nodes or "
                    "on none"); /* sent */
    tls_session_free(link->tls);
    link->tls = NULL;
    buffer_clear(&link->wire);
    refuse(link, REFUSAL_OTHER, &err);
}

static void receive_tls(struct link *link, struct bytes received)
{
    struct error err;
    bool is_first = !link->has_heard;
    link->has_heard |= received.size > 0;
    if (is_first && frame_begins(received)) {
        refuse_plain(link);
        return;
    }
    bool has_ended = false;
    enum status status = tls_session_receive(link->tls, received, &link->input, &link->wire, &has_ended, &err);
    if (status != STATUS_OK) {
        write_wire(link); /* an alert tells the other side why */
        link_close(link, err.message);
        return;
    }
    if (link->state == LINK_SECURING && tls_session_is_ready(link->tls)) {
        move_to(link, LINK_GREETING);
        if (link->is_dialled)
            send_hello(link);
    }
    take_input(link);
    if (has_ended)
        link_close(link, "the other side has closed the link");
    else
        link_flush(link);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
    struct link *link = handle->data;
    (void)wanted;
    *ret = uv_buf_init(link->transport->read_buffer, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct link *link = stream->data;
    if (size == UV_EOF) {
        link_close(link, link->state == LINK_OPEN ? "the other side has closed the link" : "hung up without a word");
    } else if (size < 0) {
        link_close(link, uv_strerror((int)size));
    } else if (size > 0) {
        struct bytes received = {buffer->base, (size_t)size};
        link->transport->stats.bytes_in += received.size;
        if (link->tls != NULL)
            receive_tls(link, received);
        else
            receive_plain(link, received);
    }
}

static void begin_reading(struct link *link)
{
    int failed = uv_read_start(&link->uv.stream, on_room, on_read);
    link->is_reading = failed == 0;
    if (failed != 0)
        link_close(link, uv_strerror(failed));
}

void link_set_reading(struct link *link, bool reading)
{
    if (reading == link->is_reading || (reading && !is_listening(link) && link->state != LINK_SECURING))
        return;
    if (reading) {
        begin_reading(link);
        return;
    }
    link->is_reading = false;
    (void)uv_read_stop(&link->uv.stream); /* always 0 */
}

/* --- beginning --- */

static void set_options(struct link *link)
{
    uv_os_fd_t fd;
    unsigned silence = link->transport->config.silence_ms;
    (void)uv_tcp_nodelay(&link->uv.tcp, 1); /* slower without these, but right */
    (void)uv_tcp_keepalive(&link->uv.tcp, 1, 15);
    if (uv_fileno(&link->uv.handle, &fd) == 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof silence);
}

static void note_where(struct link *link)
{
    struct sockaddr_storage name;
    char host[INET6_ADDRSTRLEN] = "?";
    int size = sizeof name;
    if (uv_tcp_getpeername(&link->uv.tcp, (struct sockaddr *)&name, &size) != 0)
        return;
    (void)uv_ip_name((struct sockaddr *)&name, host, sizeof host); /* stays "?" */
    (void)snprintf(link->where, sizeof link->where, name.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
                   (unsigned)sockaddr_port(&name)); /* fits */
}

void link_begin(struct link *link)
{
    struct transport *transport = link->transport;
    struct error err;
    set_options(link);
    note_where(link);
    link->deadline_ms = transport_now(transport) + transport->config.handshake_ms;
    renew_begin(link);
    if (transport->tls != NULL && tls_session_new(transport->tls, link->is_dialled, &link->tls, &err) != STATUS_OK) {
        link_close(link, err.message);
        return;
    }
    move_to(link, link->tls != NULL ? LINK_SECURING : LINK_GREETING);
    begin_reading(link);
    if (link->tls != NULL && link->is_dialled && link->state != LINK_CLOSING)
        receive_tls(link, (struct bytes){NULL, 0}); /* a client speaks first */
    else if (link->is_dialled && link->state != LINK_CLOSING)
        send_hello(link);
    transport_reschedule(transport);
}
