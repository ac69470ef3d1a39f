/* Nodes that know each other: links come up, carry frames, and come back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "certificates.h"
#include "harness.h"
#include "transport/internal.h"

static struct certificate_files files[2], foreign;
static const struct tls_files *with_tls; /* of the present run; NULL: without */
static struct tls_files tls_of[2];

static void start_two(struct harness *h)
{
    harness_begin(h);
    for (int i = 0; i < 2; i++)
        node_start(h, i, with_tls != NULL ? &tls_of[i] : NULL);
    node_dials(h, 0, 2);
    node_dials(h, 1, 1);
    AWAIT(h, are_linked(h, 0, 1));
}

/* The owner of a node is busy: nothing is read on the links that are up. */
static void pause_reading(struct harness *h, int i, bool paused)
{
    for (uint32_t l = 0; l < TRANSPORT_LINKS_MAX; l++)
        if (h->nodes[i].transport->links[l] != NULL)
            link_set_reading(h->nodes[i].transport->links[l], !paused);
}

/* Bytes that wait to leave on a lane to the only peer. */
static size_t waiting(struct harness *h, int i, enum transport_lane lane)
{
    return link_waiting(h->nodes[i].transport->peers->dials[lane].link);
}

static bool send_text(struct harness *h, int from, int to, enum transport_lane lane, const char *text)
{
    return transport_send(h->nodes[from].transport, (uint64_t)to + 1, lane, 20, (struct bytes){text, strlen(text)});
}

static void frames_both_ways(void **state)
{
    struct harness h;
    (void)state;
    start_two(&h);
    assert_true(send_text(&h, 0, 1, LANE_CONTROL, "one "));
    assert_true(send_text(&h, 0, 1, LANE_CONTROL, "two "));
    assert_true(send_text(&h, 1, 0, LANE_BULK, "three"));
    AWAIT(&h, h.nodes[1].frames == 2 && h.nodes[0].frames == 1);
    assert_memory_equal(h.nodes[1].kept.data, "one two ", 8);
    assert_int_equal(h.nodes[1].newest_from, 1);
    assert_int_equal(h.nodes[1].newest_type, 20);
    assert_memory_equal(h.nodes[0].kept.data, "three", 5);
    assert_int_equal(node_stats(&h, 0).dialled_up, 2);
    assert_int_equal(node_stats(&h, 0).accepted_up, 2);
    assert_false(send_text(&h, 0, 2, LANE_CONTROL, "to nobody"));
    assert_int_equal(node_stats(&h, 0).frames_dropped, 1);
    harness_end(&h);
}

static void every_byte_in_order(void **state)
{
    struct harness h;
    uint8_t *large = malloc(TRANSPORT_FRAME_MAX);
    (void)state;
    assert_non_null(large);
    for (size_t i = 0; i < TRANSPORT_FRAME_MAX; i++)
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    start_two(&h);
    assert_true(transport_send(h.nodes[0].transport, 2, LANE_BULK, 20, (struct bytes){large, TRANSPORT_FRAME_MAX}));
    AWAIT(&h, h.nodes[1].frames == 1);
    assert_int_equal(h.nodes[1].kept.size, TRANSPORT_FRAME_MAX);
    assert_memory_equal(h.nodes[1].kept.data, large, TRANSPORT_FRAME_MAX);
    buffer_clear(&h.nodes[1].kept);
    for (size_t at = 0, size = 0; at + size <= 200000; at += size, size = size * 3 / 2 + 1)
        assert_true(transport_send(h.nodes[0].transport, 2, LANE_BULK, 20, (struct bytes){large + at, size}));
    AWAIT(&h, waiting(&h, 0, LANE_BULK) == 0 && h.nodes[1].kept.size > 100000);
    assert_memory_equal(h.nodes[1].kept.data, large, h.nodes[1].kept.size);
    free(large);
    harness_end(&h);
}

