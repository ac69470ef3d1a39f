#include "ctl/client.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "ctl/servers.h"

/* --- the list of servers --- */

static void assert_server(const char *text, const char *base, const char *shown, const char *socket, bool loopback)
{
    struct server servers[CLIENT_SERVERS_MAX];
    struct error err;
    unsigned count;
    if (servers_parse(text, servers, &count, &err) != STATUS_OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(count, 1);
    assert_string_equal(servers[0].base, base);
    assert_string_equal(servers[0].shown, shown);
    assert_string_equal(servers[0].socket, socket);
    assert_int_equal(servers[0].is_loopback, loopback);
}

static void test_servers(void **state)
{
    struct server servers[CLIENT_SERVERS_MAX];
    struct error err;
    unsigned count;
    (void)state;
    assert_server("http://10.0.0.1:8080", "http://10.0.0.1:8080", "http://10.0.0.1:8080", "", false);
    assert_server("10.0.0.1:9000", "http://10.0.0.1:9000", "http://10.0.0.1:9000", "", false);
    assert_server("localhost", "http://localhost:8080", "http://localhost:8080", "", true);
    assert_server("[::1]:8081", "http://[::1]:8081", "http://[::1]:8081", "", true);
    assert_server("https://chronos.example.com/", "https://chronos.example.com", "https://chronos.example.com", "",
                  false);
    assert_server("https://proxy/chronos//", "https://proxy/chronos", "https://proxy/chronos", "", false);
    assert_server("https://me:secret@host", "https://me:secret@host", "https://host", "", false);
    assert_server("unix:///run/chronos.sock", "http://localhost", "unix:///run/chronos.sock", "/run/chronos.sock",
                  true);
    assert_int_equal(servers_parse("a:1, b:2 ,http://c:3", servers, &count, &err), STATUS_OK);
    assert_int_equal(count, 3);
    assert_string_equal(servers[1].base, "http://b:2");
}

static void test_servers_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "empty entry"},
        {"a:1,,b:2", "empty entry"},
        {"ftp://x", "server \"ftp://x\": not an address"},
        {"http://", "not an address"},
        {"host:port", "not an address"},
        {"host:99999", "not an address"},
        {"http://x?y", "no ? and no #"},
        {"http://x#y", "no ? and no #"},
        {"unix://run/x", "by its whole path"},
        {"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", "more than 16 servers"},
    };
    struct server servers[CLIENT_SERVERS_MAX];
    struct error err;
    unsigned count;
    char longest[SERVER_TEXT_SIZE + 1], socket[160];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (servers_parse(cases[i].text, servers, &count, &err) == STATUS_OK)
            fail_msg("not refused: %s", cases[i].text);
        assert_int_equal(err.code, STATUS_INVALID);
        assert_contains(err.message, cases[i].message);
    }
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(servers_parse(longest, servers, &count, &err), STATUS_INVALID);
    (void)snprintf(socket, sizeof socket, "unix:///%0107d", 0);
    assert_int_equal(servers_parse(socket, servers, &count, &err), STATUS_INVALID);
}

static void test_paths(void **state)
{
    struct buffer path;
    (void)state;
    buffer_init(&path, 1024);
    buffer_append_string(&path, "/api/v1/jobs");
    path_append(&path, "a/b c?\xc3\xa9");
    query_append(&path, "tag.team", "a&b=c");
    query_append(&path, "limit", "5");
    assert_string_equal(path.data, "/api/v1/jobs/a%2Fb%20c%3F%C3%A9?tag.team=a%26b%3Dc&limit=5");
    buffer_deinit(&path);
}

/* --- against a socket that plays a server --- */

enum { ANSWERS_MAX = 8, REQUEST_MAX = 8192 };

struct player {
    int listener;
    uint16_t port;
    const char *answers[ANSWERS_MAX]; /* one a connection; "" closes without an answer */
    size_t answer_count;
    char requests[ANSWERS_MAX][REQUEST_MAX];
    pthread_t thread;
};

static size_t read_request(int fd, char *out)
{
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, out + size, REQUEST_MAX - 1 - size);
        if (got <= 0)
            break;
        size += (size_t)got;
        out[size] = '\0';
        const char *end = strstr(out, "\r\n\r\n"), *length = strcasestr(out, "content-length: ");
        size_t body = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
        if (end != NULL && size >= (size_t)(end + 4 - out) + body)
            break;
    }
    return size;
}

