/* Requests with an Idempotency-Key: done once, whichever node is asked, and answered as the first time. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "auth/tokens.h"
#include "base/json.h"

#define BODY(name) "{\"name\":\"" name "\",\"schedule\":\"@manually\",\"executor\":\"shell\",\"config\":{\"command\":\"true\"}}"

enum { ID_SIZE_MAX = 64, PATH_SIZE_MAX = 256 };

static void id_of_answer(char out[ID_SIZE_MAX])
{
    struct error err;
    cJSON *json = NULL;
    assert_int_equal(json_parse(world.answer.body, strlen(world.answer.body), &json, &err), STATUS_OK);
    (void)snprintf(out, ID_SIZE_MAX, "%s", cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "id")));
    cJSON_Delete(json);
}

static void expect_replayed(bool is_replayed)
{
    assert_int_equal(strstr(world.answer.headers, "Idempotency-Replayed: true\r\n") != NULL, is_replayed);
}

/* Asks twice; the second answer is the first one's. */
static void ask_twice(const char *path, const char *body, int status)
{
    char first[ID_SIZE_MAX], second[ID_SIZE_MAX];
    ask(METHOD_POST, path, NULL, body);
    expect(status, NULL);
    expect_replayed(false);
    id_of_answer(first);
    char location[512];
    (void)snprintf(location, sizeof location, "%s", world.answer.headers);
    ask(METHOD_POST, path, NULL, body);
    expect(status, NULL);
    expect_replayed(true);
    id_of_answer(second);
    assert_string_equal(first, second);
    assert_int_equal(strncmp(world.answer.headers, location, strlen(location)), 0); /* ETag, Location: the same */
    assert_int_equal(world.proposals, 0); /* this node knows it */
}

static void test_each_that_goes_through_the_log(void **state)
{
    char id[ID_SIZE_MAX], path[PATH_SIZE_MAX];
    (void)state;
    world.keys[0] = "one-key-for-all:paths-tell-them-apart";
    ask_twice("/api/v1/jobs", BODY("a"), 201);
    assert_int_equal(count_rows(world.f, STATE_JOBS), 1);
    ask_twice("/api/v1/jobs/a/disable", NULL, 200);
    ask_twice("/api/v1/jobs/a/enable", NULL, 200);
    ask_twice("/api/v1/jobs/a/trigger", "{\"force\":true}", 202);
    id_of_answer(id);
    assert_int_equal(count_rows(world.f, STATE_OPEN), 1);
    (void)snprintf(path, sizeof path, "/api/v1/executions/%s/cancel", id);
    ask_twice(path, NULL, 202);
    (void)snprintf(path, sizeof path, "/api/v1/jobs/a/executions/%s/cancel", id);
    ask(METHOD_POST, path, NULL, NULL); /* the same key, on another path: another request, and it comes too late */
    expect(409, "ended already");
    assert_int_equal(count_rows(world.f, STATE_IDEMPOTENCY), 5);
}

/* What this node would refuse by now was done all the same. */
static void test_what_is_gone_by_now(void **state)
{
    char id[ID_SIZE_MAX], run[ID_SIZE_MAX], expected[128], path[PATH_SIZE_MAX];
    (void)state;
    world.keys[0] = "k";
    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("a"));
    expect(201, NULL);
    id_of_answer(id);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, NULL);
    id_of_answer(run);
    ask(METHOD_POST, "/api/v1/jobs/a/disable", NULL, NULL);
    expect(200, NULL);
    (void)snprintf(path, sizeof path, "/api/v1/jobs/a/executions/%s/cancel", run);
    ask(METHOD_POST, path, NULL, NULL);
    expect(202, NULL);
    ask(METHOD_DELETE, "/api/v1/jobs/a", NULL, NULL);
    expect(204, NULL);
    ask(METHOD_POST, path, NULL, NULL);
    expect(202, run);
    expect_replayed(true);
    world.refused_command = "true";
    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("a"));
    (void)snprintf(expected, sizeof expected, "{\"id\":\"%s\"}", id);
    expect(201, NULL);
    assert_string_equal(world.answer.body, expected);
    (void)snprintf(expected, sizeof expected, "Location: /api/v1/jobs/%s\r\n", id);
    assert_non_null(strstr(world.answer.headers, expected));
    assert_null(strstr(world.answer.headers, "ETag"));
    ask(METHOD_POST, "/api/v1/jobs/a/disable", NULL, NULL);
    expect(200, id);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, run);
    struct sweep all = {.before_ms = INT64_MAX};
    struct buffer command = command_buffer();
    sweep_encode(&all, &command);
    assert_int_equal(fixture_apply(world.f, &command).sweep_deleted, 1);
    (void)snprintf(expected, sizeof expected, "{\"id\":\"%s\"}", run);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, NULL);
    assert_string_equal(world.answer.body, expected);
    ask(METHOD_POST, path, NULL, NULL);
    expect(202, NULL);
    assert_string_equal(world.answer.body, expected);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{}");
    expect(422, "IDEMPOTENCY_KEY_REUSED");
}

