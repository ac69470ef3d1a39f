#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/router.h"

enum { PENDING_MAX = 8 };

struct world world;

/* --- the cluster --- */

static struct pending {
    struct buffer command; /* empty: a read index */
    cluster_done done;
    void *arg;
    uint64_t token;
} pending[PENDING_MAX];
static uint32_t pending_count;

const struct state *__wrap_cluster_state(const struct cluster *cluster);
const char *__wrap_cluster_node_id(const struct cluster *cluster);
int64_t __wrap_cluster_wall_ms(const struct cluster *cluster);
void __wrap_cluster_status_get(const struct cluster *cluster, struct cluster_status *ret);
enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err);
enum status __wrap_cluster_read_index(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err);
void __wrap_http_respond(struct http_server *server, struct http_token token, const struct http_response *response);
bool __wrap_runner_validates_quickly(const struct runner *runner, const char *executor);
enum status __wrap_runner_validate(const struct runner *runner, const char *executor, const struct chronos_param *params,
                                   uint32_t count, const char *job_name, struct error *err);

const struct state *__wrap_cluster_state(const struct cluster *cluster)
{
    (void)cluster;
    return world.f->state;
}

const char *__wrap_cluster_node_id(const struct cluster *cluster)
{
    (void)cluster;
    return "node-1";
}

int64_t __wrap_cluster_wall_ms(const struct cluster *cluster)
{
    (void)cluster;
    return clock_system.wall_ms(clock_system.arg);
}

void __wrap_cluster_status_get(const struct cluster *cluster, struct cluster_status *ret)
{
    (void)cluster;
    *ret = (struct cluster_status){.is_ready = true};
}

static struct buffer copy_of(struct bytes bytes)
{
    struct buffer copy = command_buffer();
    buffer_append(&copy, bytes.data, bytes.size);
    return copy;
}

static void add_pending(struct bytes command, cluster_done done, void *arg, uint64_t token)
{
    assert_true(pending_count < PENDING_MAX);
    pending[pending_count++] = (struct pending){copy_of(command), done, arg, token};
}

enum status __wrap_cluster_propose(struct cluster *cluster, enum proposal_class class, struct bytes command, cluster_done done,
                                   void *arg, uint64_t token, struct error *err)
{
    (void)cluster;
    (void)class;
    (void)err;
    world.proposals++;
    add_pending(command, done, arg, token);
    return STATUS_OK;
}

enum status __wrap_cluster_read_index(struct cluster *cluster, cluster_done done, void *arg, uint64_t token, struct error *err)
{
    (void)cluster;
    world.reads++;
    if (world.refuses_reads != STATUS_OK)
        return error_set(err, world.refuses_reads, "no leader is known yet");
    add_pending((struct bytes){NULL, 0}, done, arg, token);
    return STATUS_OK;
}

static struct apply_result apply(struct buffer *command)
{
    struct apply_result result = fixture_apply(world.f, command);
    api_changes(world.api, &world.f->changes, state_applied(world.f->state));
    return result;
}

static void apply_all(struct buffer *commands, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++)
        assert_int_equal(apply(&commands[i]).status, STATUS_OK);
    *count = 0;
}

static void finish_read(struct pending *read)
{
    buffer_deinit(&read->command);
    if (world.fails_reads == STATUS_OK)
        apply_all(world.behind, &world.behind_count);
    read->done(read->arg, read->token, &(struct cluster_outcome){.status = world.fails_reads, .message = "not confirmed"});
}

static void finish_write(struct pending *write)
{
    struct apply_result result = world.stuck_at;
    if (world.is_stuck) {
        buffer_deinit(&write->command);
    } else {
        apply_all(world.behind, &world.behind_count);
        result = apply(&write->command);
        apply_all(world.after, &world.after_count);
    }
    write->done(write->arg, write->token, &(struct cluster_outcome){.status = STATUS_OK, .result = result, .message = ""});
}

void play(void)
{
    while (pending_count > 0) {
        struct pending next = pending[0];
        memmove(&pending[0], &pending[1], --pending_count * sizeof pending[0]);
        if (next.command.size == 0)
            finish_read(&next);
        else
            finish_write(&next);
    }
}

void lose_answer(struct buffer *ret_command)
{
    assert_int_equal(pending_count, 1);
    pending_count = 0;
    *ret_command = pending[0].command;
    pending[0].done(pending[0].arg, pending[0].token, &(struct cluster_outcome){.status = STATUS_OUTCOME_UNKNOWN, .message = "lost"});
}

/* --- what else lies around --- */

void __wrap_http_respond(struct http_server *server, struct http_token token, const struct http_response *response)
{
    struct answer *answer = &world.answer;
    (void)server;
    (void)token;
    answer->count++;
    answer->status = response->status;
    (void)snprintf(answer->headers, sizeof answer->headers, "%.*s", (int)response->headers.size, (const char *)response->headers.data);
    (void)snprintf(answer->body, sizeof answer->body, "%.*s", (int)response->body.size, (const char *)response->body.data);
    free(response->body_owned);
}

bool __wrap_runner_validates_quickly(const struct runner *runner, const char *executor)
{
    (void)runner;
    (void)executor;
    return true;
}

enum status __wrap_runner_validate(const struct runner *runner, const char *executor, const struct chronos_param *params,
                                   uint32_t count, const char *job_name, struct error *err)
{
    (void)runner;
    (void)executor;
    (void)job_name;
    for (uint32_t i = 0; i < count; i++)
        if (world.refused_command != NULL && strcmp(params[i].value.data, world.refused_command) == 0)
            return error_set(err, STATUS_INVALID, "the executor does not like it");
    return STATUS_OK;
}