/* A peer that does not read costs its own frames, and no more memory than the limit says. */
static void a_full_outbox(void **state)
{
    struct harness h;
    static char chunk[1 << 20];
    uint32_t taken = 0;
    (void)state;
    start_two(&h);
    pause_reading(&h, 1, true);
    for (int i = 0; i < 200; i++) {
        if (transport_send(h.nodes[0].transport, 2, LANE_CONTROL, 20, (struct bytes){chunk, sizeof chunk}))
            taken++;
        transport_flush(h.nodes[0].transport);
    }
    assert_in_range(taken, (TRANSPORT_OUTBOX_MAX >> 20) - 1, TRANSPORT_OUTBOX_MAX >> 20);
    assert_true(waiting(&h, 0, LANE_CONTROL) <= TRANSPORT_OUTBOX_MAX + (1 << 20));
    assert_int_equal(node_stats(&h, 0).frames_dropped, 200 - taken);
    assert_true(send_text(&h, 0, 1, LANE_BULK, "x")); /* the other lane is free */
    pause_reading(&h, 1, false);
    buffer_deinit(&h.nodes[1].kept);
    buffer_init(&h.nodes[1].kept, 32 << 20);
    AWAIT(&h, h.nodes[1].frames == taken + 1);
    assert_int_equal(h.nodes[1].kept.size, (size_t)taken * sizeof chunk + 1);
    assert_true(send_text(&h, 0, 1, LANE_CONTROL, "again"));
    AWAIT(&h, h.nodes[1].frames == taken + 2);
    harness_end(&h);
}

static void a_peer_that_restarts(void **state)
{
    struct harness h;
    (void)state;
    start_two(&h);
    for (int round = 0; round < 3; round++) {
        node_stop(&h, 1);
        AWAIT(&h, h.nodes[0].dialled.up[LANE_CONTROL] == 0 && h.nodes[0].accepted.up[LANE_CONTROL] == 0);
        assert_false(send_text(&h, 0, 1, LANE_CONTROL, "lost"));
        node_start(&h, 1, with_tls != NULL ? &tls_of[1] : NULL);
        node_dials(&h, 1, 1);
        AWAIT(&h, are_linked(&h, 0, 1));
    }
    assert_true(send_text(&h, 0, 1, LANE_CONTROL, "found"));
    AWAIT(&h, h.nodes[1].frames == 1);
    assert_int_equal(h.nodes[0].dialled.ups - h.nodes[0].dialled.downs, 2);
    harness_end(&h);
}

static void a_member_that_leaves(void **state)
{
    struct harness h;
    (void)state;
    start_two(&h);
    struct transport_link old = h.nodes[0].dialled.newest[LANE_CONTROL];
    node_dials(&h, 0, 0);
    assert_false(send_text(&h, 0, 1, LANE_CONTROL, "gone"));
    assert_false(transport_answer(h.nodes[0].transport, old, 20, (struct bytes){"x", 1}));
    AWAIT(&h, h.nodes[0].dialled.downs == 2 && h.nodes[0].accepted.downs >= 2);
    assert_true(h.nodes[0].dialled.up[LANE_CONTROL] == 0);
    harness_end(&h);
}

static void the_same_peers_again(void **state)
{
    struct harness h;
    (void)state;
    start_two(&h);
    node_dials(&h, 0, 2);
    turn(&h);
    assert_int_equal(h.nodes[0].dialled.downs, 0);
    assert_true(send_text(&h, 0, 1, LANE_CONTROL, "still here"));
    AWAIT(&h, h.nodes[1].frames == 1);
    harness_end(&h);
}

/* Its links are found by its id, wherever it went. */
static void a_peer_that_moves(void **state)
{
    struct harness h;
    (void)state;
    start_two(&h);
    node_stop(&h, 1);
    h.nodes[1].port = 0;
    node_start(&h, 1, with_tls != NULL ? &tls_of[1] : NULL);
    node_dials(&h, 1, 1);
    AWAIT(&h, h.nodes[0].accepted.up[LANE_CONTROL] == 1);
    node_dials(&h, 0, 2);
    AWAIT(&h, are_linked(&h, 0, 1));
    harness_end(&h);
}

