/* Links are made anew, with what certificates are now: after a reload on either side, and daily. The new one stands before the old one
 * goes, one at a time, so that nobody sees a link down (docs/internals/transport.md). */
#include "base/log.h"
#include "transport/internal.h"

void renew_begin(struct link *link)
{
    struct transport *transport = link->transport;
    uint32_t age_ms = transport->config.link_age_ms;
    link->tls_serial = transport->tls_serial;
    link->aged_ms = transport_now(transport) + age_ms - random_below(&transport->random, age_ms / 10 + 1);
}

/* When the link should be made anew; 0: never. */
static uint64_t due_ms(const struct dial *dial)
{
    const struct link *link = dial->link;
    const struct transport *transport = dial->peer->transport;
    if (link == NULL || link->state != LINK_OPEN || transport->tls == NULL)
        return 0;
    if (id_is_zero(&transport->config.self.cluster_id))
        return 0; /* it asks for admission, on this very link */
    bool is_stale = link->is_stale || link->tls_serial != transport->tls_serial;
    uint64_t due = is_stale ? link->since_ms : link->aged_ms;
    return due > dial->renew_ms ? due : dial->renew_ms;
}

static bool is_under_way(const struct dial *dial)
{
    return dial->successor != NULL || (dial->link != NULL && dial->lookup != NULL);
}

/* The one whose turn it is; NULL: none, or one is being made. */
static struct dial *next_dial(const struct transport *transport, uint64_t *ret_due_ms)
{
    struct dial *next = NULL;
    for (struct peer *peer = transport->peers; peer != NULL; peer = peer->next) {
        for (int lane = 0; lane < LANE_COUNT; lane++) {
            uint64_t due = due_ms(&peer->dials[lane]);
            if (is_under_way(&peer->dials[lane]))
                return NULL;
            if (due == 0 || (next != NULL && due >= *ret_due_ms))
                continue;
            next = &peer->dials[lane];
            *ret_due_ms = due;
        }
    }
    return next;
}

uint64_t renew_next_ms(const struct transport *transport)
{
    uint64_t due = 0;
    return next_dial(transport, &due) != NULL ? due : 0;
}

void renew_look(struct transport *transport)
{
    uint64_t due = 0;
    struct dial *dial = next_dial(transport, &due);
    if (dial == NULL || due > transport_now(transport))
        return;
    dial->renew_ms = transport_now(transport) + RENEW_GAP_MS; /* whatever the other side asks for */
    dial_renew(dial);
}

void renew_failed(struct dial *dial, const char *why)
{
    struct transport *transport = dial->peer->transport;
    transport->stats.dials_failed++;
    if (!dial->is_renewal_warned && why != NULL)
        LOG_WARN("a node link cannot be made anew; the old one stays, trying on", LOG_STRING("address", dial->peer->address),
                 LOG_STRING("reason", why));
    dial->is_renewal_warned = true;
    dial->renew_ms = transport_now(transport) + RENEW_AGAIN_MS;
    transport_reschedule(transport);
}

void renew_opened(struct link *link)
{
    struct dial *dial = link->dial;
    if (link != dial->successor)
        return;
    struct link *old = dial->link;
    dial->successor = NULL;
    dial->link = link;
    dial->is_renewal_warned = false;
    link_retire(old);
}

static void ask_for(struct link *link)
{
    (void)link_send(link, FRAME_RENEW, (struct bytes){"", 0}); /* where it does not fit, age does it */
    link_flush(link);
}

void renew_accepted(struct link *link)
{
    if (link->tls_serial != link->transport->tls_serial)
        ask_for(link); /* the certificate was read anew during the handshake */
}

void renew_all(struct transport *transport)
{
    transport->tls_serial++;
    for (uint32_t i = 0; i < TRANSPORT_LINKS_MAX; i++) {
        struct link *link = transport->links[i];
        if (link != NULL && !link->is_dialled && link->state == LINK_OPEN && !link->is_replaced)
            ask_for(link); /* only who has dialled it can */
    }
    transport_reschedule(transport);
}

void renew_wanted(struct link *link)
{
    link->is_stale = true;
    transport_reschedule(link->transport);
}