/* The other node did it, and this one has not heard of it. */
static void test_a_node_that_lags(void **state)
{
    char body[WORLD_BODY_MAX], headers[512];
    (void)state;
    world.keys[0] = "k";
    send_request(METHOD_POST, "/api/v1/jobs", NULL, BODY("a"));
    lose_answer(behind());
    expect(504, "OUTCOME_UNKNOWN");
    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("a")); /* the command finds it out */
    expect(201, NULL);
    expect_replayed(true);
    assert_int_equal(world.proposals, 1);
    assert_int_equal(count_rows(world.f, STATE_JOBS), 1);
    (void)snprintf(body, sizeof body, "%s", world.answer.body);
    (void)snprintf(headers, sizeof headers, "%s", world.answer.headers);
    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("a"));
    assert_string_equal(world.answer.body, body);
    assert_string_equal(world.answer.headers, headers);

    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("b"));
    expect(422, "IDEMPOTENCY_KEY_REUSED");
    world.keys[0] = "another";
    send_request(METHOD_POST, "/api/v1/jobs", NULL, BODY("b"));
    lose_answer(behind());
    world.refused_command = "true"; /* this node would refuse it on its own, as one with other plugins does */
    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("b"));
    expect(201, NULL);
    expect_replayed(true);
    assert_int_equal(world.reads, 1);
    assert_int_equal(world.proposals, 0);
}

static void test_another_request(void **state)
{
    (void)make_job("a");
    (void)state;
    world.keys[0] = "k";
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{\"force\":true}");
    expect(202, NULL);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{\"force\": true}"); /* bytes are compared, not their meaning */
    expect(422, "IDEMPOTENCY_KEY_REUSED");
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", "\"1\"", "{\"force\":true}");
    expect(422, "IDEMPOTENCY_KEY_REUSED");
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{\"force\":true}");
    expect(202, NULL);
    world.keys[0] = "l";
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{\"force\":true}");
    expect(202, NULL);
    expect_replayed(false);
    assert_int_equal(count_rows(world.f, STATE_OPEN), 2);
}

static void test_refusals_leave_the_key_free(void **state)
{
    (void)make_job("a");
    (void)state;
    world.keys[0] = "k";
    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("a"));
    expect(409, "NAME_TAKEN");
    assert_int_equal(world.proposals, 1);
    assert_int_equal(world.reads, 0);
    ask(METHOD_POST, "/api/v1/jobs", NULL, "{\"name\":\"b\"}");
    expect(422, "INVALID");
    ask(METHOD_POST, "/api/v1/jobs?dry_run=true", NULL, BODY("b"));
    expect(200, NULL);
    ask(METHOD_POST, "/api/v1/jobs", NULL, BODY("b"));
    expect(201, NULL);
    expect_replayed(false);
}

static void test_under_way(void **state)
{
    (void)make_job("a");
    (void)state;
    world.keys[0] = "k";
    send_request(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    assert_int_equal(world.answer.count, 0);
    for (int i = 0; i < 2; i++) { /* being refused must not end what the first one holds */
        send_request(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
        expect(409, "IDEMPOTENCY_KEY_IN_USE");
        assert_non_null(strstr(world.answer.headers, "Retry-After: 1\r\n"));
    }
    world.answer = (struct answer){.count = 0};
    play();
    assert_int_equal(world.answer.count, 1);
    expect(202, NULL);
    expect_replayed(false);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, NULL);
    expect_replayed(true);
    assert_int_equal(count_rows(world.f, STATE_OPEN), 1);
}

/* A change of a job between look and apply: tried anew under the same key. */
static void test_a_race(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_put(behind(), &a, 1, "a", "theirs");
    world.keys[0] = "k";
    ask(METHOD_POST, "/api/v1/jobs/a/disable", NULL, NULL);
    expect(200, "\"version\":3");
    assert_int_equal(world.proposals, 2);
    expect_replayed(false);
    ask(METHOD_POST, "/api/v1/jobs/a/disable", NULL, NULL);
    expect(200, "\"version\":3");
    expect_replayed(true);
}

static void test_limits_are_told(void **state)
{
    uint8_t full[5] = {1, IDEMPOTENCY_ROWS_OF_ONE_MAX & 0xff, IDEMPOTENCY_ROWS_OF_ONE_MAX >> 8};
    (void)make_job("a");
    (void)state;
    put_raw(world.f, "idempotency_counts", "", 1, full, sizeof full); /* of the empty name */
    world.f->unchecked = true;
    world.keys[0] = "k";
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(429, "IDEMPOTENCY_KEYS_FULL");
    assert_non_null(strstr(world.answer.headers, "Retry-After"));
    world.keys[0] = NULL;
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, NULL);
}