/* A node dials again before its old links were seen to be dead. */
static void links_that_replace_others(void **state)
{
    struct harness h;
    struct hello twin;
    (void)state;
    start_two(&h);
    twin = h.nodes[0].self;
    twin.session++;
    node_start_as(&h, 2, with_tls != NULL ? &tls_of[0] : NULL, &twin, 0);
    node_dials(&h, 2, 2);
    AWAIT(&h, h.nodes[1].accepted.ups == 4);
    turn(&h);
    assert_int_equal(h.nodes[1].accepted.downs, 0); /* one of each lane is up, as before */
    assert_int_equal(node_stats(&h, 1).accepted_up, 2);
    harness_end(&h);
}

static void by_address_alone(void **state)
{
    struct harness h;
    struct error err;
    (void)state;
    harness_begin(&h);
    for (int i = 0; i < 2; i++)
        node_start(&h, i, with_tls != NULL ? &tls_of[i] : NULL);
    struct transport_peer peers[] = {{.address = h.nodes[0].address}, {.address = h.nodes[1].address}}; /* itself, too */
    assert_int_equal(transport_set_peers(h.nodes[0].transport, peers, 2, &err), STATUS_OK);
    AWAIT(&h, h.nodes[0].dialled.ups == 2);
    assert_true(transport_answer(h.nodes[0].transport, h.nodes[0].dialled.newest[LANE_CONTROL], 30, (struct bytes){"join", 4}));
    AWAIT(&h, h.nodes[1].frames == 1);
    assert_int_equal(h.nodes[1].newest_type, 30);
    /* and back, on the same link */
    assert_true(transport_answer(h.nodes[1].transport, h.nodes[1].accepted.newest[LANE_CONTROL], 31, (struct bytes){"ok", 2}));
    AWAIT(&h, h.nodes[0].frames == 1);
    assert_int_equal(h.nodes[0].dialled.ups, 2);
    harness_end(&h);
}

static void by_name(void **state)
{
    struct harness h;
    struct error err;
    char address[32];
    (void)state;
    harness_begin(&h);
    for (int i = 0; i < 2; i++)
        node_start(&h, i, with_tls != NULL ? &tls_of[i] : NULL);
    (void)snprintf(address, sizeof address, "localhost:%d", h.nodes[1].port);
    struct transport_peer peers[] = {{.id = 2, .address = address}};
    assert_int_equal(transport_set_peers(h.nodes[0].transport, peers, 1, &err), STATUS_OK);
    AWAIT(&h, h.nodes[0].dialled.ups == 2);
    assert_int_equal(transport_set_peers(h.nodes[0].transport, NULL, 0, &err), STATUS_OK);
    assert_int_equal(transport_set_peers(h.nodes[0].transport, peers, 1, &err), STATUS_OK); /* a look-up is under way ... */
    assert_int_equal(transport_set_peers(h.nodes[0].transport, NULL, 0, &err), STATUS_OK);  /* ... and nobody waits for it */
    peers[0].address = "no-such-host.invalid:7000";
    assert_int_equal(transport_set_peers(h.nodes[0].transport, peers, 1, &err), STATUS_OK);
    AWAIT(&h, node_stats(&h, 0).dials_failed > 2); /* it tries on */
    harness_end(&h);
}

/* "many.test" has two addresses, as a headless service of Kubernetes has one for each pod: of them 127.0.0.1 is asked for here, and
 * 127.0.0.2 added. */
int __real_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb callback, const char *node, const char *service,
                          const struct addrinfo *hints);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb callback, const char *node, const char *service,
                          const struct addrinfo *hints);
