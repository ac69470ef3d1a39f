/* Those who should not be there, and those who are not who they say. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "certificates.h"
#include "harness.h"
#include "transport/frame.h"

/* --- a caller whose every byte the test chooses --- */

struct caller {
    int fd;
    struct buffer in;
    bool has_ended;
};

static struct caller call(struct harness *h, int i)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)h->nodes[i].port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct caller caller = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(caller.fd >= 0);
    assert_int_equal(connect(caller.fd, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(fcntl(caller.fd, F_SETFL, O_NONBLOCK), 0);
    buffer_init(&caller.in, 1 << 20);
    return caller;
}

static void hang_up(struct caller *caller)
{
    assert_int_equal(close(caller->fd), 0);
    buffer_deinit(&caller->in);
}

static void say(struct caller *caller, const void *data, size_t size)
{
    ssize_t sent = send(caller->fd, data, size, MSG_NOSIGNAL);
    assert_true(sent == (ssize_t)size || (sent < 0 && (errno == EPIPE || errno == ECONNRESET)));
}

static bool listen_once(struct caller *caller)
{
    char bytes[4096];
    ssize_t size = recv(caller->fd, bytes, sizeof bytes, 0);
    if (size > 0)
        buffer_append(&caller->in, bytes, (size_t)size);
    else if (size == 0 || (errno != EAGAIN && errno != EINTR))
        caller->has_ended = true;
    return caller->has_ended;
}

static struct frame answer_of(struct caller *caller, size_t skip)
{
    struct frame frame = {0};
    struct error err;
    size_t size = 0;
    struct bytes input = {caller->in.data + skip, caller->in.size - skip};
    assert_int_equal(frame_scan(input, TRANSPORT_HELLO_MAX, &frame, &size, &err), FRAME_COMPLETE);
    return frame;
}

/* Turned away: with a sentence that holds `expected`, or without a word where it is NULL. */
static void is_turned_away(struct harness *h, struct caller *caller, const char *expected)
{
    AWAIT(h, listen_once(caller));
    if (expected != NULL) {
        struct frame frame = answer_of(caller, 0);
        char text[1024];
        assert_int_equal(frame.type, 2);
        assert_in_range(frame.payload.size, 1, sizeof text - 1);
        memcpy(text, frame.payload.data, frame.payload.size);
        text[frame.payload.size] = '\0';
        if (strstr(text + 1, expected) == NULL)
            fail_msg("\"%s\" instead of \"%s\"", text + 1, expected);
    }
    hang_up(caller);
}

static void say_frame(struct caller *caller, uint8_t type, uint64_t from, struct bytes payload)
{
    struct buffer wire;
    buffer_init(&wire, 8 << 20);
    size_t begun = frame_begin(&wire, type, from);
    buffer_append(&wire, payload.data, payload.size);
    frame_end(&wire, begun);
    say(caller, wire.data, wire.size);
    buffer_deinit(&wire);
}

static void say_hello(struct caller *caller, const struct hello *hello)
{
    struct buffer encoded;
    buffer_init(&encoded, 4096);
    hello_encode(hello, &encoded);
    say_frame(caller, 1, hello->node, buffer_bytes(&encoded));
    buffer_deinit(&encoded);
}

static struct hello stranger(void)
{
    return (struct hello){.protocol_min = PROTOCOL_MIN, .protocol_max = PROTOCOL_MAX, .cluster_id = {{1}}, .node = 77,
                          .name = "stranger", .address = "10.0.0.77:7000"};
}

static void start(struct harness *h)
{
    harness_begin(h);
    node_start(h, 0, NULL);
}

/* --- what comes instead of an introduction --- */

static void garbage(void **state)
{
    static const struct {
        char text[40];
        const char *expected;
    } cases[] = {
        {"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP"},
        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"},
        {"CHRN\x09\x01", "version"},
        {"nothing that anybody would say", "does not speak"},
    };
    struct harness h;
    (void)state;
    start(&h);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct caller caller = call(&h, 0);
        say(&caller, cases[i].text, sizeof cases[i].text);
        is_turned_away(&h, &caller, cases[i].expected);
        assert_int_equal(node_refused(&h, 0), i + 1);
    }
    assert_int_equal(h.nodes[0].accepted.ups, 0);
    harness_end(&h);
}