static void use_tokens(const char *const *names, const char *const *texts, size_t count)
{
    char lines[512] = "";
    struct tokens *tokens;
    struct error err;
    for (size_t i = 0; i < count; i++) {
        uint8_t digest[TOKEN_DIGEST_SIZE];
        char hex[TOKEN_DIGEST_TEXT_SIZE];
        assert_int_equal(token_digest((struct bytes){texts[i], strlen(texts[i])}, digest, &err), STATUS_OK);
        token_digest_format(digest, hex);
        size_t size = strlen(lines);
        (void)snprintf(lines + size, sizeof lines - size, "%s:%s\n", names[i], hex);
    }
    assert_int_equal(tokens_parse("tokens", (struct bytes){lines, strlen(lines)}, &tokens, &err), STATUS_OK);
    api_set_tokens(world.api, tokens);
}

/* Of the same key, each has his own. */
static void test_principals(void **state)
{
    static const char mine[] = "chr_0123456789abcdef0123456789abcdef", yours[] = "chr_fedcba9876543210fedcba9876543210";
    const char *names[] = {"me", "you"}, *texts[] = {mine, yours};
    char header[128];
    (void)make_job("a");
    (void)state;
    use_tokens(names, texts, 2);
    world.keys[0] = "k";
    for (int i = 0; i < 2; i++) {
        (void)snprintf(header, sizeof header, "Bearer %s", texts[i]);
        world.token = header;
        ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{\"force\":true}");
        expect(202, NULL);
        expect_replayed(false);
        ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{\"force\":true}");
        expect_replayed(true);
    }
    assert_int_equal(count_rows(world.f, STATE_OPEN), 2);
    assert_int_equal(count_rows(world.f, STATE_IDEMPOTENCY_COUNTS), 2);
}

static void test_the_form_of_a_key(void **state)
{
    char longest[IDEMPOTENCY_KEY_MAX + 2];
    static const char *const bad[] = {"", "two words", "caf\xc3\xa9", "tab\t", "\x7f"};
    (void)make_job("a");
    (void)state;
    memset(longest, '~', sizeof longest);
    longest[IDEMPOTENCY_KEY_MAX + 1] = '\0';
    world.keys[0] = longest;
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(400, "Idempotency-Key has 256 bytes; 1 to 255 are possible");
    longest[IDEMPOTENCY_KEY_MAX] = '\0';
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        world.keys[0] = bad[i];
        ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
        expect(400, "MALFORMED");
        ask(METHOD_POST, "/api/v1/schedules/validate", NULL, "{\"schedule\":\"@daily\"}"); /* also where it is of no use */
        expect(400, "Idempotency-Key");
    }
    world.keys[0] = "!";
    world.keys[1] = "!";
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(400, "more than one Idempotency-Key");
    ask(METHOD_PATCH, "/api/v1/jobs/a", NULL, "{\"description\":\"x\"}"); /* POST alone looks at it */
    expect(200, NULL);
    assert_int_equal(count_rows(world.f, STATE_IDEMPOTENCY), 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_each_that_goes_through_the_log),
        CASE(test_what_is_gone_by_now),
        CASE(test_a_node_that_lags),
        CASE(test_another_request),
        CASE(test_refusals_leave_the_key_free),
        CASE(test_under_way),
        CASE(test_a_race),
        CASE(test_limits_are_told),
        CASE(test_principals),
        CASE(test_the_form_of_a_key),
    };
    return RUN_ON_BACKENDS("idempotency", tests);
}