static uv_getaddrinfo_cb looked_up;
static char asked_port[8];

static void on_half_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    assert_int_equal(status, 0);
    assert_int_equal(getaddrinfo("127.0.0.2", asked_port, &hints, &list->ai_next), 0);
    looked_up(request, status, list);
}

int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb callback, const char *node, const char *service,
                          const struct addrinfo *hints)
{
    if (strcmp(node, "many.test") != 0)
        return __real_uv_getaddrinfo(loop, request, callback, node, service, hints);
    looked_up = callback;
    (void)snprintf(asked_port, sizeof asked_port, "%s", service);
    return __real_uv_getaddrinfo(loop, request, on_half_looked_up, "127.0.0.1", service, hints);
}

/* One of them is the caller's own. */
static void one_name_for_all(void **state)
{
    struct harness h;
    struct error err;
    char address[32];
    (void)state;
    harness_begin(&h);
    node_start(&h, 0, with_tls != NULL ? &tls_of[0] : NULL);
    h.nodes[1].port = h.nodes[0].port;
    h.nodes[1].host = "127.0.0.2";
    node_start(&h, 1, with_tls != NULL ? &tls_of[1] : NULL);
    (void)snprintf(address, sizeof address, "many.test:%d", h.nodes[0].port);
    struct transport_peer peer = {.address = address};
    assert_int_equal(transport_set_peers(h.nodes[0].transport, &peer, 1, &err), STATUS_OK);
    AWAIT(&h, h.nodes[0].dialled.up[LANE_CONTROL] == 1 && h.nodes[0].dialled.up[LANE_BULK] == 1);
    assert_int_equal(h.nodes[1].accepted.ups, LANE_COUNT);
    harness_end(&h);
}

static void peers_that_cannot_be(void **state)
{
    static const char *const bad[] = {"127.0.0.1", "127.0.0.1:0", ":7000", "10.0.0.256:1", "a b:1"};
    struct transport_peer many[TRANSPORT_PEERS_MAX + 1];
    struct harness h;
    struct error err;
    (void)state;
    start_two(&h);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct transport_peer peer = {.id = 9, .address = bad[i]};
        assert_int_equal(transport_set_peers(h.nodes[0].transport, &peer, 1, &err), STATUS_INVALID);
        assert_non_null(strstr(err.message, bad[i]));
    }
    for (uint32_t i = 0; i < COUNT_OF(many); i++)
        many[i] = (struct transport_peer){.id = 100 + i, .address = "127.0.0.1:1"};
    assert_int_equal(transport_set_peers(h.nodes[0].transport, many, TRANSPORT_PEERS_MAX + 1, &err), STATUS_TOO_MANY);
    assert_true(send_text(&h, 0, 1, LANE_CONTROL, "as before"));
    assert_int_equal(transport_set_peers(h.nodes[0].transport, many, TRANSPORT_PEERS_MAX, &err), STATUS_OK);
    AWAIT(&h, node_stats(&h, 0).dials_failed >= TRANSPORT_PEERS_MAX);
    assert_true(TRANSPORT_PEERS_MAX * LANE_COUNT < TRANSPORT_LINKS_MAX);
    harness_end(&h);
}

static void three_that_all_dial_each_other(void **state)
{
    struct harness h;
    (void)state;
    harness_begin(&h);
    for (int i = 0; i < 3; i++)
        node_start(&h, i, with_tls != NULL ? &tls_of[i % 2] : NULL);
    for (int i = 0; i < 3; i++)
        node_dials(&h, i, 7u & ~(1u << i));
    for (int i = 0; i < 3; i++)
        AWAIT(&h, node_stats(&h, i).dialled_up == 4 && node_stats(&h, i).accepted_up == 4);
    harness_end(&h);
}