static void *play(void *arg)
{
    struct player *player = arg;
    for (size_t i = 0; i < player->answer_count; i++) {
        int fd = accept(player->listener, NULL, NULL);
        if (fd < 0)
            break;
        if (read_request(fd, player->requests[i]) > 0)
            (void)!write(fd, player->answers[i], strlen(player->answers[i]));
        (void)close(fd);
    }
    return NULL;
}

static void player_listen(struct player *player)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    player->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(player->listener >= 0);
    assert_int_equal(bind(player->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(player->listener, 8), 0);
    assert_int_equal(getsockname(player->listener, (struct sockaddr *)&address, &size), 0);
    player->port = ntohs(address.sin_port);
}

static void player_start(struct player *player)
{
    player_listen(player);
    assert_int_equal(pthread_create(&player->thread, NULL, play, player), 0);
}

static void player_end(struct player *player)
{
    (void)shutdown(player->listener, SHUT_RDWR); /* ends an accept that waits */
    assert_int_equal(pthread_join(player->thread, NULL), 0);
    (void)close(player->listener);
}

static struct client *client_of(const char *servers, int64_t timeout_ms)
{
    struct client *client;
    struct error err;
    assert_int_equal(client_new(servers, timeout_ms, &client, &err), STATUS_OK);
    return client;
}

static uint16_t closed_port(void)
{
    struct player player = {.listener = -1};
    player_listen(&player);
    (void)close(player.listener);
    return player.port;
}

#define HEAD(status) "HTTP/1.1 " status "\r\nConnection: close\r\nContent-Length: 2\r\n"

static void test_call(void **state)
{
    struct player player = {.answers = {HEAD("200 OK") "ETag: \"7\"\r\nX-Chronos-Output-Total: 12\r\n"
                                                       "x-chronos-output-complete: true\r\n\r\n{}"},
                            .answer_count = 1};
    struct response response;
    struct error err;
    char servers[64];
    (void)state;
    player_start(&player);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u,127.0.0.1:%u", closed_port(), player.port);
    struct client *client = client_of(servers, 10000);
    struct request request = {.method = "PUT", .path = "/api/v1/jobs/..?a=b", .body = "{\"x\":1}", .if_match = "\"6\""};
    assert_int_equal(client_call(client, &request, &response, &err), STATUS_OK);
    player_end(&player);
    assert_int_equal(response.status, 200);
    assert_string_equal(response.etag, "\"7\"");
    assert_int_equal(response.output_total, 12);
    assert_true(response.output_complete);
    assert_false(response.is_problem);
    assert_string_equal(response.body.data, "{}");
    assert_contains(player.requests[0], "PUT /api/v1/jobs/..?a=b HTTP/1.1\r\n");
    assert_contains(player.requests[0], "\r\nIf-Match: \"6\"\r\n");
    assert_contains(player.requests[0], "\r\nContent-Type: application/json\r\n");
    assert_contains(player.requests[0], "\r\n\r\n{\"x\":1}");
    assert_null(strstr(player.requests[0], "Expect"));
    response_deinit(&response);
    client_free(client);
}

static void test_post_without_body(void **state)
{
    struct player player = {.answers = {HEAD("422 No") "Content-Type: application/problem+json\r\n\r\n{}"},
                            .answer_count = 1};
    struct response response;
    struct error err;
    char servers[64];
    (void)state;
    player_start(&player);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u", player.port);
    struct client *client = client_of(servers, 10000);
    assert_int_equal(client_call(client, &(struct request){.method = "POST", .path = "/x"}, &response, &err),
                     STATUS_OK);
    player_end(&player);
    assert_int_equal(response.status, 422);
    assert_true(response.is_problem);
    assert_contains(player.requests[0], "POST /x HTTP/1.1\r\n");
    assert_contains(player.requests[0], "Content-Length: 0\r\n");
    assert_null(strstr(player.requests[0], "Content-Type"));
    response_deinit(&response);
    client_free(client);
}

