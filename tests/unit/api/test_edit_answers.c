/* What a change is answered with: the job as this change left it, whatever others have done to it since. */
#include "world.h"

#define DESCRIBED "{\"description\":\"mine\"}"

static void test_changed_by_others_right_after(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_put(after(), &a, 2, "a", "theirs");
    ask(METHOD_PATCH, "/api/v1/jobs/a", "\"1\"", DESCRIBED);
    expect(200, "\"description\":\"mine\"");
    expect(200, "\"version\":2");
    expect_etag("\"2\"");
    ask(METHOD_PATCH, "/api/v1/jobs/a", "\"2\"", DESCRIBED); /* would undo what was never seen */
    expect(412, "at version 3");
    theirs_put(after(), &a, 4, "a", "theirs again");
    ask(METHOD_POST, "/api/v1/jobs/a/disable", NULL, NULL);
    expect(200, "\"description\":\"theirs\"");
    expect(200, "\"enabled\":false,\"version\":4");
    expect_etag("\"4\"");
}

static void test_deleted_by_others_right_after(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_delete(after(), &a);
    ask(METHOD_PATCH, "/api/v1/jobs/a", NULL, DESCRIBED);
    expect(200, "\"description\":\"mine\"");
    expect(200, "\"enabled\":true,\"version\":2,\"created_at\":\"2");
    expect_etag("\"2\"");
}

/* The leader has told what came of it, but this node does not catch up. */
static void test_answered_before_it_has_come(void **state)
{
    (void)make_job("a");
    (void)state;
    world.is_stuck = true;
    world.stuck_at.version = 2;
    ask(METHOD_PATCH, "/api/v1/jobs/a", NULL, DESCRIBED);
    expect(200, "\"description\":\"mine\"");
    expect_etag("\"2\"");
    world.stuck_at.version = 1;
    ask(METHOD_POST, "/api/v1/jobs", NULL,
        "{\"name\":\"b\",\"description\":\"mine\",\"schedule\":\"@manually\",\"executor\":\"shell\",\"config\":{\"command\":\"true\"}}");
    expect(201, "\"description\":\"mine\"");
    expect_etag("\"1\"");
}

static void test_a_run_that_cannot_be_shown(void **state)
{
    (void)make_job("a");
    (void)state;
    world.is_stuck = true;
    ask(METHOD_POST, "/api/v1/jobs/a/trigger", NULL, NULL);
    expect(500, "the change was made, but cannot be shown: no execution exec_");
}

/* A job that runs on all nodes is answered with the first of its runs, which names the others; here no node has come up. */
static void test_a_run_on_each_node(void **state)
{
    (void)state;
    ask(METHOD_POST, "/api/v1/jobs", NULL,
        "{\"name\":\"b\",\"placement\":\"all\",\"schedule\":\"@manually\",\"executor\":\"shell\",\"config\":{\"command\":\"true\"}}");
    expect(201, "\"placement\":\"all\"");
    ask(METHOD_POST, "/api/v1/jobs/b/trigger", NULL, NULL);
    expect(202, "\"reason\":\"no_node\",\"node_id\":null");
    expect(202, "\"error\":null,\"executions\":[\"exec_");
    expect(202, "\"]}");
}

/* What it is enabled with is what its answer shows: a change in between is met first. */
static void test_changed_by_others_right_before(void **state)
{
    struct id a = make_job("a");
    (void)state;
    theirs_put(behind(), &a, 1, "a", "theirs");
    theirs_put(after(), &a, 2, "a", "theirs again");
    ask(METHOD_POST, "/api/v1/jobs/a/disable", NULL, NULL);
    expect(200, "\"description\":\"theirs again\"");
    expect(200, "\"enabled\":false,\"version\":4");
    expect_etag("\"4\"");
}

/* Not the job that had this name before. */
static void test_deleted_by_its_name(void **state)
{
    struct id a = make_job("a"), b = fixture_id(world.f);
    (void)state;
    theirs_put(behind(), &a, 1, "b", "renamed");
    theirs_put(behind(), &b, 0, "a", "another");
    ask(METHOD_DELETE, "/api/v1/jobs/a", NULL, NULL);
    expect(204, NULL);
    ask(METHOD_GET, "/api/v1/jobs/b", NULL, NULL);
    expect(200, "renamed");
    ask(METHOD_GET, "/api/v1/jobs/a", NULL, NULL);
    expect(404, NULL);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_changed_by_others_right_after),
        CASE(test_deleted_by_others_right_after),
        CASE(test_answered_before_it_has_come),
        CASE(test_a_run_that_cannot_be_shown),
        CASE(test_a_run_on_each_node),
        CASE(test_changed_by_others_right_before),
        CASE(test_deleted_by_its_name),
    };
    return RUN_ON_BACKENDS("edit answers", tests);
}
