#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool on_admit(void *arg, const struct hello *remote, bool is_dialled, struct error *err)
{
    struct node *node = arg;
    (void)is_dialled;
    node->newest_cluster = remote->cluster_id;
    if (node->refuse == NULL)
        return true;
    (void)error_set(err, STATUS_CONFLICT, "%s", node->refuse);
    return false;
}

static void on_up(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled)
{
    struct node *node = arg;
    struct side *side = is_dialled ? &node->dialled : &node->accepted;
    side->up[remote->lane]++;
    side->ups++;
    side->newest[remote->lane] = link;
}

static void on_down(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled)
{
    struct node *node = arg;
    struct side *side = is_dialled ? &node->dialled : &node->accepted;
    (void)link;
    assert_true(side->up[remote->lane] > 0);
    side->up[remote->lane]--;
    side->downs++;
}

static bool on_frame(void *arg, struct transport_link link, const struct hello *remote, bool is_dialled, uint8_t type,
                     struct bytes payload, struct error *err)
{
    struct node *node = arg;
    (void)link;
    (void)is_dialled;
    node->frames++;
    node->newest_type = type;
    node->newest_from = remote->node;
    buffer_append(&node->kept, payload.data, payload.size);
    if (!node->rejects_frames)
        return true;
    (void)error_set(err, STATUS_MALFORMED, "I don't understand");
    return false;
}

void harness_begin(struct harness *h)
{
    (void)signal(SIGPIPE, SIG_IGN);
    *h = (struct harness){0};
    assert_int_equal(uv_loop_init(&h->loop), 0);
}

void harness_end(struct harness *h)
{
    for (int i = 0; i < NODES_MAX; i++) {
        if (h->nodes[i].transport != NULL)
            node_stop(h, i);
        buffer_deinit(&h->nodes[i].kept);
    }
    for (int i = 0; i < 100 && uv_loop_alive(&h->loop); i++)
        turn(h);
    assert_int_equal(uv_loop_close(&h->loop), 0);
}

void node_start(struct harness *h, int i, const struct tls_files *tls)
{
    node_start_as(h, i, tls, NULL, 0);
}

void node_start_as(struct harness *h, int i, const struct tls_files *tls, const struct hello *self, uint32_t handshake_ms)
{
    struct node *node = &h->nodes[i];
    struct error err;
    char address[32];
    int port = node->port;
    buffer_deinit(&node->kept);
    const char *host = node->host != NULL ? node->host : "127.0.0.1";
    *node = (struct node){.port = port, .host = host};
    buffer_init(&node->kept, KEPT_MAX);
    (void)snprintf(address, sizeof address, "%s:%d", host, port); /* fits */
    node->self = (struct hello){.protocol_min = PROTOCOL_MIN, .protocol_max = PROTOCOL_MAX, .cluster_id = {{1}},
                                .node = (uint64_t)i + 1, .session = ++h->sessions};
    (void)snprintf(node->self.name, sizeof node->self.name, "chronos-%d", i + 1); /* fits */
    (void)snprintf(node->self.address, sizeof node->self.address, "127.0.0.1:7000"); /* fits */
    if (self != NULL)
        node->self = *self;
    struct transport_config config = {
        .loop = &h->loop, .self = node->self, .tls = tls, .silence_ms = 2000, .handshake_ms = handshake_ms,
        .link_age_ms = h->link_age_ms,
        .ops = {.admit = on_admit, .up = on_up, .down = on_down, .frame = on_frame, .arg = node},
    };
    if (transport_new(&config, &node->transport, &err) != STATUS_OK ||
        transport_listen(node->transport, address, &node->port, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    (void)snprintf(node->address, sizeof node->address, "%s:%d", host, node->port); /* fits */
}

static void on_closed(void *arg)
{
    struct node *node = arg;
    node->is_closed = true;
}

void node_stop(struct harness *h, int i)
{
    struct node *node = &h->nodes[i];
    node->is_closed = false;
    transport_close(node->transport, on_closed, node);
    AWAIT(h, node->is_closed);
    node->transport = NULL;
}

void node_dials(struct harness *h, int i, unsigned mask)
{
    struct transport_peer peers[NODES_MAX];
    struct error err;
    uint32_t count = 0;
    for (int other = 0; other < NODES_MAX; other++)
        if (mask >> other & 1)
            peers[count++] = (struct transport_peer){.id = (uint64_t)other + 1, .address = h->nodes[other].address};
    if (transport_set_peers(h->nodes[i].transport, peers, count, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

struct transport_stats node_stats(struct harness *h, int i)
{
    struct transport_stats stats;
    transport_stats_get(h->nodes[i].transport, &stats);
    return stats;
}

uint64_t node_refused(struct harness *h, int i)
{
    struct transport_stats stats = node_stats(h, i);
    uint64_t count = 0;
    for (int reason = 0; reason < TRANSPORT_REFUSAL_COUNT; reason++)
        count += stats.refused[reason];
    return count;
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

void turn(struct harness *h)
{
    uv_timer_t timer;
    for (int i = 0; i < NODES_MAX; i++)
        if (h->nodes[i].transport != NULL && !h->nodes[i].is_closed)
            transport_flush(h->nodes[i].transport);
    assert_int_equal(uv_timer_init(&h->loop, &timer), 0);
    assert_int_equal(uv_timer_start(&timer, on_timer, 20, 0), 0);
    (void)uv_run(&h->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&h->loop, UV_RUN_NOWAIT);
}

bool are_linked(struct harness *h, int a, int b)
{
    const struct node *nodes[] = {&h->nodes[a], &h->nodes[b]};
    for (int i = 0; i < 2; i++)
        for (int lane = 0; lane < LANE_COUNT; lane++)
            if (nodes[i]->dialled.up[lane] == 0 || nodes[i]->accepted.up[lane] == 0)
                return false;
    return true;
}
