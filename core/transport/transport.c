#include "transport/transport.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "transport/internal.h"

uint64_t transport_now(const struct transport *transport)
{
    return uv_now(transport->config.loop);
}

/* --- time: handshakes that take too long, dials whose turn it is --- */

static void expire(struct transport *transport, uint64_t now)
{
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++) {
        struct link *link = transport->links[i];
        if (link != NULL && link->state != LINK_CLOSING && link->deadline_ms != 0 && link->deadline_ms <= now)
            link_close(link, link->state == LINK_CONNECTING ? "no answer" : "the handshake took too long");
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct transport *transport = timer->data;
    uint64_t now = transport_now(transport);
    expire(transport, now);
    for (struct peer *peer = transport->peers; peer != NULL; peer = peer->next)
        for (int lane = 0; lane < LANE_COUNT; lane++)
            if (peer->dials[lane].next_ms != 0 && peer->dials[lane].next_ms <= now)
                dial_try(&peer->dials[lane]);
    renew_look(transport);
    transport_reschedule(transport);
}

static void sooner(uint64_t *next, uint64_t other)
{
    if (other != 0 && (*next == 0 || other < *next))
        *next = other;
}

void transport_reschedule(struct transport *transport)
{
    uint64_t next = 0, now = transport_now(transport);
    if (transport->is_closing)
        return;
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++)
        if (transport->links[i] != NULL && transport->links[i]->state != LINK_CLOSING)
            sooner(&next, transport->links[i]->deadline_ms);
    for (const struct peer *peer = transport->peers; peer != NULL; peer = peer->next)
        for (int lane = 0; lane < LANE_COUNT; lane++)
            sooner(&next, peer->dials[lane].next_ms);
    sooner(&next, renew_next_ms(transport));
    if (next == 0)
        (void)uv_timer_stop(&transport->timer);
    else
        (void)uv_timer_start(&transport->timer, on_timer, next > now ? next - now : 0, 0); /* fail only while it closes */
}

/* --- life --- */

enum status transport_new(const struct transport_config *config, struct transport **ret, struct error *err)
{
    assert(config->self.node != 0 && config->self.name[0] != '\0');
    struct transport *transport = calloc(1, sizeof *transport);
    if (transport == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    transport->config = *config;
    if (config->handshake_ms == 0)
        transport->config.handshake_ms = HANDSHAKE_MS;
    if (config->link_age_ms == 0)
        transport->config.link_age_ms = LINK_AGE_MS;
    random_seed_system(&transport->random);
    if (config->tls != NULL) {
        enum status status = tls_context_new(config->tls, &transport->tls, err);
        if (status != STATUS_OK) {
            free(transport);
            return status;
        }
    }
    transport->config.tls = NULL; /* was borrowed */
    (void)uv_timer_init(config->loop, &transport->timer); /* always 0 */
    transport->timer.data = transport;
    transport->pending = 1;
    *ret = transport;
    return STATUS_OK;
}

void transport_released(struct transport *transport)
{
    assert(transport->pending > 0);
    transport->pending--;
    accept_retry(transport);
    if (transport->pending > 0)
        return;
    void (*closed)(void *arg) = transport->closed;
    void *arg = transport->closed_arg;
    tls_context_free(transport->tls);
    free(transport);
    closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    transport_released(handle->data);
}

static void free_peers(struct peer *peers)
{
    while (peers != NULL) {
        struct peer *next = peers->next;
        peer_free(peers);
        peers = next;
    }
}

void transport_close(struct transport *transport, void (*closed)(void *arg), void *arg)
{
    assert(!transport->is_closing);
    transport->is_closing = true;
    transport->closed = closed;
    transport->closed_arg = arg;
    accept_stop(transport);
    free_peers(transport->peers);
    transport->peers = NULL;
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++)
        if (transport->links[i] != NULL)
            link_close(transport->links[i], NULL);
    uv_close((uv_handle_t *)&transport->timer, on_timer_closed);
}

void transport_set_self(struct transport *transport, const struct hello *self)
{
    transport->config.self = *self;
}

enum status transport_reload_tls(struct transport *transport, const struct tls_files *tls, struct error *err)
{
    struct tls_context *fresh = NULL;
    assert(transport->tls != NULL);
    enum status status = tls_context_new(tls, &fresh, err);
    if (status != STATUS_OK)
        return status;
    tls_context_free(transport->tls);
    transport->tls = fresh;
    renew_all(transport);
    return STATUS_OK;
}

int64_t transport_tls_expires_s(const struct transport *transport)
{
    return transport->tls != NULL ? tls_context_expires_s(transport->tls) : INT64_MAX;
}

/* --- peers --- */

