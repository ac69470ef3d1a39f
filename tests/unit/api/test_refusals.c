/* What a node that lags, or was cut off, must not say: no edit is refused because of a state that is older than the request. */
#include "world.h"

#include <stdio.h>

#define DESCRIBED "{\"description\":\"mine\"}"

static void test_nothing_is_confirmed_that_is_not_refused(void **state)
{
    (void)state;
    (void)make_job("a");
    ask(METHOD_PATCH, "/api/v1/jobs/a", "\"1\"", DESCRIBED);
    expect(200, "\"description\":\"mine\"");
    expect_etag("\"2\"");
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, NULL);
    ask(METHOD_DELETE, "/api/v1/jobs/a", NULL, NULL);
    expect(204, NULL);
    assert_int_equal(world.reads, 0);
    assert_int_equal(world.proposals, 1);
}

static void test_a_version_that_has_not_come_yet(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_put(behind(), &a, 1, "a", "theirs");
    ask(METHOD_PATCH, "/api/v1/jobs/a", "\"2\"", DESCRIBED);
    expect(200, "\"description\":\"mine\"");
    expect_etag("\"3\"");
    assert_int_equal(world.reads, 1);
    assert_int_equal(world.proposals, 1);
}

static void test_a_version_that_is_another(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_put(behind(), &a, 1, "a", "theirs");
    ask(METHOD_PUT, "/api/v1/jobs/a", "\"7\"", "{}");
    expect(412, "the job is at version 2, If-Match asks for");
    assert_int_equal(world.reads, 1); /* once is enough */
    assert_int_equal(world.proposals, 0);
}

/* A trigger is held against the version that stands when it is applied, not only against this node's copy. */
static void test_a_trigger_of_a_version_that_has_gone(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_put(behind(), &a, 1, "a", "theirs");
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", "\"1\"", NULL);
    expect(412, "the job is at version 2, If-Match asks for");
    assert_int_equal(world.proposals, 1);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", "\"2\"", NULL);
    expect(202, NULL);
    theirs_put(behind(), &a, 2, "a", "theirs again");
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL); /* whatever it is now */
    expect(202, NULL);
    assert_int_equal(world.proposals, 1);
}

static void test_a_job_that_has_not_come_yet(void **state)
{
    static const struct {
        enum http_method method;
        const char *path, *body;
        int status;
    } rows[] = {
        {METHOD_PATCH, "/api/v1/jobs/b", DESCRIBED, 200},   {METHOD_POST, "/api/v1/jobs/b/disable", NULL, 200},
        {METHOD_POST, "/api/v1/jobs/b/enable", NULL, 200},  {METHOD_POST, "/api/v1/jobs/b/trigger", NULL, 202},
        {METHOD_DELETE, "/api/v1/jobs/b", NULL, 204},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct id id = fixture_id(world.f);
        theirs_put(behind(), &id, 0, "b", "theirs");
        ask(rows[i].method, rows[i].path, NULL, rows[i].body);
        expect(rows[i].status, NULL);
        assert_int_equal(world.reads, 1);
        if (i + 1 < sizeof rows / sizeof rows[0]) {
            ask(METHOD_DELETE, "/api/v1/jobs/b", NULL, NULL);
            expect(204, NULL);
        }
    }
    ask(METHOD_POST, "/api/v1/jobs/b/trigger", NULL, NULL);
    expect(404, "there is no job");
    assert_int_equal(world.reads, 1);
}

/* The version that a document is laid over may be an old one. */
static void test_a_document_that_was_judged_by_an_old_version(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_put(behind(), &a, 1, "a", "theirs");
    ask(METHOD_PATCH, "/api/v1/jobs/a", NULL, "{\"schedule\":\"61 * * * *\"}");
    expect(422, "minute");
    assert_int_equal(world.reads, 1);
    world.refused_command = "rm";
    ask(METHOD_PATCH, "/api/v1/jobs/a", NULL, "{\"config\":{\"command\":\"rm\"}}");
    expect(422, "does not like");
    assert_int_equal(world.reads, 1);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, "{\"config\":{\"command\":\"rm\"}}");
    expect(422, "does not like");
    assert_int_equal(world.reads, 1);
    ask(METHOD_POST, "/api/v1/jobs", NULL, "{\"name\":\"b\"}"); /* of a new job nothing is old */
    expect(422, NULL);
    assert_int_equal(world.reads, 0);
}