static void new_keys_for_new_links(void **state)
{
    struct harness h;
    struct error err;
    struct tls_files wrong;
    (void)state;
    if (with_tls == NULL) {
        harness_begin(&h);
        node_start(&h, 0, NULL);
        assert_true(transport_tls_expires_s(h.nodes[0].transport) == INT64_MAX);
        harness_end(&h);
        return;
    }
    start_two(&h);
    wrong = tls_of[0];
    wrong.key_file = tls_of[1].key_file;
    assert_int_equal(transport_reload_tls(h.nodes[0].transport, &wrong, &err), STATUS_INVALID);
    assert_int_equal(transport_reload_tls(h.nodes[0].transport, &tls_of[1], &err), STATUS_OK);
    assert_true(send_text(&h, 0, 1, LANE_CONTROL, "no link is down"));
    AWAIT(&h, h.nodes[1].frames == 1);
    assert_in_range(transport_tls_expires_s(h.nodes[0].transport) - time(NULL), 86400, 10 * 86400);
    node_stop(&h, 1);
    node_start(&h, 1, &tls_of[1]);
    AWAIT(&h, h.nodes[0].dialled.ups >= 4);
    harness_end(&h);
}

static bool is_one_of_each(struct harness *h)
{
    for (int i = 0; i < 2; i++)
        if (node_stats(h, i).dialled_up != 2 || node_stats(h, i).accepted_up != 2)
            return false;
    return true;
}

/* Frames go both ways all the time, a number each; none is lost, and no link is seen down. */
static void keep_sending(struct harness *h, uint32_t ups)
{
    uint32_t sent = 0;
    uint64_t until = uv_hrtime() + UINT64_C(30000000000);
    while (h->nodes[0].dialled.ups < ups || h->nodes[1].dialled.ups < ups || !is_one_of_each(h)) {
        for (int i = 0; i < 2; i++)
            for (int lane = 0; lane < LANE_COUNT; lane++)
                assert_true(transport_send(h->nodes[i].transport, (uint64_t)2 - (uint64_t)i, (enum transport_lane)lane, 20,
                                           (struct bytes){&sent, sizeof sent}));
        sent++;
        turn(h);
        assert_true(uv_hrtime() < until);
    }
    AWAIT(h, h->nodes[0].frames == LANE_COUNT * sent && h->nodes[1].frames == LANE_COUNT * sent);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(h->nodes[i].dialled.downs + h->nodes[i].accepted.downs, 0);
        assert_int_equal(node_stats(h, i).frames_dropped, 0);
    }
}

/* Also those that the other node has dialled: this one's certificate was shown there, too. */
static void new_keys_for_old_links(void **state)
{
    struct harness h;
    struct error err;
    (void)state;
    start_two(&h);
    if (with_tls != NULL) {
        assert_int_equal(transport_reload_tls(h.nodes[0].transport, &tls_of[0], &err), STATUS_OK);
        keep_sending(&h, 4);
        assert_int_equal(transport_reload_tls(h.nodes[0].transport, &tls_of[0], &err), STATUS_OK);
        assert_int_equal(transport_reload_tls(h.nodes[0].transport, &tls_of[0], &err), STATUS_OK); /* twice, at once */
        h.nodes[0].frames = h.nodes[1].frames = 0;
        keep_sending(&h, 6);
        assert_true(h.nodes[0].dialled.ups <= 8 && h.nodes[1].dialled.ups <= 8);
    }
    harness_end(&h);
}

static void links_grow_old(void **state)
{
    struct harness h;
    (void)state;
    harness_begin(&h);
    h.link_age_ms = 300;
    for (int i = 0; i < 2; i++)
        node_start(&h, i, with_tls != NULL ? &tls_of[i] : NULL);
    node_dials(&h, 0, 2);
    node_dials(&h, 1, 1);
    AWAIT(&h, are_linked(&h, 0, 1));
    keep_sending(&h, with_tls != NULL ? 6 : 2); /* there is nothing to be made anew without TLS */
    if (with_tls == NULL)
        assert_int_equal(h.nodes[0].dialled.ups + h.nodes[1].dialled.ups, 4);
    harness_end(&h);
}