/* --- life --- */

int world_setup(void **state)
{
    struct error err;
    memset(&world, 0, sizeof world);
    pending_count = 0;
    assert_int_equal(support_setup((void **)&world.support), 0);
    world.f = fixture_open(fixture_backend, 0);
    world.support->config.server.http_address = (char *)"127.0.0.1:8080";
    world.support->config.server.max_body_bytes = 1 << 20;
    world.support->config.metrics.path = (char *)"/metrics";
    assert_int_equal(uv_loop_init(&world.loop), 0);
    struct api_config config = {.loop = &world.loop, .clock = &clock_system, .config = &world.support->config,
                                .registry = world.support->registry, .scheduler = world.support->scheduler,
                                .cluster = (struct cluster *)(uintptr_t)1}; /* never looked into */
    assert_int_equal(api_new(&config, &world.api, &err), STATUS_OK);
    api_set_server(world.api, (struct http_server *)(uintptr_t)1);
    *state = &world;
    return 0;
}

static void free_all(struct buffer *commands, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        buffer_deinit(&commands[i]);
}

int world_teardown(void **state)
{
    (void)state;
    api_close(world.api);
    (void)uv_run(&world.loop, UV_RUN_DEFAULT);
    api_free(world.api);
    assert_int_equal(uv_loop_close(&world.loop), 0);
    free_all(world.behind, world.behind_count);
    free_all(world.after, world.after_count);
    fixture_close(world.f);
    return support_teardown((void **)&world.support);
}

/* --- asking --- */

static struct bytes bytes_of(const char *text)
{
    return (struct bytes){text, text != NULL ? strlen(text) : 0};
}

static size_t make_headers(const char *if_match, struct http_header *out)
{
    const struct http_header all[] = {{bytes_of("Content-Type"), bytes_of("application/json")},
                                      {bytes_of("If-Match"), bytes_of(if_match)},
                                      {bytes_of("idempotency-key"), bytes_of(world.keys[0])},
                                      {bytes_of("Idempotency-Key"), bytes_of(world.keys[1])},
                                      {bytes_of("Authorization"), bytes_of(world.token)}};
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].value.data != NULL)
            out[count++] = all[i];
    return count;
}

void send_request(enum http_method method, const char *path, const char *if_match, const char *body)
{
    struct http_header headers[5];
    const char *query = strchr(path, '?');
    struct http_request request = {.method = method, .headers = headers, .header_count = make_headers(if_match, headers),
                                   .path = {path, query != NULL ? (size_t)(query - path) : strlen(path)},
                                   .query = bytes_of(query != NULL ? query + 1 : ""), .body = bytes_of(body),
                                   .host = bytes_of("localhost"), .request_id = "req"};
    world.answer = (struct answer){.count = 0};
    world.reads = world.proposals = 0;
    api_handle(world.api, &request);
}

void ask(enum http_method method, const char *path, const char *if_match, const char *body)
{
    send_request(method, path, if_match, body);
    play();
    assert_int_equal(world.answer.count, 1);
}

void expect(int status, const char *words)
{
    if (world.answer.status != status || (words != NULL && strstr(world.answer.body, words) == NULL))
        fail_msg("not %d with \"%s\" but %d: %s", status, words != NULL ? words : "", world.answer.status, world.answer.body);
}

void expect_etag(const char *etag)
{
    char line[64];
    (void)snprintf(line, sizeof line, "ETag: %s\r\n", etag);
    if (strstr(world.answer.headers, line) == NULL)
        fail_msg("no ETag %s among: %s", etag, world.answer.headers);
}

/* --- jobs --- */

struct buffer *behind(void)
{
    assert_true(world.behind_count < WORLD_COMMANDS_MAX);
    return &world.behind[world.behind_count++];
}

struct buffer *after(void)
{
    assert_true(world.after_count < WORLD_COMMANDS_MAX);
    return &world.after[world.after_count++];
}

static void document_of(const char *name, const char *description, char *out, size_t size)
{
    (void)snprintf(out, size,
                   "{\"name\":\"%s\",\"description\":\"%s\",\"schedule\":\"@manually\",\"executor\":\"shell\","
                   "\"config\":{\"command\":\"true\"}}",
                   name, description);
}

struct id make_job(const char *name)
{
    char body[512];
    struct state_view view;
    struct error err;
    struct id id;
    document_of(name, "first", body, sizeof body);
    ask(METHOD_POST, "/api/v1/jobs", NULL, body);
    expect(201, NULL);
    assert_int_equal(world.reads, 0);
    assert_int_equal(state_view_begin(world.f->state, &view, &err), STATUS_OK);
    assert_int_equal(state_find_job(&view, name, strlen(name), &id, &err), STATUS_OK);
    state_view_end(&view);
    return id;
}

void theirs_put(struct buffer *command, const struct id *id, uint32_t expected_version, const char *name, const char *description)
{
    char document[512];
    struct job_put put = {.id = *id, .expected_version = expected_version, .spec = spec_named(name)};
    put.spec.schedule_count = 0;
    document_of(name, description, document, sizeof document);
    put.document = bytes_of(document);
    *command = command_buffer();
    job_put_encode(&put, command);
}

void theirs_delete(struct buffer *command, const struct id *id)
{
    *command = command_buffer();
    job_delete_encode(&(struct job_delete){.id = *id}, command);
}