static void test_a_name_that_was_given_back(void **state)
{
    struct id a = make_job("a");
    const char *body = "{\"name\":\"a\",\"schedule\":\"@manually\",\"executor\":\"shell\",\"config\":{\"command\":\"true\"}}";
    (void)state;
    ask(METHOD_POST, "/api/v1/jobs?dry_run=true", NULL, body);
    expect(409, "NAME_TAKEN");
    assert_int_equal(world.reads, 1);
    theirs_delete(behind(), &a);
    ask(METHOD_POST, "/api/v1/jobs?dry_run=true", NULL, body);
    expect(200, NULL);
    assert_int_equal(world.reads, 1);
    ask(METHOD_POST, "/api/v1/jobs", NULL, body);
    expect(201, NULL);
    assert_int_equal(world.reads, 0);
}

/* What is not known is neither refused nor done. */
static void test_without_a_leader(void **state)
{
    (void)make_job("a");
    (void)state;
    world.refuses_reads = STATUS_NO_LEADER;
    ask(METHOD_PATCH, "/api/v1/jobs/b", NULL, DESCRIBED);
    expect(503, "NO_LEADER");
    ask(METHOD_PATCH, "/api/v1/jobs/a", "\"2\"", DESCRIBED);
    expect(503, "NO_LEADER");
    world.refuses_reads = STATUS_OK;
    world.fails_reads = STATUS_NO_QUORUM;
    ask(METHOD_DELETE, "/api/v1/jobs/a", "\"2\"", NULL);
    expect(503, "NO_QUORUM");
    assert_int_equal(world.proposals, 0);
}

static void cancel_path(char *out, size_t size, const char *job, const struct id *execution)
{
    char text[ID_TEXT_SIZE];
    id_format(EXECUTION_ID_PREFIX, execution, text);
    (void)snprintf(out, size, "/api/v1/jobs/%s/executions/%s/cancel", job, text);
}

static void test_cancelling_a_run_that_has_not_come_yet(void **state)
{
    struct id a = make_job("a"), run = fixture_id(world.f);
    char path[256];
    (void)state;
    struct buffer *command = behind();
    *command = command_buffer();
    trigger_run_encode(&(struct trigger_run){.job = a, .execution = run, .reason = REASON_NO_NODE}, command);
    cancel_path(path, sizeof path, "a", &run);
    ask(METHOD_POST, path, NULL, NULL);
    expect(202, "cancelled");
    assert_int_equal(world.reads, 1);
    ask(METHOD_POST, path, NULL, NULL);
    expect(409, "ended already");
    assert_int_equal(world.reads, 0); /* the command found it out */
    run = fixture_id(world.f);
    cancel_path(path, sizeof path, "a", &run);
    ask(METHOD_POST, path, NULL, NULL);
    expect(404, "no such execution of this job");
    assert_int_equal(world.reads, 1);
    world.refuses_reads = STATUS_NO_LEADER;
    ask(METHOD_POST, path, NULL, NULL);
    expect(503, "NO_LEADER");
}

/* Deleted by others, and made anew under the same name, before the command came. */
static void test_a_job_that_was_made_anew(void **state)
{
    struct id a = make_job("a"), b = fixture_id(world.f);
    (void)state;
    theirs_delete(behind(), &a);
    theirs_put(behind(), &b, 0, "a", "theirs");
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(202, NULL);
    theirs_delete(behind(), &b);
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(404, "there is no job");
}

/* What was in the way is known here before it is tried anew, or it is not tried anew. */
static void test_a_race_that_was_lost_far_ahead(void **state)
{
    (void)make_job("a");
    (void)state;
    world.is_stuck = true;
    world.stuck_at = (struct apply_result){.index = 1000, .status = STATUS_VERSION_MISMATCH, .version = 7};
    world.fails_reads = STATUS_NOT_READY;
    ask(METHOD_PATCH, "/api/v1/jobs/a", NULL, DESCRIBED);
    expect(503, "NOT_READY");
    assert_int_equal(world.proposals, 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_is_confirmed_that_is_not_refused),
        CASE(test_a_version_that_has_not_come_yet),
        CASE(test_a_version_that_is_another),
        CASE(test_a_trigger_of_a_version_that_has_gone),
        CASE(test_a_job_that_has_not_come_yet),
        CASE(test_a_document_that_was_judged_by_an_old_version),
        CASE(test_a_name_that_was_given_back),
        CASE(test_without_a_leader),
        CASE(test_cancelling_a_run_that_has_not_come_yet),
        CASE(test_a_job_that_was_made_anew),
        CASE(test_a_race_that_was_lost_far_ahead),
    };
    return RUN_ON_BACKENDS("refusals", tests);
}