/* The others do not take the new certificate: what is there goes on. */
static void new_keys_that_nobody_takes(void **state)
{
    struct harness h;
    struct error err;
    (void)state;
    start_two(&h);
    if (with_tls != NULL) {
        struct tls_files tls = certificate_tls(&foreign);
        tls.ca_file = tls_of[0].ca_file;
        assert_int_equal(transport_reload_tls(h.nodes[0].transport, &tls, &err), STATUS_OK);
        AWAIT(&h, node_stats(&h, 0).dials_failed > 0 && node_stats(&h, 1).dials_failed > 0);
        for (int i = 0; i < 50; i++)
            turn(&h);
        assert_int_equal(node_stats(&h, 0).dials_failed, 2); /* each lane once, and not again before long */
        keep_sending(&h, 2);
        assert_int_equal(h.nodes[0].dialled.ups + h.nodes[1].dialled.ups, 4);
        assert_int_equal(transport_reload_tls(h.nodes[0].transport, &tls_of[0], &err), STATUS_OK);
    }
    harness_end(&h);
}

/* In the middle of it. */
static void a_peer_dies_while_links_are_made_anew(void **state)
{
    (void)state;
    for (int turns = 0; with_tls != NULL && turns < 12; turns++) {
        struct harness h;
        struct error err;
        start_two(&h);
        assert_int_equal(transport_reload_tls(h.nodes[0].transport, &tls_of[0], &err), STATUS_OK);
        for (int i = 0; i < turns; i++)
            turn(&h);
        node_stop(&h, 1);
        AWAIT(&h, h.nodes[0].dialled.downs == LANE_COUNT && node_stats(&h, 0).dialled_up == 0);
        node_start(&h, 1, &tls_of[1]);
        node_dials(&h, 1, 1);
        AWAIT(&h, are_linked(&h, 0, 1) && is_one_of_each(&h));
        harness_end(&h);
    }
}

static int without(void **state)
{
    (void)state;
    with_tls = NULL;
    return 0;
}

static int with(void **state)
{
    (void)state;
    certificates_begin();
    certificate_authority("ca");
    certificate_authority("other");
    certificate_make("other", "DNS:chronos-1,IP:127.0.0.1", 10, NULL, &foreign);
    certificate_make("ca", "DNS:chronos-1,DNS:chronos-3", 10, NULL, &files[0]);
    certificate_make("ca", "IP:127.0.0.1", 5, NULL, &files[1]);
    for (int i = 0; i < 2; i++)
        tls_of[i] = certificate_tls(&files[i]);
    with_tls = tls_of;
    return 0;
}

static int after(void **state)
{
    (void)state;
    certificates_end();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_both_ways),
        cmocka_unit_test(every_byte_in_order),
        cmocka_unit_test(a_full_outbox),
        cmocka_unit_test(a_peer_that_restarts),
        cmocka_unit_test(a_member_that_leaves),
        cmocka_unit_test(the_same_peers_again),
        cmocka_unit_test(a_peer_that_moves),
        cmocka_unit_test(links_that_replace_others),
        cmocka_unit_test(by_address_alone),
        cmocka_unit_test(by_name),
        cmocka_unit_test(one_name_for_all),
        cmocka_unit_test(peers_that_cannot_be),
        cmocka_unit_test(three_that_all_dial_each_other),
        cmocka_unit_test(new_keys_for_new_links),
        cmocka_unit_test(new_keys_for_old_links),
        cmocka_unit_test(links_grow_old),
        cmocka_unit_test(new_keys_that_nobody_takes),
        cmocka_unit_test(a_peer_dies_while_links_are_made_anew),
    };
    return cmocka_run_group_tests_name("links", tests, without, NULL) +
           cmocka_run_group_tests_name("links with TLS", tests, with, after);
}