struct peer *transport_find_peer(const struct transport *transport, uint64_t id)
{
    struct peer *peer = transport->peers;
    while (peer != NULL && peer->id != id)
        peer = peer->next;
    return id != 0 ? peer : NULL;
}

/* Out of the list. */
static struct peer *take_known(struct transport *transport, const struct transport_peer *wanted)
{
    for (struct peer **at = &transport->peers; *at != NULL; at = &(*at)->next) {
        struct peer *peer = *at;
        if (peer->id != wanted->id || strcmp(peer->address, wanted->address) != 0)
            continue;
        *at = peer->next;
        return peer;
    }
    return NULL;
}

/* Members that left may still have links to this node. */
static void hang_up(struct transport *transport, uint64_t id)
{
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++) {
        struct link *link = transport->links[i];
        if (link != NULL && !link->is_dialled && link->is_up && link->remote.node == id)
            link_close(link, NULL);
    }
}

static enum status make_peers(struct transport *transport, const struct transport_peer *wanted, uint32_t count,
                              struct peer **ret_fresh, struct error *err)
{
    enum status status = count <= TRANSPORT_PEERS_MAX
                             ? STATUS_OK
                             : error_set(err, STATUS_TOO_MANY, "%u nodes; %u can be called at most", count, TRANSPORT_PEERS_MAX);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        struct peer *peer = NULL;
        status = peer_new(transport, &wanted[i], &peer, err);
        if (status != STATUS_OK)
            break;
        peer->next = *ret_fresh;
        *ret_fresh = peer;
    }
    if (status != STATUS_OK)
        free_peers(*ret_fresh);
    return status;
}

/* Of `fresh` those that exist already are replaced by what exists. */
static struct peer *keep_known(struct transport *transport, struct peer *fresh)
{
    struct peer *peers = NULL;
    while (fresh != NULL) {
        struct peer *peer = fresh;
        struct peer *known = take_known(transport, &(struct transport_peer){.id = peer->id, .address = peer->address});
        fresh = fresh->next;
        if (known != NULL) {
            peer_free(peer);
            peer = known;
        }
        peer->next = peers;
        peers = peer;
    }
    return peers;
}

enum status transport_set_peers(struct transport *transport, const struct transport_peer *peers, uint32_t count,
                                struct error *err)
{
    struct peer *fresh = NULL;
    assert(!transport->is_closing);
    enum status status = make_peers(transport, peers, count, &fresh, err);
    if (status != STATUS_OK)
        return status;
    struct peer *wanted = keep_known(transport, fresh);
    struct peer *gone = transport->peers;
    transport->peers = wanted;
    for (const struct peer *peer = gone; peer != NULL; peer = peer->next)
        if (peer->id != 0 && transport_find_peer(transport, peer->id) == NULL)
            hang_up(transport, peer->id);
    free_peers(gone);
    for (struct peer *peer = wanted; peer != NULL; peer = peer->next)
        for (int lane = 0; lane < LANE_COUNT; lane++)
            if (peer->dials[lane].next_ms == 0)
                dial_try(&peer->dials[lane]);
    transport_reschedule(transport);
    return STATUS_OK;
}

/* --- sending --- */

static struct link *link_to(const struct transport *transport, uint64_t id, enum transport_lane lane)
{
    const struct peer *peer = transport_find_peer(transport, id);
    return peer != NULL ? peer->dials[lane].link : NULL;
}

static bool send_on(struct transport *transport, struct link *link, uint8_t type, struct bytes payload)
{
    assert(type >= TRANSPORT_TYPE_FIRST);
    if (link != NULL)
        return link_send(link, type, payload);
    transport->stats.frames_dropped++;
    return false;
}

bool transport_send(struct transport *transport, uint64_t peer, enum transport_lane lane, uint8_t type, struct bytes payload)
{
    return send_on(transport, link_to(transport, peer, lane), type, payload);
}

bool transport_answer(struct transport *transport, struct transport_link name, uint8_t type, struct bytes payload)
{
    assert(name.slot < TRANSPORT_LINKS_MAX);
    struct link *link = transport->links[name.slot];
    return send_on(transport, link != NULL && link->name.generation == name.generation ? link : NULL, type, payload);
}

void transport_flush(struct transport *transport)
{
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++)
        if (transport->links[i] != NULL)
            link_flush(transport->links[i]);
}

bool transport_is_up(const struct transport *transport, uint64_t peer, enum transport_lane lane)
{
    const struct link *link = link_to(transport, peer, lane);
    return link != NULL && link->state == LINK_OPEN;
}

const char *transport_refusal_name(enum transport_refusal refusal)
{
    static const char *const names[] = {
#define X(name, text) text,
        TRANSPORT_REFUSALS(X)
#undef X
    };
    return names[refusal];
}

void transport_stats_get(const struct transport *transport, struct transport_stats *ret)
{
    *ret = transport->stats;
}