/* The token goes to the servers of the list, and not where one of them points. */
static void test_token(void **state)
{
    static const char token[] = "chr_0123456789abcdef0123456789abcdef";
    struct player elsewhere = {.answers = {HEAD("200 OK") "\r\n{}"}, .answer_count = 1};
    struct player player = {.answer_count = 2};
    struct response response;
    struct error err;
    char servers[64], redirect[256];
    (void)state;
    player_start(&elsewhere);
    (void)snprintf(redirect, sizeof redirect, HEAD("307 Temporary Redirect") "Location: http://127.0.0.1:%u/x\r\n\r\n{}", elsewhere.port);
    player.answers[0] = player.answers[1] = redirect;
    player_start(&player);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u", player.port);
    struct client *client = client_of(servers, 10000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(client_call(client, &(struct request){.method = "GET", .path = "/x"}, &response, &err), STATUS_OK);
        assert_int_equal(response.status, 307);
        response_deinit(&response);
        if (i == 0)
            assert_int_equal(client_set_token(client, (struct bytes){token, strlen(token)}, &err), STATUS_OK);
    }
    player_end(&player);
    player_end(&elsewhere);
    assert_null(strstr(player.requests[0], "Authorization"));
    assert_contains(player.requests[1], "\r\nAuthorization: Bearer chr_0123456789abcdef0123456789abcdef\r\n");
    assert_string_equal(elsewhere.requests[0], "");
    client_free(client);
}

/* 503 with Retry-After: again for a GET, and on the next server; not for a POST. */
static void test_retry(void **state)
{
    struct player player = {.answers = {HEAD("503 Busy") "Retry-After: 0\r\n\r\n{}",
                                        HEAD("503 Busy") "Retry-After: 0\r\n\r\n{}",
                                        HEAD("200 OK") "\r\n{}", HEAD("503 Busy") "Retry-After: 0\r\n\r\n{}",
                                        HEAD("503 Busy") "\r\n{}"},
                            .answer_count = 5};
    struct response response;
    struct error err;
    char servers[64];
    (void)state;
    player_start(&player);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u", player.port);
    struct client *client = client_of(servers, 10000);
    assert_int_equal(client_call(client, &(struct request){.method = "GET", .path = "/1"}, &response, &err), STATUS_OK);
    assert_int_equal(response.status, 200);
    response_deinit(&response);
    assert_int_equal(client_call(client, &(struct request){.method = "POST", .path = "/2"}, &response, &err),
                     STATUS_OK);
    assert_int_equal(response.status, 503);
    response_deinit(&response);
    assert_int_equal(client_call(client, &(struct request){.method = "GET", .path = "/3"}, &response, &err), STATUS_OK);
    assert_int_equal(response.status, 503); /* without Retry-After the answer stands */
    response_deinit(&response);
    player_end(&player);
    client_free(client);
}

static void test_not_reached(void **state)
{
    struct response response;
    struct error err;
    char servers[64], url[64];
    uint16_t port = closed_port();
    (void)state;
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u", port);
    (void)snprintf(url, sizeof url, "cannot reach http://127.0.0.1:%u: ", port);
    struct client *client = client_of(servers, 5000);
    assert_int_equal(client_call(client, &(struct request){.method = "POST", .path = "/"}, &response, &err), STATUS_IO);
    assert_contains(err.message, url);
    assert_contains(err.message, "is chronos running there (`systemctl status chronos`)?");
    client_free(client);
    client = client_of("unix:///nowhere/chronos.sock", 5000);
    assert_int_equal(client_call(client, &(struct request){.method = "GET", .path = "/"}, &response, &err), STATUS_IO);
    assert_contains(err.message, "unix:///nowhere/chronos.sock");
    client_free(client);
}

/* The server took the request and went away: a POST is not sent to another one, a GET is. */
static void test_cut_off(void **state)
{
    struct player first = {.answers = {"", ""}, .answer_count = 2};
    struct player second = {.answers = {HEAD("200 OK") "\r\n{}"}, .answer_count = 1};
    struct response response;
    struct error err;
    char servers[64];
    (void)state;
    player_start(&first);
    player_start(&second);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u,127.0.0.1:%u", first.port, second.port);
    struct client *client = client_of(servers, 10000);
    assert_int_equal(client_call(client, &(struct request){.method = "POST", .path = "/", .body = "{}"}, &response,
                                 &err),
                     STATUS_IO);
    assert_contains(err.message, "may have been carried out");
    assert_int_equal(client_call(client, &(struct request){.method = "GET", .path = "/"}, &response, &err), STATUS_OK);
    assert_int_equal(response.status, 200);
    assert_contains(client_server(client), "http://127.0.0.1:");
    response_deinit(&response);
    player_end(&first);
    player_end(&second);
    client_free(client);
}

/* The key that a request was sent with; "": none. */
static void key_of(const char *request, char out[64])
{
    const char *line = strstr(request, "\r\nIdempotency-Key: ");
    out[0] = '\0';
    if (line != NULL)
        (void)sscanf(line + 2, "Idempotency-Key: %63s", out);
}

