/* Whom this node calls: the name is looked up anew for every try, for a container comes back elsewhere. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "transport/internal.h"

/* --- waiting --- */

static void try_later(struct dial *dial)
{
    struct transport *transport = dial->peer->transport;
    uint32_t backoff = dial->backoff_ms;
    uint32_t spread = backoff / 2 + (uint32_t)random_below(&transport->random, backoff / 2 + 1);
    dial->next_ms = transport_now(transport) + spread;
    dial->backoff_ms = backoff * 2 < BACKOFF_MAX_MS ? backoff * 2 : BACKOFF_MAX_MS;
    transport_reschedule(transport);
}

static void failed(struct dial *dial, const char *why)
{
    struct peer *peer = dial->peer;
    dial->turn++;
    if (dial->link != NULL) {
        renew_failed(dial, why);
        return;
    }
    peer->transport->stats.dials_failed++;
    if (!peer->is_warned && why != NULL)
        LOG_WARN("node cannot be reached; trying on", LOG_STRING("address", peer->address), LOG_STRING("reason", why));
    peer->is_warned |= why != NULL; /* NULL: it has reached this node itself */
    try_later(dial);
}

void dial_ended(struct link *link, const char *why)
{
    struct dial *dial = link->dial;
    if (link == dial->successor) {
        dial->successor = NULL;
        failed(dial, why);
        return;
    }
    bool was_open = link->is_up, has_lasted = was_open && transport_now(dial->peer->transport) - link->since_ms >= LASTING_MS;
    dial->link = dial->successor; /* it is nearly there */
    dial->successor = NULL;
    if (has_lasted)
        dial->backoff_ms = BACKOFF_MIN_MS; /* one that breaks as soon as it is made must not be made all the time */
    if (dial->peer->is_self || dial->peer->transport->is_closing || dial->link != NULL)
        return;
    if (was_open)
        try_later(dial); /* its owner is told */
    else
        failed(dial, why);
}

void dial_opened(struct dial *dial)
{
    struct peer *peer = dial->peer;
    if (peer->is_warned)
        LOG_INFO("node is reached again", LOG_STRING("address", peer->address), LOG_STRING("node", dial->link->remote.name));
    peer->is_warned = false;
}

/* --- connecting --- */

static void on_connected(uv_connect_t *request, int status)
{
    struct link *link = request->data;
    if (link->state == LINK_CLOSING)
        return;
    if (status != 0)
        link_close(link, uv_strerror(status));
    else
        link_begin(link);
}

static void connect_to(struct dial *dial, const struct sockaddr *name)
{
    struct transport *transport = dial->peer->transport;
    struct error err;
    struct link *link = link_new(transport, dial, &err);
    if (link == NULL) {
        failed(dial, err.message);
        return;
    }
    if (dial->link == NULL)
        dial->link = link;
    else
        dial->successor = link;
    link->deadline_ms = transport_now(transport) + CONNECT_MS;
    memcpy(link->where, dial->peer->address, sizeof link->where);
    link->connect.data = link;
    int refused = uv_tcp_connect(&link->connect, &link->uv.tcp, name, on_connected);
    if (refused != 0)
        link_close(link, uv_strerror(refused));
    transport_reschedule(transport);
}

/* --- looking up --- */

/* The addresses of a name take turns. */
static const struct addrinfo *choose(const struct addrinfo *list, uint32_t turn)
{
    uint32_t count = 0;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
        count++;
    for (uint32_t skip = count > 0 ? turn % count : 0; skip > 0; skip--)
        list = list->ai_next;
    return list;
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct lookup *lookup = request->data;
    struct transport *transport = lookup->transport;
    struct dial *dial = lookup->dial;
    if (dial != NULL) {
        const struct addrinfo *chosen = choose(list, dial->turn);
        dial->lookup = NULL;
        if (status != 0 || chosen == NULL)
            failed(dial, status != 0 ? uv_strerror(status) : "the name has no address");
        else
            connect_to(dial, chosen->ai_addr);
    }
    uv_freeaddrinfo(list);
    free(lookup);
    transport_released(transport);
}

static void look_up(struct dial *dial)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    struct transport *transport = dial->peer->transport;
    char port[8];
    struct lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        failed(dial, "out of memory");
        return;
    }
    *lookup = (struct lookup){.transport = transport, .dial = dial};
    lookup->request.data = lookup;
    (void)snprintf(port, sizeof port, "%u", (unsigned)dial->peer->parsed.port); /* fits */
    int refused = uv_getaddrinfo(transport->config.loop, &lookup->request, on_looked_up, dial->peer->parsed.host, port, &hints);
    if (refused != 0) {
        free(lookup);
        failed(dial, uv_strerror(refused));
        return;
    }
    dial->lookup = lookup;
    transport->pending++;
}

static void begin(struct dial *dial)
{
    const struct address *to = &dial->peer->parsed;
    struct sockaddr_storage name;
    if (to->kind == ADDRESS_NAME) {
        look_up(dial);
        return;
    }
    address_to_sockaddr(to, &name);
    connect_to(dial, (struct sockaddr *)&name);
}

void dial_try(struct dial *dial)
{
    dial->next_ms = 0;
    if (dial->link == NULL && dial->lookup == NULL && !dial->peer->is_self)
        begin(dial);
}

void dial_renew(struct dial *dial)
{
    if (dial->link != NULL && dial->successor == NULL && dial->lookup == NULL)
        begin(dial);
}

/* --- peers --- */

enum status peer_new(struct transport *transport, const struct transport_peer *config, struct peer **ret, struct error *err)
{
    struct address parsed;
    const char *wrong = address_split(config->address, &parsed);
    if (wrong == NULL && !address_is_callable(&parsed))
        wrong = "it takes an IP address or a host name, and a port";
    if (wrong == NULL && strlen(config->address) >= HELLO_ADDRESS_SIZE)
        wrong = "it is too long";
    if (wrong != NULL)
        return error_set(err, STATUS_INVALID, "\"%s\" is not an address: %s", config->address, wrong);
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "out of memory");
    *peer = (struct peer){.transport = transport, .id = config->id, .parsed = parsed};
    memcpy(peer->address, config->address, strlen(config->address) + 1);
    for (int lane = 0; lane < LANE_COUNT; lane++)
        peer->dials[lane] = (struct dial){.peer = peer, .lane = lane, .backoff_ms = BACKOFF_MIN_MS};
    *ret = peer;
    return STATUS_OK;
}

void peer_free(struct peer *peer)
{
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        struct dial *dial = &peer->dials[lane];
        if (dial->lookup != NULL) {
            dial->lookup->dial = NULL;
            (void)uv_cancel((uv_req_t *)&dial->lookup->request); /* if not: it comes back and finds nobody */
        }
        struct link *links[] = {dial->link, dial->successor};
        for (int i = 0; i < 2; i++) {
            if (links[i] == NULL)
                continue;
            links[i]->dial = NULL;
            link_close(links[i], NULL);
        }
    }
    free(peer);
}

void peer_dial(struct peer *peer)
{
    for (int lane = 0; lane < LANE_COUNT; lane++) {
        peer->dials[lane].backoff_ms = BACKOFF_MIN_MS;
        dial_try(&peer->dials[lane]);
    }
}