static void frames_before_an_introduction(void **state)
{
    static const char large[TRANSPORT_HELLO_MAX + 1];
    struct harness h;
    (void)state;
    start(&h);
    struct caller caller = call(&h, 0);
    say_frame(&caller, 20, 77, (struct bytes){"x", 1});
    is_turned_away(&h, &caller, "before it has introduced itself");
    caller = call(&h, 0);
    say_frame(&caller, 1, 77, (struct bytes){large, TRANSPORT_HELLO_MAX + 1});
    is_turned_away(&h, &caller, "4097 bytes");
    caller = call(&h, 0);
    say_frame(&caller, 1, 77, (struct bytes){large, TRANSPORT_HELLO_MAX});
    is_turned_away(&h, &caller, "introduction");
    assert_int_equal(h.nodes[0].frames, 0);
    assert_int_equal(node_stats(&h, 0).refused[TRANSPORT_REFUSED_PROTOCOL], 3);
    harness_end(&h);
}

static void those_who_say_nothing(void **state)
{
    struct harness h;
    (void)state;
    harness_begin(&h);
    node_start_as(&h, 0, NULL, NULL, 50);
    struct caller caller = call(&h, 0);
    is_turned_away(&h, &caller, NULL);
    caller = call(&h, 0);
    say(&caller, "CHRN", 4);
    is_turned_away(&h, &caller, NULL);
    assert_int_equal(node_refused(&h, 0), 2);
    caller = call(&h, 0);
    hang_up(&caller);
    AWAIT(&h, node_stats(&h, 0).refused[TRANSPORT_REFUSED_HANDSHAKE] == 3);
    harness_end(&h);
}

static void a_crowd(void **state)
{
    struct caller crowd[TRANSPORT_KNOCKING_MAX];
    struct hello hello = stranger();
    struct harness h;
    (void)state;
    start(&h);
    for (int i = 0; i < TRANSPORT_KNOCKING_MAX; i++) {
        crowd[i] = call(&h, 0);
        turn(&h);
    }
    assert_int_equal(node_refused(&h, 0), 0);
    struct caller late = call(&h, 0); /* one more: who waited longest has to go, and not the newcomer */
    AWAIT(&h, listen_once(&crowd[0]));
    assert_false(listen_once(&crowd[1]));
    say_hello(&late, &hello);
    AWAIT(&h, h.nodes[0].accepted.ups == 1);
    assert_int_equal(node_refused(&h, 0), 1);
    hang_up(&late);
    for (int i = 0; i < TRANSPORT_KNOCKING_MAX; i++)
        hang_up(&crowd[i]);
    harness_end(&h);
}

/* --- introductions that do not fit --- */

static void introduced(struct harness *h, struct hello hello, const char *expected)
{
    struct caller caller = call(h, 0);
    say_hello(&caller, &hello);
    is_turned_away(h, &caller, expected);
}

static void other_protocols(void **state)
{
    struct hello hello = stranger();
    struct harness h;
    (void)state;
    start(&h);
    hello.protocol_min = hello.protocol_max = PROTOCOL_MAX + 1;
    introduced(&h, hello, "speaks protocols 2 to 2");
    assert_int_equal(h.nodes[0].accepted.ups, 0);
    harness_end(&h);
}

static void whom_the_owner_refuses(void **state)
{
    struct harness h;
    (void)state;
    start(&h);
    h.nodes[0].refuse = "another cluster: \xc3\xa4";
    introduced(&h, stranger(), "another cluster: \xc3\xa4");
    assert_int_equal(h.nodes[0].newest_cluster.bytes[0], 1);
    assert_int_equal(node_stats(&h, 0).refused[TRANSPORT_REFUSED_MEMBERSHIP], 1);
    /* and the other way round: the caller refuses who answers */
    node_start(&h, 1, NULL);
    h.nodes[0].refuse = NULL;
    h.nodes[1].refuse = "not mine";
    node_dials(&h, 1, 1);
    AWAIT(&h, node_stats(&h, 1).dials_failed > 1);
    assert_int_equal(h.nodes[1].dialled.ups, 0);
    AWAIT(&h, h.nodes[0].accepted.ups == h.nodes[0].accepted.downs);
    harness_end(&h);
}