static const struct request once = {.method = "POST", .path = "/", .body = "{}", .once = true};

static int call_once_of(struct client *client)
{
    struct response response;
    struct error err;
    if (client_call(client, &once, &response, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    int status = response.status;
    response_deinit(&response);
    return status;
}

/* The answer is lost, the next node knows of no leader, then it does not know what became of it, then it is at it still. */
static void test_once(void **state)
{
    struct player first = {.answers = {"", "", "", ""}, .answer_count = 4};
    struct player second = {.answers = {HEAD("503 Busy") "Retry-After: 0\r\n\r\n{}", HEAD("504 Unknown") "Retry-After: 0\r\n\r\n{}",
                                        HEAD("409 In use") "Retry-After: 0\r\n\r\n{}", HEAD("201 Created") "\r\n{}",
                                        HEAD("409 Name taken") "\r\n{}"},
                            .answer_count = 5};
    char servers[64], key[64], other[64];
    (void)state;
    player_start(&first);
    player_start(&second);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u,127.0.0.1:%u", first.port, second.port);
    struct client *client = client_of(servers, 20000);
    assert_int_equal(call_once_of(client), 201);
    key_of(first.requests[0], key);
    assert_int_equal(strlen(key), 32);
    for (int i = 0; i < 4; i++) {
        key_of(first.requests[i], other);
        assert_string_equal(other, key);
        key_of(second.requests[i], other);
        assert_string_equal(other, key);
    }
    assert_int_equal(call_once_of(client), 409); /* without Retry-After the answer stands; another request, another key */
    key_of(second.requests[4], other);
    assert_int_equal(strlen(other), 32);
    assert_string_not_equal(other, key);
    player_end(&first);
    player_end(&second);
    client_free(client);
}

/* There is no other server: the same one is asked again. */
static void test_once_alone(void **state)
{
    struct player player = {.answers = {"", HEAD("202 Accepted") "\r\n{}"}, .answer_count = 2};
    char servers[64], key[64], other[64];
    (void)state;
    player_start(&player);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u", player.port);
    struct client *client = client_of(servers, 20000);
    assert_int_equal(call_once_of(client), 202);
    key_of(player.requests[0], key);
    key_of(player.requests[1], other);
    assert_string_equal(key, other);
    player_end(&player);
    client_free(client);
}

/* No more keys are kept: without one, and then not again; but never where an earlier try may have taken effect. */
static void test_no_room_for_keys(void **state)
{
    struct player first = {.answers = {HEAD("429 Full") "Retry-After: 1\r\n\r\n{}", HEAD("503 Busy") "Retry-After: 0\r\n\r\n{}", ""},
                           .answer_count = 3};
    struct player second = {.answers = {HEAD("429 Full") "Retry-After: 1\r\n\r\n{}"}, .answer_count = 1};
    char servers[64], key[64];
    (void)state;
    player_start(&first);
    player_start(&second);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u,127.0.0.1:%u", first.port, second.port);
    struct client *client = client_of(servers, 20000);
    assert_int_equal(call_once_of(client), 503);
    key_of(first.requests[0], key);
    assert_int_equal(strlen(key), 32);
    key_of(first.requests[1], key);
    assert_string_equal(key, "");
    assert_int_equal(call_once_of(client), 429);
    key_of(second.requests[0], key);
    assert_int_equal(strlen(key), 32);
    player_end(&first);
    player_end(&second);
    client_free(client);
}

static void test_timeout(void **state)
{
    struct player silent = {.listener = -1};
    struct response response;
    struct error err;
    char servers[64];
    (void)state;
    player_listen(&silent); /* the kernel connects, nobody answers */
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%u", silent.port);
    struct client *client = client_of(servers, 100);
    assert_int_equal(client_call(client, &(struct request){.method = "GET", .path = "/"}, &response, &err),
                     STATUS_TIMEOUT);
    client_free(client);
    (void)close(silent.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_servers),  cmocka_unit_test(test_servers_refused),   cmocka_unit_test(test_paths),
        cmocka_unit_test(test_call),     cmocka_unit_test(test_post_without_body), cmocka_unit_test(test_retry),
        cmocka_unit_test(test_not_reached), cmocka_unit_test(test_cut_off),        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_once),     cmocka_unit_test(test_once_alone),        cmocka_unit_test(test_no_room_for_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