static void another_than_expected(void **state)
{
    struct hello hello = stranger();
    struct harness h;
    (void)state;
    start(&h);
    node_start_as(&h, 1, NULL, &hello, 0); /* answers at the address of node 2 */
    node_dials(&h, 0, 2);
    AWAIT(&h, node_stats(&h, 0).dials_failed > 1);
    assert_int_equal(h.nodes[0].dialled.ups, 0);
    harness_end(&h);
}

static void the_node_itself(void **state)
{
    struct harness h;
    (void)state;
    struct error err;
    start(&h);
    struct transport_peer itself = {.address = h.nodes[0].address};
    assert_int_equal(transport_set_peers(h.nodes[0].transport, &itself, 1, &err), STATUS_OK);
    AWAIT(&h, node_stats(&h, 0).frames_in == 4); /* two greetings, two refusals */
    for (int i = 0; i < 20; i++)
        turn(&h);
    assert_int_equal(node_stats(&h, 0).frames_in, 4); /* and never again */
    assert_int_equal(node_refused(&h, 0), 0);
    assert_int_equal(h.nodes[0].dialled.ups, 0);
    harness_end(&h);
}

/* --- behind an introduction --- */

static struct caller introduce(struct harness *h)
{
    struct hello hello = stranger();
    struct caller caller = call(h, 0);
    uint32_t before = h->nodes[0].accepted.ups;
    say_hello(&caller, &hello);
    AWAIT(h, h->nodes[0].accepted.ups == before + 1);
    AWAIT(h, (listen_once(&caller), caller.in.size > 0));
    assert_int_equal(answer_of(&caller, 0).type, 1);
    buffer_clear(&caller.in);
    return caller;
}

static void nonsense_behind_it(void **state)
{
    struct harness h;
    (void)state;
    start(&h);
    struct caller caller = introduce(&h);
    say_frame(&caller, 20, 78, (struct bytes){"x", 1});
    is_turned_away(&h, &caller, "for another node");
    caller = introduce(&h);
    say_frame(&caller, 3, 77, (struct bytes){"what a newer protocol has", 25});
    say_frame(&caller, 20, 77, (struct bytes){"x", 1});
    AWAIT(&h, h.nodes[0].frames == 1);
    say(&caller, "garbage!", 8);
    is_turned_away(&h, &caller, "does not speak");
    caller = introduce(&h);
    h.nodes[0].rejects_frames = true;
    say_frame(&caller, 20, 77, (struct bytes){"x", 1});
    is_turned_away(&h, &caller, "I don't understand");
    AWAIT(&h, h.nodes[0].accepted.downs == 3);
    assert_int_equal(node_refused(&h, 0), 1); /* what the owner rejects counts */
    harness_end(&h);
}

/* Whoever is let in without being a peer may not stay for ever when others want in. */
static void guests_that_stay(void **state)
{
    struct caller crowd[TRANSPORT_KNOCKING_MAX + 1];
    struct harness h;
    (void)state;
    start(&h);
    for (int i = 0; i <= TRANSPORT_KNOCKING_MAX; i++) {
        struct hello hello = stranger();
        hello.node += (uint64_t)i;
        crowd[i] = call(&h, 0);
        say_hello(&crowd[i], &hello);
        AWAIT(&h, h.nodes[0].accepted.ups == (uint32_t)i + 1);
    }
    AWAIT(&h, listen_once(&crowd[0])); /* the oldest went when the last one came */
    assert_int_equal(node_stats(&h, 0).accepted_up, TRANSPORT_KNOCKING_MAX);
    for (int i = 0; i <= TRANSPORT_KNOCKING_MAX; i++)
        hang_up(&crowd[i]);
    harness_end(&h);
}

/* On accepted links there are answers, and nothing else: a guest that does not read costs little. */
static void a_guest_that_does_not_read(void **state)
{
    static char answer[4096];
    struct harness h;
    uint32_t taken = 0;
    (void)state;
    start(&h);
    struct caller caller = introduce(&h);
    struct transport_link link = h.nodes[0].accepted.newest[LANE_CONTROL];
    for (int i = 0; i < 100; i++)
        taken += transport_answer(h.nodes[0].transport, link, 20, (struct bytes){answer, sizeof answer});
    assert_in_range(taken, 1, 16); /* before anything was sent */
    hang_up(&caller);
    harness_end(&h);
}

static void too_large_behind_it(void **state)
{
    uint8_t header[FRAME_HEADER_SIZE] = "CHRN\x01\x14";
    struct harness h;
    (void)state;
    start(&h);
    struct caller caller = introduce(&h);
    header[8] = 1;
    header[10] = TRANSPORT_FRAME_MAX >> 16;
    say(&caller, header, sizeof header);
    is_turned_away(&h, &caller, "4194305 bytes");
    harness_end(&h);
}

/* --- TLS --- */

static void start_pair(struct harness *h, const struct tls_files *first, const struct tls_files *second)
{
    harness_begin(h);
    node_start(h, 0, first);
    node_start(h, 1, second);
    node_dials(h, 1, 1);
}

static void never_up(struct harness *h)
{
    AWAIT(h, node_stats(h, 1).dials_failed > 3 && node_refused(h, 0) > 1);
    assert_int_equal(h->nodes[0].accepted.ups, 0);
    assert_int_equal(h->nodes[1].dialled.ups, 0);
    harness_end(h);
}

static void certificates(void **state)
{
    struct certificate_files first, second, foreign, nameless, other;
    struct tls_files tls[5];
    struct harness h;
    (void)state;
    certificates_begin();
    certificate_authority("ca");
    certificate_authority("other-ca");
    certificate_make("ca", "DNS:chronos-1", 10, NULL, &first);
    certificate_make("ca", "DNS:chronos-2", 10, NULL, &second);
    certificate_make("other-ca", "DNS:chronos-2", 10, NULL, &foreign);
    certificate_make("ca", NULL, 10, NULL, &nameless);
    certificate_make("ca", "DNS:chronos-3,IP:127.0.0.9", 10, NULL, &other);
    tls[0] = certificate_tls(&first);
    tls[1] = certificate_tls(&second);
    tls[2] = certificate_tls(&foreign);
    tls[3] = certificate_tls(&nameless);
    tls[4] = certificate_tls(&other);
    start_pair(&h, &tls[0], &tls[1]);
    AWAIT(&h, h.nodes[1].dialled.ups == 2);
    harness_end(&h);
    for (int i = 2; i < 5; i++) {
        start_pair(&h, &tls[0], &tls[i]);
        never_up(&h);
    }
    start_pair(&h, &tls[0], NULL); /* one with TLS, one without */
    never_up(&h);
    start_pair(&h, NULL, &tls[0]);
    never_up(&h);
    start_pair(&h, &tls[0], &tls[0]); /* the other one's certificate */
    AWAIT(&h, node_stats(&h, 1).dials_failed > 1 || h.nodes[1].dialled.ups > 0);
    harness_end(&h);
    certificates_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage),
        cmocka_unit_test(frames_before_an_introduction),
        cmocka_unit_test(those_who_say_nothing),
        cmocka_unit_test(a_crowd),
        cmocka_unit_test(other_protocols),
        cmocka_unit_test(whom_the_owner_refuses),
        cmocka_unit_test(another_than_expected),
        cmocka_unit_test(the_node_itself),
        cmocka_unit_test(nonsense_behind_it),
        cmocka_unit_test(too_large_behind_it),
        cmocka_unit_test(guests_that_stay),
        cmocka_unit_test(a_guest_that_does_not_read),
        cmocka_unit_test(certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
